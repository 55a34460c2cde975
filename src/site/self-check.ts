/**
 * Whether a running site is alive in all its parts: the router thread answers, the database can be read. The main thread
 * proves itself by running this at all.
 */
import { SkiffError } from '../errors.ts';
import type { Store } from '../store/store.ts';
import type { Site } from './site.ts';

/** Milliseconds; a router thread that needs longer for an answer carries nothing either. */
const patienceMs = 5_000;

/** Hands back the milliseconds that a round trip through the router thread took. */
export async function selfCheck(site: Site, store: Store): Promise<number> {
  store.documents.count();
  const started = performance.now();
  await answered(site.measure());
  return performance.now() - started;
}

/** What the router thread answers, if it does. */
export async function answered<T>(answer: Promise<T>): Promise<T> {
  const overdue = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const message = `the router thread does not answer within ${patienceMs / 1_000} s`;
    overdue.reject(
      new SkiffError('router-hangs', message, { hint: 'It is started again by whatever watches over it' }),
    );
  }, patienceMs);
  try {
    return await Promise.race([answer, overdue.promise]);
  } finally {
    clearTimeout(timer);
  }
}
