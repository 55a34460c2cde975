/** Commands as one types them: what they print, how they fail, on a running site and on a stopped one. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import { connector, edgeSite, link, listener, secret } from '../site/setup.ts';

const test = suite('cli');
const main = join(import.meta.dirname, '../../src/main.ts');
const env = { PATH: process.env.PATH, HOME: '/nonexistent' };

function skiff(...args: string[]) {
  return skiffWith('', ...args);
}

function skiffWith(input: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', input, env });
  return { code: status, stdout, stderr };
}

const newDirectory = () => mkdtempSync(join(tmpdir(), 'cli-'));

function fileOf(...documents: object[]): string {
  const file = join(newDirectory(), 'documents.yaml');
  writeFileSync(file, documents.map((each) => stringify(each)).join('---\n'));
  return file;
}

async function started(
  ...args: string[]
): Promise<{ child: ChildProcess; ready: Record<string, unknown>; log(): string }> {
  const child = spawn(process.execPath, [main, 'run', '--http', 'off', ...args], { env });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  const ready = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').once('data', resolve);
    child.once('exit', () => reject(new Error(`no ready line: ${errors}`)));
  });
  return { child, ready: JSON.parse(ready), log: () => errors };
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<[number | null, NodeJS.Signals | null]> {
  return new Promise((resolve) => {
    child.once('exit', (code, by) => resolve([code, by]));
    child.kill(signal);
  });
}

test('there is help for everything, and exit codes for what is not', () => {
  const help = skiff('help');
  assert.is(help.code, 0);
  const names = [...help.stdout.matchAll(/^ {2}(\S+(?: \S+)?) {2}/gm)].map(([, name]) => name.trim());
  assert.ok(names.includes('link status') && names.includes('run'), help.stdout);
  for (const name of names) {
    const { code, stdout } = skiff(...name.split(' '), '--help');
    assert.is(code, 0);
    assert.match(stdout, `usage: skiff ${name}`);
  }
  const wrong: [string[], RegExp][] = [
    [['rum'], /^error: unknown command "rum"\. Did you mean skiff run\?\n$/],
    [['link', 'stauts'], /unknown command "link stauts"\. Did you mean skiff link status\?/],
    [['link', 'crate'], /unknown command "link crate"/],
    [['link'], /"link" needs a command/],
    [['run', '--dat', 'x'], /unknown option "--dat"\. Did you mean --data\?/],
    [['run', '--http', '8080'], /http is not valid: "8080"\. Use HOST:PORT/],
    [['run', '--data'], /option --data needs a value/],
    [['run', 'now'], /unexpected argument "now"/],
    [['link', 'status', 'a', 'b'], /only one argument is allowed for this command/],
    [['get', 'link', '--show-secrets=maybe'], /option --show-secrets takes no value but true or false/],
    [['run', '--log-format', 'x'], /log format is not valid/],
    [['get', 'lisener'], /unknown kind "lisener"\. Did you mean listener\?/],
    [['get', 'link', '-o', 'xml'], /output type is not valid: value xml not allowed/],
    [['apply'], /nothing to apply/],
    [['delete', 'link'], /nothing to delete/],
  ];
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = skiff(...args);
    assert.match(stderr, message);
    assert.is(stderr.split('\n').length, 2, stderr);
    assert.is(code, 2, args.join(' '));
    assert.is(stdout, '');
  }
});

test('a stopped site is changed and shown through its database', () => {
  const data = ['--data', join(newDirectory(), 'data')];
  assert.is(skiff('get', 'site', ...data).code, 3, 'there is none yet');
  const applied = skiff('apply', '-f', fileOf(edgeSite, secret(), link('up')), '-f', fileOf(listener('a')), ...data);
  assert.is(
    applied.stdout,
    'Site store1 added\nSecret credentials added\nLink up added\nListener a added\n',
    applied.stderr,
  );
  assert.match(skiffWith(JSON.stringify(listener('a')), 'apply', '-f', '-', ...data).stdout, 'Listener a unchanged\n');
  const [site] = JSON.parse(skiff('get', 'site', '-o', 'json', ...data).stdout);
  assert.is(site.metadata.name, 'store1');
  assert.is(site.status.message, 'The site is not running');
  assert.is(JSON.parse(skiff('get', 'st', 'store1', '-o', 'json', ...data).stdout).metadata.uid, site.metadata.uid);
  assert.match(
    skiff('get', 'lnr', ...data).stdout,
    /^NAME +STATUS +ROUTING-KEY +HOST +PORT +MATCHING-CONNECTOR +MESSAGE\na /,
  );
  assert.is(skiff('get', 'link', 'none', ...data).code, 1);
  assert.is(skiff('link', 'status', ...data).code, 3);

  const elsewhere = ['--data', join(newDirectory(), 'data')];
  const whole = skiff('export', '--show-secrets', ...data).stdout;
  assert.is(skiffWith(whole, 'apply', '-f', '-', ...elsewhere).code, 0);
  assert.is(skiff('export', '--show-secrets', ...elsewhere).stdout, whole);
  const redacted = skiff('export', ...data).stdout;
  assert.match(
    skiffWith(redacted, 'apply', '-f', '-', ...elsewhere).stderr,
    /is redacted; export it with --show-secrets/,
  );

  assert.is(skiff('delete', 'listener', 'a', ...data).stdout, 'Listener a deleted\n');
  assert.is(skiff('delete', '-f', fileOf(link('up'), listener('a')), ...data).code, 1);
  assert.is(skiff('get', 'link', 'up', ...data).code, 0, 'nothing was deleted');
});

test('an error is an object for those who read JSON', () => {
  const bad = fileOf({ ...listener('a'), kind: 'Lisener' });
  const { code, stderr } = skiff('apply', '-f', bad, '-o', 'json', '--data', join(newDirectory(), 'data'));
  assert.is(code, 2);
  const { problems, ...error } = JSON.parse(stderr);
  assert.is(error.code, 'invalid-documents');
  assert.is(problems[0].code, 'unknown-kind');
});

test('a site runs unclaimed, takes changes and ends on SIGTERM', async () => {
  const directory = join(newDirectory(), 'data');
  const data = ['--data', directory];
  const { child, ready, log } = await started(...data, '--log-format', 'json');
  assert.equal(ready, { event: 'ready', site: null, mode: null, id: null, pid: child.pid });
  assert.is(skiff('site', 'status', ...data).stdout, 'There is no existing Skupper site resource\n');
  assert.is(skiff('apply', '-f', fileOf(listener('a'), connector('b')), ...data).code, 0);
  const bad = skiff('apply', '-f', fileOf(listener('b', 1), { ...listener('c'), spec: {} }), ...data);
  assert.is(bad.code, 2);
  assert.match(
    bad.stderr,
    /^error: Listener "c": spec\.routingKey: is required \(.*documents\.yaml, document 2, line \d+\)/,
  );
  assert.is(skiff('listener', 'status', ...data).stdout.split('\n').length, 3);
  assert.match(skiff('connector', 'status', 'b', ...data).stdout, /^Has matching listener\s*: unknown$/m);
  assert.is(JSON.parse(skiff('connector', 'status', '-o', 'json', ...data).stdout)[0].metadata.name, 'b');
  assert.match(skiff('listener', 'status', 'a', '-o', 'yaml', ...data).stdout, /^status:$/m);

  const second = skiff('run', ...data);
  assert.is(second.code, 1);
  assert.match(second.stderr, new RegExp(`held by process ${child.pid} \\(skiff run`));

  assert.equal(await ended(child, 'SIGTERM'), [0, null]);
  assert.not.ok(existsSync(join(directory, 'control.sock')));
  for (const line of log().trim().split('\n')) JSON.parse(line);
  assert.is(skiff('get', 'listener', 'a', ...data).code, 0, 'what was acknowledged is there');
});

test('a killed site leaves nothing in the way of the next', async () => {
  const data = ['--data', join(newDirectory(), 'data')];
  const first = await started(...data, '--apply', fileOf(listener('a')));
  assert.equal(await ended(first.child, 'SIGKILL'), [null, 'SIGKILL']);
  assert.is(skiff('listener', 'status', ...data).code, 3, 'a socket without a site behind it');
  const second = await started(...data);
  assert.match(skiff('listener', 'status', ...data).stdout, /^a /m);
  assert.equal(await ended(second.child, 'SIGINT'), [0, null]);
});

test('one bad document keeps a site from starting, before anything is made', () => {
  const directory = join(newDirectory(), 'data');
  const { code, stdout, stderr } = skiff('run', '--data', directory, '--apply', fileOf(edgeSite, link('A')));
  assert.is(code, 2);
  assert.is(stdout, '');
  assert.match(stderr, /Link "A": metadata\.name: must be lower-case/);
  assert.not.ok(existsSync(directory));
});

test('a damaged database is a warning of site status', async () => {
  const directory = newDirectory();
  writeFileSync(join(directory, 'skiff.db'), 'junk'.repeat(1000));
  const { child, log } = await started('--data', directory);
  assert.match(log(), /is damaged and was moved aside/);
  assert.match(
    skiff('site', 'status', '--data', directory).stderr,
    /^warning: the database was damaged .*skiff\.db\.bad-/,
  );
  await ended(child, 'SIGTERM');
});

test('a command that comes while a site starts reaches the site', async () => {
  const data = ['--data', join(newDirectory(), 'data')];
  const starting = started(...data);
  const applied = skiff('apply', '-f', fileOf(listener('a')), ...data);
  assert.is(applied.code, 0, applied.stderr);
  const { child } = await starting;
  assert.match(skiff('listener', 'status', ...data).stdout, /^a /m);
  await ended(child, 'SIGTERM');
});

test('a reader that goes away is no error', () => {
  const data = join(newDirectory(), 'data');
  skiff(
    'apply',
    '-f',
    fileOf(...Array.from({ length: 300 }, (_, index) => listener(`l${index}`, 1000 + index))),
    '--data',
    data,
  );
  const command = `'${process.execPath}' '${main}' get listener -o json --data '${data}' | head -c 1`;
  const { stdout, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8', env });
  assert.is(stdout, '[');
  assert.is(stderr, '');
});

test.run();
