/**
 * What the devices of a fleet last said of themselves. Reports come by the hundred a second, so they are kept in memory
 * and written down together.
 */
import type { Store } from '../store/store.ts';
import { guarded } from './guarded.ts';
import type { Report } from './messages.ts';

export interface Heard {
  report: Report;
  /** The beginning of the digest of each of its documents. */
  parts: Record<string, string>;
  /** Milliseconds since the epoch. */
  at: number;
  /** By a clock that goes on evenly; null for what was heard before this start. */
  tick: number | null;
}

/** Milliseconds from one writing to the next. */
const writeEvery = 2_000;

export class HeardReports {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #all = new Map<string, Heard>();
  readonly #unwritten = new Set<string>();
  #writing: NodeJS.Timeout | null = null;

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
    for (const { device, report, at } of store.desired.reports()) {
      const { parts = {}, ...rest } = JSON.parse(report) as Report;
      this.#all.set(device, { report: rest, parts, at, tick: null });
    }
  }

  start(): void {
    this.#writing = setInterval(() => this.#write(), writeEvery);
    this.#writing.unref();
  }

  close(): void {
    if (this.#writing) clearInterval(this.#writing);
    this.#write();
  }

  /** How many devices have ever been heard. */
  get count(): number {
    return this.#all.size;
  }

  of(device: string): Heard | undefined {
    return this.#all.get(device);
  }

  /** Keeps a report; null when it was said before. */
  take(device: string, { parts, ...report }: Report): Heard | null {
    const before = this.#all.get(device);
    if (before?.report.boot === report.boot && before.report.seq >= report.seq) return null;
    const known = parts ?? (before?.report.hash === report.hash ? before.parts : {});
    const heard = { report, parts: known, at: this.#now(), tick: performance.now() };
    this.#all.set(device, heard);
    this.#unwritten.add(device);
    return heard;
  }

  /** To be called in a transaction. */
  forget(device: string): void {
    this.#all.delete(device);
    this.#unwritten.delete(device);
    this.#store.desired.removeReport(device);
  }

  /** What cannot be written is in memory still, and comes again with the next report. */
  #write(): void {
    if (this.#unwritten.size === 0) return;
    const devices = [...this.#unwritten];
    this.#unwritten.clear();
    guarded(() =>
      this.#store.transaction(() => {
        for (const device of devices) {
          const heard = this.#all.get(device);
          if (!heard) continue;
          this.#store.desired.putReport(device, JSON.stringify({ ...heard.report, parts: heard.parts }), heard.at);
        }
      }),
    );
  }
}
