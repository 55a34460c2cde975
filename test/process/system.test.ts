/** The site as a service: its unit, as systemd reads it, and what it tells a service manager, on a socket of our own. */
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, lstatSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { evaluateInRouter } from '../support/debugger.ts';
import { eventually, sleep } from '../support/eventually.ts';
import { connector, document, listener } from '../support/network.ts';
import { executable, newDirectory, Skiff, skiff } from '../support/skiff.ts';
import { closeSockets, connect, echo, freePort, say, untilAccepting } from '../support/tcp.ts';

const test = suite('system');
const stops: (() => void)[] = [];
const hidden = { showSecrets: false };

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
  for (const stop of stops) stop();
});

const has = (program: string) => !spawnSync(program, ['--version']).error;

function systemd(...words: string[]): { code: number | null; text: string } {
  const env = { ...process.env, XDG_RUNTIME_DIR: newDirectory() };
  const { status, stdout, stderr } = spawnSync('systemd-analyze', words, { encoding: 'utf8', env });
  return { code: status, text: stdout + stderr };
}

test('systemd takes the units, and finds little that they leave open', async () => {
  if (!has('systemd-analyze')) {
    console.log('SKIP the units as systemd reads them: there is no systemd-analyze');
    return;
  }
  for (const [user, ...more] of [
    ['false'],
    ['true'],
    ['false', '--data', '/srv/a "b" $c 100%', '--apply', '/srv/d $e'],
  ]) {
    const { stdout } = await skiff(['system', 'install', `--user=${user}`, '--print', ...more]);
    const file = join(newDirectory(), 'skiff.service');
    writeFileSync(file, stdout);
    const { code, text } = systemd(user === 'true' ? '--user' : '--system', 'verify', file);
    assert.is(code, 0, text);
    assert.is(text, '', 'no warning either');
    if (user === 'true') continue;
    const exposure = systemd('security', '--offline=true', '--threshold=30', file);
    assert.is(exposure.code, 0, exposure.text);
  }
});

test('a service of a user is installed, shown and taken away, and its data stays unless told', async () => {
  if (!has('systemd-notify')) {
    console.log('SKIP a service of a user: there is no systemd-notify');
    return;
  }
  const home = newDirectory();
  const data = join(home, 'data');
  const run = (...words: string[]) => {
    const { status, stdout, stderr } = spawnSync(executable, words, {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: home },
    });
    return { code: status, stdout, stderr };
  };
  const unit = join(home, '.config/systemd/user/store2.service');
  const names = ['--user', '--name', 'store2'];
  assert.match(run('system', 'status', ...names).stderr, /^error: there is no such service/);
  assert.is(run('system', 'install', '--name', '../x').code, 2);
  const installed = run('system', 'install', ...names, '--data', data);
  assert.is(installed.code, 0, installed.stderr);
  assert.match(readFileSync(unit, 'utf8'), `ExecStart="${executable}" run\n`);
  assert.match(readFileSync(unit, 'utf8'), `Environment="SKIFF_DATA=${data}"\n`);
  const link = join(home, '.config/systemd/user/default.target.wants/store2.service');
  assert.is(readlinkSync(link), unit);

  assert.is((await skiff(['site', 'create', 'kept', '--data', data])).code, 0);
  const site = await Skiff.run({ data });
  const status = JSON.parse(run('system', 'status', ...names, '-o', 'json').stdout);
  assert.is(status.site, 'kept');
  await site.stop();
  if (!existsSync('/run/systemd/system')) {
    assert.match(run('system', 'start', ...names).stderr, /^error: systemd does not run here\. Use skiff run\.\n$/);
    assert.is(run('system', 'uninstall', ...names).stdout, `${unit} removed\nThe site is kept in ${data}\n`);
    assert.not.ok(existsSync(unit) || lstatSync(link, { throwIfNoEntry: false }));
    assert.is((await skiff(['get', 'site', '--data', data])).code, 0);
    run('system', 'install', ...names, '--data', data);
    assert.is(run('system', 'uninstall', '--purge', ...names).code, 0);
    assert.not.ok(existsSync(data));
  }
});

