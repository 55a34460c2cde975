/** The routing messages that were recorded are understood, and written again with the same octets. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Reader } from '../../src/amqp/codec.ts';
import { readHead } from '../../src/amqp/message.ts';
import { readRouting, writeRouting } from '../../src/router/mesh/encoding.ts';
import type { Destination, RoutingMessage } from '../../src/router/mesh/messages.ts';
import { readCapture } from './capture.ts';

const test = suite('recorded routing messages');

/** The control connection of two interior routers: its transfers are routing messages, one each. */
const recorded = readCapture('interior.1').frames.flatMap(({ frame }) => {
  if (frame.type !== 'transfer') return [];
  const head = readHead(frame.payload, 0, frame.payload.length, true);
  return head?.to?.includes('/qd') ? [{ octets: frame.payload, to: head.to, bodyStart: head.bodyStart }] : [];
});

function destination(to: string): Destination {
  if (to === 'amqp:/_local/qdhello') return 'neighbour';
  const router = to.split('/')[3] as string;
  return router === 'all' ? 'all' : { router };
}

/** The same value with its lists and maps in the short form: skupper-router always writes the long one. */
function shortened(octets: Buffer): Buffer {
  const parts: Buffer[] = [];
  const reader = new Reader(octets);
  while (!reader.done) {
    const start = reader.offset;
    const code = octets[start] as number;
    reader.skip();
    if (code !== 0xd0 && code !== 0xd1) {
      parts.push(octets.subarray(start, reader.offset));
      continue;
    }
    const elements = shortened(octets.subarray(start + 9, reader.offset));
    parts.push(Buffer.of(code - 0x10, elements.length + 1, octets.readUInt32BE(start + 5)), elements);
  }
  return Buffer.concat(parts);
}

const BODY_DESCRIPTOR = 3;

test('all six kinds are there', () => {
  const opcodes = recorded.map(({ octets }) => readRouting(octets).opcode);
  assert.equal([...new Set(opcodes)].sort(), ['HELLO', 'LSR', 'LSU', 'MAR', 'MAU', 'RA']);
});

test('each is written as it was recorded', () => {
  for (const { octets, to, bodyStart } of recorded) {
    const message = readRouting(octets);
    const written = writeRouting(message as RoutingMessage, destination(to));
    const head = readHead(written, 0, written.length, true);
    assert.is(head?.to, to);
    assert.equal(readRouting(written), message);
    const expected = shortened(octets.subarray(bodyStart + BODY_DESCRIPTOR));
    assert.is(written.toString('hex', (head?.bodyStart ?? 0) + BODY_DESCRIPTOR), expected.toString('hex'), to);
  }
});

test('what they say is understood', () => {
  const messages = recorded.map(({ octets }) => readRouting(octets));
  const update = messages.find((each) => each.opcode === 'LSU' && each.id === 'hub');
  assert.equal(update?.opcode === 'LSU' && [...update.peers], [['site2', 1]]);
  const addresses = messages.find((each) => each.opcode === 'MAU' && each.id === 'hub');
  assert.equal(addresses?.opcode === 'MAU' && 'exist' in addresses.change && addresses.change.exist, [
    { key: 'Msfe.C850H:0', treatment: 'closest' },
    { key: 'Mvfcr.C850H:0', treatment: 'closest' },
    { key: 'Mecho:7', treatment: 'balanced' },
  ]);
});

test.run();
