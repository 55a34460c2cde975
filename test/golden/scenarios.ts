/** Recorded edge links that are replayed against either side of ours. */
import * as assert from 'uvu/assert';
import type { Side } from './capture.ts';
import { meaningOfOpen } from './dialogue.ts';
import { replay } from './replay.ts';

/** TCP connections. */
export const STREAMS = [
  'edge',
  'edge-cases',
  'edge-reverse',
  'edge-window',
  'external',
  'hub-to-edge',
  'idle',
  'refused',
  'reset-client',
  'reset-server',
  'reused-link',
  'two-streams',
  'withdrawn',
  'withdrawn-live',
];

/** Messages of plain AMQP clients. */
export const MESSAGES = ['aborted', 'modified', 'rejected', 'released'];

/** Compares what our router says with what the recorded router said in its place. */
export async function compare(name: string, ours: Side): Promise<void> {
  const outcome = await replay(`${name}.0`, ours, MESSAGES.includes(name));
  try {
    assert.equal(meaningOfOpen(outcome.live.opens[ours]), meaningOfOpen(outcome.recording.opens[ours]));
    assert.equal(Object.keys(outcome.ours), Object.keys(outcome.recorded), 'the same links');
    for (const [link, said] of Object.entries(outcome.recorded)) assert.equal(outcome.ours[link], said, link);
  } finally {
    await outcome.close();
  }
}
