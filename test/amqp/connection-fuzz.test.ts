/**
 * Connections fed with frames in any order, and with octets that were frames once: whatever comes, the connection ends
 * once, what it said until then is well-formed, nothing is left open, and nobody has to log a bug.
 */
import { EventEmitter } from 'node:events';
import net, { type Socket } from 'node:net';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { described, uint, ulong, type Writable, type WritableDescribed } from '../../src/amqp/codec.ts';
import { Connection } from '../../src/amqp/connection.ts';
import type { IncomingDelivery, OutgoingDelivery } from '../../src/amqp/delivery.ts';
import { AmqpError, Condition } from '../../src/amqp/error.ts';
import type { Receiver, ReceiverHandler, Sender } from '../../src/amqp/link.ts';
import { type Attach, Descriptor, MODIFIED_FAILED, RELEASED, saslInit } from '../../src/amqp/performatives.ts';
import { AMQP_HEADER, SASL_HEADER, SaslServer } from '../../src/amqp/sasl.ts';
import type { Session } from '../../src/amqp/session.ts';
import { SkiffError } from '../../src/errors.ts';
import { type LogRecord, setLogSink } from '../../src/log.ts';
import type { Chunk } from '../../src/net/chunk.ts';
import { slabsInUse } from '../../src/net/slab.ts';
import { mutated } from './fuzz.ts';
import { chunkOf, connectionOptions, listen, Outcomes, parseFrame, Recorder, rawFrame, until } from './loopback.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);
const test = suite('connection fuzz');

const bugs: LogRecord[] = [];
setLogSink((record) => {
  if (record.level === 'error') bugs.push(record);
});

/** Mostly what there is, now and then something else. */
const channel = fc.oneof({ weight: 30, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(3) });
const handle = fc.oneof({ weight: 30, arbitrary: fc.nat(1) }, { weight: 1, arbitrary: fc.nat(4) });
const seldom = fc.nat(30).map((each) => each === 0);
const number = fc.oneof(fc.nat(6), fc.nat(6), fc.constantFrom(0xfffffffe, 0xffffffff, 0x7fffffff, 0x80000000));
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { freq: 2 });
const optional = (value: number | null): Writable => (value === null ? null : uint(value));

const state: fc.Arbitrary<Writable> = fc.oneof(
  fc.constantFrom<Writable>(
    null,
    described(Descriptor.accepted, []),
    described(Descriptor.released, []),
    described(Descriptor.modified, [true]),
    described(Descriptor.rejected, []),
  ),
  fc.maxSafeNat().map((offset) => described(Descriptor.received, [uint(0), ulong(offset)])),
);

/** What a peer that behaves would know of its deliveries. */
interface Knowledge {
  nextId: number;
  /** Links with a delivery under way. */
  open: Set<string>;
}

type Make = (peer: Knowledge) => Buffer;

const begin: fc.Arbitrary<Make> = fc.tuple(fc.nat(3), maybe(fc.nat(3)), number, fc.nat(5)).map(
  ([on, answers, next, window]) =>
    () =>
      rawFrame(on, beginning(answers, next, window)),
);

const attach: fc.Arbitrary<Make> = fc.tuple(channel, fc.nat(4), fc.boolean(), fc.nat(3)).map(
  ([on, ours, role, name]) =>
    () =>
      rawFrame(on, attaching(`link${name}`, ours, role)),
);

const transfer: fc.Arbitrary<Make> = fc
  .record({
    on: channel,
    // Handle 1 is our sender.
    link: fc.oneof({ weight: 40, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(4) }),
    mixed: seldom,
    settled: fc.nat(3),
    more: fc.boolean(),
    aborted: seldom,
    octets: fc.nat(200),
  })
  .map(({ on, link, mixed, settled, more, aborted, octets }) => (peer) => {
    const key = `${on} ${link}`;
    const first = peer.open.has(key) === mixed;
    const fields: Writable[] = [uint(link), null, null, null, settled === 0, more];
    if (first) fields.splice(1, 3, uint(peer.nextId++ >>> 0), Buffer.from('t'), uint(0));
    if (aborted) fields.push(null, null, null, true);
    if (more && !aborted) peer.open.add(key);
    else peer.open.delete(key);
    return rawFrame(on, described(Descriptor.transfer, fields), Buffer.alloc(octets, 'x'));
  });

