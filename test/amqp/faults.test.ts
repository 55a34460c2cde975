/**
 * What a peer may do wrong, one by one: what each costs it (the link, the session or the connection), and with which
 * condition (AMQP 1.0, 2.8.14 to 2.8.18).
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { described, encode, symbol, uint, type Writable } from '../../src/amqp/codec.ts';
import type { Receiver } from '../../src/amqp/link.ts';
import { Descriptor, type ErrorValue } from '../../src/amqp/performatives.ts';
import { SASL_HEADER, SaslServer } from '../../src/amqp/sasl.ts';
import { HEADER, Inbox, type RawPair, type RawPeer, rawClient, rawFrame, until } from './loopback.ts';

const test = suite('faults');

const open = described(Descriptor.open, ['raw']);
const begin = described(Descriptor.begin, [null, uint(0), uint(100), uint(100)]);
const attach = (handle: number, receiver: boolean, name = `l${handle}`): ReturnType<typeof described> =>
  described(Descriptor.attach, [
    name,
    uint(handle),
    receiver,
    null,
    null,
    null,
    null,
    null,
    null,
    receiver ? null : uint(0),
  ]);
const transfer = (handle: number, id: number | null, fields: Writable[] = []): ReturnType<typeof described> =>
  described(Descriptor.transfer, [uint(handle), id === null ? null : uint(id), Buffer.from('tag'), uint(0), ...fields]);
const MORE: Writable[] = [false, true];

const WINDOW = 8;
const CREDIT = 5;

interface Stage extends RawPair {
  inbox: Inbox;
}

/** A peer that has opened, begun channel 0, and attached a sender as handle 0 and a receiver as handle 1. */
async function stage(): Promise<Stage> {
  const pair = await rawClient({ sessionWindow: WINDOW, channelMax: 10, maxFrameSize: 4096 });
  const inbox = new Inbox();
  pair.events.attach = (session, frame) => {
    const receiver: Receiver | null = frame.role ? null : session.acceptReceiver(frame, frame, inbox);
    receiver?.setCapacity(CREDIT);
    if (frame.role) session.acceptSender(frame, frame, { onDetached: () => {} });
  };
  const { peer } = pair;
  peer.raw(HEADER);
  peer.send(0, open);
  peer.send(0, begin);
  peer.send(0, attach(0, false));
  peer.send(0, attach(1, true));
  await peer.next(Descriptor.attach);
  await peer.next(Descriptor.attach);
  return { ...pair, inbox };
}

function conditionOf(fields: unknown[]): string | undefined {
  const error = fields.find((field) => typeof field === 'object' && field !== null && 'descriptor' in field);
  return (error as { value: string[] } | undefined)?.value[0];
}

/** A frame whose octets are given. */
function frameOf(body: Buffer, { size = body.length + 8, doff = 2, type = 0, channel = 0 } = {}): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(size);
  header[4] = doff;
  header[5] = type;
  header.writeUInt16BE(channel, 6);
  return Buffer.concat([header, body]);
}

