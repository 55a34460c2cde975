/**
 * How fast devices are let in. Those that come when too many do are each told another moment to come again, one after
 * the other, so that the herd comes back as a line.
 */
/** Of the pace, the share for those who were told when to come; the rest is for who comes new. */
const shareOfLine = 0.8;

export class Pace {
  readonly #aSecond: number;
  readonly #atOnce: number;
  readonly #now: () => number;
  #left: number;
  #filledAt: number;
  /** The moment that the last one was told. */
  #lineEnds = 0;

  /** `now`: milliseconds. */
  constructor(aSecond: number, atOnce: number, now: () => number = () => performance.now()) {
    this.#aSecond = aSecond;
    this.#atOnce = atOnce;
    this.#now = now;
    this.#left = atOnce;
    this.#filledAt = now();
  }

  /** Seconds after which to come again; 0: now is fine. */
  wait(): number {
    const now = this.#now();
    this.#left = Math.min(this.#atOnce, this.#left + ((now - this.#filledAt) / 1_000) * this.#aSecond);
    this.#filledAt = now;
    if (this.#left >= 1) {
      this.#left--;
      return 0;
    }
    this.#lineEnds = Math.max(now, this.#lineEnds) + 1_000 / (this.#aSecond * shareOfLine);
    return Math.ceil((this.#lineEnds - now) / 1_000);
  }
}
