/** Engines find each other and the paths between them, in whatever network and whatever happens to it. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { costs, type Graph, graph } from '../../support/graphs.ts';
import { type Line, VirtualMesh } from '../../support/virtual-mesh.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 60);
const test = suite('routing engine');

/** Within this, everybody knows of what happened: it spreads as fast as lines are, but for what is done at a pace. */
const SETTLED = 3_000;

function build(network: Graph, options?: { skiff: boolean }): { mesh: VirtualMesh; lines: Line[] } {
  const mesh = new VirtualMesh(options);
  for (const id of network.routers) mesh.add(id);
  return { mesh, lines: network.lines.map(({ one, other, cost }) => mesh.connect(one, other, cost)) };
}

/** That all routers have the best paths over the lines that are up, and that these lead where they should. */
function checkPaths(mesh: VirtualMesh, network: Graph, lines: Line[]): void {
  const up = network.lines.filter((_, index) => lines[index]?.up);
  const expected = costs({ routers: network.routers, lines: up });
  for (const router of mesh.routers.values()) {
    for (const other of network.routers) {
      if (other === router.id) continue;
      const cost = expected.get(router.id)?.get(other) as number;
      assert.is(router.paths.get(other)?.cost, Number.isFinite(cost) ? cost : undefined, `${router.id} → ${other}`);
      if (Number.isFinite(cost)) assert.is(walk(mesh, router.id, other), cost);
    }
  }
}

/** What it costs to go from one router to another, each step as the router there says. */
function walk(mesh: VirtualMesh, from: string, to: string): number {
  let [here, cost] = [mesh.get(from), 0];
  for (let steps = 0; here.id !== to; steps++) {
    if (steps > mesh.routers.size) throw new Error(`from ${from} to ${to} one goes in circles`);
    const path = here.paths.get(to);
    const line = path && here.lines.get(path.nextHop);
    if (!line?.up) throw new Error(`${here.id} knows no way to ${to}`);
    cost += line.cost;
    here = mesh.get(path?.neighbour as string);
  }
  return cost;
}

/** That all know what each serves, of those they can reach. */
function checkAddresses(mesh: VirtualMesh, served: Map<string, Set<string>>): void {
  for (const router of mesh.routers.values()) {
    for (const [id, keys] of served) {
      if (id === router.id || !router.paths.has(id)) continue;
      assert.equal([...(router.mobile.get(id)?.keys() ?? [])].sort(), [...keys].sort(), `${id} at ${router.id}`);
    }
  }
}

for (const skiff of [true, false]) {
  const kind = skiff ? 'Skiffs' : 'routers that are told no more than skupper-router is';
  /** The latter learn of what lies beyond a new line by advertisements and requests. */
  const settled = skiff ? SETTLED : 40_000;

  test(`${kind} find all paths, also when lines break and come back at random`, () => {
    const step = fc.record({ line: fc.nat(), wait: fc.integer({ min: 0, max: 3_000 }) });
    fc.assert(
      fc.property(graph, fc.array(step, { maxLength: 8 }), (network, steps) => {
        const { mesh, lines } = build(network, { skiff });
        mesh.run(settled);
        checkPaths(mesh, network, lines);
        for (const { line: which, wait } of steps) {
          const line = lines[which % lines.length];
          if (line?.up) mesh.cut(line);
          else if (line) mesh.restore(line);
          mesh.run(wait);
        }
        mesh.run(settled);
        checkPaths(mesh, network, lines);
      }),
      { numRuns: RUNS },
    );
  });

  test(`${kind} know what each other serves, also when lines break and routers restart`, () => {
    const step = fc.record({
      kind: fc.constantFrom('serve', 'serve', 'unserve', 'line', 'restart'),
      which: fc.nat(),
      key: fc.nat(5).map((each) => `M${each}`),
      wait: fc.integer({ min: 0, max: 1_500 }),
    });
    fc.assert(
      fc.property(graph, fc.array(step, { maxLength: 12 }), (network, steps) => {
        const { mesh, lines } = build(network, { skiff });
        const served = new Map(network.routers.map((id) => [id, new Set<string>()]));
        for (const { kind: what, which, key, wait } of steps) {
          const id = network.routers[which % network.routers.length] as string;
          const line = lines[which % lines.length];
          if (what === 'serve') {
            mesh.act(id, (engine) => engine.serve(key, 'balanced'));
            served.get(id)?.add(key);
          } else if (what === 'unserve') {
            mesh.act(id, (engine) => engine.unserve(key));
            served.get(id)?.delete(key);
          } else if (what === 'restart') {
            mesh.restart(id);
            served.get(id)?.clear();
          } else if (line?.up) mesh.cut(line);
          else if (line) mesh.restore(line);
          mesh.run(wait);
        }
        mesh.run(settled);
        checkPaths(mesh, network, lines);
        checkAddresses(mesh, served);
        for (const router of mesh.routers.values()) assert.equal(router.problems, []);
      }),
      { numRuns: RUNS },
    );
  });
}

