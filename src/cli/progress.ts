/**
 * Waiting where somebody looks on: a spinner on a terminal, one line elsewhere; both on stderr.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError } from '../errors.ts';

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const everyMs = 100;
/** What is done before this is not worth a word. */
const quietMs = 300;

export interface Waiting {
  /** Such as `Waiting for create to complete...` */
  message: string;
  timeoutMs: number;
  /** Said when the time is over, with what was the case last. */
  overdue(): string;
}

/** Looks until `look` finds something; throws `timed-out` when that takes too long. */
export async function waitUntil<T>(waiting: Waiting, look: () => Promise<T | undefined>): Promise<T> {
  const { message, timeoutMs, overdue } = waiting;
  const started = performance.now();
  const terminal = process.stderr.isTTY === true;
  let shown = false;
  try {
    for (let turn = 0; ; turn++) {
      const found = await look();
      if (found !== undefined) return found;
      const elapsed = performance.now() - started;
      if (elapsed >= timeoutMs) throw new SkiffError('timed-out', overdue());
      if (elapsed > quietMs && (terminal || !shown)) {
        process.stderr.write(terminal ? `\r${frames[turn % frames.length]} ${message}` : `${message}\n`);
        shown = true;
      }
      await sleep(Math.min(everyMs, Math.max(0, timeoutMs - elapsed)));
    }
  } finally {
    if (shown && terminal) process.stderr.write('\r\u001b[K');
  }
}
