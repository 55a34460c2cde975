/** The window of a stream: never more than it says, larger for a far end that is quick, bounded for all together. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LARGEST_WINDOW, StreamWindow, WINDOW, windowGrowth } from '../../src/tcp/window.ts';

const test = suite('window');
const HALF = WINDOW / 2;

/** A stream that sends all it may to a far end that takes half a window in `pace` milliseconds. */
class Flow {
  now = 0;
  taken = 0;
  readonly window = new StreamWindow(() => this.now);

  /** Octets under way, after `halves` were taken. */
  run(halves: number, pace: number): number {
    for (let count = 0; count < halves; count++) {
      this.#fill();
      this.now += pace;
      this.taken += HALF;
      this.window.take(this.taken);
    }
    this.#fill();
    return this.window.sent - this.taken;
  }

  #fill(): void {
    while (!this.window.full) this.window.send(HALF);
  }
}

test('a window begins as large as that of other routers', () => {
  const flow = new Flow();
  assert.is(flow.run(0, 0), WINDOW);
  flow.window.close();
});

test('it grows while the far end is quick, to a limit', () => {
  const flow = new Flow();
  assert.is(flow.run(100, 5), LARGEST_WINDOW);
  assert.is(windowGrowth(), LARGEST_WINDOW - WINDOW);
  flow.window.close();
  assert.is(windowGrowth(), 0);
});

test('it stays as it is for a far end that takes its time', () => {
  const flow = new Flow();
  assert.is(flow.run(100, 80), WINDOW);
  flow.window.close();
});

test('it shrinks again when the far end has become slow', () => {
  const flow = new Flow();
  flow.run(100, 5);
  assert.is(flow.run(20, 800), WINDOW);
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
  const sizes = flows.map((flow) => flow.run(100, 5));
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
