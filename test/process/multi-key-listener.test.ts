/**
 * MultiKeyListeners: which site a new connection goes to, while sites come and go and the list of keys changes. One of
 * the sites is behind another hub.
 */
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../support/eventually.ts';
import { connector, edge, hub, multiKeyListener, type Network, neighbour, newNetwork } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { accepts, closeSockets, connect, freePort, read, serve, type TcpServer } from '../support/tcp.ts';

const test = suite('multi-key listener');

/** Of the link between the hubs. */
const WAY_COST = 3;

let network: Network;
let hubSite: Skiff;
let farHub: Skiff;
let store1: Skiff;
let store2: Skiff;
let servers: Record<'one' | 'two', TcpServer>;

/** Says its name first, then sends back what it gets. */
function named(name: string): Promise<TcpServer> {
  return serve((socket) => {
    socket.write(name);
    socket.pipe(socket);
  });
}

/** The name of the server that a new connection reaches. */
async function reached(port: number): Promise<{ name: string; socket: Socket }> {
  const socket = await connect(port);
  return { name: (await read(socket, 3)).toString(), socket };
}

async function goesTo(port: number): Promise<string> {
  const { name, socket } = await reached(port);
  socket.destroy();
  return name;
}

function reachable(site: Skiff, name: string, keys: unknown): Promise<unknown> {
  return site.until('MultiKeyListener', name, ({ status }) => {
    const { priority, weighted } = status.strategy as Record<string, { routingKeysReachable: unknown } | undefined>;
    return JSON.stringify((priority ?? weighted)?.routingKeysReachable) === JSON.stringify(keys);
  });
}

test.before(async () => {
  network = await newNetwork();
  const far = await newNetwork(network.host, network.ca);
  hubSite = await Skiff.run({ documents: hub(network) });
  farHub = await Skiff.run({ documents: [...hub(far, [], 'far'), ...neighbour(network, 'hub', WAY_COST)] });
  await farHub.until('Link', 'hub', 'Ready');
  servers = { one: await named('one'), two: await named('two') };
  [store1, store2] = await Promise.all([
    Skiff.run({ documents: [...edge(network, 'store1'), connector('one', servers.one.port)] }),
    Skiff.run({ documents: [...edge(far, 'store2'), connector('two', servers.two.port)] }),
  ]);
});

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

test('by priority: the first key while it is there, then the next, and back; streams stay where they are', async () => {
  for (const site of [hubSite, store2]) {
    const port = await freePort();
    await site.apply(multiKeyListener('shop', port, ['one', 'two']));
    await reachable(site, 'shop', ['one', 'two']);
    const kept = await reached(port);
    assert.is(kept.name, 'one');
    await store1.delete('Connector', 'one');
    await reachable(site, 'shop', ['two']);
    assert.is(await goesTo(port), 'two');
    kept.socket.write('still here');
    assert.is((await read(kept.socket, 10)).toString(), 'still here');
    await store1.apply(connector('one', servers.one.port));
    await reachable(site, 'shop', ['one', 'two']);
    assert.is(await goesTo(port), 'one');
    kept.socket.destroy();
    await site.delete('MultiKeyListener', 'shop');
    await eventually('its port is closed', async () => !(await accepts(port)));
  }
});

test('by weight: each its share', async () => {
  const port = await freePort();
  await hubSite.apply(multiKeyListener('shop', port, { one: 3, two: 1 }));
  await reachable(hubSite, 'shop', { one: 3, two: 1 });
  const names: string[] = [];
  for (let count = 0; count < 40; count++) names.push(await goesTo(port));
  assert.is(names.filter((name) => name === 'one').length, 30);
  await hubSite.delete('MultiKeyListener', 'shop');
});