const flow: fc.Arbitrary<Make> = fc
  .record({
    on: channel,
    incoming: maybe(number),
    window: number,
    link: maybe(handle),
    count: maybe(number),
    credit: maybe(number),
    drain: fc.boolean(),
    echo: fc.boolean(),
  })
  .map(({ on, incoming, window, link, count, credit, drain, echo }) => () => {
    const session = [optional(incoming), uint(window), uint(0), uint(9)];
    return rawFrame(
      on,
      described(Descriptor.flow, [...session, optional(link), optional(count), optional(credit), null, drain, echo]),
    );
  });

const disposition: fc.Arbitrary<Make> = fc
  .tuple(channel, fc.boolean(), number, maybe(number), fc.boolean(), state)
  .map(([on, role, first, last, settled, outcome]) => () => {
    const end = last === null ? null : Math.max(first, last);
    return rawFrame(on, described(Descriptor.disposition, [role, uint(first), optional(end), settled, outcome]));
  });

const detach: fc.Arbitrary<Make> = fc.tuple(channel, handle, fc.boolean()).map(
  ([on, link, closed]) =>
    () =>
      rawFrame(on, described(Descriptor.detach, [uint(link), closed])),
);
const end: fc.Arbitrary<Make> = fc.nat(3).map((on) => () => rawFrame(on, described(Descriptor.end, [])));
const empty: fc.Arbitrary<Make> = fc.constant(() => Buffer.of(0, 0, 0, 8, 2, 0, 0, 0));
const close: fc.Arbitrary<Make> = fc.constant(() => rawFrame(0, described(Descriptor.close, [])));

const frames = fc
  .array(
    fc.oneof(
      { weight: 2, arbitrary: begin },
      { weight: 4, arbitrary: attach },
      { weight: 60, arbitrary: transfer },
      { weight: 20, arbitrary: flow },
      { weight: 20, arbitrary: disposition },
      { weight: 2, arbitrary: detach },
      { weight: 1, arbitrary: end },
      { weight: 2, arbitrary: empty },
      { weight: 1, arbitrary: close },
    ),
    { maxLength: 30 },
  )
  .map((makers) => {
    const peer: Knowledge = { nextId: 0xfffffffe, open: new Set() };
    return Buffer.concat(makers.map((make) => make(peer)));
  });

function beginning(answers: number | null, next: number, window: number): WritableDescribed {
  return described(Descriptor.begin, [optional(answers), uint(next), uint(window), uint(9)]);
}

function attaching(name: string, ours: number, role: boolean): WritableDescribed {
  return described(Descriptor.attach, [name, uint(ours), role, null, null, null, null, null, null, uint(0)]);
}

const opening = Buffer.concat([AMQP_HEADER, rawFrame(0, described(Descriptor.open, ['raw', null, uint(512)]))]);
const begun = Buffer.concat([
  opening,
  rawFrame(0, beginning(null, 0, 5)),
  rawFrame(0, attaching('in', 0, false)),
  rawFrame(0, attaching('out', 1, true)),
  rawFrame(0, described(Descriptor.flow, [uint(0), uint(9), uint(0), uint(9), uint(1), uint(0), uint(3)])),
]);
const login = Buffer.concat([
  SASL_HEADER,
  rawFrame(0, saslInit('ANONYMOUS', Buffer.from('me'), null), Buffer.alloc(0), 1),
]);

/** A conversation: a good beginning and frames in any order, or octets that were some once. */
const conversation: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 6, arbitrary: frames.map((rest) => Buffer.concat([begun, rest])) },
  { weight: 3, arbitrary: mutated(frames).map((rest) => Buffer.concat([begun, rest])) },
  { weight: 1, arbitrary: mutated(frames.map((rest) => Buffer.concat([login, begun, rest]))) },
);

/** What our side does, one number after another: answers, refuses, holds, gives back, settles, ends. */
const choices = fc.array(fc.nat(99), { minLength: 1, maxLength: 40 });

class Consumer extends Recorder implements ReceiverHandler {
  readonly #choices: number[];
  #turn = 0;
  readonly #held: Chunk[] = [];
  readonly #deliveries: IncomingDelivery[] = [];
  readonly #senders: Sender[] = [];
  #outgoing: OutgoingDelivery | null = null;
  /** Which calls were made for a link or delivery that was over. */
  readonly wrong: string[] = [];

