/** The last records of the log. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RecentLog } from '../../src/health/recent-log.ts';
import type { LogRecord } from '../../src/log.ts';

const test = suite('recent log');

test('it keeps the last records in order, and hands each on', () => {
  const recent = new RecentLog(3);
  const seen: string[] = [];
  const sink = recent.before(({ message }) => seen.push(message));
  for (let i = 1; i <= 20; i++) {
    sink({ time: i, level: 'info', part: 'test', message: `${i}` } as LogRecord);
    const kept = recent.records.map(({ message }) => message);
    assert.equal(kept, seen.slice(-3));
  }
  assert.is(seen.length, 20);
});

test.run();