const connectionFaults: [what: string, condition: string, act: (peer: RawPeer) => void][] = [
  [
    'a frame larger than agreed',
    'amqp:connection:framing-error',
    (peer) => peer.raw(frameOf(Buffer.alloc(100), { size: 4097 })),
  ],
  [
    'a frame of four gigabytes',
    'amqp:connection:framing-error',
    (peer) => peer.raw(frameOf(Buffer.alloc(100), { size: 0xffffffff })),
  ],
  [
    'a frame shorter than its header',
    'amqp:connection:framing-error',
    (peer) => peer.raw(frameOf(Buffer.alloc(0), { size: 7 })),
  ],
  [
    'a data offset within the header',
    'amqp:connection:framing-error',
    (peer) => peer.raw(frameOf(Buffer.alloc(8), { doff: 1 })),
  ],
  ['a data offset of zero', 'amqp:connection:framing-error', (peer) => peer.raw(frameOf(Buffer.alloc(8), { doff: 0 }))],
  [
    'a data offset past the frame',
    'amqp:connection:framing-error',
    (peer) => peer.raw(frameOf(Buffer.alloc(8), { doff: 5 })),
  ],
  [
    'a frame of unknown type',
    'amqp:connection:framing-error',
    (peer) => peer.raw(frameOf(Buffer.alloc(8), { type: 7 })),
  ],
  [
    'a SASL frame after SASL',
    'amqp:connection:framing-error',
    (peer) => peer.raw(frameOf(Buffer.alloc(8), { type: 1 })),
  ],
  ['octets that are no performative', 'amqp:decode-error', (peer) => peer.raw(frameOf(Buffer.from('garbage!')))],
  ['a described value of another kind', 'amqp:decode-error', (peer) => peer.send(0, described(0x1d, [symbol('x')]))],
  ['a descriptor nobody knows', 'amqp:decode-error', (peer) => peer.send(0, described(0x99, []))],
  [
    'a performative that is not a list',
    'amqp:decode-error',
    (peer) => peer.send(0, described(Descriptor.begin, 'begin')),
  ],
  [
    'a transfer that is not a list',
    'amqp:decode-error',
    (peer) => peer.send(0, described(Descriptor.transfer, 'transfer')),
  ],
  ['a transfer without a handle', 'amqp:decode-error', (peer) => peer.send(0, described(Descriptor.transfer, []))],
  ['a flow without its windows', 'amqp:decode-error', (peer) => peer.send(0, described(Descriptor.flow, [uint(0)]))],
  [
    'a disposition without its range',
    'amqp:decode-error',
    (peer) => peer.send(0, described(Descriptor.disposition, [true])),
  ],
  [
    'an attach without a name',
    'amqp:decode-error',
    (peer) => peer.send(0, described(Descriptor.attach, [null, uint(2), false])),
  ],
  [
    'a field of the wrong type',
    'amqp:decode-error',
    (peer) => peer.send(1, described(Descriptor.begin, [null, 'zero', uint(1), uint(1)])),
  ],
  ['a list that is cut short', 'amqp:decode-error', (peer) => peer.raw(frameOf(Buffer.from('005314c0ff01', 'hex')))],
  [
    'a list that claims too much',
    'amqp:decode-error',
    (peer) => peer.raw(frameOf(Buffer.from('005311d000000004ffffffff', 'hex'))),
  ],
  ['values nested without end', 'amqp:decode-error', (peer) => peer.raw(frameOf(Buffer.alloc(4000)))],
  ['a second open', 'amqp:illegal-state', (peer) => peer.send(0, open)],
  ['a begin on a channel in use', 'amqp:illegal-state', (peer) => peer.send(0, begin)],
  ['a begin past channel-max', 'amqp:connection:framing-error', (peer) => peer.send(11, begin)],
  [
    'a begin that answers nothing',
    'amqp:invalid-field',
    (peer) => peer.send(1, described(Descriptor.begin, [uint(7), uint(0), uint(1), uint(1)])),
  ],
  [
    'a begin that answers what is answered',
    'amqp:invalid-field',
    (peer) => peer.send(1, described(Descriptor.begin, [uint(0), uint(0), uint(1), uint(1)])),
  ],
  [
    'an end on a channel that has not begun',
    'amqp:illegal-state',
    (peer) => peer.send(4, described(Descriptor.end, [])),
  ],
  ['an attach on a channel that has not begun', 'amqp:illegal-state', (peer) => peer.send(4, attach(0, false))],
  ['a transfer on a channel that has not begun', 'amqp:illegal-state', (peer) => peer.send(4, transfer(0, 0))],
  ['a handle past handle-max', 'amqp:connection:framing-error', (peer) => peer.send(0, attach(0x10000, false))],
];

for (const [what, condition, act] of connectionFaults) {
  test(`${what} costs the connection`, async () => {
    await using pair = await stage();
    const { peer, events } = pair;
    act(peer);
    assert.is(conditionOf((await peer.next(Descriptor.close)).fields), condition);
    await until(() => events.closed, 'it is closed here');
    assert.is(events.closings[0]?.code, 'protocol-error');
    assert.match(events.closings[0]?.message ?? '', condition);
    await until(() => peer.ended, 'the socket is ended');
    assert.is(peer.frames.at(-1)?.code, Descriptor.close, 'close comes last');
    assert.ok(pair.inbox.detached !== undefined, 'links are told');
  });
}

