/** The frames written and read by hand, held against rhea's, and against octets that are wrong. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { described, encode, Typed, uint, ulong, type Writable } from '../../src/amqp/codec.ts';
import {
  Disposition,
  dispositionSize,
  FLOW_MAX,
  Flow,
  FRAME_HEADER,
  hotDescriptor,
  readDisposition,
  readFlow,
  readTransfer,
  TRANSFER_HEADER_MAX,
  Transfer,
  writeDisposition,
  writeFlow,
  writeTransfer,
} from '../../src/amqp/hot.ts';
import { type DeliveryState, Descriptor } from '../../src/amqp/performatives.ts';
import { isRefusal, mutated } from './fuzz.ts';
import { type RheaFields, rheaFrames, rheaOutcomes, rheaPerformatives } from './rhea-codec.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);
const test = suite('hot');

const uint32 = fc.oneof(fc.nat(300), fc.nat(0xffffffff), fc.constantFrom(0, 255, 256, 0xffffffff));
const channel = fc.oneof(fc.nat(10), fc.nat(0xffff));
const tag = fc.uint8Array({ maxLength: 32 }).map((octets) => Buffer.from(octets));
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { freq: 3 });

/** What a frame begins with, in front of its fields. */
const FIELDS = FRAME_HEADER + 3;

const sentTransfer = fc.record({
  channel,
  handle: uint32,
  deliveryId: uint32,
  tag,
  first: fc.boolean(),
  settled: fc.boolean(),
  more: fc.boolean(),
  aborted: fc.boolean(),
  payload: fc.uint8Array({ maxLength: 50 }).map((octets) => Buffer.from(octets)),
});

type SentTransfer = typeof sentTransfer extends fc.Arbitrary<infer T> ? T : never;

function transferFrame(sent: SentTransfer): Buffer {
  const buffer = Buffer.alloc(TRANSFER_HEADER_MAX + sent.payload.length, 0xee);
  const end = writeTransfer(
    buffer,
    0,
    sent.channel,
    sent.handle,
    sent.deliveryId,
    sent.tag,
    sent.first,
    sent.settled,
    sent.more,
    sent.aborted,
    sent.payload.length,
  );
  assert.ok(end <= TRANSFER_HEADER_MAX, 'the header has its limit');
  sent.payload.copy(buffer, end);
  return buffer.subarray(0, end + sent.payload.length);
}

test('a transfer that we write we read', () => {
  const read = new Transfer();
  fc.assert(
    fc.property(sentTransfer, (sent) => {
      const frame = transferFrame(sent);
      assert.is(frame.readUInt32BE(0), frame.length);
      assert.is(hotDescriptor(frame, FRAME_HEADER, frame.length), Descriptor.transfer);
      const payload = readTransfer(read, frame, FIELDS, frame.length);
      assert.ok(frame.subarray(payload).equals(sent.payload));
      assert.is(read.handle, sent.handle);
      assert.is(read.more, sent.more);
      assert.is(read.aborted, sent.aborted);
      assert.is(read.settled === 1, sent.settled);
      if (!sent.first) {
        assert.is(read.deliveryId, -1);
        return;
      }
      assert.is(read.deliveryId, sent.deliveryId);
      assert.ok(frame.subarray(read.tagStart, read.tagEnd).equals(sent.tag));
      assert.is(read.messageFormat, 0);
    }),
    { numRuns: RUNS },
  );
});

test('a transfer that we write rhea reads', () => {
  fc.assert(
    fc.property(sentTransfer, (sent) => {
      const frame = rheaFrames.read_frame(transferFrame(sent));
      const fields = frame.performative;
      assert.is(frame.channel, sent.channel);
      assert.is(fields.handle, sent.handle);
      assert.is(fields.more ?? false, sent.more);
      assert.is(fields.settled ?? false, sent.settled);
      assert.is(fields.aborted ?? false, sent.aborted);
      assert.ok((frame.payload ?? Buffer.alloc(0)).equals(sent.payload));
      assert.is(fields.delivery_id ?? null, sent.first ? sent.deliveryId : null);
      assert.equal(fields.delivery_tag ?? null, sent.first ? sent.tag : null);
    }),
    { numRuns: RUNS },
  );
});

