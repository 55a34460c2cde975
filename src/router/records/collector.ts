/**
 * Collects what the sources of the network tell, as Skupper's own collectors do: beacons announce a source, its address
 * is subscribed to, it is asked to flush, and it is believed for as long as it is heard of.
 */
import { type Arrival, type Consumer, DISCARD, type Sink, type Way } from '../forwarding.ts';
import { post } from '../post.ts';
import type { Router } from '../router.ts';
import type { Collected } from './collected.ts';
import { decodeRecords } from './encoding.ts';
import {
  type Announced,
  BEACONS,
  flush,
  heartbeatsAddress,
  type MessageIds,
  readBeacon,
  readMessage,
  recordsAddress,
} from './messages.ts';

/** How long a source that was announced may take to be heard, and how long one may be silent, in milliseconds. */
const FIRST_WORD_WITHIN = 60_000;
export const SILENCE = 30_000;
/** A source is asked to flush when it is first heard, or after this time. */
const FLUSH_AFTER = 5_000;
/** It is asked again, when a record's beginning was missed, no more often than this. */
const FLUSH_EVERY = 10_000;

export class Collector {
  readonly #router: Router;
  readonly #collected: Collected;
  /** The source that is this router itself. */
  readonly #own: string;
  /** What stands for this router as a producer and a consumer of flow records. */
  readonly via: Way;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #beacons: Taker;
  #collecting = false;
  #messages = 0;

  constructor(router: Router, collected: Collected, own: string, via: Way) {
    this.#router = router;
    this.#collected = collected;
    this.#own = own;
    this.via = via;
    this.#beacons = new Taker(via, (arrival) => this.#onBeacon(arrival));
  }

  start(): void {
    if (this.#collecting) return;
    this.#collecting = true;
    this.#router.addresses.addConsumer(`M${BEACONS}`, this.#beacons);
  }

  /** Subscribes to nothing any more; what is known stays so until its time. */
  stop(): void {
    if (!this.#collecting) return;
    this.#collecting = false;
    this.#router.addresses.removeConsumer(`M${BEACONS}`, this.#beacons);
    for (const source of [...this.#subscriptions.keys()]) this.forgotten(source);
  }

  /** The source is not believed any more. */
  forgotten(source: string): void {
    this.#subscriptions.get(source)?.close();
    this.#subscriptions.delete(source);
  }

  /** To be called every two seconds. */
  beat(): void {
    for (const subscription of this.#subscriptions.values()) subscription.beat();
  }

  #onBeacon(arrival: Arrival): void {
    const source = readBeacon(readMessage(arrival.first.view())?.applicationProperties ?? new Map());
    if (!source || source.id === this.#own || this.#subscriptions.has(source.id)) return;
    if (!this.#collected.believe(source.id, performance.now() + FIRST_WORD_WITHIN)) return;
    const subscription = new Subscription(source, this.#router, this.#collected, this.via, this.#ids);
    this.#subscriptions.set(source.id, subscription);
  }

  readonly #ids: MessageIds = () => this.#messages++;
}

/** What is heard of one source. */
class Subscription {
  readonly #id: string;
  readonly #router: Router;
  readonly #collected: Collected;
  readonly #via: Way;
  readonly #ids: MessageIds;
  readonly #taker: Taker;
  readonly #addresses: string[];
  readonly #began = performance.now();
  #flushedAt: number | null = null;

  constructor(source: Announced, router: Router, collected: Collected, via: Way, ids: MessageIds) {
    this.#id = source.id;
    this.#router = router;
    this.#collected = collected;
    this.#via = via;
    this.#ids = ids;
    this.#taker = new Taker(via, (arrival) => this.#onMessage(arrival));
    this.#addresses = [recordsAddress(source.id), ...(source.controller ? [heartbeatsAddress(source.id)] : [])];
    for (const address of this.#addresses) router.addresses.addConsumer(`M${address}`, this.#taker);
  }

  close(): void {
    for (const address of this.#addresses) this.#router.addresses.removeConsumer(`M${address}`, this.#taker);
  }

  beat(): void {
    if (this.#flushedAt === null && performance.now() > this.#began + FLUSH_AFTER) this.#flush();
  }

  #onMessage({ head, first, via }: Arrival): void {
    if (head.subject !== 'RECORD' && head.subject !== 'HEARTBEAT') return;
    this.#collected.believe(this.#id, performance.now() + SILENCE);
    let amiss = false;
    if (head.subject === 'RECORD') {
      const all = decodeRecords(readMessage(first.view())?.body ?? null);
      const records = all.filter((record) => via?.guard?.vouches(record) ?? true);
      amiss = this.#collected.merge(this.#id, records);
    }
    const now = performance.now();
    if (this.#flushedAt === null || (amiss && now > this.#flushedAt + FLUSH_EVERY)) this.#flush();
  }

  #flush(): void {
    this.#flushedAt = performance.now();
    post(this.#router, flush(this.#id, this.#ids), this.#via);
  }
}

/** Takes messages for an address. Multicast ones, as these are, come whole. */
class Taker implements Consumer {
  readonly via: Way;
  readonly partOfRouter = true;
  readonly cost = 0;
  readonly outstanding = 0;
  readonly #take: (arrival: Arrival) => void;

  constructor(via: Way, take: (arrival: Arrival) => void) {
    this.via = via;
    this.#take = take;
  }

  deliver(arrival: Arrival): Sink {
    if (arrival.complete) this.#take(arrival);
    arrival.first.release();
    return DISCARD;
  }
}
