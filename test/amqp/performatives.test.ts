/** Performatives off the hot path, held against rhea's, against recorded traffic, and against octets that are wrong. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { described, encode, Reader, symbol, uint, type Value, type Writable } from '../../src/amqp/codec.ts';
import { AmqpError } from '../../src/amqp/error.ts';
import { Disposition, Flow, readDisposition, readFlow, readTransfer, Transfer } from '../../src/amqp/hot.ts';
import { type MessageHead, readHead } from '../../src/amqp/message.ts';
import {
  attachFrame,
  beginFrame,
  closeFrame,
  Descriptor,
  detachFrame,
  endFrame,
  isTerminal,
  openFrame,
  type Performative,
  readDescriptor,
  readPerformative,
  readSasl,
  saslInit,
  saslMechanisms,
  saslOutcome,
  terminus,
} from '../../src/amqp/performatives.ts';
import { isRefusal, mutated } from './fuzz.ts';
import { type RheaFields, rheaFrames, rheaPerformatives, rheaTerminus } from './rhea-codec.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);
const test = suite('performatives');

const text = fc.string({ unit: 'binary', maxLength: 60 }).filter((each) => each.isWellFormed());
const name = fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 40 });
const uint32 = fc.oneof(fc.nat(300), fc.nat(0xffffffff));
const ushort = fc.nat(0xffff);
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { freq: 3 });
const names = fc.array(name, { maxLength: 4 });
// Objects as literals are, or they would not be equal to those that are read.
const plain = { noNullPrototype: true };

function read(octets: Buffer): Performative {
  return readPerformative(new Reader(octets));
}

/** What rhea makes of a performative of ours. */
function rheaReads(performative: Buffer): RheaFields {
  const frame = Buffer.concat([Buffer.alloc(8), performative]);
  frame.writeUInt32BE(frame.length);
  frame[4] = 2;
  return rheaFrames.read_frame(frame).performative;
}

/** A performative as rhea writes it. */
function rheaWrites(kind: string, fields: RheaFields): Buffer {
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
  const make = rheaPerformatives[kind];
  if (!make) throw new Error(`rhea knows no ${kind}`);
  return Buffer.from(rheaFrames.write_frame({ channel: 0, type: 0, performative: make(given) }).subarray(8));
}

const sentOpen = fc.record({
  containerId: text,
  hostname: maybe(text),
  maxFrameSize: maybe(uint32),
  channelMax: maybe(ushort),
  idleTimeOut: maybe(uint32),
  offeredCapabilities: names,
  desiredCapabilities: names,
  properties: fc.dictionary(name, text, { maxKeys: 4 }),
});

test('open', () => {
  const list = (values: string[]): string[] | null => (values.length > 0 ? values : null);
  fc.assert(
    fc.property(sentOpen, ({ properties, ...sent }) => {
      const entries = Object.entries(properties);
      const expected = {
        type: 'open',
        body: {
          ...sent,
          outgoingLocales: null,
          incomingLocales: null,
          offeredCapabilities: list(sent.offeredCapabilities),
          desiredCapabilities: list(sent.desiredCapabilities),
          properties: new Map(entries),
        },
      };
      const ours = encode(
        openFrame({
          ...sent,
          properties: new Map<Writable, Writable>(entries.map(([key, value]) => [symbol(key), value])),
        }),
      );
      assert.equal(read(ours), expected);
      const seen = rheaReads(ours);
      assert.is(seen.container_id, sent.containerId);
      assert.is(seen.hostname ?? null, sent.hostname);
      assert.is(seen.max_frame_size ?? null, sent.maxFrameSize);
      assert.is(seen.channel_max ?? null, sent.channelMax);
      assert.is(seen.idle_time_out ?? null, sent.idleTimeOut);
      assert.equal(seen.offered_capabilities ?? null, expected.body.offeredCapabilities);
      const theirs = rheaWrites('open', {
        container_id: sent.containerId,
        hostname: sent.hostname,
        max_frame_size: sent.maxFrameSize,
        channel_max: sent.channelMax,
        idle_time_out: sent.idleTimeOut,
        offered_capabilities: list(sent.offeredCapabilities),
        desired_capabilities: list(sent.desiredCapabilities),
        properties,
      });
      assert.equal(read(theirs), expected);
    }),
    { numRuns: RUNS },
  );
});

const sentBegin = fc.record(
  {
    remoteChannel: maybe(ushort),
    nextOutgoingId: uint32,
    incomingWindow: uint32,
    outgoingWindow: uint32,
    handleMax: maybe(uint32),
  },
  plain,
);

test('begin', () => {
  fc.assert(
    fc.property(sentBegin, (sent) => {
      const ours = encode(beginFrame(sent));
      assert.equal(read(ours), { type: 'begin', body: sent });
      const fields = {
        remote_channel: sent.remoteChannel,
        next_outgoing_id: sent.nextOutgoingId,
        incoming_window: sent.incomingWindow,
        outgoing_window: sent.outgoingWindow,
        handle_max: sent.handleMax,
      };
      const seen = rheaReads(ours);
      for (const [key, value] of Object.entries(fields)) assert.is(seen[key] ?? null, value);
      assert.equal(read(rheaWrites('begin', fields)), { type: 'begin', body: sent });
    }),
    { numRuns: RUNS },
  );
});

