/** A link whose credentials change: which certificate it dials with, and what becomes of the connection before. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AccessState, LinkConfig, LinkState, PartState, RouterIdentity } from '../../src/router/protocol.ts';
import { Parts } from '../../src/tcp/parts.ts';
import { makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';

const test = suite('takeover');
const running: Parts[] = [];
const ca = makeCa('network');

test.after.each(async () => {
  for (const parts of running.splice(0)) await parts.stop(200);
});

function start(siteName: string, mode: RouterIdentity['mode'], now = Date.now) {
  const states = new Map<string, PartState>();
  const siteId = '5a17f1e1-0000-4000-8000-000000000001';
  const identity = { id: `${siteName}-5a17f1e1`, mode, siteId, siteName, version: '1' };
  const report = (changed: PartState[]) => {
    for (const state of changed) states.set(state.name, state);
  };
  const parts = new Parts(identity, report, () => {}, now);
  running.push(parts);
  return { parts, link: () => states.get('up') as LinkState, access: () => states.get('ra-edge') as AccessState };
}

const material = (commonName: string, issuer = ca, hosts: string[] = []) => ({
  ...issuer.issue({ commonName, hosts }),
  ca: ca.certificate,
});

async function newHub(now = Date.now) {
  const hub = start('hub', 'interior', now);
  const tls = material('hub', ca, ['127.0.0.1']);
  await hub.parts.apply([{ kind: 'access', name: 'ra-edge', role: 'edge', host: '127.0.0.1', port: 0, tls }], []);
  return { ...hub, port: hub.access().port as number };
}

function linkTo(port: number, credentials: Pick<LinkConfig, 'tls' | 'fallback'>): LinkConfig {
  return { kind: 'link', name: 'up', role: 'edge', endpoints: [{ host: '127.0.0.1', port }], cost: 1, ...credentials };
}

test('a new certificate that the hub does not take leaves the link as it is; the next that it takes is taken up', async () => {
  const hub = await newHub();
  const store = start('store', 'edge');
  const old = material('old');
  await store.parts.apply([linkTo(hub.port, { tls: old })], []);
  await eventually('the link', () => store.link()?.status === 'up');
  const { certificate } = store.link();
  const foreign = material('foreign', makeCa('other'));
  await store.parts.apply([linkTo(hub.port, { tls: foreign, fallback: old })], []);
  await eventually('it is refused', () => hub.access().refusals.length > 0);
  assert.is(store.link().status, 'up');
  assert.is(store.link().certificate, certificate);
  const next = material('next');
  await store.parts.apply([linkTo(hub.port, { tls: next, fallback: old })], []);
  await eventually('the next', () => store.link().certificate !== certificate);
  assert.is(store.link().status, 'up');
  await eventually(
    'only that is left',
    () =>
      hub
        .access()
        .peers.map(({ subject }) => subject)
        .join() === 'CN=next',
  );
  const since = store.link().since;
  await store.parts.apply([{ ...linkTo(hub.port, { tls: next }), cost: 5 }], []);
  assert.is(hub.access().peers.length, 1);
  assert.is(store.link().since, since, 'another cost, and no fallback any more: nothing is dialled for that');
});

test('a link that comes up anew falls back on the certificate before when the new one is refused', async () => {
  const hub = await newHub();
  const store = start('store', 'edge');
  const foreign = material('foreign', makeCa('other'));
  const old = material('old');
  await store.parts.apply([linkTo(hub.port, { tls: foreign, fallback: old })], []);
  await eventually('the link', () => store.link()?.status === 'up');
  // What the hub says of it may come a moment later.
  await eventually('the peer', () => hub.access().peers[0]?.subject === 'CN=old');
});

test('who is revoked is cut off, others are not', async () => {
  const hub = await newHub();
  const [one, two] = [start('one', 'edge'), start('two', 'edge')];
  await one.parts.apply([linkTo(hub.port, { tls: material('one') })], []);
  await two.parts.apply([linkTo(hub.port, { tls: material('two') })], []);
  await eventually('both', () => one.link()?.status === 'up' && two.link()?.status === 'up');
  const { since } = two.link();
  hub.parts.revoke([one.link().certificate ?? '']);
  await eventually('one is cut off', () => one.link().status === 'refused');
  await eventually(
    'the other is there',
    () =>
      hub
        .access()
        .peers.map(({ subject }) => subject)
        .join() === 'CN=two',
  );
  assert.is(two.link().since, since);
  assert.match(one.link().error?.message ?? '', /has been revoked/);
});

/** A clock that is as far ahead as it is told to be. */
function newClock() {
  const clock = { ahead: 0, now: () => Date.now() + clock.ahead };
  return clock;
}

/** What the certificates of these tests live. */
const life = 365 * 24 * 60 * 60 * 1_000;

test('a connection ends when the certificate does that it was let in with', async () => {
  const clock = newClock();
  const hub = await newHub(clock.now);
  clock.ahead = life - 1_500;
  const store = start('store', 'edge');
  await store.parts.apply([linkTo(hub.port, { tls: material('store') })], []);
  await eventually('the link', () => store.link()?.status === 'up');
  await eventually('the end', () => store.link().status === 'refused');
  assert.match(store.link().error?.message ?? '', /the certificate of CN=store has expired/);
  const [{ cause }] = hub.access().refusals;
  assert.is(cause.code, 'certificate-expired');
  assert.is(cause.message, 'the certificate of CN=store has expired');
  await eventually('nobody is left', () => hub.access().peers.length === 0);
});

test("a link looks for the hub's next certificate before the one it knows ends, and ends with it otherwise", async () => {
  const hub = await newHub();
  const clock = newClock();
  // In a tenth of what is left the link must have found the way to the hub once more.
  clock.ahead = life - 8_000;
  const store = start('store', 'edge', clock.now);
  const tls = material('store');
  await store.parts.apply([linkTo(hub.port, { tls })], []);
  await eventually('the link', () => store.link()?.status === 'up');
  await eventually('another look', () => store.link().facts.reconnects === 1);
  await eventually('the end', () => store.link().error !== null);
  assert.is(store.link().error?.code, 'certificate-expired');
  assert.match(store.link().error?.message ?? '', /^127\.0\.0\.1:\d+: the certificate of the other end has expired/);
});

test.run();
