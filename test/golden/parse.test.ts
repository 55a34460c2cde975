/** Every octet of every recorded conversation goes through the router's own readers. */
import { readdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readBody } from '../../src/amqp/message.ts';
import { FIXTURES, readCapture } from './capture.ts';
import { type DeliverySeen, Dialogue, sectionsOf } from './dialogue.ts';

const NAMES = readdirSync(FIXTURES).flatMap((file) => /^capture-(.*)\.jsonl\.gz$/.exec(file)?.[1] ?? []);

for (const name of NAMES) {
  test(`${name} is read wholly`, () => {
    const { frames, left } = readCapture(name);
    const dialogue = new Dialogue();
    for (const { side, frame } of frames) dialogue.take(side, frame);
    assert.is(left, 0, 'no octets are left over');
    for (const side of ['connector', 'listener'] as const) {
      assert.ok(dialogue.opens[side], `the open of the ${side} is read`);
      const headers = frames.filter((each) => each.side === side && each.frame.type === 'header');
      assert.ok(headers.length > 0, `the ${side} begins with a protocol header`);
    }
    for (const delivery of dialogue.deliveries.values())
      if (delivery.complete && !delivery.aborted) readMessage(delivery);
  });
}

function readMessage(delivery: DeliverySeen): void {
  const { head, key, link } = delivery;
  assert.ok(head, `the head of ${key} is read`);
  const { body } = readBody(sectionsOf(delivery));
  if (link.address === '_$qd.edge_addr_tracking') {
    const [address, reachable] = body as unknown[];
    assert.type(address, 'string');
    assert.type(reachable, 'boolean');
  }
}

test('there are captures', () => assert.ok(NAMES.length >= 30));

test.run();
