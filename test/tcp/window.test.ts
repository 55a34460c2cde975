/** The window of a stream: never more than it says, larger for a far end that is quick, bounded for all together. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LARGEST_WINDOW, StreamWindow, WINDOW, windowGrowth } from '../../src/tcp/window.ts';

const test = suite('window');
const HALF = WINDOW / 2;

/** A stream that sends all it may over a line, of a round trip in milliseconds and so many octets in each. */
class Flow {
  now = 0;
  taken = 0;
  readonly window = new StreamWindow(() => this.now);
  /** When each half window under way is taken. */
  readonly #underWay: number[] = [];
  /** Until when the line is busy with what was sent. */
  #busy = 0;

  /** Octets that may be under way, after `halves` were taken. */
  run(halves: number, roundTrip: number, rate: number): number {
    for (let count = 0; count < halves; count++) {
      this.#fill(roundTrip, rate);
      this.now = Math.max(this.now, this.#underWay.shift() as number);
      this.taken += HALF;
      this.window.take(this.taken);
    }
    this.#fill(roundTrip, rate);
    return this.window.sent - this.taken;
  }

  #fill(roundTrip: number, rate: number): void {
    while (!this.window.full) {
      this.window.send(HALF);
      this.#busy = Math.max(this.now, this.#busy) + HALF / rate;
      this.#underWay.push(this.#busy + roundTrip);
    }
  }
}

/** Octets in a millisecond. */
const FAST = WINDOW;
const SLOW = WINDOW / 10;

test('a window begins as large as that of other routers', () => {
  const flow = new Flow();
  assert.is(flow.run(0, 0, FAST), WINDOW);
  flow.window.close();
});

test('it grows over a line that has more to carry, to a limit', () => {
  const flow = new Flow();
  assert.is(flow.run(100, 40, FAST), LARGEST_WINDOW);
  assert.is(windowGrowth(), LARGEST_WINDOW - WINDOW);
  flow.window.close();
  assert.is(windowGrowth(), 0);
});

test('it does not grow where octets would only wait in line', () => {
  const flow = new Flow();
  assert.is(flow.run(100, 1, SLOW), WINDOW);
  flow.window.close();
});

test('it stays as it is for a far end that takes its time', () => {
  const flow = new Flow();
  assert.is(flow.run(100, 200, FAST), WINDOW);
  flow.window.close();
});

test('it shrinks again when others take their part of the line', () => {
  const flow = new Flow();
  flow.run(100, 40, FAST);
  assert.is(flow.run(100, 40, SLOW), WINDOW);
  assert.is(windowGrowth(), 0);
  flow.window.close();
});

test('it shrinks at once when the far end has become slow', () => {
  const flow = new Flow();
  flow.run(100, 40, FAST);
  assert.is(flow.run(20, 40, SLOW / 200), WINDOW);
  assert.is(windowGrowth(), 0);
  flow.window.close();
});

test('a stream that never waits needs no larger one', () => {
  let now = 0;
  const window = new StreamWindow(() => now);
  for (let sent = HALF; sent < 100 * WINDOW; sent += HALF) {
    window.send(HALF);
    now++;
    window.take(sent);
  }
  assert.is(windowGrowth(), 0);
  window.close();
});

test('all together grow by so much and no more', () => {
  const flows = Array.from({ length: 40 }, () => new Flow());
  const sizes = flows.map((flow) => flow.run(100, 40, FAST));
  assert.is(windowGrowth(), 64 * WINDOW);
  assert.is(
    sizes.reduce((sum, size) => sum + size, 0),
    (40 + 64) * WINDOW,
  );
  for (const { window } of flows) window.close();
  assert.is(windowGrowth(), 0);
});

test('word that comes late or twice changes nothing', () => {
  const window = new StreamWindow(() => 0);
  window.send(WINDOW);
  window.take(HALF);
  window.take(HALF / 2);
  assert.not(window.full);
  window.send(HALF);
  assert.ok(window.full);
  window.open();
  assert.not(window.full);
  window.close();
});

test.run();
