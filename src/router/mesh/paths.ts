/**
 * Shortest paths, computed as skupper-router computes them: the valid origins of all routers fit together only when each
 * router comes to the same paths for the others. Among paths of one cost the one over the router that was settled
 * first counts, and routers are settled by cost, then by id.
 */

/** The neighbours of a router with their costs; null: nothing is known of it but that others name it. */
export type Peers = ReadonlyMap<string, number> | null;

export interface Path {
  id: string;
  cost: number;
  /** The neighbour on the way. */
  neighbour: string;
}

/** What is kept of the paths of other routers: so many of each kind. */
const MAX_KEPT = 10_000;
/** Routers up to which the neighbours and theirs count as few. */
const FEW = 64;

export class Topology {
  /** The paths from this router to all that can be reached. */
  readonly paths: readonly Path[];
  readonly ids: readonly string[];
  readonly #self: number;
  readonly #index = new Map<string, number>();
  /** Per router: the routers it leads to, and the cost to each, in turn; and the routers that lead to it. */
  readonly #edges: number[][];
  readonly #edgesTo: number[][];
  /** This router's neighbours, theirs and itself: who may be the one to pass something on to a neighbour. */
  readonly #near: Set<number>;
  /** By router: what it costs to come there from each. */
  readonly #costsTo = new Map<number, Float64Array>();
  readonly #children = new Map<number, string[]>();
  /** By origin: for each router whether the path there leads over this one, or begins here. */
  readonly #overUs = new Map<number, Uint8Array>();

  /** `isConfirmed`: whether a neighbour of this router has already said that it has a link to this router. */
  constructor(self: string, routers: ReadonlyMap<string, Peers>, isConfirmed: (neighbour: string) => boolean) {
    this.ids = [...routers.keys()].sort(byCodePoint);
    for (const [index, id] of this.ids.entries()) this.#index.set(id, index);
    this.#self = this.#index.get(self) as number;
    this.#edges = this.ids.map(() => []);
    this.#edgesTo = this.ids.map(() => []);
    for (const [from, id] of this.ids.entries()) {
      for (const [peer, cost] of routers.get(id) ?? []) {
        const to = this.#index.get(peer);
        if (to === undefined) continue;
        // A link has two ends: one that does not know of it, by its latest word, cannot be reached over it.
        const back = routers.get(peer);
        if (back && !back.has(id) && (id !== self || isConfirmed(peer))) continue;
        this.#edges[from]?.push(to, cost);
        this.#edgesTo[to]?.push(from, cost);
      }
    }
    const neighbours = targets(this.#edges[this.#self]);
    this.#near = new Set(neighbours.flatMap((neighbour) => [neighbour, ...targets(this.#edgesTo[neighbour])]));
    this.paths = this.#ownPaths();
  }

  /** Whether the path from one router to another leads over this one, or begins here. */
  leadsOverUs(origin: string, destination: string): boolean {
    const [from, to] = [this.#index.get(origin), this.#index.get(destination)];
    if (from === undefined || to === undefined) return false;
    return kept(this.#overUs, from, () => this.#markOverUs(from))[to] === 1;
  }

  /** The neighbours to which this router passes on what comes from `origin` and is for everybody. */
  children(origin: string): readonly string[] {
    const from = this.#index.get(origin);
    if (from === undefined) return [];
    return kept(this.#children, from, () =>
      this.#near.size <= FEW ? this.#childrenByCosts(from) : this.#childrenByTree(from),
    );
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

  #markOverUs(root: number): Uint8Array {
    const { order, parent } = shortestPaths(this.#edges, root);
    const overUs = new Uint8Array(this.ids.length);
    for (const router of order.slice(1)) {
      const before = parent[router] as number;
      if (before === this.#self || overUs[before]) overUs[router] = 1;
    }
    return overUs;
  }

  #childrenByTree(root: number): string[] {
    const { order, parent } = shortestPaths(this.#edges, root);
    return order.slice(1).flatMap((router) => (parent[router] === this.#self ? [this.#id(router)] : []));
  }

  /**
   * Finds the children without the whole tree, which a large network would have to compute anew for each of its routers
   * after each change: to a neighbour leads, of those on a cheapest path, the one that is settled first.
   */
  #childrenByCosts(root: number): string[] {
    const costTo = (router: number): number => this.#allCostsTo(router)[root] as number;
    const leads = (router: number, cost: number, neighbour: number): boolean =>
      costTo(router) + cost === costTo(neighbour);
    const children: string[] = [];
    const edges = this.#edges[this.#self] as number[];
    for (let edge = 0; edge < edges.length; edge += 2) {
      const [neighbour, cost] = [edges[edge] as number, edges[edge + 1] as number];
      if (!Number.isFinite(costTo(neighbour)) || !leads(this.#self, cost, neighbour)) continue;
      const others = this.#edgesTo[neighbour] as number[];
      let first = this.#self;
      for (let other = 0; other < others.length; other += 2) {
        const router = others[other] as number;
        if (!leads(router, others[other + 1] as number, neighbour)) continue;
        if (costTo(router) < costTo(first) || (costTo(router) === costTo(first) && router < first)) first = router;
      }
      if (first === this.#self) children.push(this.#id(neighbour));
    }
    return children;
  }

  #allCostsTo(router: number): Float64Array {
    return kept(this.#costsTo, router, () => shortestPaths(this.#edgesTo, router).cost);
  }

  #id(index: number): string {
    return this.ids[index] as string;
  }
}

function targets(edges: number[] | undefined): number[] {
  return (edges ?? []).filter((_, index) => index % 2 === 0);
}

function kept<T>(table: Map<number, T>, key: number, make: () => T): T {
  let value = table.get(key);
  if (value === undefined) {
    if (table.size >= MAX_KEPT) table.clear();
    value = make();
    table.set(key, value);
  }
  return value;
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
