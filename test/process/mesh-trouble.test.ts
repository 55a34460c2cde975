/** What is amiss between interior sites is refused or bounded, shown at the site that sees it, and harms nobody else. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../support/eventually.ts';
import { closeHostileRouters, HostileRouter, linkState } from '../support/hostile-router.ts';
import { untilAmiss } from '../support/mesh-problems.ts';
import { connector, edge, hub, listener, type Network, neighbour, newNetwork } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { closeSockets, echo, exchange, freePort, type TcpServer, untilAccepting } from '../support/tcp.ts';

const test = suite('mesh trouble');

let network: Network;
let center: Skiff;
let port: number;
let server: TcpServer;

test.before(async () => {
  network = await newNetwork();
  server = await echo();
  center = await Skiff.run({ documents: [...hub(network, [], 'center'), connector('echo', server.port)] });
  const store = await Skiff.run({ documents: edge(network, 'store') });
  port = await freePort();
  await store.apply(listener('echo', port));
  await untilAccepting(port);
});

test.after.each(async () => {
  assert.is(await exchange(port, 'still here'), 'still here');
});

test.after(async () => {
  closeHostileRouters();
  await closeSockets();
  await Skiff.stopAll();
});

/** An interior site, linked to the center. */
async function site(name: string, uid?: string): Promise<Skiff> {
  const [own, ...rest] = hub(await newNetwork('127.0.0.1', network.ca), [], name);
  const document = uid ? { ...own, metadata: { name, uid } } : own;
  return Skiff.run({ documents: [document, ...rest, ...neighbour(network, 'center')].filter(Boolean) as object[] });
}

test('a site with the id of the one it links to is told so', async () => {
  const copy = await site('center', center.ready.id as string);
  const link = await copy.until('Link', 'center', 'Error');
  assert.match(link.status.message, /the id of this one/);
  assert.match(link.status.message, /a data directory of its own/);
  await copy.stop();
});

test('of two neighbours with one id the second is refused', async () => {
  const uid = 'c0b1e000-0000-4000-8000-000000000002';
  const first = await site('copied', uid);
  await center.untilLogged('copied-c0b1e000 is reachable');
  const second = await site('copied', uid);
  const { status } = await second.until('Link', 'center', 'Error');
  assert.match(status.message, /another router with the id copied-c0b1e000 is linked.* a data directory of its own/);
  await untilAmiss(center, 'duplicate-router-id', 'copied-c0b1e000');
  const access = await center.get('RouterAccess', 'uplinks');
  const refused = access.status.conditions.find(({ type }) => type === 'PeersRefused');
  assert.match(refused?.message ?? '', /another router with the id copied-c0b1e000 is linked/);
  assert.is((access.status.peers as object[]).length, 2, 'the store, and the first');
  assert.is((await first.get('Link', 'center')).status.status, 'Ready', 'the first has noticed nothing');
  await Promise.all([first.stop(), second.stop()]);
});

test('a neighbour that was started again is let in while its connection of before is dead', async () => {
  const before = await HostileRouter.join(network, 'restarted', 1);
  await center.untilLogged('restarted is reachable');
  before.fallSilent();
  const after = await HostileRouter.join(network, 'restarted', 2);
  await eventually('it is a neighbour', () => after.isHeard);
  assert.is(after.end, undefined);
  before.close();
  after.close();
});

test('a connection that is answered before the way back is known waits for it, and not for ever', async () => {
  const early = await HostileRouter.join(network, 'early');
  await center.untilLogged('early is reachable');
  const before = server.connections.length;
  early.stream('echo', 'late', 'hello');
  await eventually('the server is reached', () => server.connections.length > before);
  early.say(linkState('late', 1, 'early'));
  early.say(linkState('early', 2, early.neighbour, 'late'));
  const answer = await eventually('the answer', () => early.streams.received[0]);
  await eventually('what the server said', () => Buffer.concat(answer.parts).toString().endsWith('hello'));
  const unknown = early.stream('echo', 'nowhere', 'hello');
  await eventually('it is given up', () => unknown.states.length > 0);
  assert.is(unknown.states[0]?.state?.outcome, 'modified');
  early.close();
});

test('an interior site that dials the port for edges is told so', async () => {
  const wrong = { ...network, interRouterPort: network.edgePort };
  const [own, ...rest] = hub(await newNetwork('127.0.0.1', network.ca), [], 'astray');
  const astray = await Skiff.run({ documents: [own as object, ...rest, ...neighbour(wrong, 'center')] });
  const link = await astray.until('Link', 'center', 'Error');
  assert.match(link.status.message, /port for interior routers/);
  await astray.stop();
});

test.run();
