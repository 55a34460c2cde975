/** Rates from two looks at the counters. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TrafficAnswer } from '../../src/api/messages.ts';
import { rates } from '../../src/cli/top.ts';

const test = suite('top');

const at = (moment: number, octetsIn: number, octetsOut: number): TrafficAnswer => ({
  at: moment,
  parts: [{ kind: 'link', name: 'hub', connections: 1, octetsIn, octetsOut }],
});

test('a rate is what came in the time between, and a counter that began again counts from zero', () => {
  const [row] = rates(at(1_000, 100, 5_000), at(3_000, 700, 300));
  assert.is(row.inRate, 300);
  assert.is(row.outRate, 150);
  const [fresh] = rates({ at: 0, parts: [] }, at(1_000, 700, 300));
  assert.is(fresh.inRate, 0, 'nothing is known of before');
});

test.run();
