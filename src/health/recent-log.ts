/** The last records of the log, kept in memory for whoever asks what happened. */
import type { LogRecord, LogSink } from '../log.ts';

export class RecentLog {
  readonly #capacity: number;
  #records: LogRecord[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Oldest first. */
  get records(): LogRecord[] {
    return this.#records.slice(-this.#capacity);
  }

  /** Keeps each record, and hands it on. */
  before(next: LogSink): LogSink {
    return (record) => {
      this.#records.push(record);
      // Cut at twice the size, so that most records cost a push and no more.
      if (this.#records.length >= 2 * this.#capacity) this.#records = this.records;
      next(record);
    };
  }
}
