/**
 * Streams through a relay while everything that can happen does: slow consumers, aborts, refusals, links, sessions and
 * connections that end. What arrives whole is right, everybody hears the end of everything once, and nothing is left.
 */
import crypto, { type Hash } from 'node:crypto';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { IncomingDelivery, OutgoingDelivery, OutgoingDeliveryHandler } from '../../src/amqp/delivery.ts';
import type { Receiver, ReceiverHandler, Sender } from '../../src/amqp/link.ts';
import { ACCEPTED, type DeliveryState, isTerminal, MODIFIED_FAILED, RELEASED } from '../../src/amqp/performatives.ts';
import type { Session } from '../../src/amqp/session.ts';
import { type LogRecord, setLogSink } from '../../src/log.ts';
import type { Chunk } from '../../src/net/chunk.ts';
import { chunkOf, openPair, type Pair, settleDown, until } from './loopback.ts';

const RUNS = Math.ceil(Number(process.env.FUZZ_RUNS ?? 2000) / 80);
const test = suite('chaos');

const bugs: LogRecord[] = [];
setLogSink((record) => {
  if (record.level === 'error') bugs.push(record);
});

/** What a producer hears of its stream; each may come once, and nothing after it. */
class Producer implements OutgoingDeliveryHandler {
  readonly hash = crypto.createHash('sha256');
  readonly ends: string[] = [];
  #delivery: OutgoingDelivery | null = null;
  #left: number;

  constructor(octets: number) {
    this.#left = octets;
  }

  begin(sender: Sender): void {
    this.#delivery = sender.send(false, this);
    this.#produce();
  }

  abort(): void {
    this.#delivery?.abort();
  }

  onState(state: DeliveryState | null, settled: boolean): void {
    if (settled) this.ends.push(`settled ${state?.outcome}`);
    if (isTerminal(state) && state?.outcome !== 'accepted') this.#delivery?.abort();
  }

  onLost(): void {
    this.ends.push('lost');
  }

  onWritable(): void {
    this.#produce();
  }

  onFinished(): void {
    this.ends.push('finished');
  }

  #produce(): void {
    const delivery = this.#delivery;
    while (delivery && !delivery.finished && this.#left > 0) {
      const piece = crypto.randomBytes(Math.min(this.#left, 1 + crypto.randomInt(30_000)));
      this.hash.update(piece);
      this.#left -= piece.length;
      delivery.write(chunkOf(piece));
      if (delivery.blocked) return;
    }
    delivery?.end(false);
  }
}

/** The far end of all streams: it takes its time. */
class Consumer implements ReceiverHandler {
  readonly hashes = new Map<IncomingDelivery, Hash>();
  readonly whole: string[] = [];
  #held: Chunk[] = [];
  #holding = false;

