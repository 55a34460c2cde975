/** Many octets: whole, in order and within bounds, end to end and through a relay, over TLS. */
import crypto, { type Hash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { OutgoingDelivery } from '../../src/amqp/delivery.ts';
import { slabsInUse } from '../../src/net/slab.ts';
import { secureContext } from '../../src/net/tls.ts';
import { makeCa } from '../support/certificates.ts';
import {
  chunkOf,
  type Inbox,
  type LinkPair,
  Outcomes,
  openLink,
  openPair,
  type Pair,
  type Received,
  until,
} from './loopback.ts';

const test = suite('bulk');

const ca = makeCa('site');
const tls = {
  server: secureContext(ca.issue({ commonName: 'hub', hosts: ['127.0.0.1'] }), 'access'),
  client: secureContext(ca.issue({ commonName: 'store1' }), 'link'),
};
const MIB = 1024 * 1024;
const FRAME = 64 * 1024;

/** Sends octets in pieces of any size, as fast as the delivery takes them. */
class Producer {
  readonly hash = crypto.createHash('sha256');
  readonly outcomes = new Outcomes();
  readonly #delivery: OutgoingDelivery;
  readonly #noise = crypto.randomBytes(MIB);
  #left: number;

  constructor(link: LinkPair, octets: number) {
    this.#left = octets;
    this.#delivery = link.sender.send(false, this.outcomes);
    this.outcomes.onWritable = () => this.#produce();
    this.#produce();
  }

  #produce(): void {
    while (this.#left > 0) {
      // Many small pieces and some large ones.
      const most = crypto.randomInt(10) === 0 ? 300_000 : 20_000;
      const size = Math.min(this.#left, crypto.randomInt(1, most));
      const start = crypto.randomInt(MIB - size);
      const piece = this.#noise.subarray(start, start + size);
      this.hash.update(piece);
      this.#left -= size;
      this.#delivery.write(chunkOf(piece));
      if (this.#delivery.blocked) return;
    }
    this.#delivery.end(true);
  }
}

/** Hashes what comes, and keeps none of it. */
function hashing(inbox: Inbox): Hash {
  const hash = crypto.createHash('sha256');
  inbox.onTransfer = (delivery, chunk) => {
    let entry = delivery.context as Received | null;
    if (!entry) {
      entry = { delivery, parts: [], held: [], octets: 0 };
      delivery.context = entry;
      inbox.received.push(entry);
    }
    if (!chunk) return;
    hash.update(chunk.view());
    entry.octets += chunk.length;
    chunk.release();
  };
  return hash;
}

test('50 MiB each way at once, over TLS', async () => {
  const options = { maxFrameSize: FRAME, sessionWindow: 64 };
  await using pair = await openPair({ tls, client: options, server: { ...options, maxFrameSize: 16_384 } });
  const links = [await openLink(pair, { from: 'client' }), await openLink(pair, { from: 'server' })];
  const hashes = links.map(({ inbox }) => hashing(inbox));
  const producers = links.map((link) => new Producer(link, 50 * MIB));
  for (const [index, { inbox }] of links.entries()) {
    await until(() => inbox.completed.length === 1, 'a stream is complete', 60_000);
    assert.is(inbox.received[0]?.octets, 50 * MIB);
    assert.is(hashes[index]?.digest('hex'), producers[index]?.hash.digest('hex'));
  }
});

/** Hands on what comes on one link to another, octets and back-pressure alike. */
function relay(inbox: Inbox, onward: LinkPair): { delivery: OutgoingDelivery; outcomes: Outcomes } {
  const outcomes = new Outcomes();
  const delivery = onward.sender.send(false, outcomes);
  inbox.onTransfer = (incoming, chunk) => {
    if (chunk) delivery.write(chunk);
    if (!incoming.complete) return;
    if (incoming.aborted) delivery.abort();
    else delivery.end(true);
  };
  return { delivery, outcomes };
}

interface Relayed {
  first: LinkPair;
  second: LinkPair;
  delivery: OutgoingDelivery;
}

/** A link to a relay and another on from it. */
async function relayed(there: Pair, onward: Pair): Promise<Relayed> {
  const first = await openLink(there);
  const second = await openLink(onward);
  return { first, second, ...relay(first.inbox, second) };
}

test('50 MiB through a relay, over TLS on one side', async () => {
  const options = { maxFrameSize: FRAME, sessionWindow: 64 };
  await using there = await openPair({ tls, client: options, server: options });
  await using onward = await openPair({ client: options, server: options });
  const { first, second } = await relayed(there, onward);
  const hash = hashing(second.inbox);
  const producer = new Producer(first, 50 * MIB);
  await until(() => second.inbox.completed.length === 1, 'it has come through', 60_000);
  assert.is(second.inbox.received[0]?.octets, 50 * MIB);
  assert.is(hash.digest('hex'), producer.hash.digest('hex'));
});

test('a stream that stalls behind a relay stops at its window, holds up no other, and pins little memory', async () => {
  const window = 32;
  const options = { maxFrameSize: 16_384, sessionWindow: window };
  await using there = await openPair({ tls, client: options, server: options });
  await using onward = await openPair({ tls, client: options, server: options });
  const stalled = await relayed(there, onward);
  const flowing = [await relayed(there, onward), await relayed(there, onward), await relayed(there, onward)];
  stalled.second.inbox.holding = true;
  const hashes = flowing.map(({ second }) => hashing(second.inbox));
  const producers = flowing.map(({ first }) => new Producer(first, 10 * MIB));
  const stuck = new Producer(stalled.first, 20 * MIB);
  let mostSlabs = 0;
  let mostWaiting = 0;
  for (const { second } of flowing) {
    await until(
      () => {
        mostSlabs = Math.max(mostSlabs, slabsInUse());
        mostWaiting = Math.max(mostWaiting, stalled.delivery.waitingOctets);
        return second.inbox.completed.length === 1;
      },
      'a stream has come through',
      60_000,
    );
  }
  for (const [index, hash] of hashes.entries()) assert.is(hash.digest('hex'), producers[index]?.hash.digest('hex'));
  assert.is(stalled.second.inbox.received[0]?.held.length, window, 'the far window is full');
  assert.ok(mostWaiting <= window * 16_384, `the relay keeps no more than its own window (${mostWaiting})`);
  // What is held at the far end pins a slab a chunk at worst; what waits in the relay pins none.
  assert.ok(mostSlabs < 2 * window + 40, `${mostSlabs} slabs were held at once`);
  const rest = stalled.second.inbox;
  const held = rest.received[0]?.held.splice(0) ?? [];
  rest.holding = false;
  const hash = crypto.createHash('sha256');
  for (const chunk of held) {
    hash.update(chunk.view());
    chunk.release();
  }
  rest.onPart = (_, chunk) => hash.update(chunk.view());
  await until(() => rest.completed.length === 1, 'it goes on to its end', 60_000);
  assert.is(hash.digest('hex'), stuck.hash.digest('hex'));
});

test.run();
