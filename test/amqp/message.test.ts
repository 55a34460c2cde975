/** Messages: their heads are read, and written, as rhea and skupper-router understand them. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Encoded, encode, symbol, uint, ulong, type Writable } from '../../src/amqp/codec.ts';
import { AmqpError } from '../../src/amqp/error.ts';
import {
  AnnotationFlag,
  answerId,
  type MessageHead,
  NULL_BODY,
  type RouterAnnotations,
  readBody,
  readHead,
  streamStart,
  writeAnnotations,
  writeMessage,
  writeStreamHead,
} from '../../src/amqp/message.ts';
import { isRefusal, mutated } from './fuzz.ts';
import { rheaMessage } from './rhea-codec.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);
const test = suite('message');

const text = fc.string({ unit: 'binary', maxLength: 60 }).filter((each) => each.isWellFormed());
const ascii = fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 40 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { freq: 3 });
const plain = { noNullPrototype: true };

const sentFields = fc.record({
  durable: fc.option(fc.boolean(), { nil: undefined }),
  to: maybe(text),
  subject: maybe(text),
  replyTo: maybe(text),
  correlationId: maybe(text),
  contentType: maybe(ascii),
  applicationProperties: maybe(
    fc.dictionary(ascii, text, { maxKeys: 4 }).map((entries) => new Map<Writable, Writable>(Object.entries(entries))),
  ),
});

const annotations: fc.Arbitrary<RouterAnnotations> = fc.record(
  {
    flags: fc.nat(7),
    toOverride: maybe(text),
    ingress: maybe(text),
    trace: fc.array(text, { maxLength: 5 }),
    mesh: maybe(text),
  },
  plain,
);

function whole(message: Buffer): MessageHead {
  const head = readHead(message, 0, message.length, true);
  if (!head) throw new Error('a whole message has a head');
  return head;
}

test('a message that we write both read', () => {
  fc.assert(
    fc.property(sentFields, text, (sent, body) => {
      const message = writeMessage(sent, body);
      const head = whole(message);
      assert.is(head.annotations, null);
      assert.is(head.bareStart, 0);
      assert.is(head.to, sent.to);
      assert.is(head.subject, sent.subject);
      assert.is(head.replyTo, sent.replyTo);
      assert.is(head.correlationId, sent.correlationId);
      assert.is(head.contentType, sent.contentType);
      const read = readBody(message);
      assert.is(read.body, body);
      assert.equal(read.applicationProperties, sent.applicationProperties ?? new Map());
      const seen = rheaMessage.decode(message);
      assert.is(seen.body, body);
      assert.is(seen.to ?? null, sent.to);
      assert.is(seen.reply_to ?? null, sent.replyTo);
      assert.is(seen.correlation_id ?? null, sent.correlationId);
      assert.is(seen.content_type ?? null, sent.contentType);
    }),
    { numRuns: RUNS },
  );
});

const rheaSent = fc.record(
  {
    durable: fc.boolean(),
    priority: fc.nat(9),
    delivery_annotations: fc.dictionary(ascii, text, { maxKeys: 2 }),
    message_annotations: fc.dictionary(ascii, text, { maxKeys: 2 }),
    message_id: text,
    to: text,
    subject: text,
    reply_to: text,
    correlation_id: fc.oneof(text, fc.nat()),
    content_type: ascii,
    group_id: text,
    application_properties: fc.dictionary(ascii, text, { maxKeys: 3 }),
    body: fc.oneof(text, fc.nat(), fc.constant(null)),
  },
  { requiredKeys: ['body'], ...plain },
);

test('a message that rhea writes we read', () => {
  fc.assert(
    fc.property(rheaSent, (sent) => {
      const message = rheaMessage.encode(sent);
      const head = whole(message);
      assert.is(head.to, sent.to ?? null);
      assert.is(head.subject, sent.subject ?? null);
      assert.is(head.replyTo, sent.reply_to ?? null);
      assert.is(head.correlationId, sent.correlation_id ?? null);
      assert.is(head.contentType, sent.content_type ?? null);
      assert.is(readBody(message).body, sent.body);
      assert.equal(message.subarray(head.bodyStart, head.bodyStart + 3), Buffer.of(0, 0x53, 0x77));
    }),
    { numRuns: RUNS },
  );
});

test('router annotations stand in front and are not part of the message', () => {
  fc.assert(
    fc.property(annotations, sentFields, (given, sent) => {
      const bare = writeMessage(sent, 'body');
      const written = writeAnnotations(given);
      const message = Buffer.concat([written, bare]);
      const head = whole(message);
      assert.equal(head.annotations, given);
      assert.is(head.bareStart, written.length);
      assert.is(head.to, sent.to);
      assert.is(readBody(message).body, 'body');
    }),
    { numRuns: RUNS },
  );
});

test('annotations as skupper-router writes them', () => {
  // trace-edge-window.txt: an edge's, with its mesh, and an interior's, with its trace.
  const head = whole(
    Buffer.concat([
      Buffer.from([0, 0x80]),
      Buffer.from('SKPR--RA'),
      Buffer.from('d00000001a000000055205404045a10f5a306654487078387a513871485667', 'hex'),
      NULL_BODY,
    ]),
  );
  assert.equal(head.annotations, {
    flags: AnnotationFlag.streaming | AnnotationFlag.q2Disabled,
    toOverride: null,
    ingress: null,
    trace: [],
    mesh: 'Z0fTHpx8zQ8qHVg',
  });
  const ours = writeAnnotations({ flags: 0, toOverride: null, ingress: '0/hub', trace: ['0/hub'], mesh: null });
  assert.is(
    ours.toString('hex'),
    `0080${Buffer.from('SKPR--RA').toString('hex')}c014044340a105302f687562c00801a105302f687562`,
  );
});

test('a head is told as soon as it is whole, and not before', () => {
  fc.assert(
    fc.property(maybe(annotations), sentFields, (given, sent) => {
      const message = Buffer.concat([given ? writeAnnotations(given) : Buffer.alloc(0), writeStreamHead(sent)]);
      const complete = whole(message);
      assert.is(streamStart(message, complete.bodyStart, message.length), message.length);
      const stream = Buffer.concat([message, Buffer.from('octets of any kind')]);
      let told = false;
      for (let end = 0; end <= stream.length; end++) {
        const head = readHead(stream, 0, end, false);
        if (!told && head) {
          told = true;
          // All but the constructor of the body's null has come, at the latest.
          assert.ok(end <= message.length && end > complete.bodyStart + 3, 'at the body');
        }
        assert.is(head !== null, told, 'once told, always told');
        if (head) assert.equal({ ...head }, { ...complete });
      }
      assert.is(streamStart(stream, complete.bodyStart, complete.bodyStart + 3), -1);
    }),
    { numRuns: Math.ceil(RUNS / 20) },
  );
});

test('a head lies anywhere in a buffer', () => {
  const message = writeMessage({ to: 'echo:7' }, null);
  const buffer = Buffer.concat([Buffer.alloc(100, 0xff), message, Buffer.alloc(100, 0xff)]);
  const head = readHead(buffer, 100, 100 + message.length, true);
  assert.is(head?.to, 'echo:7');
  assert.is(head?.bareStart, 100);
  assert.is(head?.bodyStart, 100 + message.length - NULL_BODY.length);
});

test('sections named by symbols, or at length', () => {
  const properties = encode([null, null, 'to me']);
  const named = Buffer.concat([Buffer.from([0]), encode(symbol('amqp:properties:list')), properties]);
  assert.is(whole(Buffer.concat([named, NULL_BODY])).to, 'to me');
  const long = Buffer.concat([Buffer.from('00800000000000000073', 'hex'), properties]);
  assert.is(whole(Buffer.concat([long, NULL_BODY])).to, 'to me');
  for (let end = 0; end < named.length; end++) assert.is(readHead(named, 0, end, false), null);
});

test('a section with the code zero is no router annotations', () => {
  const posing = Buffer.concat([Buffer.from([0, 0x53, 0]), encode([uint(1), 'elsewhere']), NULL_BODY]);
  const head = whole(posing);
  assert.is(head.annotations, null);
  assert.is(head.bareStart, 0);
});

test('a message without a body, or without anything', () => {
  const empty = Buffer.alloc(0);
  assert.is(readHead(empty, 0, 0, false), null);
  assert.is(whole(empty).bodyStart, 0);
  const header = Buffer.concat([Buffer.from([0, 0x53, 0x70]), encode([true])]);
  assert.is(whole(header).bodyStart, header.length);
  assert.equal(readBody(empty), { body: null, applicationProperties: new Map() });
});

test('what is no message is refused', () => {
  const annotated = writeAnnotations({ flags: 0, toOverride: null, ingress: null, trace: [], mesh: null });
  for (const [what, message] of [
    ['octets', Buffer.from('garbage')],
    ['a section cut short', writeMessage({ to: 'x' }, null).subarray(0, 6)],
    ['a section that is a string', Buffer.concat([Buffer.from([0, 0x53, 0x73]), encode('x')])],
    ['properties that are a map', Buffer.concat([Buffer.from([0, 0x53, 0x73]), encode(new Map())])],
    ['annotations within', Buffer.concat([Buffer.from([0, 0x53, 0x70]), encode([true]), annotated])],
    ['annotations twice', Buffer.concat([annotated, annotated])],
    ['a descriptor of another kind', Buffer.concat([Buffer.from([0]), encode('x'), encode([])])],
    ['a section nobody knows, by name', Buffer.concat([Buffer.from([0]), encode(symbol('x:y')), encode([])])],
  ] as const) {
    assert.throws(() => whole(message), isRefusal, what);
  }
});

test('whatever type a correlation-id has', () => {
  for (const [id, value] of [
    [ulong(7), 7],
    [ulong(2n ** 60n), 2n ** 60n],
    [Buffer.from('id'), Buffer.from('id')],
    [null, null],
  ] as const) {
    assert.equal(whole(writeMessage({ correlationId: id }, null)).correlationId, value);
  }
});

const UUID = Buffer.concat([Uint8Array.of(0x98), Buffer.from('0123456789abcdef')]);

test('an answer says which request it is for in the type of that', () => {
  for (const id of [
    ulong(0),
    ulong(7),
    ulong(2n ** 60n),
    'a text',
    'x'.repeat(300),
    Buffer.from('id'),
    new Encoded(UUID),
  ]) {
    const octets = encode(id);
    const answered = (message: Buffer) => Buffer.from(answerId(message)?.octets ?? []);
    assert.equal(
      answered(writeMessage({ durable: true, to: 'a', correlationId: id, messageId: 'other' }, null)),
      octets,
    );
    assert.equal(answered(writeMessage({ to: 'a', messageId: id }, null)), octets);
  }
  for (const fields of [{}, { to: 'a' }, { correlationId: symbol('no id') }, { messageId: true }]) {
    assert.is(answerId(writeMessage(fields, 'a body')), null);
  }
});

function readAsAll(octets: Buffer): void {
  for (const way of [
    () => readHead(octets, 0, octets.length, true),
    () => readHead(octets, 0, octets.length, false),
    () => readBody(octets),
    () => answerId(octets),
  ]) {
    try {
      const head = way();
      if (head && 'bodyStart' in head) {
        assert.ok(head.bodyStart <= octets.length && head.bareStart <= head.bodyStart);
      }
    } catch (error) {
      if (!isRefusal(error)) throw error;
      assert.ok(error instanceof AmqpError);
    }
  }
}

test('no octets do any harm', () => {
  const section = fc.integer({ min: 0x6f, max: 0x79 });
  fc.assert(
    fc.property(section, fc.uint8Array({ maxLength: 80 }), (code, octets) =>
      readAsAll(Buffer.from([0, 0x53, code, ...octets])),
    ),
    { numRuns: RUNS },
  );
});

test('no octets that were good once do any harm', () => {
  const good = fc.oneof(
    fc
      .tuple(annotations, sentFields)
      .map(([given, sent]) => Buffer.concat([writeAnnotations(given), writeMessage(sent, 'body')])),
    rheaSent.map((sent) => rheaMessage.encode(sent)),
  );
  fc.assert(
    fc.property(mutated(good), (octets) => readAsAll(octets)),
    { numRuns: RUNS },
  );
});

test.run();
