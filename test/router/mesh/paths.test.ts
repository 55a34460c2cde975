/** Paths are the cheapest there are, and all routers agree on them. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Peers, Topology } from '../../../src/router/mesh/paths.ts';
import { costs, type Graph, graph } from '../../support/graphs.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 500);
const test = suite('paths');

function peersOf({ routers, lines }: Graph): Map<string, Peers> {
  const peers = new Map(routers.map((id) => [id, new Map<string, number>()]));
  for (const { one, other, cost } of lines) {
    peers.get(one)?.set(other, cost);
    peers.get(other)?.set(one, cost);
  }
  return peers;
}

/** The topology as each router sees it. */
function views(network: Graph): Map<string, Topology> {
  const peers = peersOf(network);
  return new Map(network.routers.map((id) => [id, new Topology(id, peers, () => true)]));
}

const neighboursOf = (topology: Topology): Map<string, string> =>
  new Map([...topology.paths].map(({ id, neighbour }) => [id, neighbour]));

test('costs are the least, and what cannot be reached is left out', () => {
  fc.assert(
    fc.property(graph, (network) => {
      const expected = costs(network);
      for (const [id, topology] of views(network)) {
        const found = new Map([...topology.paths].map((path) => [path.id, path.cost]));
        for (const other of network.routers) {
          if (other === id) continue;
          const cost = expected.get(id)?.get(other) as number;
          assert.is(found.get(other), Number.isFinite(cost) ? cost : undefined);
        }
      }
    }),
    { numRuns: RUNS },
  );
});

test('from neighbour to neighbour, each step is one nearer', () => {
  fc.assert(
    fc.property(graph, (network) => {
      const best = costs(network);
      for (const [id, topology] of views(network)) {
        for (const [destination, neighbour] of neighboursOf(topology)) {
          const here = best.get(id)?.get(destination) as number;
          const there = best.get(neighbour)?.get(destination) as number;
          const step = network.lines.find(
            ({ one, other }) => [one, other].includes(id) && [one, other].includes(neighbour),
          );
          assert.is(there + (step?.cost as number), here);
        }
      }
    }),
    { numRuns: RUNS },
  );
});

/** Who gets what a router sends to all, by way of whom it comes. */
function reachedFrom(origin: string, topologies: Map<string, Topology>): string[] {
  const reached: string[] = [];
  const pass = (router: string): void => {
    reached.push(router);
    for (const child of topologies.get(router)?.children(origin) ?? []) pass(child);
  };
  pass(origin);
  return reached;
}

test('what is for all reaches each router once, whoever sends it', () => {
  fc.assert(
    fc.property(graph, (network) => {
      const topologies = views(network);
      for (const origin of network.routers) {
        const expected = [...neighboursOf(topologies.get(origin) as Topology).keys(), origin];
        assert.equal(reachedFrom(origin, topologies).sort(), expected.sort());
      }
    }),
    { numRuns: RUNS },
  );
});

test('so it does where a router has very many neighbours', () => {
  const rim = Array.from({ length: 90 }, (_, index) => `r${index}`);
  const spokes = rim.map((other, index) => ({ one: 'hub', other, cost: 1 + (index % 3) }));
  const wheel = rim.map((one, index) => ({ one, other: rim[(index + 1) % rim.length] as string, cost: 1 }));
  const network = { routers: ['hub', ...rim], lines: [...spokes, ...wheel] };
  const topologies = views(network);
  for (const origin of ['hub', 'r0', 'r7']) {
    assert.equal(reachedFrom(origin, topologies).sort(), [...network.routers].sort());
  }
});

test('a message passes over a router exactly when the path leads there', () => {
  fc.assert(
    fc.property(graph, (network) => {
      const topologies = views(network);
      for (const origin of network.routers) {
        // Follows the tree from the origin, and notes who is passed on the way to whom.
        const visit = (router: string, passed: string[]): void => {
          for (const id of network.routers) {
            const expected = id !== router && passed.includes(id);
            assert.is(topologies.get(id)?.leadsOverUs(origin, router), expected, `${origin} → ${router} over ${id}`);
          }
          for (const child of topologies.get(router)?.children(origin) ?? []) visit(child, [...passed, router]);
        };
        visit(origin, []);
      }
    }),
    { numRuns: RUNS },
  );
});

test('of paths of one cost, that over the router settled first counts', () => {
  const square = { routers: ['d', 'b', 'c', 'a'], lines: ['ab', 'ac', 'bd', 'cd'].map(line) };
  assert.is(neighboursOf(views(square).get('a') as Topology).get('d'), 'b');
  assert.is(neighboursOf(views(square).get('d') as Topology).get('a'), 'b');
  // Past the first plane, texts have another order in UTF-16 than by their characters.
  const late = { routers: ['a', '\u{10000}', '\uffee', 'd'], lines: [] as Graph['lines'] };
  late.lines = ['\u{10000}', '\uffee'].flatMap((middle) => [
    { one: 'a', other: middle, cost: 1 },
    { one: middle, other: 'd', cost: 1 },
  ]);
  assert.is(neighboursOf(views(late).get('a') as Topology).get('d'), '\uffee');
});

function line(ends: string): Graph['lines'][number] {
  return { one: ends[0] as string, other: ends[1] as string, cost: 1 };
}

test('a link counts when both its ends know of it, or one is not known', () => {
  const peers = new Map<string, Peers>([
    ['a', new Map([['b', 1]])],
    [
      'b',
      new Map([
        ['a', 1],
        ['c', 1],
        ['d', 1],
      ]),
    ],
    ['c', new Map()],
    ['d', null],
  ]);
  assert.equal([...neighboursOf(new Topology('a', peers, () => true)).keys()], ['b', 'd']);
});

test('a neighbour that has not said yet whom it sees is reached', () => {
  const peers = new Map<string, Peers>([
    ['a', new Map([['b', 1]])],
    ['b', new Map()],
  ]);
  assert.equal([...new Topology('a', peers, () => false).paths], [{ id: 'b', cost: 1, neighbour: 'b' }]);
  assert.equal([...new Topology('a', peers, () => true).paths], []);
});

test.run();
