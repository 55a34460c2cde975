/** Lines that are cut, held up, made longer and restored at random. */
import { sleep } from './eventually.ts';
import type { Line } from './topology.ts';

/**
 * Milliseconds from one harm to the next, and how long each lasts, at most: long enough for routers to be missed, and no
 * more than half of all the time there is.
 */
const BETWEEN = 1_200;
const LASTS = 7_000;
const LONGEST_DELAY = 200;

const harms: ((line: Line) => void)[] = [
  ({ relay }) => relay.cut(),
  ({ relay }) => relay.hold(),
  ({ relay }) => {
    relay.delay = Math.random() * LONGEST_DELAY;
  },
];

/** For so many milliseconds; all lines are whole when it resolves with the number of harms that were done. */
export async function harmAtRandom(lines: Line[], milliseconds: number): Promise<number> {
  const until = performance.now() + milliseconds;
  const lasts = Math.min(LASTS, milliseconds / 2);
  const mending = new Map<Line, Promise<void>>();
  let count = 0;
  while (performance.now() < until) {
    const whole = lines.filter((line) => !mending.has(line));
    const line = whole[Math.floor(Math.random() * whole.length)];
    if (line) {
      harms[count++ % harms.length]?.(line);
      const mended = sleep(Math.random() * lasts).then(() => {
        mend(line);
        mending.delete(line);
      });
      mending.set(line, mended);
    }
    await sleep(Math.random() * BETWEEN);
  }
  await Promise.all(mending.values());
  return count;
}

export function mend({ relay }: Line): void {
  relay.delay = 0;
  relay.restore();
}
