/** Skupper's command line, where SKUPPER names it: what it prints our site takes, and a token of ours it redeems. */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { document, edge, newNetwork } from '../support/network.ts';
import { newDirectory, Skiff, skiff } from '../support/skiff.ts';
import { closeSockets, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';

const program = process.env.SKUPPER;
const home = newDirectory();
/** Its files are below the home, but root's are where no test keeps any. */
const namespace = `store-${process.pid}`;

const test = suite("Skupper's command line");

test.after.each(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

function run(...args: string[]) {
  const env = { PATH: process.env.PATH, HOME: home, XDG_DATA_HOME: home, SKUPPER_PLATFORM: 'linux' };
  return spawnSync(program as string, args, { env, encoding: 'utf8' });
}

function skupper(...args: string[]): string {
  const { status, stdout, stderr } = run(...args);
  assert.is(status, 0, `${stdout}${stderr}`);
  return stdout;
}

test('what it generates acts', async () => {
  const site = await Skiff.run();
  const take = async (text: string): Promise<void> => {
    const { code, stderr } = await skiff(['apply', '-f', '-', '--data', site.data], { input: text });
    assert.is(code, 0, stderr);
  };
  const [server, port] = [await echo(), await freePort()];
  await take(skupper('site', 'generate', 'west'));
  await take(skupper('connector', 'generate', 'erp', String(server.port), '--host', '127.0.0.1', '-o', 'json'));
  await take(skupper('listener', 'generate', 'till', String(port), '--routing-key', 'erp', '--host', '127.0.0.1'));
  await untilAccepting(port);
  assert.is(await exchange(port, 'hello'), 'hello');
});

test('a token of ours is redeemed by it once, and what it gets links', async () => {
  const [edgePort, enrolmentPort] = [await freePort(), await freePort()];
  const hub = await Skiff.run({
    documents: [
      document('Site', 'hub', {}),
      document('RouterAccess', 'uplinks', { bindHost: '127.0.0.1', roles: [{ name: 'edge', port: edgePort }] }),
      {
        apiVersion: 'skiff/v1alpha1',
        kind: 'EnrolmentService',
        metadata: { name: 'tokens' },
        spec: { bindHost: '127.0.0.1', port: enrolmentPort, hosts: ['127.0.0.1'] },
      },
    ],
  });
  const token = join(newDirectory(), 'store.token');
  assert.is((await hub.cli('token', 'issue', token)).code, 0);
  const said = skupper('token', 'redeem', token, '-n', namespace);
  assert.match(said, /has been redeemed/);
  const written = [...said.matchAll(/^File written to (.+)$/gm)].map(([, file]) => file as string);
  assert.is(written.length, 2);
  const texts = written.map((file) => readFileSync(file, 'utf8'));
  for (const file of written)
    rmSync(file.slice(0, file.indexOf(namespace) + namespace.length), { recursive: true, force: true });
  const store = await Skiff.run({ documents: edge(await newNetwork(), 'store').slice(0, 1) });
  await store.api.apply(texts.map((text) => ({ name: 'redeemed', text })));
  const [link] = await store.api.list('Link', { showSecrets: false });
  await store.until('Link', link.metadata.name, 'Ready');
  const again = run('token', 'redeem', token, '-n', namespace);
  assert.is(again.status, 1);
  assert.match(`${again.stdout}${again.stderr}`, /404: No such access granted/);
});

if (program) test.run();
else console.log('SKIP interop: SKUPPER is not set');
