/** Hubs that are restarted one after another, as for an update, while connections are opened all the time. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Caller } from '../support/caller.ts';
import { eventually } from '../support/eventually.ts';
import { connector, document, edge, hub, listener, type Network, neighbour, newNetwork } from '../support/network.ts';
import { type Shown, Skiff } from '../support/skiff.ts';
import { closeSockets, echo, freePort, untilAccepting } from '../support/tcp.ts';

const test = suite('rolling restart');

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

/** An edge that prefers one hub, and has another as its reserve. */
async function openEdge(name: string, [first, second]: Network[], documents: object[]): Promise<Skiff> {
  const [site, secret] = edge(first as Network, name) as [object, object];
  const links = [first, second].map((network, rank) => {
    const endpoints = [{ name: 'edge', host: '127.0.0.1', port: String(network?.edgePort) }];
    return document('Link', `way${rank}`, { tlsCredentials: 'to-hub', endpoints, cost: 1 + rank });
  });
  const opened = await Skiff.run({ documents: [site, secret, ...links, ...documents] });
  await Promise.all(['way0', 'way1'].map((link) => opened.until('Link', link, 'Ready')));
  return opened;
}

const isActive = ({ status }: Shown): boolean =>
  status.status === 'Ready' && !status.conditions.some(({ message }) => message.startsWith('Standby'));

test('three hubs of a mesh are restarted in turn, and no new connection fails', async () => {
  const networks: Network[] = [];
  for (let index = 0; index < 3; index++) networks.push(await newNetwork('127.0.0.1', networks[0]?.ca));
  const hubs = await Promise.all(
    networks.map((network, index) => {
      const links = networks.slice(0, index).flatMap((other, to) => neighbour(other, `hub${to}`));
      return Skiff.run({ documents: [...hub(network, [], `hub${index}`), ...links] });
    }),
  );
  const port = await freePort();
  const server = await echo();
  const [west, east] = await Promise.all([
    openEdge('west', networks.slice(0, 2), [listener('service', port)]),
    openEdge('east', networks.slice(1, 3), [connector('service', server.port)]),
  ]);
  await untilAccepting(port);

  const caller = new Caller(port, 'hello');
  for (const [index, each] of hubs.entries()) {
    const before = caller.answers.length;
    await each.stop('SIGTERM');
    hubs[index] = await Skiff.run({ data: each.data });
    // Each is whole again before the next one is stopped.
    for (const [from, site] of hubs.entries())
      for (let to = 0; to < from; to++) await site.until('Link', `hub${to}`, 'Ready', 60_000);
    for (const site of [west, east]) {
      await site.until('Link', 'way1', 'Ready', 60_000);
      await site.until('Link', 'way0', isActive, 60_000);
    }
    await eventually('connections are opened', () => caller.answers.length > before + 10);
  }
  await caller.end();
  assert.is(caller.failures, '');
});

test.run();
