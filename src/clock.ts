/**
 * What time it is, as far as this machine can be believed: boxes without a battery start in 1970, and some are years
 * ahead. Once the clock was found to be wrong, time goes on from what it was found to be, until the machine says the same.
 */

/** A difference that is of no matter. */
const noticeableMs = 60_000;

export class Clock {
  /** What time it was, by a clock that goes on evenly whatever the machine's is set to. */
  #base: { time: number; tick: number; least: boolean } | null = null;
  onCorrection: () => void = () => {};

  /** `past`: a moment that has surely been. */
  constructor(past = 0) {
    if (Date.now() < past) this.#base = { time: past, tick: performance.now(), least: true };
  }

  /** Milliseconds since the epoch. */
  readonly now = (): number => {
    if (!this.#base) return Date.now();
    const { time, tick, least } = this.#base;
    const believed = Math.round(time + (performance.now() - tick));
    const machine = Date.now();
    if (!(least && machine > believed) && Math.abs(machine - believed) > noticeableMs) return believed;
    this.#base = null;
    return machine;
  };

  /** Whether it differs from the machine's. */
  get isCorrected(): boolean {
    this.now();
    return this.#base !== null;
  }

  /** Somebody who is to be believed says what time it is. Says whether that is news. */
  correct(time: number): boolean {
    if (Math.abs(time - this.now()) <= noticeableMs) return false;
    this.#base = { time, tick: performance.now(), least: false };
    this.onCorrection();
    return true;
  }
}
