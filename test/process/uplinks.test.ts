/** An edge with more than one way up: one carries the traffic, the others stand by, and take over when it is gone. */
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Caller } from '../support/caller.ts';
import { eventually, sleep, within } from '../support/eventually.ts';
import { connector, document, edge, hub, listener, type Network, newNetwork } from '../support/network.ts';
import { Relay } from '../support/relay.ts';
import { Skiff } from '../support/skiff.ts';
import { closeSockets, connect, ending, exchange, freePort, greeter, read, untilAccepting } from '../support/tcp.ts';

const test = suite('uplinks');

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

interface Way {
  network: Network;
  site: Skiff;
  /** Between the edge and this hub. */
  line: Relay;
  documents: object[];
}

/** Hubs that do not know of each other, each with a service of one name that says whose it is. */
async function openHubs(names: string[]): Promise<Record<string, Way>> {
  const ways: Record<string, Way> = {};
  let ca: Network['ca'] | null = null;
  for (const name of names) {
    const fresh: Network = await newNetwork();
    ca ??= fresh.ca;
    const network = { ...fresh, ca };
    const documents = [...hub(network, [], name), connector('erp', (await greeter(name)).port)];
    const site = await Skiff.run({ documents });
    const line = await Relay.open({ target: { port: network.edgePort } });
    ways[name] = { network, site, line, documents };
  }
  return ways;
}

function uplink(name: string, ports: number[], cost: number, more: object = {}): object {
  const endpoints = ports.map((port) => ({ name: 'edge', host: '127.0.0.1', port: String(port) }));
  return document('Link', name, { tlsCredentials: 'to-hub', endpoints, cost, ...more });
}

async function openEdge({ ca }: Network, documents: object[]): Promise<{ site: Skiff; port: number }> {
  const port = await freePort();
  const [own, credentials] = edge({ ca } as Network, 'store') as [object, object];
  const site = await Skiff.run({ documents: [own, credentials, ...documents, listener('erp', port)] });
  return { site, port };
}

/** Whether a new connection is answered by `name` within so many milliseconds. */
async function answersWithin(port: number, name: string, milliseconds: number): Promise<boolean> {
  const socket = await connect(port);
  try {
    return (await within('an answer', read(socket, name.length), milliseconds)).toString() === name;
  } finally {
    socket.destroy();
  }
}

async function stream(port: number, greeting: string): Promise<Socket> {
  const socket = await connect(port);
  assert.is((await read(socket, greeting.length)).toString(), greeting);
  return socket;
}

const active = 'Ready';
const standby = ({ status }: { status: { message: string; conditions: { message: string }[] } }): boolean =>
  status.conditions.some(({ message }) => message.startsWith('Standby'));

test('the cheapest carries what is new; another takes over when its hub is killed, and hands back without a gap', async () => {
  const { west, east } = await openHubs(['west', 'east']);
  const links = [uplink('east', [east.line.port], 5), uplink('west', [west.line.port], 1)];
  const { site, port } = await openEdge(west.network, links);
  await Promise.all([site.until('Link', 'west', active), site.until('Link', 'east', standby)]);
  await untilAccepting(port);
  assert.is(await exchange(port, ''), 'west');

  const cut = await stream(port, 'west');
  const killed = performance.now();
  await west.site.stop('SIGKILL');
  assert.is(await ending(cut), 'reset');
  await eventually('east answers', async () => (await exchange(port, '')) === 'east');
  console.log(`switched in ${Math.round(performance.now() - killed)} ms after SIGKILL`);
  await site.until('Link', 'east', (link) => !standby(link));

  const kept = await stream(port, 'east');
  const caller = new Caller(port);
  await Skiff.run({ data: west.site.data });
  await site.until('Link', 'east', standby, 60_000);
  await eventually('west answers again', () => caller.answers.at(-1) === 'west');
  await caller.end();
  assert.is(caller.failures, '');
  assert.not.ok(kept.closed, 'a stream stays where it is');
  kept.end();
  assert.is(await ending(kept), 'end');
});

test('a line that swallows everything is noticed long before its idle timeout, and used again when it answers', async () => {
  const { west, east } = await openHubs(['west', 'east']);
  const links = [uplink('west', [west.line.port], 1), uplink('east', [east.line.port], 5)];
  const { site, port } = await openEdge(west.network, links);
  await Promise.all([site.until('Link', 'west', active), site.until('Link', 'east', standby)]);
  await untilAccepting(port);
  const kept = await stream(port, 'west');

  west.line.hold();
  const held = performance.now();
  await eventually('east answers', () => answersWithin(port, 'east', 100));
  const switched = performance.now() - held;
  console.log(`switched in ${Math.round(switched)} ms after the line went silent`);
  // The link is not down yet, and so nobody has been told.
  await site.until('Link', 'west', standby);
  assert.ok(switched < 10_000, `it took ${switched} ms`);
  await site.untilLogged('west does not answer');

  west.line.restore();
  await eventually('west answers again', () => answersWithin(port, 'west', 1_000), { withinMs: 30_000 });
  assert.is(west.line.count, 1, 'the connection is the same');
  kept.end();
  assert.is(await ending(kept), 'end', 'and so is the stream');
});

