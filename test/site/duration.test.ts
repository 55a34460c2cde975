import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatDuration, parseDuration } from '../../src/site/duration.ts';

const test = suite('durations');

test('are read as Go reads them', () => {
  for (const [text, ms] of [
    ['15m0s', 900_000],
    ['1h30m', 5_400_000],
    ['500ms', 500],
    ['1.5s', 1_500],
    ['10m', 600_000],
  ] as const) {
    assert.is(parseDuration(text), ms, text);
  }
  for (const text of ['', '15', 'm', '15 m', '-1m', '1d', '1m!']) assert.is(parseDuration(text), undefined, text);
});

test('and written', () => {
  for (const [ms, text] of [
    [900_000, '15m0s'],
    [60_000, '1m0s'],
    [5_400_000, '1h30m0s'],
    [3_600_000, '1h0m0s'],
    [1_500, '1.5s'],
  ] as const) {
    assert.is(formatDuration(ms), text);
  }
});

test.run();