const sentTerminus = fc.record(
  {
    address: maybe(text),
    dynamic: fc.boolean(),
    capabilities: names,
    coordinator: fc.constant(false),
    expiryPolicy: maybe(fc.constantFrom('link-detach', 'session-end', 'connection-close', 'never')),
  },
  plain,
);

const sentAttach = fc.record(
  {
    name: text,
    handle: uint32,
    role: fc.boolean(),
    sndSettleMode: maybe(fc.nat(2)),
    rcvSettleMode: maybe(fc.nat(1)),
    source: maybe(sentTerminus),
    target: maybe(sentTerminus),
    initialDeliveryCount: maybe(uint32),
    maxMessageSize: maybe(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })),
  },
  plain,
);

test('attach', () => {
  fc.assert(
    fc.property(sentAttach, (sent) => {
      const expected = { type: 'attach', body: { ...sent, unsettled: null, incompleteUnsettled: null } };
      const ours = encode(attachFrame(sent));
      assert.equal(read(ours), expected);
      const seen = rheaReads(ours);
      assert.is(seen.name, sent.name);
      assert.is(seen.handle, sent.handle);
      assert.is(seen.role, sent.role);
      const end = (which: 'source' | 'target'): unknown => {
        const value = sent[which];
        if (!value) return null;
        const composite = rheaTerminus[which]({
          ...(value.address === null ? {} : { address: value.address }),
          dynamic: value.dynamic,
          ...(value.expiryPolicy === null ? {} : { expiry_policy: value.expiryPolicy }),
          ...(value.capabilities.length > 0 ? { capabilities: value.capabilities } : {}),
        });
        return composite.described();
      };
      const theirs = rheaWrites('attach', {
        name: sent.name,
        handle: sent.handle,
        role: sent.role,
        snd_settle_mode: sent.sndSettleMode,
        rcv_settle_mode: sent.rcvSettleMode,
        source: end('source'),
        target: end('target'),
        initial_delivery_count: sent.initialDeliveryCount,
        max_message_size: sent.maxMessageSize,
      });
      assert.equal(read(theirs), expected);
    }),
    { numRuns: RUNS },
  );
});

const sentError = maybe(fc.record({ condition: name, description: text }, plain));

test('detach, end and close', () => {
  fc.assert(
    fc.property(uint32, fc.boolean(), sentError, (handle, closed, error) => {
      const given = error && new AmqpError(error.condition, error.description);
      const frames = [
        { type: 'detach', body: { handle, closed, error }, octets: encode(detachFrame(handle, closed, given)) },
        { type: 'end', body: { error }, octets: encode(endFrame(given)) },
        { type: 'close', body: { error }, octets: encode(closeFrame(given)) },
      ] as const;
      for (const { type, body, octets } of frames) {
        assert.equal(read(octets), { type, body });
        const seen = rheaReads(octets).error as { condition: string; description: string } | undefined;
        assert.is(seen?.condition ?? null, error?.condition ?? null);
        assert.is(seen?.description ?? null, error?.description ?? null);
        const fields = type === 'detach' ? { handle, closed, error } : { error };
        assert.equal(read(rheaWrites(type, fields)), { type, body });
      }
    }),
    { numRuns: RUNS },
  );
});

test('SASL', () => {
  const sasl = (octets: Buffer): unknown => readSasl(new Reader(octets));
  fc.assert(
    fc.property(
      fc.array(name, { minLength: 1, maxLength: 4 }),
      name,
      fc.uint8Array({ maxLength: 30 }),
      maybe(text),
      fc.nat(255),
      (mechanisms, mechanism, response, hostname, code) => {
        const initialResponse = Buffer.from(response);
        assert.equal(sasl(encode(saslMechanisms(mechanisms))), { type: 'mechanisms', mechanisms });
        assert.equal(sasl(rheaWrites('sasl_mechanisms', { sasl_server_mechanisms: mechanisms })), {
          type: 'mechanisms',
          mechanisms,
        });
        const init = { type: 'init', body: { mechanism, initialResponse, hostname } };
        assert.equal(sasl(encode(saslInit(mechanism, initialResponse, hostname))), init);
        assert.equal(sasl(rheaWrites('sasl_init', { mechanism, initial_response: initialResponse, hostname })), init);
        assert.equal(sasl(encode(saslOutcome(code))), { type: 'outcome', code });
        assert.equal(sasl(rheaWrites('sasl_outcome', { code })), { type: 'outcome', code });
      },
    ),
    { numRuns: RUNS },
  );
  // A single mechanism may stand alone, without an array.
  const alone = encode(described(Descriptor.saslMechanisms, [symbol('ANONYMOUS')]));
  assert.equal(sasl(alone), { type: 'mechanisms', mechanisms: ['ANONYMOUS'] });
});

