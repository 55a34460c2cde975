/**
 * Shortest paths, computed as skupper-router computes them: the valid origins of all routers fit together only when each
 * router comes to the same paths for the others. Among paths of one cost the one over the router that was settled
 * first counts, and routers are settled by cost, then by id.
 */

/** The neighbours of a router with their costs; null: nothing is known of it but that others name it. */
export type Peers = ReadonlyMap<string, number> | null;

/** What of the paths from one router to all others concerns this router. */
interface Tree {
  /** Per router: whether the path there leads over this router, or begins here. */
  overUs: Uint8Array;
  /** This router's neighbours to which paths go on from here. */
  children: string[];
}

export interface Path {
  id: string;
  cost: number;
  /** The neighbour on the way. */
  neighbour: string;
}

/** Trees kept. */
const MAX_TREES = 10_000;
const NOT_OVER_US: Tree = { overUs: new Uint8Array(0), children: [] };

export class Topology {
  /** The paths from this router to all that can be reached. */
  readonly paths: readonly Path[];
  readonly ids: readonly string[];
  readonly #self: number;
  readonly #index = new Map<string, number>();
  /** Per router: the routers it leads to, and the cost to each, in turn. */
  readonly #edges: number[][];
  readonly #trees = new Map<number, Tree>();

  /** `isConfirmed`: whether a neighbour of this router has already said that it has a link to this router. */
  constructor(self: string, routers: ReadonlyMap<string, Peers>, isConfirmed: (neighbour: string) => boolean) {
    this.ids = [...routers.keys()].sort(byCodePoint);
    for (const [index, id] of this.ids.entries()) this.#index.set(id, index);
    this.#self = this.#index.get(self) as number;
    this.#edges = this.ids.map((id) => {
      const edges: number[] = [];
      for (const [peer, cost] of routers.get(id) ?? []) {
        const index = this.#index.get(peer);
        if (index === undefined) continue;
        // A link has two ends: one that does not know of it, by its latest word, cannot be reached over it.
        const back = routers.get(peer);
        if (!back || back.has(id) || (id === self && !isConfirmed(peer))) edges.push(index, cost);
      }
      return edges;
    });
    this.paths = this.#ownPaths();
  }

  /** Whether the path from one router to another leads over this one, or begins here. */
  leadsOverUs(origin: string, destination: string): boolean {
    const [from, to] = [this.#index.get(origin), this.#index.get(destination)];
    return from !== undefined && to !== undefined && this.#treeOf(from).overUs[to] === 1;
  }

  /** The neighbours to which this router passes on what comes from `origin` and is for everybody. */
  children(origin: string): readonly string[] {
    const from = this.#index.get(origin);
    return from === undefined ? [] : this.#treeOf(from).children;
  }

  #ownPaths(): Path[] {
    const { order, parent, cost } = shortestPaths(this.#edges, this.#self);
    const first = new Int32Array(this.ids.length);
    return order.slice(1).map((router) => {
      const before = parent[router] as number;
      const neighbour = before === this.#self ? router : (first[before] as number);
      first[router] = neighbour;
      return { id: this.#id(router), cost: cost[router] as number, neighbour: this.#id(neighbour) };
    });
  }

  #treeOf(root: number): Tree {
    let tree = this.#trees.get(root);
    if (!tree) {
      if (this.#trees.size >= MAX_TREES) this.#trees.clear();
      tree = this.#compute(root);
      this.#trees.set(root, tree);
    }
    return tree;
  }

  #compute(root: number): Tree {
    const { order, parent } = shortestPaths(this.#edges, root);
    const overUs = new Uint8Array(this.ids.length);
    const children: string[] = [];
    for (const router of order.slice(1)) {
      const before = parent[router] as number;
      if (before === this.#self) children.push(this.#id(router));
      if (before === this.#self || overUs[before]) overUs[router] = 1;
    }
    return children.length > 0 ? { overUs, children } : NOT_OVER_US;
  }

  #id(index: number): string {
    return this.ids[index] as string;
  }
}

/** Dijkstra's algorithm: who can be reached, in the order of being settled, over whom, and at what cost. */
function shortestPaths(edges: number[][], root: number): { order: number[]; parent: Int32Array; cost: Float64Array } {
  const count = edges.length;
  const cost = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  const parent = new Int32Array(count);
  const settled = new Uint8Array(count);
  const order: number[] = [];
  const queue = new Queue(count);
  cost[root] = 0;
  queue.add(0, root);
  for (let router = queue.next(); router !== -1; router = queue.next()) {
    if (settled[router]) continue;
    settled[router] = 1;
    order.push(router);
    const onward = edges[router] as number[];
    for (let edge = 0; edge < onward.length; edge += 2) {
      const next = onward[edge] as number;
      const sum = (cost[router] as number) + (onward[edge + 1] as number);
      if (settled[next] || sum >= (cost[next] as number)) continue;
      cost[next] = sum;
      parent[next] = router;
      queue.add(sum, next);
    }
  }
  return { order, parent, cost };
}

/** Routers by cost, then by index: a binary heap of single numbers, which hold both. */
class Queue {
  readonly #count: number;
  readonly #heap: number[] = [];

  constructor(count: number) {
    this.#count = count;
  }

  add(cost: number, router: number): void {
    const heap = this.#heap;
    const key = cost * this.#count + router;
    let at = heap.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if ((heap[above] as number) <= key) break;
      heap[at] = heap[above] as number;
      at = above;
    }
    heap[at] = key;
  }

  /** Takes out the router of the least cost; -1 when there is none. */
  next(): number {
    const heap = this.#heap;
    if (heap.length === 0) return -1;
    const least = heap[0] as number;
    const last = heap.pop() as number;
    if (heap.length > 0) this.#sink(last);
    return least % this.#count;
  }

  #sink(key: number): void {
    const heap = this.#heap;
    let at = 0;
    for (let below = 1; below < heap.length; below = at * 2 + 1) {
      if (below + 1 < heap.length && (heap[below + 1] as number) < (heap[below] as number)) below++;
      if ((heap[below] as number) >= key) break;
      heap[at] = heap[below] as number;
      at = below;
    }
    heap[at] = key;
  }
}

/** Python's order of texts, which is not JavaScript's for characters past the first plane. */
function byCodePoint(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let index = 0; index < length; index++) {
    const [a, b] = [one.charCodeAt(index), other.charCodeAt(index)];
    if (a === b) continue;
    const surrogates = (a & 0xf800) === 0xd800 || (b & 0xf800) === 0xd800;
    return surrogates ? Buffer.compare(Buffer.from(one), Buffer.from(other)) : a - b;
  }
  return one.length - other.length;
}