/** A frame as rhea writes it, with the fields that are there. */
function rheaFrame(name: string, fields: RheaFields, ours: number, payload?: Buffer): Buffer {
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
  const make = rheaPerformatives[name];
  if (!make) throw new Error(`rhea knows no ${name}`);
  return rheaFrames.write_frame({ channel: ours, type: 0, performative: make(given), ...(payload ? { payload } : {}) });
}

const rheaTransfer = fc.record({
  handle: uint32,
  delivery_id: maybe(uint32),
  delivery_tag: maybe(fc.uint8Array({ minLength: 1, maxLength: 300 }).map((octets) => Buffer.from(octets))),
  message_format: maybe(uint32),
  settled: maybe(fc.boolean()),
  more: maybe(fc.boolean()),
  rcv_settle_mode: maybe(fc.nat(1)),
  resume: maybe(fc.boolean()),
  aborted: maybe(fc.boolean()),
  batchable: maybe(fc.boolean()),
});

test('a transfer that rhea writes we read', () => {
  const read = new Transfer();
  const octets = Buffer.from('payload');
  fc.assert(
    fc.property(rheaTransfer, (sent) => {
      const frame = rheaFrame('transfer', sent, 0, octets);
      const payload = readTransfer(read, frame, FIELDS, frame.length);
      assert.is(frame.toString('utf8', payload), 'payload');
      assert.is(read.handle, sent.handle);
      assert.is(read.deliveryId, sent.delivery_id ?? -1);
      assert.ok(frame.subarray(read.tagStart, read.tagEnd).equals(sent.delivery_tag ?? Buffer.alloc(0)));
      assert.is(read.messageFormat, sent.message_format ?? -1);
      assert.is(read.settled, sent.settled === null ? -1 : Number(sent.settled));
      assert.is(read.more, sent.more ?? false);
      assert.is(read.rcvSettleMode, sent.rcv_settle_mode ?? -1);
      assert.is(read.aborted, sent.aborted ?? false);
    }),
    { numRuns: RUNS },
  );
});

const sentFlow = fc.record({
  channel,
  nextIncomingId: uint32,
  incomingWindow: uint32,
  nextOutgoingId: uint32,
  outgoingWindow: uint32,
  link: maybe(fc.record({ handle: uint32, deliveryCount: uint32, credit: uint32, drain: fc.boolean() })),
  echo: fc.boolean(),
});

test('a flow that we write both read', () => {
  const read = new Flow();
  fc.assert(
    fc.property(sentFlow, (sent) => {
      const buffer = Buffer.alloc(FLOW_MAX);
      const end = writeFlow(buffer, 0, sent.channel, sent, sent.link, sent.echo);
      const frame = buffer.subarray(0, end);
      readFlow(read, frame, FIELDS, end);
      assert.is(read.nextIncomingId, sent.nextIncomingId);
      assert.is(read.incomingWindow, sent.incomingWindow);
      assert.is(read.nextOutgoingId, sent.nextOutgoingId);
      assert.is(read.outgoingWindow, sent.outgoingWindow);
      assert.is(read.handle, sent.link?.handle ?? -1);
      assert.is(read.deliveryCount, sent.link?.deliveryCount ?? -1);
      assert.is(read.linkCredit, sent.link?.credit ?? -1);
      assert.is(read.drain, sent.link?.drain ?? false);
      assert.is(read.echo, sent.echo);
      const { channel: seen, performative } = rheaFrames.read_frame(frame);
      assert.is(seen, sent.channel);
      assert.is(performative.next_incoming_id, sent.nextIncomingId);
      assert.is(performative.incoming_window, sent.incomingWindow);
      assert.is(performative.next_outgoing_id, sent.nextOutgoingId);
      assert.is(performative.outgoing_window, sent.outgoingWindow);
      assert.is(performative.handle ?? -1, sent.link?.handle ?? -1);
      assert.is(performative.delivery_count ?? -1, sent.link?.deliveryCount ?? -1);
      assert.is(performative.link_credit ?? -1, sent.link?.credit ?? -1);
      assert.is(performative.drain ?? false, sent.link?.drain ?? false);
      assert.is(performative.echo ?? false, sent.echo);
    }),
    { numRuns: RUNS },
  );
});

