/** Waiting for what comes true by itself: as soon as it is, and with patience for a slow machine. */

const LOOK_EVERY_MS = 20;

export const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Resolves with the first answer of `look` that is not undefined, null or false. `what` names it in the failure, and
 * `explain` may add what is the case instead.
 */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  { withinMs = 15_000, explain }: { withinMs?: number; explain?: () => unknown } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined && found !== null && found !== false) return found as NonNullable<Exclude<T, false>>;
      last = found;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      const instead = explain ? await explain() : last;
      const shown = instead instanceof Error ? instead.stack : JSON.stringify(instead, null, 2);
      throw new Error(`it did not come true within ${withinMs} ms: ${what}. Instead: ${shown}`);
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** Rejects when `promise` takes longer than `withinMs`. */
export async function within<T>(what: string, promise: Promise<T>, withinMs = 20_000): Promise<T> {
  const overdue = Promise.withResolvers<never>();
  const timer = setTimeout(() => overdue.reject(new Error(`not within ${withinMs} ms: ${what}`)), withinMs);
  try {
    return await Promise.race([promise, overdue.promise]);
  } finally {
    clearTimeout(timer);
  }
}
