/**
 * Networks of several hubs and edges, a machine each, whose lines are cut, held up and restored under traffic that is
 * checked. SKIFF_LONG=1: twelve hubs in four shapes, ten minutes.
 */
// time limit: 300 s
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually, within } from '../support/eventually.ts';
import { namespacesMissing } from '../support/namespaces.ts';
import { networkOf, ordeal, undergo, untilWhole } from '../support/ordeal.ts';
import { full, line, ring, tree } from '../support/shapes.ts';
import { closeSockets, connect, ending, read, say } from '../support/tcp.ts';
import type { Kind, Topology } from '../support/topology.ts';

const test = suite('topologies');
const missing = namespacesMissing();
const skiffs = (count: number): Kind[] => Array.from({ length: count }, () => 'skiff');

/** Whether a new connection is answered so soon. */
async function exchangeWithin(milliseconds: number, port: number, host?: string): Promise<boolean> {
  const socket = await connect(port, host);
  try {
    socket.write('hello');
    return (await within('an answer', read(socket, 5), milliseconds)).toString() === 'hello';
  } finally {
    socket.destroy();
  }
}

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
  let topology: Topology;

  /** The hubs know that they are neighbours: a way round may have been there before a line was. */
  const isStraight = async (): Promise<boolean> => {
    const nodes = await Promise.all(topology.hubs.map((hub) => hub.query('io.skupper.router.router.node')));
    return nodes.every((each) => each.length === 3 && each.every(({ cost }) => Number(cost) <= 1));
  };

  test.before(async () => {
    topology = await networkOf({ hubs: skiffs(3), links: ring(3), edges: [[0], [2], [1, 0]] });
  });

  test.after(async () => {
    await closeSockets();
    await topology.close();
  });

  test('a line between two hubs that swallows everything is gone round, long before its idle timeout', async () => {
    await untilWhole(topology);
    await eventually('each hub has the straight way to each', isStraight, { withinMs: 90_000 });
    const [from] = topology.edges;
    const { ports, machine } = from as (typeof topology.edges)[number];
    const stream = await connect(ports[1] as number, machine.address);
    await say(stream, 'hello');
    const [straight] = topology.trunks.filter(({ name }) => name === 'hub0-hub2');
    straight?.relay.hold();
    const held = performance.now();
    try {
      const answers = () => exchangeWithin(300, ports[1] as number, machine.address);
      await eventually('an answer by the other way', answers, { withinMs: 10_000 });
      console.log(`another way after ${Math.round(performance.now() - held)} ms`);
      assert.is(await ending(stream), 'reset');
      console.log(`the stream is reset after ${Math.round(performance.now() - held)} ms`);
    } finally {
      straight?.relay.restore();
    }
  });

  test('a ring of three, and edges with one and two ways up', async () => {
    await undergo(topology, 5_000);
  });
}

test.run();
