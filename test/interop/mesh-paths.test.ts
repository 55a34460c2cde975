/** Skiffs and skupper-routers in one ring come to the same paths, as each tells whom it is asked by. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Peers, Topology } from '../../src/router/mesh/paths.ts';
import { makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { hub, type Network, neighbour, newNetwork } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { freePort } from '../support/tcp.ts';
import { available, SkupperRouter } from './skupper-router.ts';

const test = suite('paths of a mixed mesh');

interface Node {
  id: string;
  nextHop: string | null;
  cost: number | null;
  validOrigins: string[];
  linkState: string[];
}

/** Skiffs east and west, skupper-routers north and south; who dialled whom, at what cost. */
const LINES: [string, string, number][] = [
  ['west', 'north', 1],
  ['north', 'east', 1],
  ['east', 'south', 1],
  ['south', 'west', 3],
];
const OURS = new Set(['west', 'east']);
const routers = new Map<string, { id: string; network: Network; start(): Promise<void>; kill(): Promise<void> }>();
let west: Skiff;

test.before(async () => {
  const ca = makeCa('interop');
  for (const name of ['west', 'north', 'east', 'south']) {
    const network = await newNetwork('127.0.0.1', ca);
    routers.set(name, { id: name, network, start: async () => {}, kill: async () => {} });
  }
  for (const name of ['north', 'south']) await startTheirs(name);
  west = await startOurs('west');
  await startOurs('east');
});

test.after(async () => {
  await SkupperRouter.stopAll();
  await Skiff.stopAll();
});

const dialled = (name: string): { network: Network; to: string; cost: number }[] =>
  LINES.filter(([from]) => from === name).map(([, to, cost]) => ({ network: networkOf(to), to, cost }));
const networkOf = (name: string): Network => (routers.get(name) as { network: Network }).network;

async function startTheirs(name: string): Promise<void> {
  const { ca, interRouterPort } = networkOf(name);
  const router = new SkupperRouter({
    id: name,
    mode: 'interior',
    credentials: ca.issue({ commonName: name, hosts: ['127.0.0.1'] }),
    normalPort: await freePort(),
    interRouterPort,
    neighbours: dialled(name).map(({ network, cost }) => ({ port: network.interRouterPort, cost })),
  });
  await router.start();
  Object.assign(routers.get(name) as object, { start: () => router.start(), kill: () => router.kill() });
}

async function startOurs(name: string): Promise<Skiff> {
  const links = dialled(name).flatMap(({ network, to, cost }) => neighbour(network, to, cost));
  const skiff = await Skiff.run({ documents: [...hub(networkOf(name), [], name), ...links] });
  const id = `${name}-${String(skiff.events[0]?.id).slice(0, 8)}`;
  Object.assign(routers.get(name) as object, { id });
  return skiff;
}

/** What a router says of all routers, asked over the network. */
async function nodesAt(router: string): Promise<Node[]> {
  const { stdout } = await west.cli('router', 'stat', '--nodes', '--router', router, '-o', 'json');
  return stdout === '' ? [] : (JSON.parse(stdout) as Node[]);
}

/** That each of these routers tells of the paths that are right for these lines. */
async function agree(names: string[], lines: [string, string, number][]): Promise<void> {
  const id = (name: string): string => (routers.get(name) as { id: string }).id;
  const peers = new Map<string, Peers & Map<string, number>>(names.map((name) => [id(name), new Map()]));
  for (const [one, other, cost] of lines) {
    peers.get(id(one))?.set(id(other), cost);
    peers.get(id(other))?.set(id(one), cost);
  }
  for (const name of names) {
    const topology = new Topology(id(name), peers, () => true);
    const expected = topology.paths.map((path) => {
      const validOrigins = topology.ids.filter((each) => each !== id(name) && topology.leadsOverUs(each, path.id));
      const nextHop = path.neighbour === path.id ? null : path.neighbour;
      return { id: path.id, nextHop, cost: path.cost, validOrigins: validOrigins.sort() };
    });
    const sorted = (list: { id: string }[]): string => JSON.stringify(list.sort((a, b) => (a.id < b.id ? -1 : 1)));
    let said = '';
    await eventually(
      `${name} knows the paths`,
      async () => {
        // A skupper-router goes on telling the way to a router that cannot be reached any more.
        const known = (await nodesAt(id(name))).filter((node) => OURS.has(name) || peers.has(node.id));
        const others = known.filter((node) => node.id !== id(name));
        said = sorted(
          others.map(({ id: other, nextHop, cost, validOrigins }) => {
            return { id: other, nextHop, cost, validOrigins: (validOrigins ?? []).sort() };
          }),
        );
        return said === sorted(expected);
      },
      { explain: () => [said, sorted(expected)], withinMs: 20_000 },
    );
  }
}

test('all four know the same paths', () => agree(['west', 'north', 'east', 'south'], LINES));

test('when a skupper-router between dies, the long way is taken', async () => {
  await routers.get('north')?.kill();
  await agree(
    ['west', 'east', 'south'],
    LINES.filter((line) => !line.includes('north')),
  );
});

test('when it is back, so is the short one', async () => {
  await routers.get('north')?.start();
  await agree(['west', 'north', 'east', 'south'], LINES);
});

test('nobody saw anything amiss', () => {
  assert.equal(
    west.log.filter((line) => line.part === 'mesh' && line.level === 'warn'),
    [],
  );
});

if (available()) test.run();
