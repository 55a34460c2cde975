/**
 * How far a stream may run ahead of the far end's word (`received` with a section-offset, recorded in
 * `test/fixtures/wire`). skupper-router's window is 1 MiB, of which the other end tells every half. That keeps a fast
 * stream waiting for word half of its time, so ours grows while the far end is quick to take what it is sent. A window
 * that fills faster than the line empties is only a longer queue, in which others on the same link wait too: ours
 * shrinks again when octets take longer on their way than they did at best.
 */

/** Octets of every stream's window, and of the largest. */
export const WINDOW = 1024 * 1024;
export const LARGEST_WINDOW = 4 * WINDOW;
/** Octets by which the windows of this process may have grown, all together: what a stall of all of them adds. */
const MOST_GROWTH = 64 * WINDOW;
/** Milliseconds in which a far end that is worth a larger window takes a whole one. */
const QUICK = 100;
/** Milliseconds after which a far end that has not taken a window is worth no more than the smallest. */
const SLOW = 1000;
/** Milliseconds beyond the best time, below which a window is worth doubling, and above which half of it waits in line. */
const SHORT_QUEUE = 2;
const LONG_QUEUE = 5;
/** Milliseconds after which a window that had grown in vain may try again. */
const TRY_AGAIN = 1000;

let growth = 0;

/** Octets by which windows are larger than they begin, over all streams. */
export function windowGrowth(): number {
  return growth;
}

export class StreamWindow {
  #size = WINDOW;
  #sent = 0;
  #taken = 0;
  #unbounded = false;
  /** Since when, and from where, a window is being taken. */
  #since = 0;
  #from = 0;
  /** It has been full meanwhile. */
  #waited = false;
  /** Milliseconds in which a window was taken at best, while the stream did not lack octets. */
  #best = Number.POSITIVE_INFINITY;
  /** When it may grow again. */
  #growsFrom = 0;
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get sent(): number {
    return this.#sent;
  }

  /** No more may be sent before the far end has taken some. */
  get full(): boolean {
    return !this.#unbounded && this.#sent - this.#taken >= this.#size;
  }

  send(octets: number): void {
    this.#sent += octets;
  }

  /** The far end has taken all octets up to `offset`. */
  take(offset: number): void {
    if (offset <= this.#taken) return;
    this.#waited ||= this.full;
    this.#taken = offset;
    if (offset - this.#from < this.#size) return;
    const now = this.#now();
    const elapsed = now - this.#since;
    if (elapsed > SLOW) this.#resize(WINDOW);
    else if (this.#waited) this.#adapt(elapsed, now);
    this.#since = now;
    this.#from = offset;
    this.#waited = false;
  }

  /** The far end says no more how far it is: it has everything, or wants nothing. */
  open(): void {
    this.#unbounded = true;
  }

  /** The stream is over. */
  close(): void {
    this.#resize(WINDOW);
  }

  #adapt(elapsed: number, now: number): void {
    this.#best = Math.min(this.#best, elapsed);
    const queued = elapsed - this.#best;
    if (queued > LONG_QUEUE) {
      this.#resize(Math.max(this.#size / 2, WINDOW));
      this.#growsFrom = now + TRY_AGAIN;
    } else if (queued <= SHORT_QUEUE && elapsed <= QUICK && now >= this.#growsFrom) {
      this.#resize(Math.min(2 * this.#size, LARGEST_WINDOW));
    }
  }

  #resize(size: number): void {
    const more = size - this.#size;
    if (growth + more > MOST_GROWTH) return;
    growth += more;
    this.#size = size;
  }
}