/** What is said on a notify socket, a line an assignment. Node has no datagrams on Unix sockets; perl has. */
async function notifySocket(): Promise<{ path: string; heard: string[] }> {
  const path = join(newDirectory(), 'notify');
  const program = `use Socket; $| = 1; socket(S, AF_UNIX, SOCK_DGRAM, 0); bind(S, sockaddr_un($ARGV[0])) or die; print "listening\\n";
    while (defined recv(S, $m, 4096, 0)) { print "$m\\n" }`;
  const child = spawn('perl', ['-e', program, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  stops.push(() => child.kill());
  const heard: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => heard.push(...text.trim().split('\n')));
  await eventually('perl listens', () => heard.includes('listening'));
  return { path, heard };
}

test('a service manager hears that the site is ready, alive and ending', async () => {
  if (!has('systemd-notify') || !has('perl')) {
    console.log('SKIP what a service manager hears: there is no systemd-notify, or no perl');
    return;
  }
  const { path, heard } = await notifySocket();
  const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '900000' };
  const site = await Skiff.run({ documents: [document('Site', 'alive', { edge: true })], env });
  await eventually('READY=1', () => heard.includes('READY=1'));
  assert.ok(heard.includes('STATUS=alive'));
  const signs = () => heard.filter((each) => each === 'WATCHDOG=1').length;
  await eventually('signs of life', () => signs() >= 3);
  await site.stop();
  await eventually('STOPPING=1', () => heard.includes('STOPPING=1'));
});

test('a reload takes up what the files say by now, and disturbs nobody', async () => {
  const [backend, port] = [await echo(), await freePort()];
  const file = join(newDirectory(), 'site.json');
  const write = (...more: object[]) =>
    writeFileSync(
      file,
      JSON.stringify([
        document('Site', 'reloads', { edge: true }),
        connector('erp', backend.port),
        listener('erp', port),
        ...more,
      ]),
    );
  write();
  const site = await Skiff.run({ args: ['--apply', file] });
  await untilAccepting(port);
  const socket = await connect(port);
  await say(socket, 'before');

  write(connector('new', 1));
  const { code, stdout, stderr } = await site.cli('system', 'reload');
  assert.is(code, 0, stderr);
  assert.is(stdout, 'Site reloads unchanged\nConnector erp unchanged\nListener erp unchanged\nConnector new added\n');

  write(connector('new', 2), connector('newer', 1));
  site.kill('SIGHUP');
  await eventually('SIGHUP does the same', async () => (await site.api.list('Connector', hidden)).length === 3);

  write(connector('bad', 100_000));
  const refused = await site.cli('system', 'reload');
  assert.is(refused.code, 2);
  assert.match(refused.stderr, /Connector "bad": .*site\.json/);
  site.kill('SIGHUP');
  await site.untilLogged('nothing is reloaded: ');
  write();
  assert.is((await site.cli('system', 'reload')).code, 0);
  assert.is((await site.api.list('Connector', hidden)).length, 3, 'nothing is taken away');

  await say(socket, 'after');
  await site.stop();
  const bare = await Skiff.run({});
  const nothing = await bare.cli('system', 'reload');
  assert.is(nothing.code, 2);
  assert.match(nothing.stderr, /started without --apply.*skiff apply -f FILE/);
  await bare.stop();
});

test('a router thread that hangs gives no sign of life any more', async () => {
  if (!has('systemd-notify') || !has('perl')) return;
  const { path, heard } = await notifySocket();
  const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '900000' };
  const documents = [document('Site', 'hangs', { edge: true })];
  const site = await Skiff.run({ documents, env, fromSource: true });
  await eventually('a sign of life', () => heard.includes('WATCHDOG=1'));
  await evaluateInRouter(site, 'setTimeout(() => { for (;;); })');
  await site.untilLogged('the self-check fails: the router thread does not answer');
  const before = heard.length;
  await sleep(2_000);
  assert.is(heard.length, before);
  assert.is((await site.cli('site', 'status')).code, 0, 'the rest of it goes on');
  await site.stop('SIGKILL');
});

test('what root changes in the directory of a service belongs to the service', async () => {
  if (process.getuid?.() !== 0) {
    console.log('SKIP root in the directory of another user: this is not root');
    return;
  }
  const data = newDirectory();
  // The tests' own temporary directory is for root alone.
  for (let path = data; path !== '/'; path = join(path, '..'))
    if (statSync(path).mode % 8 === 0) spawnSync('chmod', ['o+x', path]);
  chownSync(data, 12_345, 12_345);
  const created = await skiff(['site', 'create', 'owned', '--data', data]);
  assert.is(created.code, 0, created.stderr);
  assert.is(statSync(join(data, 'skiff.db')).uid, 12_345);
  assert.is((await skiff(['get', 'site', '--data', data])).code, 0);
});

test.run();
