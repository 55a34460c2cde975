/**
 * Which of an edge's links carries the traffic: the cheapest that is connected and answers. The others stand by,
 * connected, and one of them takes over when it is gone, or when it is silent where they are not: a line may be dead
 * long before its idle timeout says so.
 */
import { log } from '../log.ts';
import type { Link } from './link.ts';
import type { Uplink } from './uplink.ts';

/** How long the way before stays open beside a new one, for word of what is reachable to come by that. */
const SETTLE = 1_000;
/** How often it is looked whether the active one answers, in milliseconds. */
const LOOK_EVERY = 100;
/** How long what was sent may go without an answer until both ends are asked for a sign of life, and for that, too. */
const PATIENCE = 200;
/** Round trips that the sign of life may take where that is longer. */
const PATIENT_ROUND_TRIPS = 4;
/** Octets beyond which something was said: an empty frame asks for no answer. */
const EMPTY_FRAMES = 80;
/**
 * How long a line that was silent has to answer, and a hub to be there, before they are the way again where another works:
 * a hub that has just started knows nothing of the network yet.
 */
const CALM = 10_000;
/** After the first link has come to stand, the cheapest is chosen at once as it comes, as long as none was lost. */
const BEGINNING = 2_000;

/** What was seen of the active uplink when it was last looked at. */
interface Look {
  uplink: Uplink;
  heard: number;
  /** What had been sent when it was last heard. */
  octetsOut: number;
  /** Since when there is something that it should answer; when it was asked for a sign of life. */
  waitingSince: number | null;
  askedAt: number | null;
}

export class Uplinks {
  readonly #links: () => Link[];
  /** Connections that were silent where others were not: since when they are heard again. */
  readonly #silent = new Map<Uplink, { since: number; heardAt: number | null }>();
  /** When each was first seen. */
  readonly #since = new WeakMap<Uplink, number>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** When the first link came to stand; long ago once the one in use was lost. */
  #began: number | null = null;
  #chosen: Uplink | null = null;
  #look: Look | null = null;
  #looking: NodeJS.Timeout | null = null;

  constructor(links: () => Link[]) {
    this.#links = links;
  }

  /** To be called whenever a link has come to stand, is gone or about to go, or costs something else. */
  elect(): void {
    const links = this.#connected();
    if (this.#chosen?.leaving || this.#chosen?.connection.closed) this.#began = Number.NEGATIVE_INFINITY;
    for (const uplink of [...this.#silent.keys()]) if (uplink.connection.closed) this.#silent.delete(uplink);
    const answering = links.filter(({ uplink }) => uplink && !uplink.leaving && !this.#silent.has(uplink));
    const best = cheapest(this.#proven(answering)) ?? cheapest(links);
    this.#chosen = best?.uplink ?? null;
    this.#chosen?.activate();
    for (const { uplink } of links) if (uplink?.active && uplink !== this.#chosen) this.#stepBack(uplink);
    for (const link of links) link.showActive();
    this.#watch(links.length > 1);
  }

  /** Those that one which works may be left for. */
  #proven(answering: Link[]): Link[] {
    const now = performance.now();
    for (const { uplink } of answering) if (uplink && !this.#since.has(uplink)) this.#since.set(uplink, now);
    this.#began ??= answering.length > 0 ? now : null;
    const works = answering.some(({ uplink }) => uplink === this.#chosen);
    if (!works || now - (this.#began ?? now) < BEGINNING) return answering;
    return answering.filter(({ uplink }) => {
      if (!uplink || uplink === this.#chosen) return uplink !== null;
      const left = (this.#since.get(uplink) ?? now) + CALM - now;
      if (left > 0) this.#later(left, () => this.elect());
      return left <= 0;
    });
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#watch(false);
  }

  #connected(): Link[] {
    return this.#links().filter(({ uplink }) => uplink !== null);
  }

  /** A line that is silent is no way for anything; any other one is until the new one knows what is reachable. */
  #stepBack(uplink: Uplink): void {
    if (this.#silent.has(uplink)) {
      uplink.deactivate();
      return;
    }
    this.#later(SETTLE, () => {
      if (uplink === this.#chosen) return;
      uplink.deactivate();
      for (const link of this.#connected()) link.showActive();
    });
  }

  #later(delay: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, delay);
    this.#timers.add(timer);
  }

  #watch(wanted: boolean): void {
    if (wanted) {
      this.#looking ??= setInterval(() => this.#lookAtLines(), LOOK_EVERY);
      return;
    }
    if (this.#looking) clearInterval(this.#looking);
    this.#looking = null;
    this.#look = null;
  }

  #lookAtLines(): void {
    const now = performance.now();
    if (this.#isSilent(now)) this.elect();
    for (const [uplink, silence] of this.#silent) {
      if (uplink.connection.lastHeard > silence.since) silence.heardAt ??= now;
      if (silence.heardAt === null || now - silence.heardAt < CALM) continue;
      this.#silent.delete(uplink);
      this.elect();
    }
  }

  /** Whether the active one has just been found silent. */
  #isSilent(now: number): boolean {
    const active = this.#connected().find(({ uplink }) => uplink === this.#chosen);
    if (!active?.uplink || this.#silent.has(active.uplink)) return false;
    const { uplink } = active;
    const { lastHeard: heard, octetsOut } = uplink.connection;
    const look = this.#look;
    if (look?.uplink !== uplink || look.heard !== heard) {
      this.#look = { uplink, heard, octetsOut, waitingSince: null, askedAt: null };
      return false;
    }
    if (octetsOut - look.octetsOut <= EMPTY_FRAMES) return false;
    look.waitingSince ??= now;
    if (look.askedAt === null) {
      if (now - look.waitingSince < PATIENCE) return false;
      look.askedAt = now;
      for (const link of this.#connected()) link.askForSign();
      return false;
    }
    const patience = Math.max(PATIENCE, PATIENT_ROUND_TRIPS * (active.roundTripMs ?? 0));
    if (now - look.askedAt < patience || !this.#othersAnswer(uplink, look.askedAt)) return false;
    this.#silent.set(uplink, { since: now, heardAt: null });
    log.warn('link', `${active.config.name} does not answer, and others do: it is not used until it does`);
    return true;
  }

  #othersAnswer(uplink: Uplink, since: number): boolean {
    return this.#connected().some((link) => {
      const other = link.uplink as Uplink;
      return other !== uplink && !this.#silent.has(other) && other.connection.lastHeard > since;
    });
  }
}

function cheapest(links: Link[]): Link | null {
  return links.reduce<Link | null>((best, link) => (best && best.config.cost <= link.config.cost ? best : link), null);
}
