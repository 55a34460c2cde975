/**
 * Words of a command line that stand for more than themselves, and what is said of those that do not.
 */
import { SkiffError } from '../errors.ts';
import { parseDuration } from '../site/duration.ts';
import { metadataFields } from '../site/kinds.ts';
import { usageError } from './command.ts';

export function documentName(what: string, word: string): string {
  const { name } = metadataFields;
  const complaint = name.type === 'string' ? name.check?.(word) : undefined;
  if (complaint) throw usageError(`${what} is not valid: ${complaint}`, 'Such as link-hub');
  return word;
}

export function costOf(word: string): number {
  if (!/^\d{1,9}$/.test(word)) throw usageError(`link cost is not valid: "${word}"`, 'Give a whole number, such as 1');
  return Number(word);
}

const shortestTimeoutMs = 10_000;

/** Milliseconds. */
export function timeoutOf(word: string): number {
  const timeout = parseDuration(word);
  if (timeout !== undefined && timeout >= shortestTimeoutMs) return timeout;
  throw usageError('timeout is not valid: it must be 10s or more', 'Such as 60s or 2m');
}

/** Fails when it takes longer; the work itself goes on to its end. */
export async function withinTime<T>(withinMs: number, failure: string, work: Promise<T>): Promise<T> {
  const overdue = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => overdue.reject(new SkiffError('timed-out', `${failure} within ${withinMs / 1_000} s`, { hint: 'Try again' })),
    withinMs,
  );
  try {
    return await Promise.race([work, overdue.promise]);
  } finally {
    clearTimeout(timer);
  }
}
