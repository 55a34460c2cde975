/**
 * When something that is expensive is done again: soon after the first reason, so that what comes together is done at
 * once, and ever later while reasons keep coming.
 */
export class Pace {
  readonly #first: number;
  readonly #last: number;
  #wait: number;
  #doneAt = Number.NEGATIVE_INFINITY;
  /** When it is due, in milliseconds; infinity when there is no reason. */
  dueAt = Number.POSITIVE_INFINITY;

  constructor(first: number, last: number) {
    this.#first = first;
    this.#last = last;
    this.#wait = first;
  }

  /** There is a reason. */
  want(now: number): void {
    if (this.dueAt !== Number.POSITIVE_INFINITY) return;
    if (now - this.#doneAt > this.#last) this.#wait = this.#first;
    this.dueAt = now + this.#wait;
  }

  /** Whether to do it now. */
  take(now: number): boolean {
    if (now < this.dueAt) return false;
    this.dueAt = Number.POSITIVE_INFINITY;
    this.#doneAt = now;
    this.#wait = Math.min(this.#wait * 2, this.#last);
    return true;
  }
}
