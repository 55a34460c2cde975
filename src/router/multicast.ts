/** A message that goes to all consumers of its address. */
import { Condition } from '../amqp/error.ts';
import { ACCEPTED, RELEASED } from '../amqp/performatives.ts';
import { Chunk } from '../net/chunk.ts';
import type { Address } from './addresses.ts';
import {
  type Arrival,
  type Consumer,
  DEAF,
  isRemote,
  mayGoTo,
  type Sink,
  type Source,
  type Way,
} from './forwarding.ts';

/**
 * Gives a copy to every consumer here and on edges, and one to each neighbour on the way to others, once the message is
 * whole. The source is told `accepted` as soon as all copies are on their way: nobody's outcome speaks for the others.
 */
export class Multicast implements Sink {
  readonly blocked = false;
  readonly #address: Address;
  readonly #consumers: () => Iterable<Consumer>;
  readonly #arrival: Arrival;
  readonly #source: Source;
  #parts: Buffer[];
  #octets = 0;

  /** `consumers`: who is there once the message is. */
  constructor(address: Address, consumers: () => Iterable<Consumer>, arrival: Arrival, source: Source) {
    this.#address = address;
    this.#consumers = consumers;
    this.#arrival = arrival;
    this.#source = source;
    this.#parts = [Buffer.from(arrival.first.view())];
    this.#octets = arrival.first.length;
    arrival.first.release();
  }

  write(chunk: Chunk): void {
    this.#octets += chunk.length;
    if (this.#octets > MULTICAST_LIMIT) this.#parts = [];
    else this.#parts.push(Buffer.from(chunk.view()));
    chunk.release();
  }

  end(settled: boolean): void {
    if (this.#parts.length === 0) {
      const description = `a multicast message may have ${MULTICAST_LIMIT} octets`;
      const error = { condition: Condition.messageSize, description };
      this.#source.onOutcome({ outcome: 'rejected', error }, true);
      return;
    }
    const takers = this.#takers();
    const whole = Buffer.concat(this.#parts);
    for (const consumer of takers) {
      // Nobody waits for a copy. Those for a consumer that takes none must not pile up.
      if (consumer.outstanding >= MULTICAST_BACKLOG) continue;
      const first = new Chunk(whole, 0, whole.length);
      this.#address.give(consumer, { ...this.#arrival, first, complete: true, settled: true }, DEAF).end(true);
    }
    if (!settled) this.#source.onOutcome(takers.length > 0 ? ACCEPTED : RELEASED, true);
  }

  abort(): void {
    this.#parts = [];
  }

  /** Of the routers behind one neighbour the neighbour gives each its own copy, as every router does on the paths from it. */
  #takers(): Consumer[] {
    const ways = new Set<Way>();
    return [...this.#consumers()].filter((consumer) => {
      if (!mayGoTo(consumer, this.#arrival)) return false;
      if (!isRemote(consumer)) return true;
      const { via } = consumer;
      if (via === null || ways.has(via) || !consumer.isOnPath?.(this.#arrival)) return false;
      ways.add(via);
      return true;
    });
  }
}

/** Octets of a multicast message: it is held until it is whole, since each consumer takes it at its own pace. */
const MULTICAST_LIMIT = 1024 * 1024;
/** Messages in a consumer's hands with which it gets no further copies until it has taken some. */
const MULTICAST_BACKLOG = 1_000;
