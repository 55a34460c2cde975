/** Interior routers of ours and skupper-routers in one mesh: next to each other, and each between two of the other kind. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Ca, makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { TestRouter } from '../support/router.ts';
import { accepts, bulk, closeSockets, connect, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';
import { available, SkupperRouter } from './skupper-router.ts';

const test = suite('mesh');
const HOST = '127.0.0.1';

/** A router of either kind. */
interface Place {
  id: string;
  interRouterPort: number;
  connector(name: string, port: number): Promise<void>;
  listener(name: string, port: number): Promise<void>;
  withdraw(name: string): Promise<void>;
  stop(): Promise<void>;
}

const places: Place[] = [];
let ca: Ca;
let count = 0;

/** A router of ours that has dialled these. */
async function ours(neighbours: Place[] = []): Promise<Place> {
  const router = new TestRouter(`ours-${++count}`);
  const tls = ca.issue({ commonName: router.id, hosts: [HOST] });
  await router.put({ kind: 'access', name: 'neighbours', role: 'inter-router', host: HOST, port: 0, tls });
  for (const { id, interRouterPort } of neighbours) {
    const endpoints = [{ host: HOST, port: interRouterPort }];
    await router.put({ kind: 'link', name: id, role: 'inter-router', endpoints, cost: 1, tls, dataConnections: 2 });
  }
  return place({
    id: router.id,
    interRouterPort: router.state('access', 'neighbours')?.port ?? 0,
    connector: (name, port) => router.connector(name, port),
    listener: (name, port) => router.listener(name, port),
    withdraw: (name) => router.remove('connector', name),
    stop: () => router.parts.stop(500),
  });
}

async function theirs(neighbours: Place[] = []): Promise<Place> {
  const id = `theirs-${++count}`;
  const interRouterPort = await freePort();
  const router = new SkupperRouter({
    id,
    mode: 'interior',
    credentials: ca.issue({ commonName: id, hosts: [HOST] }),
    normalPort: await freePort(),
    interRouterPort,
    neighbours: neighbours.map(({ interRouterPort: port }) => ({ port })),
  });
  await router.start();
  return place({
    id,
    interRouterPort,
    connector: (name, port) => router.create('tcpConnector', name, port),
    listener: (name, port) => router.create('tcpListener', name, port),
    withdraw: (name) => router.delete('tcpConnector', name),
    stop: () => router.kill(),
  });
}

function place(it: Place): Place {
  places.push(it);
  return it;
}

test.before(() => {
  ca = makeCa('interop');
});

test.after.each(async () => {
  await Promise.all(places.splice(0).map((each) => each.stop()));
});

test.after(async () => {
  await closeSockets();
  await SkupperRouter.stopAll();
});

/** What each of the two offers is reached from the other, intact, and gone when it is withdrawn. */
async function reachEachOther(one: Place, other: Place): Promise<void> {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    const name = `at-${to.id}`;
    const port = await freePort();
    await to.connector(name, (await echo()).port);
    await from.listener(name, port);
    await untilAccepting(port);
    await eventually('an answer', async () => (await exchange(port, 'hello').catch(() => null)) === 'hello');
    const results = await Promise.all([1, 2, 3, 4].map(async () => bulk(await connect(port), 5_000_000)));
    for (const { sent, received } of results) assert.is(received, sent, `from ${from.id}`);
    await to.withdraw(name);
    await eventually('the port is closed', async () => !(await accepts(port)));
  }
}

test('ours dials theirs', async () => {
  const peer = await theirs();
  await reachEachOther(await ours([peer]), peer);
});

test('theirs dials ours', async () => {
  const peer = await ours();
  await reachEachOther(peer, await theirs([peer]));
});

test('ours is between two of theirs', async () => {
  const first = await theirs();
  const middle = await ours([first]);
  await reachEachOther(first, await theirs([middle]));
});

test('theirs is between two of ours', async () => {
  const first = await ours();
  const middle = await theirs([first]);
  await reachEachOther(first, await ours([middle]));
});

test('in a ring of both kinds another path is found when one is cut', async () => {
  const first = await ours();
  const second = await theirs([first]);
  const third = await ours([second]);
  const fourth = await theirs([third, first]);
  await reachEachOther(first, third);
  await second.stop();
  places.splice(places.indexOf(second), 1);
  await reachEachOther(first, third);
  await reachEachOther(third, fourth);
});

if (available()) test.run();