test('a coordinator is told from a target', () => {
  const coordinator = described(Descriptor.coordinator, []);
  const octets = encode(described(Descriptor.attach, ['x', uint(0), false, null, null, null, coordinator]));
  const attach = read(octets);
  assert.ok(attach.type === 'attach' && attach.body.target?.coordinator === true);
});

test('what is said of a state', () => {
  assert.not(isTerminal(null));
  assert.not(isTerminal({ outcome: 'received', sectionNumber: 0, sectionOffset: 0 }));
  assert.ok(isTerminal({ outcome: 'released' }));
  assert.equal(terminus(), { address: null, dynamic: false, capabilities: [], coordinator: false, expiryPolicy: null });
});

function readAsAll(octets: Buffer): void {
  for (const way of [readPerformative, readSasl, readDescriptor]) {
    try {
      way(new Reader(octets));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      assert.ok(error instanceof AmqpError && error.message.length < 200, 'what it says is short');
    }
  }
}

test('no octets do any harm', () => {
  const code = fc.constantFrom(...Object.values(Descriptor));
  fc.assert(
    fc.property(code, fc.uint8Array({ maxLength: 80 }), (descriptor, octets) =>
      readAsAll(Buffer.from([0, 0x53, descriptor, ...octets])),
    ),
    { numRuns: RUNS },
  );
});

test('no octets that were good once do any harm', () => {
  const good = fc.oneof(
    sentOpen.map(({ properties, ...sent }) =>
      encode(openFrame({ ...sent, properties: new Map(Object.entries(properties)) })),
    ),
    sentBegin.map((sent) => encode(beginFrame(sent))),
    sentAttach.map((sent) => encode(attachFrame(sent))),
    sentError.map((error) => encode(detachFrame(1, true, error && new AmqpError(error.condition, error.description)))),
    fc.array(name, { maxLength: 3 }).map((mechanisms) => encode(saslMechanisms(mechanisms))),
  );
  fc.assert(
    fc.property(mutated(good), (octets) => readAsAll(octets)),
    { numRuns: RUNS },
  );
});

interface Recorded {
  dir: string;
  hex: string;
}

const captures = globSync('test/fixtures/wire/capture-*.jsonl.gz', { cwd: join(import.meta.dirname, '../..') });
if (captures.length === 0) console.log('SKIP recorded traffic: there is none in test/fixtures/wire');

for (const capture of captures) {
  test(`all that skupper-router said in ${capture.replace(/^.*\//, '')} is read`, () => {
    const lines = gunzipSync(readFileSync(join(import.meta.dirname, '../..', capture)))
      .toString()
      .trim()
      .split('\n');
    const records = lines.map((line) => JSON.parse(line) as Recorded);
    for (const dir of new Set(records.map((record) => record.dir))) {
      readStream(
        Buffer.concat(records.filter((record) => record.dir === dir).map(({ hex }) => Buffer.from(hex, 'hex'))),
      );
    }
  });
}

/** Reads one direction of a connection as a connection does, and notes what it was. */
function readStream(octets: Buffer): void {
  const heads = new Map<string, Buffer | null>();
  let offset = 0;
  while (octets.length - offset >= 8) {
    if (octets.toString('latin1', offset, offset + 4) === 'AMQP') {
      offset += 8;
      continue;
    }
    const size = octets.readUInt32BE(offset);
    if (offset + size > octets.length) return;
    const start = offset + 4 * (octets[offset + 4] as number);
    const end = offset + size;
    if (start < end) readFrame(octets, offset, start, end, heads);
    offset = end;
  }
}

function readFrame(octets: Buffer, frame: number, start: number, end: number, heads: Map<string, Buffer | null>): void {
  const reader = new Reader(octets, start, end);
  if (octets[frame + 5] === 1) {
    readSasl(reader);
    return;
  }
  const code = readDescriptor(reader);
  if (code === Descriptor.flow) readFlow(new Flow(), octets, reader.offset, end);
  else if (code === Descriptor.disposition) readDisposition(new Disposition(), octets, reader.offset, end);
  else if (code === Descriptor.transfer) {
    const transfer = new Transfer();
    const payload = readTransfer(transfer, octets, reader.offset, end);
    const key = `${octets.readUInt16BE(frame + 6)}/${transfer.handle}`;
    const gathered = heads.get(key);
    if (gathered === null) {
      if (!transfer.more) heads.delete(key);
      return;
    }
    const message = Buffer.concat([gathered ?? Buffer.alloc(0), octets.subarray(payload, end)]);
    const head: MessageHead | null = transfer.aborted ? null : readHead(message, 0, message.length, !transfer.more);
    if (head) checkHead(head);
    if (!transfer.more) heads.delete(key);
    else heads.set(key, head ? null : message);
  } else readPerformative(new Reader(octets, start, end));
}

function checkHead(head: MessageHead): void {
  const known: Value[] = [head.to, head.replyTo, head.annotations?.toOverride ?? null];
  for (const each of known) assert.ok(each === null || typeof each === 'string');
}

test.run();
