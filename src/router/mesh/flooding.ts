/**
 * On which links a message for all routers goes: what is news about links to every neighbour, since the paths may just
 * have changed by it, and all else along the paths from its origin, as far as these are settled.
 */
import type { LinkId } from './engine.ts';
import type { KnownRouter } from './known-router.ts';
import type { RoutingMessage } from './messages.ts';
import type { ControlLink, Neighbours } from './neighbours.ts';
import type { Topology } from './paths.ts';

/** How long after a change routers may see different paths. */
const UNSETTLED_TIME = 2_000;
/** The least between two times that an advertisement of one router goes on, if it is no news. */
const REPEAT_INTERVAL = 1_000;

export class Flooding {
  topology: Topology;
  /** When the topology last changed. */
  changedAt = Number.NEGATIVE_INFINITY;
  readonly #id: string;
  readonly #neighbours: Neighbours;

  constructor(id: string, neighbours: Neighbours, topology: Topology) {
    this.#id = id;
    this.#neighbours = neighbours;
    this.topology = topology;
  }

  /** Where a message of this router itself goes. */
  fromHere(message: RoutingMessage, now: number): LinkId[] {
    return this.#links(this.#id, message.opcode === 'LSU' || this.#unsettled(now)).map(({ id }) => id);
  }

  /** Where a message of another router goes on that came by `from`. */
  onward(
    message: RoutingMessage,
    origin: KnownRouter,
    { from, trace, isNews, now }: { from: ControlLink; trace: readonly string[]; isNews: boolean; now: number },
  ): LinkId[] {
    const firstHand = isFirstHand(message, trace);
    const aboutLinks = message.opcode === 'RA' || message.opcode === 'LSU';
    // An advertisement that is no news tells those further on that its router is alive, and has a skupper-router that knows
    // less than we do ask again. The rest they have.
    if (!isNews && !(message.opcode === 'RA' && firstHand && now - origin.advertisedAt >= REPEAT_INTERVAL)) return [];
    if (message.opcode === 'RA') origin.advertisedAt = now;
    const passed = new Set(trace);
    return this.#links(message.id, isNews && (aboutLinks || this.#unsettled(now)))
      .filter((link) => link !== from && !passed.has(`0/${link.router}`) && (firstHand || link.skiff))
      .map(({ id }) => id);
  }

  #links(origin: string, everywhere: boolean): ControlLink[] {
    const { best } = this.#neighbours;
    if (everywhere) return [...best.values()];
    return this.topology.children(origin).flatMap((neighbour) => best.get(neighbour) ?? []);
  }

  #unsettled(now: number): boolean {
    return now - this.changedAt < UNSETTLED_TIME;
  }
}

/** Whether a message comes from the router that it is about, and not from one that passes on what it has heard. */
export function isFirstHand(message: RoutingMessage, trace: readonly string[]): boolean {
  return trace[0] === `0/${message.id}`;
}