  constructor(given: number[]) {
    super();
    this.#choices = given;
    this.attach = (session, attach) => this.#onAttach(session, attach);
  }

  letGo(): void {
    for (const chunk of this.#held.splice(0)) chunk.release();
  }

  onDetached(): void {
    this.#act();
  }

  onTransfer(delivery: IncomingDelivery, chunk: Chunk | null): void {
    if (delivery.context === 'over') this.wrong.push('a transfer of a delivery that was over');
    if (delivery.complete) delivery.context = 'over';
    this.#deliveries.push(delivery);
    const choice = this.#choice();
    if (chunk) {
      if (choice < 30) this.#held.push(chunk);
      else if (choice < 60 && this.#outgoing) this.#outgoing.write(chunk);
      else chunk.release();
    }
    this.#act();
  }

  onSettled(): void {
    this.#act();
  }

  #onAttach(session: Session, attach: Attach): void {
    const choice = this.#choice();
    if (choice < 5) throw new AmqpError(Condition.notFound, 'not here');
    if (choice < 10) return;
    if (attach.role) {
      this.#senders.push(
        session.acceptSender(attach, attach, { onDetached: () => this.#act(), onCredit: () => this.#act() }),
      );
    } else {
      const receiver: Receiver = session.acceptReceiver(attach, attach, this);
      receiver.setCapacity(choice % 7);
    }
  }

  #choice(): number {
    return this.#choices[this.#turn++ % this.#choices.length] as number;
  }

  #act(): void {
    // Handlers call each other through what they do; somewhere there must be an end to it.
    if (this.#turn > 300) return;
    const choice = this.#choice();
    const delivery = this.#deliveries[choice % Math.max(this.#deliveries.length, 1)];
    const sender = this.#senders[choice % Math.max(this.#senders.length, 1)];
    const rarely = (act: () => void) => () => {
      if (choice > 80) act();
    };
    const actions: (() => void)[] = [
      () => delivery?.update(RELEASED, true),
      () => delivery?.update(MODIFIED_FAILED, false),
      () => this.letGo(),
      () => {
        this.#outgoing = sender?.send(choice > 50, this.#outcomes()) ?? null;
        this.#outgoing?.write(chunkOf(Buffer.alloc(choice * 20)));
      },
      () => this.#outgoing?.write(chunkOf(Buffer.alloc(choice))),
      () => this.#outgoing?.end(choice > 50, chunkOf('the end')),
      () => this.#outgoing?.abort(),
      () => this.#outgoing?.settle(),
      () => delivery?.receiver.setCapacity(choice % 5),
      rarely(() => sender?.detach()),
      rarely(() => delivery?.receiver.detach(new AmqpError(Condition.notFound, 'gone'))),
      rarely(() => delivery?.receiver.session.end()),
      rarely(() => this.#openLinks()),
      rarely(() => this.connection.close()),
      rarely(() => this.connection.destroy()),
    ];
    actions[choice % actions.length]?.();
  }

  #openLinks(): void {
    try {
      const session = this.connection.openSession();
      const termini = { source: null, target: null };
      this.#senders.push(session.openSender({ name: 'link0', ...termini }, { onDetached: () => this.#act() }));
      session.openReceiver({ name: 'link1', ...termini }, this).setCapacity(3);
    } catch (error) {
      assert.instance(error, SkiffError, 'too many, or too late');
    }
  }

  #outcomes(): Outcomes {
    const outcomes = new Outcomes();
    outcomes.onWritable = () => this.#act();
    outcomes.onState = () => this.#act();
    outcomes.onFinished = () => this.#act();
    return outcomes;
  }
}

/** As much of a socket as a connection needs: what it reads is given by the test, what it writes is kept. */
class FakeSocket extends EventEmitter {
  readonly written: Buffer[] = [];
  destroyed = false;
  bytesWritten = 0;

  write(data: Buffer, callback?: () => void): boolean {
    // Copied when the kernel would take it: later than the call.
    setImmediate(() => {
      this.written.push(Buffer.from(data));
      callback?.();
    });
    return true;
  }

  cork(): void {}
  uncork(): void {}
  resume(): void {}

