/**
 * How networks of interior routers fare as they grow: `npm run simulate -- [--routers N]… [--addresses N] [--skupper]`.
 * Runs that many routing engines without sockets, in a time of their own, and tells for each thing that happens to the
 * network how long it takes until everybody knows, how many messages and octets go over lines, and what it takes of CPU
 * and memory. With `--skupper` they take each other for skupper-routers, which are told less.
 */
import { parseArgs } from 'node:util';
import { type Line, VirtualMesh } from '../test/support/virtual-mesh.ts';

const { values } = parseArgs({
  options: {
    routers: { type: 'string', multiple: true, default: ['100', '300', '1000'] },
    addresses: { type: 'string', default: '100000' },
    skupper: { type: 'boolean', default: false },
  },
});
/** Lines a router has on average, as in a network with some redundancy: a tree, and as many lines again at random. */
const LINES_A_ROUTER = 2;
/** Milliseconds that are watched after something has happened, and when nothing does. */
const WATCHED = 15_000;
const WATCHED_AT_REST = 60_000;

/** The same numbers each time. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function build(count: number): { mesh: VirtualMesh; lines: Line[] } {
  const random = randomNumbers(count);
  const mesh = new VirtualMesh({ octets: true, skiff: !values.skupper, countOnly: true });
  const lines: Line[] = [];
  const name = (index: number): string => `site${index}`;
  for (let index = 0; index < count; index++) mesh.add(name(index));
  for (let index = 1; index < count; index++) lines.push(mesh.connect(name(random(index)), name(index)));
  while (lines.length < count * LINES_A_ROUTER) {
    const [one, other] = [random(count), random(count)];
    if (one !== other) lines.push(mesh.connect(name(one), name(other), 1 + random(3)));
  }
  return { mesh, lines };
}

/** Does something to a network, and prints what came of it. */
function measure(mesh: VirtualMesh, what: string, action: () => void, watched = WATCHED): void {
  const before = { messages: mesh.messages, octets: mesh.octets, now: mesh.now, cpu: process.cpuUsage() };
  action();
  mesh.run(watched);
  const { user, system } = process.cpuUsage(before.cpu);
  const count = mesh.routers.size;
  console.log(
    [
      what.padEnd(27),
      (mesh.changedAt < before.now ? '' : `${((mesh.changedAt - before.now) / 1_000).toFixed(2)} s`).padStart(9),
      `${Math.round((mesh.messages - before.messages) / count)}`.padStart(9),
      `${((mesh.octets - before.octets) / count / 1e6).toFixed(2)} MB`.padStart(11),
      `${((user + system) / 1_000 / count).toFixed(1)} ms`.padStart(10),
    ].join(''),
  );
}

function check(mesh: VirtualMesh, addresses: number): void {
  for (const router of mesh.routers.values()) {
    if (router.paths.size !== mesh.routers.size - 1) throw new Error(`${router.id} knows ${router.paths.size} routers`);
    if (router.problems.length > 0) throw new Error(router.problems[0]?.message);
    const known = router.addressCount;
    const own = addresses / mesh.routers.size;
    if (Math.abs(known + own - addresses) > mesh.routers.size) throw new Error(`${router.id} knows ${known} addresses`);
  }
}

function simulate(count: number, addresses: number): void {
  const { mesh, lines } = build(count);
  const each = Math.round(addresses / count);
  console.log(`\n${count} routers, ${lines.length} lines, ${each * count} addresses`);
  console.log('                            known by  messages     octets       CPU   (the last three a router)');
  measure(mesh, 'all start at once', () => {});
  measure(mesh, `each serves ${each} addresses`, () => {
    for (const id of mesh.routers.keys()) {
      mesh.act(id, (engine) => {
        for (let index = 0; index < each; index++) engine.serve(`M${id}-service-${index}`, 'balanced');
      });
    }
  });
  check(mesh, each * count);
  measure(mesh, 'one address more', () => mesh.act('site0', (engine) => engine.serve('Mone-more', 'balanced')));
  measure(mesh, 'a line is cut', () => mesh.cut(lines.at(-1) as Line));
  measure(mesh, 'it comes back', () => mesh.restore(lines.at(-1) as Line));
  measure(mesh, 'a router restarts', () => mesh.restart(`site${Math.floor(count / 2)}`));
  mesh.act(`site${Math.floor(count / 2)}`, (engine) => {
    for (let index = 0; index < each; index++) engine.serve(`Mnew-${index}`, 'balanced');
  });
  mesh.run(WATCHED);
  measure(mesh, 'a minute of rest', () => {}, WATCHED_AT_REST);
  check(mesh, each * count);
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  console.log(
    `memory ${((heapUsed + arrayBuffers) / count / 1e6).toFixed(1)} MB a router, with what the simulation needs`,
  );
}

for (const count of values.routers) simulate(Number(count), Number(values.addresses));