test('the port is open only while any key is reachable', async () => {
  const port = await freePort();
  await hubSite.apply(multiKeyListener('later', port, ['nobody', 'later']));
  const { status } = await hubSite.get('MultiKeyListener', 'later');
  assert.equal([status.status, status.message, status.hasDestination], ['Pending', 'No matching connectors', false]);
  assert.equal(
    status.conditions.filter(({ type }) => type !== 'Ready').map(({ type, status: is }) => `${type} ${is}`),
    ['Configured True', 'Operational False'],
  );
  assert.not.ok(await accepts(port));
  await store1.apply(connector('later', servers.one.port));
  await hubSite.until('MultiKeyListener', 'later', 'Ready');
  assert.is(await goesTo(port), 'one');
  const table = await hubSite.cli('get', 'mkl');
  assert.match(table.stdout, /^NAME +STATUS +HOST +PORT +STRATEGY +ROUTING-KEYS +HAS-DESTINATION +MESSAGE$/m);
  assert.match(
    table.stdout,
    new RegExp(`^later +Ready +127\\.0\\.0\\.1 +${port} +priority +nobody,later +true +OK$`, 'm'),
  );
  await store1.delete('Connector', 'later');
  await eventually('its port is closed', async () => !(await accepts(port)));
  await hubSite.delete('MultiKeyListener', 'later');
});

test('keys change live: no stream ends, and the port is never shut', async () => {
  const port = await freePort();
  await hubSite.apply(multiKeyListener('shop', port, ['one']));
  await hubSite.until('MultiKeyListener', 'shop', 'Ready');
  const kept = await reached(port);
  let refused = 0;
  let tries = 0;
  let over = false;
  const knocking = (async () => {
    while (!over) {
      tries++;
      if (!(await accepts(port))) refused++;
    }
  })();
  for (let round = 0; round < 5; round++) {
    await hubSite.apply(multiKeyListener('shop', port, ['two', 'one']));
    await reachable(hubSite, 'shop', ['two', 'one']);
    assert.is(await goesTo(port), 'two');
    await hubSite.apply(multiKeyListener('shop', port, ['one']));
    assert.is(await goesTo(port), 'one');
  }
  over = true;
  await knocking;
  assert.ok(tries > 0);
  assert.is(refused, 0, `${refused} of ${tries} connections refused`);
  kept.socket.write('still here');
  assert.is((await read(kept.socket, 10)).toString(), 'still here');
  const { status } = await hubSite.get('MultiKeyListener', 'shop');
  assert.ok((status.connectionsOpen as number) >= 1);
  kept.socket.destroy();
  await hubSite.delete('MultiKeyListener', 'shop');
});

test('another type of strategy is refused, and what runs goes on', async () => {
  const port = await freePort();
  await hubSite.apply(multiKeyListener('shop', port, ['one']));
  await hubSite.until('MultiKeyListener', 'shop', 'Ready');
  await hubSite.apply(multiKeyListener('shop', port, { one: 1 })).then(
    () => assert.unreachable(),
    (error) => assert.match(error.message, /strategy cannot be changed from priority to weighted/),
  );
  assert.is(await goesTo(port), 'one');
  await hubSite.delete('MultiKeyListener', 'shop');
});

test('of a key that several sites serve, the nearest gets the connections until it has more in hand than the way costs', async () => {
  const port = await freePort();
  await hubSite.apply(multiKeyListener('shop', port, ['both']));
  await store2.apply(connector('both', servers.two.port));
  await reachable(hubSite, 'shop', ['both']);
  await hubSite.apply(connector('both', servers.one.port));
  const names: string[] = [];
  const kept: Socket[] = [];
  for (let count = 0; count < WAY_COST + 5; count++) {
    const { name, socket } = await reached(port);
    names.push(name);
    kept.push(socket);
  }
  assert.equal(names, ['one', 'one', 'one', 'one', 'two', 'one', 'two', 'one']);
  await hubSite.delete('Connector', 'both');
  assert.is(await goesTo(port), 'two', 'the key is reachable elsewhere');
  for (const socket of kept) socket.destroy();
  await store2.delete('Connector', 'both');
  await hubSite.delete('MultiKeyListener', 'shop');
});

test('a site that dies without a word gives its place to the next', async () => {
  const port = await freePort();
  await hubSite.apply(multiKeyListener('shop', port, ['one', 'two']));
  await reachable(hubSite, 'shop', ['one', 'two']);
  await store1.stop('SIGKILL');
  await reachable(hubSite, 'shop', ['two']);
  assert.is(await goesTo(port), 'two');
  await farHub.stop('SIGKILL');
  await reachable(hubSite, 'shop', []);
  await eventually('its port is closed', async () => !(await accepts(port)));
});

test.run();