const rheaFlow = fc.record({
  next_incoming_id: maybe(uint32),
  incoming_window: uint32,
  next_outgoing_id: uint32,
  outgoing_window: uint32,
  handle: maybe(uint32),
  delivery_count: maybe(uint32),
  link_credit: maybe(uint32),
  available: maybe(uint32),
  drain: maybe(fc.boolean()),
  echo: maybe(fc.boolean()),
});

test('a flow that rhea writes we read', () => {
  const read = new Flow();
  fc.assert(
    fc.property(rheaFlow, (sent) => {
      const frame = rheaFrame('flow', sent, 0);
      readFlow(read, frame, FIELDS, frame.length);
      assert.is(read.nextIncomingId, sent.next_incoming_id ?? -1);
      assert.is(read.incomingWindow, sent.incoming_window);
      assert.is(read.nextOutgoingId, sent.next_outgoing_id);
      assert.is(read.outgoingWindow, sent.outgoing_window);
      assert.is(read.handle, sent.handle ?? -1);
      assert.is(read.deliveryCount, sent.delivery_count ?? -1);
      assert.is(read.linkCredit, sent.link_credit ?? -1);
      assert.is(read.available, sent.available ?? -1);
      assert.is(read.drain, sent.drain ?? false);
      assert.is(read.echo, sent.echo ?? false);
    }),
    { numRuns: RUNS },
  );
});

const text = fc.string({ unit: 'binary', maxLength: 90 }).filter((each) => each.isWellFormed());
const condition = fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 60 });

// Objects as literals are, or they would not be equal to those that are read.
const plain = { noNullPrototype: true };
const state: fc.Arbitrary<DeliveryState> = fc.oneof(
  fc.record(
    { outcome: fc.constant('received' as const), sectionNumber: uint32, sectionOffset: fc.maxSafeNat() },
    plain,
  ),
  fc.constantFrom<DeliveryState>(
    { outcome: 'accepted' },
    { outcome: 'released' },
    { outcome: 'rejected', error: null },
  ),
  fc.record(
    {
      outcome: fc.constant('rejected' as const),
      error: fc.record({ condition, description: maybe(text) }, plain),
    },
    plain,
  ),
  fc.record(
    { outcome: fc.constant('modified' as const), deliveryFailed: fc.boolean(), undeliverableHere: fc.boolean() },
    plain,
  ),
);

const sentDisposition = fc.record({
  channel,
  role: fc.boolean(),
  first: uint32,
  last: uint32,
  settled: fc.boolean(),
  state: maybe(state),
});

test('a disposition that we write both read', () => {
  const read = new Disposition();
  fc.assert(
    fc.property(sentDisposition, (sent) => {
      const buffer = Buffer.alloc(dispositionSize(sent.state));
      const end = writeDisposition(buffer, 0, sent.channel, sent.role, sent.first, sent.last, sent.settled, sent.state);
      assert.ok(end <= buffer.length, 'it has its limit');
      const frame = buffer.subarray(0, end);
      assert.is(frame.readUInt32BE(0), end);
      readDisposition(read, frame, FIELDS, end);
      assert.equal(
        { ...read },
        { role: sent.role, first: sent.first, last: sent.last, settled: sent.settled, state: sent.state },
      );
      const { channel: seen, performative } = rheaFrames.read_frame(frame);
      assert.is(seen, sent.channel);
      assert.is(performative.role, sent.role);
      assert.is(performative.first, sent.first);
      assert.is(performative.last ?? sent.first, sent.last);
      assert.is(performative.settled, sent.settled);
    }),
    { numRuns: RUNS },
  );
});

