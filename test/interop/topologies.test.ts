/** Skupper-routers and routers of ours in one network, in every position, whose lines are harmed under checked traffic. */
// time limit: 1200 s
import { suite } from 'uvu';
import { namespacesMissing } from '../support/namespaces.ts';
import { ordeal } from '../support/ordeal.ts';
import { full, line, ring, tree } from '../support/shapes.ts';
import type { Kind } from '../support/topology.ts';
import { available } from './skupper-router.ts';

const test = suite('topologies of both');
const missing = namespacesMissing();
const shapes = { line, ring, tree, full };

/** One of theirs among ours, or one of ours among theirs. */
const oneAmong = (count: number, at: number, one: Kind, others: Kind): Kind[] =>
  Array.from({ length: count }, (_, index) => (index === at ? one : others));
const alternating = (count: number): Kind[] =>
  Array.from({ length: count }, (_, index) => (index % 2 === 0 ? 'skiff' : 'skupper-router'));

if (missing !== null) {
  console.log(`SKIP topologies of both: ${missing}`);
} else if (available()) {
  if (process.env.SKIFF_LONG) {
    for (const [name, shape] of Object.entries(shapes)) {
      test(`a ${name} of twelve, every other one theirs`, async () => {
        const edges = [[0, 5], [3], [8, 2], [11, 6]];
        await ordeal({ hubs: alternating(12), links: shape(12), edges }, 150_000);
      });
    }
  } else {
    for (const [name, shape] of Object.entries(shapes)) {
      test(`a ${name} of four, every other one theirs`, async () => {
        await ordeal({ hubs: alternating(4), links: shape(4), edges: [[0, 1], [2], [3, 2]] }, 15_000);
      });
    }
    for (const [one, others] of [
      ['skupper-router', 'skiff'],
      ['skiff', 'skupper-router'],
    ] as const) {
      for (const at of [0, 1, 2])
        test(`a line of three, the ${one} in place ${at}`, async () => {
          await ordeal({ hubs: oneAmong(3, at, one, others), links: line(3), edges: [[0], [1], [2]] }, 10_000);
        });
    }
  }

  // One of theirs leaves a stream to an edge of theirs behind another on the same link, now and then (`streaming-links.ts`).
  test('a line of theirs and ours, with edges of theirs at ours', async () => {
    const edges = [[0], [2], [2]];
    await ordeal({ hubs: alternating(3), links: line(3), edges, edgeKind: 'skupper-router' }, 15_000);
  });
}

test.run();