  end(): void {
    setImmediate(() => this.destroy());
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    setImmediate(() => this.emit('close'));
  }

  /** Reads as Node does with `onread`: into the buffer, the callback, then the next buffer. */
  feed(data: Buffer): void {
    const fields = this as unknown as Record<symbol, unknown>;
    for (let offset = 0; offset < data.length && !this.destroyed; ) {
      const buffer = fields[named.kBuffer as symbol] as Uint8Array;
      const count = Math.min(buffer.length, data.length - offset);
      buffer.set(data.subarray(offset, offset + count));
      offset += count;
      (fields[named.kBufferCb as symbol] as (octets: number) => boolean)(count);
      fields[named.kBuffer as symbol] = (fields[named.kBufferGen as symbol] as () => Uint8Array)();
    }
  }
}

const probe = new net.Socket({ onread: { buffer: new Uint8Array(1), callback: () => true } });
const named = Object.fromEntries(Object.getOwnPropertySymbols(probe).map((symbol) => [symbol.description, symbol]));
probe.destroy();

/** What was written must be frames, and close the last of them. */
function checkOutput(output: Buffer): void {
  let offset = 0;
  let last = -2;
  while (offset < output.length) {
    if (output.toString('latin1', offset, offset + 4) === 'AMQP') {
      offset += 8;
      continue;
    }
    assert.is.not(last, Descriptor.close, 'close is the last frame');
    const size = output.readUInt32BE(offset);
    assert.ok(size >= 8 && offset + size <= output.length, 'frames are whole');
    last = parseFrame(output.subarray(offset, offset + size)).code;
    offset += size;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('whatever frames come in whatever order', async () => {
  await fc.assert(
    fc.asyncProperty(
      conversation,
      choices,
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 }),
      async (data, given, cuts) => {
        const socket = new FakeSocket();
        const consumer = new Consumer(given);
        const sasl = new SaslServer('ANONYMOUS', { optional: true, refusal: null });
        const options = connectionOptions({ sasl, sessionWindow: 6, maxFrameSize: 2048, channelMax: 3 });
        consumer.connection = new Connection(socket as unknown as Socket, options, consumer);
        for (let offset = 0, index = 0; offset < data.length; index++) {
          const cut = cuts[index % cuts.length] as number;
          socket.feed(data.subarray(offset, offset + cut));
          offset += cut;
          if (index % 8 === 0) await turn();
        }
        await turn();
        await turn();
        if (!consumer.closed) socket.emit('end');
        assert.is(consumer.closings.length, 1, 'it ends once');
        consumer.letGo();
        await turn();
        await turn();
        await turn();
        socket.destroy();
        await turn();
        checkOutput(Buffer.concat(socket.written));
        assert.equal(consumer.wrong, []);
        assert.equal(bugs, [], 'nobody had to log a bug');
        assert.is(slabsInUse(), 0, 'all slabs are free');
      },
    ),
    { numRuns: RUNS },
  );
});

test('and over sockets', async () => {
  const waiting: ((accepted: Socket) => void)[] = [];
  await using listening = await listen(null, ({ socket }) => waiting.shift()?.(socket));
  await fc.assert(
    fc.asyncProperty(conversation, choices, async (data, given) => {
      const consumer = new Consumer(given);
      const accepted = Promise.withResolvers<Socket>();
      waiting.push((socket) => {
        consumer.connection = new Connection(
          socket,
          connectionOptions({ sessionWindow: 6, maxFrameSize: 2048 }),
          consumer,
        );
        accepted.resolve(socket);
      });
      const peer = net.connect({ host: '127.0.0.1', port: listening.port, noDelay: true });
      const heard: Buffer[] = [];
      peer.on('data', (part) => heard.push(part));
      peer.on('error', () => {});
      const socket = await accepted.promise;
      peer.end(data);
      await until(() => consumer.closed && socket.destroyed && peer.destroyed, 'both ends are closed');
      consumer.letGo();
      await until(() => slabsInUse() === 0, 'all slabs are free');
      assert.is(consumer.closings.length, 1);
      assert.equal(bugs, []);
      checkOutput(Buffer.concat(heard));
    }),
    { numRuns: Math.ceil(RUNS / 20) },
  );
  // The first ones were closed long ago.
  listening.sockets.length = 0;
});

test.run();