/** A ring of routers a, b, c, … */
function ring(count: number): Graph {
  const routers = Array.from({ length: count }, (_, index) => String.fromCharCode(97 + index));
  const lines = routers.map((one, index) => ({ one, other: routers[(index + 1) % count] as string, cost: 1 }));
  return { routers, lines };
}

test('a cut that both ends notice is known everywhere at once', () => {
  const network = ring(12);
  const { mesh, lines } = build(network);
  mesh.run(SETTLED + 10_000);
  mesh.cut(lines[0] as Line);
  mesh.run(100);
  checkPaths(mesh, network, lines);
});

test('a line that falls silent is given up within the age of a HELLO and a second', () => {
  const network = ring(6);
  const { mesh, lines } = build(network);
  mesh.run(SETTLED + 10_000);
  mesh.silence(lines[0] as Line);
  mesh.run(3_900);
  checkPaths(mesh, network, lines);
});

test('of two lines to a neighbour the cheaper is used, and the other at once when it breaks', () => {
  const mesh = new VirtualMesh();
  for (const id of ['a', 'b']) mesh.add(id);
  const dear = mesh.connect('a', 'b', 5);
  const cheap = mesh.connect('a', 'b', 2);
  mesh.run(SETTLED);
  assert.is(mesh.get('a').paths.get('b')?.nextHop, cheap.id);
  assert.is(mesh.get('b').paths.get('a')?.cost, 2);
  mesh.cut(cheap);
  mesh.run(20);
  assert.is(mesh.get('a').paths.get('b')?.nextHop, dear.id);
  assert.is(mesh.get('b').paths.get('a')?.cost, 5);
});

test('two networks that are joined know each other at once, with what is served there', () => {
  const mesh = new VirtualMesh();
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) mesh.add(id);
  for (const [one, other] of ['ab', 'bc', 'de', 'ef']) mesh.connect(one as string, other as string);
  mesh.act('a', (engine) => engine.serve('Merp', 'closest'));
  mesh.run(60_000);
  mesh.connect('c', 'd');
  mesh.run(600);
  for (const router of mesh.routers.values()) assert.is(router.paths.size, 5);
  assert.equal([...(mesh.get('f').mobile.get('a') ?? [])], [['Merp', 'closest']]);
});

test('a router of many addresses that come and go says only what changed', () => {
  const mesh = new VirtualMesh({ octets: true });
  for (const id of ['a', 'b']) mesh.add(id);
  mesh.connect('a', 'b');
  mesh.run(SETTLED);
  mesh.act('a', (engine) => {
    for (let index = 0; index < 1_000; index++) engine.serve(`Mkey${index}`, 'balanced');
  });
  mesh.run(20_000);
  const before = mesh.octets;
  mesh.act('a', (engine) => {
    engine.unserve('Mkey7');
    engine.serve('Mother', 'balanced');
    engine.unserve('Mkey8');
    engine.serve('Mkey8', 'balanced');
  });
  mesh.run(900);
  assert.is(mesh.get('b').mobile.get('a')?.size, 1_000);
  assert.not.ok(mesh.get('b').mobile.get('a')?.has('Mkey7'));
  assert.ok(mesh.octets - before < 1_000, `${mesh.octets - before} octets`);
});

test('what is not heard of for a minute is forgotten', () => {
  const mesh = new VirtualMesh();
  for (const id of ['a', 'b', 'c']) mesh.add(id);
  mesh.connect('a', 'b');
  const line = mesh.connect('b', 'c');
  mesh.act('c', (engine) => engine.serve('Merp', 'closest'));
  mesh.run(SETTLED);
  assert.is(mesh.get('a').mobile.get('c')?.size, 1);
  mesh.cut(line);
  mesh.run(100);
  assert.is(mesh.get('a').mobile.get('c')?.size, 0, 'what cannot be reached serves nothing');
  mesh.restore(line);
  mesh.run(100);
  assert.is(mesh.get('a').mobile.get('c')?.size, 1, 'it is remembered for when it comes back');
  mesh.cut(line);
  mesh.run(130_000);
  mesh.restart('c');
  mesh.restore(line);
  mesh.run(SETTLED);
  assert.is(mesh.get('a').mobile.get('c')?.size, 0);
});

test.run();
