/** Interior sites that link to each other: what a site offers is reached from every other, over hubs between. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../support/eventually.ts';
import { connector, edge, hub, listener, type Network, neighbour, newNetwork, secret } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import {
  accepts,
  bulk,
  closeSockets,
  connect,
  echo,
  exchange,
  freePort,
  read,
  untilAccepting,
} from '../support/tcp.ts';

const test = suite('mesh');

/** Three hubs in a line, and an edge at each end. */
const networks: Network[] = [];
const hubs: Skiff[] = [];
let west: Skiff;
let east: Skiff;

test.before(async () => {
  for (let index = 0; index < 3; index++) {
    const before = networks.at(-1);
    const network = await newNetwork('127.0.0.1', before?.ca);
    const links = before ? neighbour(before, `hub${index - 1}`) : [];
    networks.push(network);
    hubs.push(await Skiff.run({ documents: [...hub(network, [], `hub${index}`), ...links] }));
  }
  west = await Skiff.run({ documents: edge(networks[0] as Network, 'west') });
  east = await Skiff.run({ documents: edge(networks[2] as Network, 'east') });
  await west.until('Link', 'to-hub', 'Ready');
  await east.until('Link', 'to-hub', 'Ready');
  await hubs[1]?.until('Link', 'hub0', 'Ready');
  await hubs[2]?.until('Link', 'hub1', 'Ready');
});

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

/** Offers an echo at one site; returns the port of a listener for it at another. */
async function offer(name: string, at: Skiff, to: Skiff): Promise<number> {
  const port = await freePort();
  await at.apply(connector(name, (await echo()).port));
  await to.apply(listener(name, port));
  await to.until('Listener', name, 'Ready');
  return port;
}

test('every site knows of every other, and each Link of the site at its other end', async () => {
  for (const [site, name] of [
    [west, 'west'],
    [east, 'east'],
    ...hubs.map((each, index) => [each, `hub${index}`] as const),
  ] as const) {
    await site.until('Site', name, ({ status }) => status.sitesInNetwork === 5, 60_000);
  }
  await hubs[1]?.until('Link', 'hub0', ({ status }) => status.remoteSiteName === 'hub0');
  await hubs[2]?.until('Link', 'hub1', ({ status }) => status.remoteSiteName === 'hub1');
});

test('what a hub offers is reached from hubs that are one and two hops away', async () => {
  for (const [from, to] of [
    [0, 1],
    [1, 0],
    [0, 2],
    [2, 0],
  ] as const) {
    const name = `from${from}to${to}`;
    const port = await offer(name, hubs[to] as Skiff, hubs[from] as Skiff);
    const { sent, received } = await bulk(await connect(port), 3_000_000);
    assert.is(received, sent, name);
  }
});

test('what an edge offers is reached from the edge at the other end', async () => {
  for (const [name, at, from] of [
    ['eastwards', east, west],
    ['westwards', west, east],
  ] as const) {
    const port = await offer(name, at, from);
    const { sent, received } = await bulk(await connect(port), 20_000_000);
    assert.is(received, sent, name);
    await at.until('Connector', name, ({ status }) => status.hasMatchingListener);
  }
});

test('a service that is withdrawn is gone everywhere, and reached again when it returns', async () => {
  const server = await echo();
  const port = await freePort();
  await west.apply(listener('passing', port));
  for (let round = 0; round < 2; round++) {
    await east.apply(connector('passing', server.port));
    await untilAccepting(port);
    assert.is(await exchange(port, 'here'), 'here');
    await east.delete('Connector', 'passing');
    await eventually('the port is closed', async () => !(await accepts(port)));
  }
});

test('a renewed certificate is taken up between hubs while streams go on', async () => {
  const port = await offer('steady', east, west);
  const socket = await connect(port);
  const [before] = networks as [Network];
  await hubs[1]?.apply(secret('to-hub0', before.ca.issue({ commonName: 'renewed' })));
  await hubs[0]?.until('RouterAccess', 'uplinks', ({ status }) => {
    const peers = status.peers as { role: string; subject: string }[];
    return peers.some(({ role, subject }) => role === 'inter-router' && subject === 'CN=renewed');
  });
  socket.write('still');
  assert.is((await read(socket, 5)).toString(), 'still');
  assert.is(await exchange(port, 'and anew'), 'and anew');
  socket.end();
  await hubs[0]?.until('RouterAccess', 'uplinks', ({ status }) => {
    const peers = status.peers as { role: string; subject: string }[];
    return peers.filter(({ role }) => role === 'inter-router').length === 1;
  });
  assert.is(await exchange(port, 'and after'), 'and after');
  assert.is((await hubs[1]?.get('Link', 'hub0'))?.status.status, 'Ready');
});

test('a hub that ends is missed at once, and what is behind it is reached again when it is back', async () => {
  const port = await offer('beyond', east, west);
  assert.is(await exchange(port, 'before'), 'before');
  const middle = hubs[1] as Skiff;
  await middle.stop('SIGKILL');
  await eventually('the port is closed', async () => !(await accepts(port)));
  hubs[1] = await Skiff.run({ data: middle.data });
  // The way there may be known a moment before the way back.
  await eventually('an answer', async () => (await exchange(port, 'after').catch(() => null)) === 'after');
});

test.run();
