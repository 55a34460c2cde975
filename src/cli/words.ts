/**
 * Words of a command line that stand for more than themselves, and what is said of those that do not.
 */
import { SkiffError } from '../errors.ts';
import { metadataFields } from '../site/kinds.ts';
import { usageError } from './command.ts';

export function documentName(what: string, word: string): string {
  const { name } = metadataFields;
  const complaint = name.type === 'string' ? name.check?.(word) : undefined;
  if (complaint) throw usageError(`${what} is not valid: ${complaint}`, 'Such as link-hub');
  return word;
}

const shortestTimeoutMs = 10_000;

/** Milliseconds, as they are. */
export function timeoutOf(timeout: number): number {
  if (timeout >= shortestTimeoutMs) return timeout;
  throw usageError('timeout is not valid: it must be 10s or more', 'Such as 60s or 2m');
}

export const costOption = { type: 'integer', value: 'N', label: 'link cost', help: 'of the link' } as const;

export const timeoutOption = {
  type: 'duration',
  value: 'TIME',
  default: 60_000,
  help: 'how long to wait (60s)',
} as const;

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
