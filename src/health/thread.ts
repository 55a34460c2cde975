/**
 * How a thread is doing: the memory of its JavaScript, what its event loop waits for, and how late that gets round to
 * what is due. Counts of delays only ever grow, as metrics want them, so any number of observers may look.
 */
import { getHeapStatistics } from 'node:v8';

/** How often the event loop is looked at, in milliseconds. */
const lookEvery = 250;

/** Upper bounds of the delays that are told apart, in seconds. */
export const delayBounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];

export interface ThreadFacts {
  heapOctets: number;
  /** Timers, sockets and the like that the event loop waits for, by Node's names of their kinds. */
  awaited: Record<string, number>;
  delays: {
    /** Looks that were late by no more than each of `delayBounds`. */
    within: number[];
    looks: number;
    /** Seconds, of all looks together. */
    sum: number;
  };
}

export class ThreadWatch {
  readonly #timer: NodeJS.Timeout;
  readonly #within = delayBounds.map(() => 0);
  #looks = 0;
  #sum = 0;

  constructor() {
    let due = performance.now() + lookEvery;
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.#note(Math.max(0, now - due) / 1_000);
      due = now + lookEvery;
    }, lookEvery);
    // Watching keeps no thread alive.
    this.#timer.unref();
  }

  get facts(): ThreadFacts {
    const delays = { within: [...this.#within], looks: this.#looks, sum: this.#sum };
    return { heapOctets: getHeapStatistics().used_heap_size, awaited: awaited(), delays };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #note(delay: number): void {
    this.#looks++;
    this.#sum += delay;
    delayBounds.forEach((bound, index) => {
      if (delay <= bound) this.#within[index]++;
    });
  }
}

function awaited(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