const sessionFaults: [what: string, condition: string, act: (peer: RawPeer) => void][] = [
  [
    'a transfer on a handle that is not attached',
    'amqp:session:unattached-handle',
    (peer) => peer.send(0, transfer(9, 0)),
  ],
  [
    'a flow on a handle that is not attached',
    'amqp:session:unattached-handle',
    (peer) => peer.send(0, described(Descriptor.flow, [uint(0), uint(1), uint(0), uint(1), uint(9)])),
  ],
  [
    'a detach of a handle that is not attached',
    'amqp:session:unattached-handle',
    (peer) => peer.send(0, described(Descriptor.detach, [uint(9), true])),
  ],
  ['an attach of a handle in use', 'amqp:session:handle-in-use', (peer) => peer.send(0, attach(0, false, 'other'))],
  ['a transfer from the receiving end', 'amqp:not-allowed', (peer) => peer.send(0, transfer(1, 0))],
  [
    'more transfers than the window takes',
    'amqp:session:window-violation',
    (peer) => {
      for (let index = 0; index <= WINDOW; index++) peer.send(0, transfer(0, 0, MORE), Buffer.from('x'));
    },
  ],
  [
    'two deliveries mixed on one link',
    'amqp:not-allowed',
    (peer) => {
      peer.send(0, transfer(0, 0, MORE));
      peer.send(0, transfer(0, 1, MORE));
    },
  ],
  ['a delivery without an id', 'amqp:invalid-field', (peer) => peer.send(0, transfer(0, null))],
  [
    'a delivery with an id in use',
    'amqp:invalid-field',
    (peer) => {
      peer.send(0, transfer(0, 0));
      peer.send(0, transfer(0, 0), Buffer.from('x'));
    },
  ],
  [
    'a delivery-tag longer than allowed',
    'amqp:invalid-field',
    (peer) =>
      peer.send(0, described(Descriptor.transfer, [uint(0), uint(0), Buffer.alloc(33), uint(0)]), Buffer.from('x')),
  ],
  [
    'a disposition that ends before it begins',
    'amqp:invalid-field',
    (peer) => peer.send(0, described(Descriptor.disposition, [true, uint(5), uint(4), true])),
  ],
];

for (const [what, condition, act] of sessionFaults) {
  test(`${what} costs the session`, async () => {
    await using pair = await stage();
    const { peer, connection, inbox } = pair;
    inbox.holding = true;
    act(peer);
    assert.is(conditionOf((await peer.next(Descriptor.end)).fields), condition);
    assert.is((inbox.detached as ErrorValue | null)?.condition, condition, 'links are told');
    // The session is over, the connection is not.
    peer.send(0, attach(5, false));
    peer.send(0, described(Descriptor.end, []));
    peer.send(0, begin);
    await peer.next(Descriptor.begin);
    await peer.next(Descriptor.begin);
    assert.not(connection.closed);
    inbox.letGo();
  });
}

test('a delivery beyond credit costs the link', async () => {
  await using pair = await stage();
  const { peer, inbox } = pair;
  for (let id = 0; id <= CREDIT; id++) peer.send(0, transfer(0, id), Buffer.from(`${id}`));
  const detach = await peer.next(Descriptor.detach);
  assert.is(detach.fields[0], 0);
  assert.is(conditionOf(detach.fields), 'amqp:link:transfer-limit-exceeded');
  assert.is(inbox.received.length, CREDIT);
  peer.send(0, transfer(0, CREDIT + 1), Buffer.from('late'));
  peer.send(0, described(Descriptor.detach, [uint(0), true]));
  peer.send(0, attach(0, false, 'again'));
  await peer.next(Descriptor.attach);
  assert.not(pair.connection.closed);
});

test('the octets of an aborted transfer are ignored', async () => {
  await using pair = await stage();
  const { peer, inbox } = pair;
  peer.send(0, transfer(0, 0, MORE), Buffer.from('good'));
  const aborted: Writable[] = [null, null, null, null, null, true];
  peer.send(0, transfer(0, null, aborted), Buffer.from('bad'));
  await until(() => inbox.received[0]?.delivery.complete === true, 'the abort has come');
  assert.ok(inbox.received[0]?.delivery.aborted);
  assert.is(inbox.text(0), 'good');
});

