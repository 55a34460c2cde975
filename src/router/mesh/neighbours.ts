/**
 * Who is at the other ends of this router's links, by HELLO: a router that says so on a link is heard there, and one
 * that also names this router hears it, too. Only such a link counts. Of several to one router the cheapest does.
 */
import type { LinkId } from './engine.ts';
import { Gate } from './gate.ts';
import type { Hello } from './messages.ts';

const HELLO_INTERVAL = 1_000;
/** Milliseconds without a word after which a neighbour is gone. */
export const HELLO_AGE = 3_000;

export interface ControlLink {
  readonly id: LinkId;
  readonly cost: number;
  /** The only router that may say HELLO on it; null: whoever does first. */
  readonly peer: string | null;
  /** The other end is a Skiff: it is told at once what this router knows of others. */
  readonly skiff: boolean;
  readonly gate: Gate;
  /** The router that is heard on it, and which start of that. */
  router: string | null;
  instance: number | null;
  /** One of the same id as a neighbour, and another, is heard on it since that moment: it has to wait. */
  twinSince: number | null;
  heardAt: number;
  /** When the router last said that it hears this one. */
  hearsUsAt: number;
}

export class Neighbours {
  readonly #links = new Map<LinkId, ControlLink>();
  /** The link by which each neighbour is reached. */
  readonly best = new Map<string, ControlLink>();
  /** When `hello` is next due. */
  helloAt = 0;

  get(link: LinkId): ControlLink | undefined {
    return this.#links.get(link);
  }

  all(): IterableIterator<ControlLink> {
    return this.#links.values();
  }

  add(id: LinkId, cost: number, peer: string | null, skiff: boolean, now: number): ControlLink {
    const never = Number.NEGATIVE_INFINITY;
    const gate = new Gate(now);
    const nobody = { router: null, instance: null, twinSince: null, heardAt: never, hearsUsAt: never };
    const link: ControlLink = { id, cost, peer, skiff, gate, ...nobody };
    this.#links.set(id, link);
    return link;
  }

  /** Returns the neighbour whose best link is another one now, or none. */
  remove(id: LinkId): string | null {
    const link = this.#links.get(id);
    this.#links.delete(id);
    return link?.router && this.#choose(link.router) ? link.router : null;
  }

  /**
   * The link on which another start of this router is heard, and was before it was on this one: it may be another router
   * of the same id, or what is left of a connection that was lost.
   */
  otherStart(link: ControlLink, { id, instance }: Hello, now: number): ControlLink | null {
    if (link.router === id && link.instance === instance) return null;
    for (const other of this.#links.values()) {
      if (other !== link && other.router === id && other.instance !== instance && now - other.heardAt <= HELLO_AGE) {
        return other;
      }
    }
    return null;
  }

  /** A word of `hello.id` on a link; `first`: it was not heard there before. */
  hear(link: ControlLink, hello: Hello, self: string, now: number): { first: boolean; changed: boolean } {
    const first = link.router === null;
    link.router = hello.id;
    link.instance = hello.instance;
    link.twinSince = null;
    link.heardAt = now;
    if (hello.seen.includes(self)) link.hearsUsAt = now;
    return { first, changed: this.#choose(hello.id) };
  }

  /** What the next HELLO on a link names: its reader looks for itself alone. */
  seenOn(link: ControlLink): string[] {
    return link.router === null ? [] : [link.router];
  }

  /** Forgets who was not heard for too long. Returns the neighbours whose best link is another one now, or none. */
  expire(now: number): string[] {
    const silent = new Set<string>();
    for (const link of this.#links.values()) {
      if (link.router === null || (now - link.heardAt <= HELLO_AGE && !expired(link.hearsUsAt, now))) continue;
      silent.add(link.router);
      link.hearsUsAt = Number.NEGATIVE_INFINITY;
      if (now - link.heardAt > HELLO_AGE) link.router = null;
    }
    return [...silent].filter((router) => this.#choose(router));
  }

  /** Whether a HELLO is due on all links; the next is due an interval later. */
  helloDue(now: number): boolean {
    if (now < this.helloAt) return false;
    this.helloAt = now + HELLO_INTERVAL;
    return true;
  }

  #choose(router: string): boolean {
    let best: ControlLink | null = null;
    for (const link of this.#links.values()) {
      if (link.router !== router || link.hearsUsAt === Number.NEGATIVE_INFINITY) continue;
      if (!best || link.cost < best.cost) best = link;
    }
    const before = this.best.get(router);
    if (before === (best ?? undefined)) return false;
    if (best) this.best.set(router, best);
    else this.best.delete(router);
    return true;
  }
}

/** It did hear this router, and has not said so for too long. */
function expired(at: number, now: number): boolean {
  return at !== Number.NEGATIVE_INFINITY && now - at > HELLO_AGE;
}
