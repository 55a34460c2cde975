/**
 * What somebody who looks after the network should see: each cause once, from when it is first seen until it was not
 * seen for a while, and for a day as something that was.
 */
import type { MeshProblemState } from '../protocol.ts';

export interface MeshProblem {
  code:
    | 'duplicate-router-id'
    | 'incompatible-version'
    | 'malformed-routing-message'
    | 'neighbour-changes-id'
    | 'neighbour-floods'
    | 'forged-link-state'
    | 'too-many-routers'
    | 'too-many-addresses';
  message: string;
  /** The router that it is about, when one is known. */
  router: string | null;
}

/** What to do about it. */
const HINTS: Record<MeshProblem['code'], string> = {
  'duplicate-router-id': 'Give one of the two sites a data directory of its own',
  'incompatible-version': 'Update the older of the two',
  'malformed-routing-message': 'Report it, with the product and version of that router',
  'neighbour-changes-id': 'Look at that router',
  'neighbour-floods': 'Look at that router, and revoke its certificate if it is not what it should be',
  'forged-link-state': 'Find out which router of the network was tampered with',
  'too-many-routers': 'Find out which router makes them up',
  'too-many-addresses': 'Look at that router',
};

/** Milliseconds after which what was not seen again is over: who was refused comes again within a minute. */
const OVER_AFTER = 120_000;
const KEPT_FOR = 24 * 60 * 60 * 1_000;
/** How often it is told that something is still going on. */
const TELL_EVERY = 10_000;
/** Causes of one code. Who invents more of them does not get a line for each, and does not hide others. */
const MAX_OF_A_CODE = 10;

interface Cause {
  shown: MeshProblemState;
  /** When it was last seen, by the clock given. */
  seenAt: number;
}

export interface ProblemsHooks {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** It begins, or it is over: for the log. */
  onChange(problem: MeshProblemState): void;
  /** What is to be shown is something else now. */
  onState(problems: MeshProblemState[]): void;
}

export class Problems {
  readonly #hooks: ProblemsHooks;
  readonly #causes = new Map<string, Cause>();
  #toldAt = Number.NEGATIVE_INFINITY;
  #untold = false;

  constructor(hooks: ProblemsHooks) {
    this.#hooks = hooks;
  }

  /** It is seen now, for the first time or again. */
  report({ code, router, message }: MeshProblem): void {
    const cause = `${code} ${router}`;
    const known = this.#causes.get(cause);
    const [seenAt, at] = [this.#hooks.now(), Date.now()];
    this.#untold = true;
    if (known?.shown.active) {
      known.seenAt = seenAt;
      known.shown.at = at;
      known.shown.count++;
      return;
    }
    if (!known && !this.#makeRoom(code)) return;
    const shown = { code, message, hint: HINTS[code], router, active: true, since: at, at, count: 1 };
    this.#causes.set(cause, { shown, seenAt });
    this.#hooks.onChange(shown);
    this.#tell();
  }

  /** To be called now and then: ends what was not seen for a while. */
  look(): void {
    const now = this.#hooks.now();
    let ended = false;
    for (const [cause, { shown, seenAt }] of this.#causes) {
      if (shown.active && now - seenAt > OVER_AFTER) {
        shown.active = false;
        ended = true;
        this.#hooks.onChange(shown);
      }
      if (now - seenAt > KEPT_FOR) ended = this.#causes.delete(cause);
    }
    if (ended || (this.#untold && now - this.#toldAt >= TELL_EVERY)) this.#tell();
  }

  /** Whether one more cause of a code may be kept, in the place of one that is over if need be. */
  #makeRoom(code: MeshProblem['code']): boolean {
    const same = [...this.#causes].filter(([, { shown }]) => shown.code === code);
    if (same.length < MAX_OF_A_CODE) return true;
    const over = same.find(([, { shown }]) => !shown.active);
    return over !== undefined && this.#causes.delete(over[0]);
  }

  /** What goes on comes first, and what was seen last. */
  #tell(): void {
    this.#untold = false;
    this.#toldAt = this.#hooks.now();
    const all = [...this.#causes.values()].map(({ shown }) => ({ ...shown }));
    this.#hooks.onState(all.sort((a, b) => Number(b.active) - Number(a.active) || b.at - a.at));
  }
}