test('a disposition that rhea writes we read', () => {
  const read = new Disposition();
  fc.assert(
    fc.property(uint32, maybe(uint32), fc.boolean(), maybe(state), (first, last, settled, sent) => {
      const frame = rheaFrame('disposition', { role: true, first, last, settled, state: sent && rheaState(sent) }, 0);
      readDisposition(read, frame, FIELDS, frame.length);
      assert.equal({ ...read }, { role: true, first, last: last ?? first, settled, state: sent });
    }),
    { numRuns: RUNS },
  );
});

function rheaState(sent: DeliveryState): unknown {
  const make = (fields: object): unknown => rheaOutcomes[sent.outcome]?.(fields).described();
  switch (sent.outcome) {
    case 'received':
      return make({ section_number: sent.sectionNumber, section_offset: sent.sectionOffset });
    case 'rejected':
      return make(
        sent.error
          ? { error: { condition: sent.error.condition, description: sent.error.description ?? undefined } }
          : {},
      );
    case 'modified':
      return make({ delivery_failed: sent.deliveryFailed, undeliverable_here: sent.undeliverableHere });
    default:
      return make({});
  }
}

test('how far a receiver is must be told in numbers', () => {
  const read = (...fields: Writable[]): DeliveryState | null => {
    const octets = encode([true, uint(0), null, false, described(Descriptor.received, fields)]);
    const disposition = new Disposition();
    readDisposition(disposition, octets, 0, octets.length);
    return disposition.state;
  };
  assert.equal(read(), { outcome: 'received', sectionNumber: 0, sectionOffset: 0 });
  assert.equal(read(uint(2), ulong(2n ** 63n)), { outcome: 'received', sectionNumber: 2, sectionOffset: 2 ** 63 });
  const long = new Typed('long', -1);
  for (const fields of [
    ['1', '2'],
    [ulong(2 ** 32)],
    [null, long],
    [null, [uint(1)]],
    [null, new Map()],
    [null, new Typed('double', 0.5)],
  ]) {
    assert.throws(() => read(...fields), isRefusal);
  }
});

/** Reads a frame's fields as if they were of each kind. Only a refusal may come of what they are not. */
function readAsAll(octets: Buffer): void {
  const limit = octets.length;
  // Were it to read on, it would find this.
  const padded = Buffer.concat([octets, Buffer.alloc(64, 0x43)]);
  const readers = [
    () => {
      const transfer = new Transfer();
      const payload = readTransfer(transfer, padded, 0, limit);
      assert.ok(payload <= limit);
      assert.ok(transfer.tagEnd <= limit && transfer.tagStart <= transfer.tagEnd);
    },
    () => readFlow(new Flow(), padded, 0, limit),
    () => readDisposition(new Disposition(), padded, 0, limit),
  ];
  for (const read of readers) {
    try {
      read();
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
  }
}

test('no octets do any harm', () => {
  const start = fc.constantFrom([], [0xc0], [0xd0, 0, 0, 0], [0xc0, 30, 11], [0x45]);
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 60 }), (head, octets) =>
      readAsAll(Buffer.from([...head, ...octets])),
    ),
    { numRuns: RUNS },
  );
});

test('no octets that were good once do any harm', () => {
  const good = fc.oneof(
    sentTransfer.map((sent) => transferFrame(sent).subarray(FIELDS)),
    rheaTransfer.map((sent) => rheaFrame('transfer', sent, 0).subarray(FIELDS)),
    rheaFlow.map((sent) => rheaFrame('flow', sent, 0).subarray(FIELDS)),
    sentDisposition.map((sent) => {
      const buffer = Buffer.alloc(dispositionSize(sent.state));
      return buffer.subarray(FIELDS, writeDisposition(buffer, 0, 0, true, sent.first, sent.last, true, sent.state));
    }),
  );
  fc.assert(
    fc.property(mutated(good), (octets) => readAsAll(octets)),
    { numRuns: RUNS },
  );
});

test.run();
