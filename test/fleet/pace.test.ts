/** How a herd that comes at once is let in. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Pace } from '../../src/fleet/pace.ts';

const test = suite('pace');

test('a few at once are let in at once', () => {
  const pace = new Pace(10, 20, () => 0);
  assert.equal(
    Array.from({ length: 20 }, () => pace.wait()),
    Array(20).fill(0),
  );
  assert.is(pace.wait(), 1);
});

test('a herd comes back as a line, and nobody has to come often', () => {
  let now = 0;
  const pace = new Pace(10, 20, () => now);
  const due = Array.from({ length: 500 }, () => 0);
  const times = due.map(() => 0);
  let admitted = 0;
  for (; admitted < due.length; now += 100) {
    let together = 0;
    for (const [index, at] of due.entries()) {
      if (at > now) continue;
      times[index]++;
      const wait = pace.wait();
      due[index] = wait > 0 ? now + wait * 1_000 : Number.POSITIVE_INFINITY;
      if (wait === 0) together++;
    }
    admitted += together;
    assert.ok(together <= 20, 'never more than may come at once');
  }
  assert.ok(now < 80_000, `${now} ms for 500 at 10 a second`);
  assert.ok(Math.max(...times) <= 4, `${Math.max(...times)} tries`);
});

test.run();
