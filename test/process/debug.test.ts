/** `debug check`, `debug dump` and `top` on the executable. */
import { execFileSync, spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Check } from '../../src/cli/checks.ts';
import { connector, document, edge, hub, listener, newNetwork } from '../support/network.ts';
import { executable, newDirectory, Skiff, skiff } from '../support/skiff.ts';
import { bulk, closeSockets, connect, echo, freePort, untilAccepting } from '../support/tcp.ts';

const test = suite('debug');

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

async function checked(site: Skiff): Promise<{ code: number | null; of(name: string | RegExp): Check | undefined }> {
  const { code, stdout } = await site.cli('debug', 'check', '-o', 'json');
  const checks = JSON.parse(stdout) as Check[];
  return {
    code,
    of: (name) => checks.find(({ check }) => (typeof name === 'string' ? check === name : name.test(check))),
  };
}

test('a network that works passes every check, with its certificates and ports', async () => {
  const network = await newNetwork();
  const [backend, port] = [await echo(), await freePort()];
  const center = await Skiff.run({ documents: [...hub(network), connector('erp', backend.port)] });
  const store = await Skiff.run({ documents: [...edge(network, 'store'), listener('erp', port)] });
  await store.until('Listener', 'erp', 'Ready');
  await center.until('Connector', 'erp', 'Ready');
  const { code, of } = await checked(store);
  for (const name of [
    'clock',
    'disk',
    'process',
    'database',
    'router thread',
    'site store',
    'link to-hub',
    'listener erp',
  ]) {
    assert.is(of(name)?.verdict, 'ok', `${name}: ${JSON.stringify(of(name))}`);
  }
  assert.is(of(/^link to-hub at .*:\d+$/)?.verdict, 'ok');
  assert.match(of(/^certificate /)?.message ?? '', /until .*, \d+ days/);
  assert.is(code, 0);
  assert.is((await checked(center)).of('connector erp')?.verdict, 'ok');

  await center.stop();
  await store.until('Link', 'to-hub', ({ status }) => status.error);
  const cut = await checked(store);
  assert.is(cut.code, 1);
  assert.is(cut.of('link to-hub')?.verdict, 'failed');
  assert.match(cut.of('link to-hub')?.hint ?? '', /link status/);
  assert.match(cut.of(/^link to-hub at /)?.message ?? '', /ECONNREFUSED/);
  const { stdout } = await store.cli('debug', 'check');
  assert.match(stdout, /^failed +link to-hub: .*\n +→ /m);
  await store.stop();
});

test('what is not there is said, with the way to mend it', async () => {
  const { code, stdout } = await skiff(['debug', 'check', '--data', '/nonexistent']);
  assert.is(code, 1);
  assert.match(stdout, /^failed +data directory: .*\n +→ .*skiff site create/m);
  assert.match(stdout, /^failed +process: the site is not running.*\n +→ Start it with skiff run/m);
  const site = await Skiff.run({});
  assert.match((await site.cli('debug', 'check')).stdout, /^failed +site: there is none\n +→ Create one with/m);
  await site.apply(
    document('Site', 's', { edge: true }),
    document('Connector', 'x', { routingKey: 'x', host: 'x.invalid', port: 1 }),
  );
  const named = await checked(site);
  assert.match(named.of('connector x at x.invalid:1')?.message ?? '', /the name has no address/);
  await site.stop();
});

const filesOf = (archive: string) => execFileSync('tar', ['-tzf', archive], { encoding: 'utf8' }).trim().split('\n');

test('a dump holds what helps, and no secret', async () => {
  const network = await newNetwork();
  const site = await Skiff.run({ documents: hub(network) });
  const archive = join(newDirectory(), 'dump.tar.gz');
  const { code, stdout, stderr } = await site.cli('debug', 'dump', archive);
  assert.is(code, 0, stderr);
  assert.is(stdout, `${archive} written\n`);
  assert.is(statSync(archive).mode & 0o777, 0o600);
  const names = filesOf(archive);
  assert.equal(names.sort(), [
    'checks.json',
    'documents.json',
    'log.jsonl',
    'machine.json',
    'router.json',
    'status.json',
    'traffic.json',
    'versions.json',
  ]);
  const of = (name: string) => execFileSync('tar', ['-xzOf', archive, name], { encoding: 'utf8' });
  const shown = JSON.parse(of('documents.json')) as { kind: string; status?: object }[];
  assert.ok(shown.find(({ kind, status }) => kind === 'RouterAccess' && status));
  assert.match(of('log.jsonl'), /"part":"/);
  assert.is(JSON.parse(of('router.json')).routerMetrics[0].addrCount > 0, true);
  const [secret] = await site.api.list('Secret', { showSecrets: true });
  const key = (secret.data as Record<string, string>)['tls.key'];
  assert.ok(key.length > 100);
  for (const name of names) {
    assert.not.match(of(name), key.slice(0, 60));
    assert.not.match(of(name), /PRIVATE KEY/);
  }
  await site.stop();

  const stopped = await skiff(['debug', 'dump', archive, '--data', site.data]);
  assert.is(stopped.code, 0);
  assert.match(stopped.stderr, /^warning: log\.jsonl is left out: the site is not running/m);
  assert.ok(filesOf(archive).includes('documents.json'));
  assert.is((await skiff(['debug', 'dump', '/nonexistent/x', '--data', site.data])).code, 1);
});

test('top shows what is carried while it is', async () => {
  const [backend, port] = [await echo(), await freePort()];
  const site = await Skiff.run({
    documents: [document('Site', 'busy', { edge: true }), connector('erp', backend.port), listener('erp', port)],
  });
  await untilAccepting(port);
  const socket = await connect(port);
  const carried = bulk(socket, 4 * 1024 * 1024);
  const [{ stdout }] = await Promise.all([site.cli('top', '--interval', '1s', '-o', 'json'), carried]);
  const rows = JSON.parse(stdout) as { kind: string; inRate: number; outRate: number }[];
  const { parts } = await site.api.traffic();
  for (const kind of ['listener', 'connector']) {
    const part = parts.find((each) => each.kind === kind);
    assert.ok((part?.octetsIn ?? 0) >= 4 * 1024 * 1024, JSON.stringify(parts));
    assert.is(part?.octetsIn, part?.octetsOut, 'an echo gives what it gets');
    assert.ok(
      rows.find((row) => row.kind === kind),
      stdout,
    );
  }
  const table = (await site.cli('top', '--interval', '100ms')).stdout;
  assert.match(table, /^SERVICE +ROUTING-KEY +STATUS +CONNECTIONS +IN\/S +OUT\/S +IN +OUT\n/m);
  assert.match(table, /^listener erp +erp +Ready +\d/m);
  await site.stop();
});

test('on a terminal top goes on until q, and gives the screen back', async () => {
  const site = await Skiff.run({ documents: [document('Site', 'watched', { edge: true })] });
  const command = `'${executable}' top --interval 100ms --data '${site.data}'`;
  const watched = spawnSync('sh', ['-c', `(sleep 1; printf q) | script -qec "${command}" /dev/null`], {
    encoding: 'utf8',
    env: { ...process.env, TERM: 'xterm' },
    timeout: 20_000,
  });
  if (/script: not found/.test(watched.stderr)) {
    console.log('SKIP top on a terminal: there is no script');
  } else {
    assert.is(watched.status, 0, watched.stdout + watched.stderr);
    assert.match(watched.stdout, /watched {2}.* q ends/);
    assert.ok(watched.stdout.includes('\u001b[?1049l'));
  }
  await site.stop();
});

test.run();
