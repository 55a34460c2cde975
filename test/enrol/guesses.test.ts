import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Guesses } from '../../src/enrol/guesses.ts';

const test = suite('guesses');

test('ten wrong ones a minute, for each secret by itself; right ones count nothing', () => {
  const clock = { now: 0 };
  const guesses = new Guesses(() => clock.now);
  for (let turn = 0; turn < 20; turn++) assert.ok(guesses.check('a', 'secret', 'secret'));
  for (let turn = 0; turn < 10; turn++) {
    assert.is(guesses.wait('a'), 0);
    assert.not(guesses.check('a', 'secret', turn % 2 ? '' : 'secret '));
    clock.now += 1_000;
  }
  assert.is(guesses.wait('a'), 50_000);
  assert.is(guesses.wait('b'), 0);
  clock.now = 60_000;
  assert.is(guesses.wait('a'), 0, 'the first is a minute ago');
  assert.not(guesses.check('a', 'secret', 'no'));
  assert.is(guesses.wait('a'), 1_000);
  guesses.forget('a');
  assert.is(guesses.wait('a'), 0);
});

test.run();