test('where all lines are silent, the one in use stays in use', async () => {
  const { west, east } = await openHubs(['west', 'east']);
  const links = [uplink('west', [west.line.port], 1), uplink('east', [east.line.port], 5)];
  const { site, port } = await openEdge(west.network, links);
  await Promise.all([site.until('Link', 'west', active), site.until('Link', 'east', standby)]);
  await untilAccepting(port);
  west.line.hold();
  east.line.hold();
  const waiting = await connect(port);
  await sleep(2_000);
  assert.not.ok(site.log.find(({ message }) => message.includes('does not answer')));
  west.line.restore();
  east.line.restore();
  assert.is((await read(waiting, 4)).toString(), 'west');
});

test('a Link with several endpoints goes to the next one', async () => {
  const { west, east } = await openHubs(['west', 'east']);
  const { site, port } = await openEdge(west.network, [uplink('up', [west.line.port, east.line.port], 1)]);
  await untilAccepting(port);
  assert.is(await exchange(port, ''), 'west');
  await west.site.stop('SIGKILL');
  await site.until('Link', 'up', ({ status }) => status.remoteSiteName === 'east');
  await eventually('east answers', () => answersWithin(port, 'east', 1_000));
  await east.site.stop('SIGKILL');
  await Skiff.run({ data: west.site.data });
  await site.until('Link', 'up', ({ status }) => status.remoteSiteName === 'west', 60_000);
  await eventually('west answers', () => answersWithin(port, 'west', 1_000));
});

test('parallel links to one hub: either may be cut, and streams go to what is left', async () => {
  const { west } = await openHubs(['west']);
  const other = await Relay.open({ target: { port: west.network.edgePort } });
  const links = [uplink('one', [west.line.port], 1), uplink('two', [other.port], 2)];
  const { site, port } = await openEdge(west.network, links);
  await Promise.all([site.until('Link', 'one', active), site.until('Link', 'two', standby)]);
  await untilAccepting(port);
  for (const [line, left] of [
    [west.line, 'two'],
    [other, 'one'],
  ] as const) {
    const cut = await stream(port, 'west');
    line.cut();
    assert.is(await ending(cut), 'reset');
    await eventually('it answers', () => answersWithin(port, 'west', 1_000));
    await site.until('Link', left, (link) => link.status.status === 'Ready' && !standby(link));
    const kept = await stream(port, 'west');
    line.restore();
    await Promise.all(['one', 'two'].map((name) => site.until('Link', name, active, 60_000)));
    kept.end();
    assert.is(await ending(kept), 'end');
  }
  await site.until('Link', 'two', standby);
});

test('a cheaper cost makes another link the active one, without a gap', async () => {
  const { west, east } = await openHubs(['west', 'east']);
  const links = [uplink('west', [west.line.port], 1), uplink('east', [east.line.port], 5)];
  const { site, port } = await openEdge(west.network, links);
  await Promise.all([site.until('Link', 'west', active), site.until('Link', 'east', standby)]);
  await untilAccepting(port);
  const caller = new Caller(port);
  await site.apply(uplink('west', [west.line.port], 9));
  await site.until('Link', 'west', standby);
  await eventually('east answers', () => caller.answers.at(-1) === 'east');
  await site.delete('Link', 'west');
  await sleep(500);
  const answers = await caller.end();
  assert.is(caller.failures, '');
  assert.is(answers.at(-1), 'east');
});

test('an edge is no way from one hub to another, not even while one takes over from the other', async () => {
  const { west, east } = await openHubs(['west', 'east']);
  const [down, up] = [await freePort(), await freePort()];
  await east.site.apply(connector('shared', (await greeter('east')).port));
  await west.site.apply(listener('shared', down));
  const links = [uplink('west', [west.line.port], 1), uplink('east', [east.line.port], 5)];
  const shared = [connector('shared', (await greeter('store')).port), listener('shared', up)];
  const { site } = await openEdge(west.network, [...links, ...shared]);
  await Promise.all([site.until('Link', 'west', active), site.until('Link', 'east', standby)]);
  await untilAccepting(down);
  // With these in hand, the store itself is busier than east.
  for (let count = 0; count < 3; count++) await stream(down, 'store');
  const caller = new Caller(down);
  await site.apply(uplink('west', [west.line.port], 9));
  await site.until('Link', 'west', standby);
  const answers = await caller.end();
  // Until west knows the store no more. What went up to east would get no answer: east does not know west.
  const meanwhile = answers.slice(0, answers.lastIndexOf('store') + 1);
  assert.ok(meanwhile.length > 0);
  assert.equal(new Set(meanwhile), new Set(['store']));
});

test.run();