for (const [what, octets] of [
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['AMQP 0-9-1', Buffer.from('AMQP\x00\x00\x09\x01', 'latin1')],
  ['TLS', Buffer.from('160301020001000100', 'hex')],
  ['SASL, where there is none', Buffer.from('AMQP\x03\x01\x00\x00', 'latin1')],
] as const) {
  test(`a client that speaks ${what} is told what is spoken here, and left`, async () => {
    await using pair = await rawClient();
    pair.peer.raw(octets);
    await until(() => pair.peer.ended && pair.events.closed, 'it is ended');
    assert.equal(pair.peer.headers, [HEADER]);
    assert.is(pair.events.closings[0]?.code, 'not-amqp');
    assert.is(pair.peer.frames.length, 0);
  });
}

for (const performative of [begin, attach(0, false), transfer(0, 0), described(Descriptor.close, [])]) {
  test(`0x${performative.descriptor.toString(16)} before open costs the connection`, async () => {
    await using pair = await rawClient();
    pair.peer.raw(HEADER);
    pair.peer.send(0, performative);
    const close = await pair.peer.next(Descriptor.close);
    assert.is(conditionOf(close.fields), 'amqp:illegal-state');
    assert.equal(
      pair.peer.frames.map(({ code }) => code),
      [Descriptor.open, Descriptor.close],
      'an open goes before',
    );
  });
}

test('a peer that has not opened may not send large frames, and makes us keep no large slab', async () => {
  const sasl = new SaslServer('ANONYMOUS', { optional: true, refusal: null });
  for (const header of [HEADER, SASL_HEADER]) {
    const type = header === HEADER ? 0 : 1;
    await using pair = await rawClient({ maxFrameSize: 65_536, sasl });
    pair.peer.raw(header);
    pair.peer.raw(frameOf(Buffer.alloc(10), { size: 8193, type }));
    await until(() => pair.events.closed, 'it is closed');
    assert.match(pair.events.closings[0]?.message ?? '', /a frame of 8193 octets; 8192 is the most/);
  }
  await using pair = await rawClient({ maxFrameSize: 65_536 });
  pair.peer.raw(HEADER);
  pair.peer.send(0, described(Descriptor.open, ['x'.repeat(8000)]));
  await pair.peer.next(Descriptor.open);
  assert.is(pair.events.opened?.containerId.length, 8000);
});

test('a peer that ends within a frame is lost', async () => {
  const whole = rawFrame(0, begin);
  for (const length of [1, 7, 8, whole.length - 1]) {
    await using pair = await stage();
    pair.peer.raw(whole.subarray(0, length));
    pair.peer.socket.end();
    await until(() => pair.events.closed, 'it is closed');
    assert.is(pair.events.closings[0]?.code, 'connection-lost');
  }
});

test('a header or an open that comes octet by octet is as good as any', async () => {
  await using pair = await rawClient();
  const octets = Buffer.concat([HEADER, rawFrame(0, open), Buffer.from('0000000802000000', 'hex'), rawFrame(0, begin)]);
  for (const octet of octets) {
    pair.peer.raw(Buffer.of(octet));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await pair.peer.next(Descriptor.begin);
  assert.is(pair.events.opened?.containerId, 'raw');
});

test('an error is told even to a peer that goes on sending and reads late', async () => {
  await using pair = await stage();
  const { peer } = pair;
  peer.socket.pause();
  peer.send(0, open);
  const payload = encode(Buffer.alloc(2000));
  for (let index = 0; index < 2000; index++) peer.raw(payload);
  await until(() => pair.events.closed, 'it is closed here');
  for (let index = 0; index < 100; index++) peer.raw(payload);
  peer.socket.resume();
  assert.is(conditionOf((await peer.next(Descriptor.close)).fields), 'amqp:illegal-state');
});

test('errors are cut to what fits the smallest frame', async () => {
  await using pair = await stage();
  const { peer, inbox } = pair;
  peer.send(0, transfer(0, 0), Buffer.from('x'));
  await until(() => inbox.completed.length === 1, 'it has come');
  const description = 'ö€😀'.repeat(1000);
  inbox.received[0]?.delivery.update(
    { outcome: 'rejected', error: { condition: `x:${'y'.repeat(500)}`, description } },
    true,
  );
  const disposition = await peer.next(Descriptor.disposition);
  const rejected = disposition.fields[4] as { value: { value: string[] }[] };
  const [condition, told] = rejected.value[0]?.value ?? [];
  assert.is(condition?.length, 64);
  assert.ok(description.startsWith(told ?? 'nothing'));
  assert.ok((told?.length ?? 0) > 100);
});

test.run();