  onTransfer(delivery: IncomingDelivery, chunk: Chunk | null): void {
    const hash = this.hashes.get(delivery) ?? crypto.createHash('sha256');
    this.hashes.set(delivery, hash);
    if (chunk) {
      hash.update(chunk.view());
      if (this.#holding) this.#held.push(chunk);
      else chunk.release();
    }
    if (!delivery.complete) return;
    this.hashes.delete(delivery);
    if (!delivery.aborted && !delivery.settled) this.whole.push(hash.digest('hex'));
    delivery.update(ACCEPTED, true);
  }

  onDetached(): void {}

  hold(): void {
    this.#holding = true;
  }

  letGo(): void {
    this.#holding = false;
    for (const chunk of this.#held.splice(0)) chunk.release();
  }

  refuse(state: DeliveryState): void {
    for (const delivery of this.hashes.keys()) delivery.update(state, true);
  }
}

/** One stream on its way through the relay. */
class Relayed implements OutgoingDeliveryHandler {
  readonly #incoming: IncomingDelivery;
  readonly delivery: OutgoingDelivery;

  constructor(incoming: IncomingDelivery, onward: Sender) {
    this.#incoming = incoming;
    this.delivery = onward.send(false, this);
  }

  onState(state: DeliveryState | null, settled: boolean): void {
    this.#incoming.update(state, settled);
    if (isTerminal(state) && state?.outcome !== 'accepted') this.delivery.abort();
  }

  onLost(): void {
    this.#incoming.update(MODIFIED_FAILED, true);
  }

  onWritable(): void {}
  onFinished(): void {}
}

/** Takes each stream of a link on to another link. */
class Relay implements ReceiverHandler {
  readonly #onward: () => Sender;

  constructor(onward: () => Sender) {
    this.#onward = onward;
  }

  onTransfer(incoming: IncomingDelivery, chunk: Chunk | null): void {
    const relayed = (incoming.context as Relayed | null) ?? new Relayed(incoming, this.#onward());
    incoming.context = relayed;
    if (chunk) relayed.delivery.write(chunk);
    if (!incoming.complete) return;
    if (incoming.aborted) relayed.delivery.abort();
    else relayed.delivery.end(false);
  }

  onDetached(): void {}
}

interface Net {
  there: Pair;
  onward: Pair;
  consumer: Consumer;
  senders: Sender[];
  farReceivers: Receiver[];
}

let names = 0;

function newSender(session: Session): Sender {
  return session.openSender({ name: `c${++names}`, source: null, target: null }, { onDetached: () => {} });
}

/** Links from the client to the relay and from it to the server, several on each session. */
async function build(there: Pair, onward: Pair, links: number): Promise<Net> {
  const consumer = new Consumer();
  const farReceivers: Receiver[] = [];
  onward.serverEvents.attach = (session, attach) => {
    const receiver = session.acceptReceiver(attach, attach, consumer);
    receiver.setCapacity(2);
    farReceivers.push(receiver);
  };
  const out: Sender[] = [];
  for (let index = 0; index < links; index += 2) {
    const session = onward.client.openSession();
    out.push(newSender(session), newSender(session));
  }
  let turn = 0;
  there.serverEvents.attach = (session, attach) => {
    const relay = new Relay(() => out[turn++ % out.length] as Sender);
    session.acceptReceiver(attach, attach, relay).setCapacity(3);
  };
  const senders: Sender[] = [];
  for (let index = 0; index < links; index += 2) {
    const session = there.client.openSession();
    senders.push(newSender(session), newSender(session));
  }
  await until(() => [...senders, ...out].every(({ credit }) => credit > 0), 'all links have credit');
  return { there, onward, consumer, senders, farReceivers };
}

type Act = (net: Net, producers: Producer[], which: number) => void;

const pick = <T>(list: T[], which: number): T | undefined => list[which % Math.max(list.length, 1)];
const harmless: Act[] = [
  ({ consumer }) => consumer.hold(),
  ({ consumer }) => consumer.letGo(),
  (_, producers, which) => pick(producers, which)?.abort(),
  ({ consumer }) => consumer.refuse(RELEASED),
  ({ consumer }) => consumer.refuse(MODIFIED_FAILED),
  ({ farReceivers }, _, which) => pick(farReceivers, which)?.setCapacity(which % 4),
  () => {},
];
const harmful: Act[] = [
  ({ senders }, _, which) => pick(senders, which)?.detach(),
  ({ farReceivers }, _, which) => pick(farReceivers, which)?.detach(),
  ({ senders }, _, which) => pick(senders, which)?.session.end(),
  ({ farReceivers }, _, which) => pick(farReceivers, which)?.session.end(),
];
const fatal: Act[] = [
  ({ there }) => there.client.close(),
  ({ there }) => there.server.destroy(),
  ({ onward }) => onward.server.close(),
  ({ onward }) => onward.client.socket.resetAndDestroy(),
];

const act: fc.Arbitrary<{ act: Act; which: number; turns: number }> = fc.record({
  act: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...harmless) },
    { weight: 3, arbitrary: fc.constantFrom(...harmful) },
    { weight: 1, arbitrary: fc.constantFrom(...fatal) },
  ),
  which: fc.nat(100),
  turns: fc.nat(5),
});

test('streams through a relay while everything happens', async () => {
  const sizes = fc.array(fc.oneof(fc.nat(100), fc.nat(400_000)), { minLength: 1, maxLength: 12 });
  const windows = fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }));
  await fc.assert(
    fc.asyncProperty(sizes, windows, fc.array(act, { maxLength: 15 }), async (octets, [near, far], acts) => {
      const options = { maxFrameSize: 8192, firstSequence: 2 ** 32 - 20 };
      await using there = await openPair({ client: options, server: { ...options, sessionWindow: near } });
      await using onward = await openPair({ client: options, server: { ...options, sessionWindow: far } });
      const net = await build(there, onward, 4);
      const producers = octets.map((size) => new Producer(size));
      for (const [index, producer] of producers.entries()) producer.begin(net.senders[index % 4] as Sender);
      for (const { act: perform, which, turns } of acts) {
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        perform(net, producers, which);
      }
      // From here on nothing hinders those that can still come through.
      net.consumer.letGo();
      for (const receiver of net.farReceivers) receiver.setCapacity(100);
      const over = ({ ends }: Producer): boolean =>
        ends.includes('lost') || ends.some((end) => end.startsWith('settled')) || ends.includes('finished');
      await until(() => producers.every(over), 'every stream has come to an end');
      await settleDown();
      net.consumer.letGo();
      for (const { ends, hash } of producers) {
        assert.is(new Set(ends).size, ends.length, `everything is told once: ${ends}`);
        if (ends.includes('lost')) assert.is(ends.at(-1), 'lost');
        if (ends.includes('settled accepted'))
          assert.ok(net.consumer.whole.includes(hash.digest('hex')), 'what was accepted had come whole');
      }
      assert.equal(bugs, []);
    }),
    { numRuns: RUNS },
  );
});

test.run();
