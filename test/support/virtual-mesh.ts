/** Routing engines joined by lines that exist only here, in a time that only moves when it is told to. */
import type { Treatment } from '../../src/router/addresses.ts';
import { writeRouting } from '../../src/router/mesh/encoding.ts';
import { type LinkId, MeshEngine, type RemoteRouterFacts } from '../../src/router/mesh/engine.ts';
import type { Destination, RoutingMessage } from '../../src/router/mesh/messages.ts';
import type { MeshProblem } from '../../src/router/mesh/problems.ts';

/** Milliseconds that a message takes over a line. */
const DELAY = 1;
/** Octets of router annotations, but for the trace. */
const ANNOTATIONS = 40;

export class VirtualRouter {
  readonly id: string;
  readonly skiff: boolean;
  engine: MeshEngine;
  readonly lines = new Map<LinkId, Line>();
  /** What the hooks told. */
  readonly paths = new Map<string, RemoteRouterFacts>();
  readonly mobile = new Map<string, Map<string, Treatment>>();
  addressCount = 0;
  readonly problems: MeshProblem[] = [];
  /** When its next tick is in the calendar. */
  tickAt = Number.POSITIVE_INFINITY;

  constructor(id: string, skiff: boolean, engine: MeshEngine) {
    this.id = id;
    this.skiff = skiff;
    this.engine = engine;
  }
}

export interface Line {
  id: LinkId;
  ends: [VirtualRouter, VirtualRouter];
  cost: number;
  up: boolean;
}

interface Options {
  /** Whether the routers are taken for Skiffs; a skupper-router is told less. */
  skiff?: boolean;
  /** Count octets, which takes as long as everything else. */
  octets?: boolean;
  /** Keep no tables of addresses beside those of the engines. */
  countOnly?: boolean;
}

export class VirtualMesh {
  now = 0;
  messages = 0;
  octets = 0;
  /** When a router last told of other paths or addresses. */
  changedAt = 0;
  /** Messages that came back to a router, and were dropped. */
  loops = 0;
  readonly routers = new Map<string, VirtualRouter>();
  readonly #options: Options;
  readonly #calendar = new Map<number, (() => void)[]>();
  readonly #sizes = new WeakMap<RoutingMessage, number>();
  #lineCount = 0;
  #instance = 1_000;

  constructor(options: Options = {}) {
    this.#options = options;
  }

  add(id: string): VirtualRouter {
    const router = new VirtualRouter(id, this.#options.skiff ?? true, null as unknown as MeshEngine);
    router.engine = this.#engineOf(router, ++this.#instance);
    this.routers.set(id, router);
    this.#schedule(router);
    return router;
  }

  get(id: string): VirtualRouter {
    return this.routers.get(id) as VirtualRouter;
  }

  connect(one: string, other: string, cost = 1): Line {
    const line: Line = { id: ++this.#lineCount, ends: [this.get(one), this.get(other)], cost, up: false };
    for (const router of line.ends) router.lines.set(line.id, line);
    this.restore(line);
    return line;
  }

  /** Both ends notice. */
  cut(line: Line): void {
    if (!line.up) return;
    line.up = false;
    for (const router of line.ends) this.#do(router, () => router.engine.linkDown(line.id));
  }

  restore(line: Line): void {
    if (line.up) return;
    line.up = true;
    for (const router of line.ends) this.#linkUp(router, line);
  }

  /** The line carries nothing any more, and nobody is told. */
  silence(line: Line): void {
    line.up = false;
  }

  /** A router dies, and is started again at once; those at its lines notice. */
  restart(id: string): void {
    const router = this.get(id);
    const lines = [...router.lines.values()].filter((line) => line.up);
    for (const line of lines) this.cut(line);
    router.paths.clear();
    router.mobile.clear();
    router.addressCount = 0;
    router.engine = this.#engineOf(router, ++this.#instance);
    this.#schedule(router);
    for (const line of lines) this.restore(line);
  }

  /** Does something with a router's engine. */
  act(id: string, action: (engine: MeshEngine) => void): void {
    const router = this.get(id);
    this.#do(router, () => action(router.engine));
  }

  /** Makes time pass, with all that happens in it. */
  run(milliseconds: number): void {
    const end = this.now + milliseconds;
    while (this.now < end) {
      const events = this.#calendar.get(this.now);
      for (let index = 0; events && index < events.length; index++) (events[index] as () => void)();
      this.#calendar.delete(this.now);
      this.now++;
    }
  }

  at(milliseconds: number, event: () => void): void {
    const time = Math.ceil(milliseconds);
    const events = this.#calendar.get(time);
    if (events) events.push(event);
    else this.#calendar.set(time, [event]);
  }

  /** The engine may want another tick than before. */
  #do(router: VirtualRouter, action: () => void): void {
    action();
    this.#schedule(router);
  }

  #linkUp(router: VirtualRouter, line: Line): void {
    const other = otherEnd(line, router);
    this.#do(router, () => router.engine.linkUp(line.id, line.cost, { peer: other.id, skiff: other.skiff }));
  }

