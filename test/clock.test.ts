/** What time it is when the machine does not know: forwards, backwards, and back to the machine's. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Clock } from '../src/clock.ts';

const test = suite('clock');
const machine = Date.now;
const year = 365 * 24 * 3_600_000;

test.after.each(() => {
  Date.now = machine;
});

/** Sets the machine's clock. */
const set = (offset: number) => {
  Date.now = () => machine() + offset;
};

const isAbout = (time: number, expected: number) => assert.ok(Math.abs(time - expected) < 5_000, `${time - expected}`);

test('the machine is believed unless it is behind what has surely been', () => {
  isAbout(new Clock(machine() - year).now(), machine());
  set(-50 * year);
  const clock = new Clock(machine() - year);
  isAbout(clock.now(), machine() - year);
  assert.ok(clock.isCorrected);
  set(0);
  isAbout(clock.now(), machine());
  assert.not(clock.isCorrected);
});

test('a correction counts, in both directions, until the machine says the same', () => {
  for (const offset of [-50 * year, 20 * year]) {
    set(offset);
    const clock = new Clock();
    let told = 0;
    clock.onCorrection = () => told++;
    assert.ok(clock.correct(machine()));
    isAbout(clock.now(), machine());
    assert.ok(Number.isInteger(clock.now()));
    assert.not(clock.correct(machine() + 1_000), 'a second is no matter');
    assert.is(told, 1);
    set(0);
    isAbout(clock.now(), machine());
    assert.not(clock.isCorrected);
    set(1_000);
    isAbout(clock.now(), machine() + 1_000);
  }
});

test.run();
