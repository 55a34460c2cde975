/**
 * Networks of several hubs and edges, a machine each, whose lines are cut, held up and restored under traffic that is
 * checked. SKIFF_LONG=1: twelve hubs in four shapes, ten minutes.
 */
// time limit: 300 s
import { suite } from 'uvu';
import { namespacesMissing } from '../support/namespaces.ts';
import { ordeal } from '../support/ordeal.ts';
import { full, line, ring, tree } from '../support/shapes.ts';
import type { Kind } from '../support/topology.ts';

const test = suite('topologies');
const missing = namespacesMissing();
const skiffs = (count: number): Kind[] => Array.from({ length: count }, () => 'skiff');

if (missing !== null) {
  console.log(`SKIP topologies: ${missing}`);
} else if (process.env.SKIFF_LONG) {
  for (const [name, shape] of Object.entries({ line, ring, tree, full })) {
    test(`a ${name} of twelve`, async () => {
      const edges = [[0, 5], [3], [8, 2], [11, 6]];
      await ordeal({ hubs: skiffs(12), links: shape(12), edges }, 150_000);
    });
  }
} else {
  test('a ring of four, and edges with one and two ways up', async () => {
    await ordeal({ hubs: skiffs(4), links: ring(4), edges: [[0, 1], [2], [3, 2]] }, 20_000);
  });
}

test.run();