  #schedule(router: VirtualRouter): void {
    const at = Math.max(this.now + 1, Math.ceil(router.engine.nextTickAt));
    if (at >= router.tickAt) return;
    router.tickAt = at;
    this.at(at, () => {
      if (router.tickAt !== this.now) return;
      router.tickAt = Number.POSITIVE_INFINITY;
      this.#do(router, () => router.engine.tick());
    });
  }

  #engineOf(router: VirtualRouter, instance: number): MeshEngine {
    return new MeshEngine({
      id: router.id,
      instance,
      now: () => this.now,
      hooks: {
        send: (message, to, links) => {
          for (const link of links) this.#carry(router, link, message, to, [`0/${router.id}`]);
        },
        onPaths: (changed, gone) => {
          this.changedAt = this.now;
          for (const facts of changed) router.paths.set(facts.id, facts);
          for (const id of gone) if (!router.paths.delete(id)) throw new Error(`${id} was not there`);
        },
        onMobile: (id, added, removed) => {
          this.changedAt = this.now;
          if (!router.paths.has(id)) throw new Error(`${id} has addresses, and no path leads to it`);
          router.addressCount += added.length - removed.length;
          if (this.#options.countOnly) return;
          const served = router.mobile.get(id) ?? new Map<string, Treatment>();
          router.mobile.set(id, served);
          for (const key of removed) if (!served.delete(key)) throw new Error(`${key} was not there`);
          for (const { key, treatment } of added) served.set(key, treatment);
        },
        onProblem: (problem) => router.problems.push(problem),
        onTwin: () => {},
      },
    });
  }

  #carry(from: VirtualRouter, link: LinkId, message: RoutingMessage, to: Destination, trace: string[]): void {
    const line = from.lines.get(link) as Line;
    if (!line.up) return;
    this.messages++;
    if (this.#options.octets) this.octets += this.#sizeOf(message) + ANNOTATIONS + trace.join().length;
    const router = otherEnd(line, from);
    this.at(this.now + DELAY, () => {
      if (line.up) this.#arrive(router, line, message, to, trace);
    });
  }

  #arrive(router: VirtualRouter, line: Line, message: RoutingMessage, to: Destination, trace: string[]): void {
    const own = `0/${router.id}`;
    if (trace.includes(own)) {
      this.loops++;
      return;
    }
    if (!router.engine.admits(line.id, 0)) return;
    if (to === 'all') {
      let links: LinkId[] = [];
      this.#do(router, () => {
        links = router.engine.receiveFlooded(line.id, message, trace);
      });
      for (const next of links) this.#carry(router, next, message, to, [...trace, own]);
    } else if (to === 'neighbour' || to.router === router.id) {
      this.#do(router, () => router.engine.receive(line.id, message, trace));
    } else {
      const next = router.paths.get(to.router);
      if (next) this.#carry(router, next.nextHop, message, to, [...trace, own]);
    }
  }

  #sizeOf(message: RoutingMessage): number {
    let size = this.#sizes.get(message);
    if (size === undefined) {
      size = writeRouting(message, 'all').length;
      this.#sizes.set(message, size);
    }
    return size;
  }
}

export function otherEnd(line: Line, router: VirtualRouter): VirtualRouter {
  return line.ends[0] === router ? line.ends[1] : line.ends[0];
}
