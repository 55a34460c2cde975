/**
 * How a message travels through this router: it arrives from a source, is given to a consumer, and from then on its
 * octets flow to the consumer's sink while word of its fate flows back to the source. Sources and sinks are AMQP links
 * and TCP sockets alike.
 */
import type { MessageHead } from '../amqp/message.ts';
import { AnnotationFlag } from '../amqp/message.ts';
import { type DeliveryState, isTerminal } from '../amqp/performatives.ts';
import type { ErrorFact } from '../errors.ts';
import { Chunk } from '../net/chunk.ts';
import type { Address } from './addresses.ts';
import type { Guard } from './guard.ts';

/** Where a message comes from, as the rest of the router sees it. */
export interface Source {
  /** The consumer's word: progress (`received`) or an outcome; `settled`: the last word. */
  onOutcome(state: DeliveryState, settled: boolean): void;
  /** A sink that was `blocked` takes more. */
  onWritable(): void;
}

/** Where a message goes. */
export interface Sink {
  /** Octets written now would only wait. They are taken all the same. */
  readonly blocked: boolean;
  /** Takes the chunk. */
  write(chunk: Chunk): void;
  /** The message is whole; `settled`: the source awaits no outcome. */
  end(settled: boolean): void;
  /** The message will never be whole. */
  abort(): void;
}

/** A message at the moment it is routed: its head is read, and some of it may still be on its way. */
export interface Arrival {
  head: MessageHead;
  /** The message without router annotations, as far as it has come. */
  first: Chunk;
  /** Octets of `first` in front of the body. */
  bodyOffset: number;
  /** `first` is all of it. */
  complete: boolean;
  /** The source awaits no outcome. */
  settled: boolean;
  /** The address it is routed by. */
  address: string;
  /** The address is that of the link it came by, not one the message carries. */
  byLink: boolean;
  /** The connection of the router it came from, to which it is not sent back; null for what begins at this router. */
  via: Way | null;
}

/**
 * What messages come and go by: the connection of a peer, or, for the interior routers, the neighbour that is next on the
 * way, whichever of its connections a message takes.
 */
export interface Way {
  /** What stands between it and the network. */
  readonly guard?: Guard | null;
}

/** Something that takes messages for an address: at this site, at an edge of it, or at another interior router. */
export interface Consumer {
  /** What its messages go by; null for this site's own parts. A message is not sent back by where it came from. */
  readonly via: Way | null;
  /** Messages and streams it has in hand, or, of another interior router, the neighbour on the way there. */
  readonly outstanding: number;
  /** What the way there costs: that of the path to another interior router, 0 here and on edges. */
  readonly cost: number;
  /**
   * Whether a message may go there, after all the routers that it has passed: it would come to none of them again. Only
   * other interior routers say this and the next.
   */
  mayTake?(arrival: Arrival): boolean;
  /**
   * Whether the shortest path from the router where the message entered the network leads there through this one, as it
   * always does from this one itself; never from a router that is not known.
   */
  isOnPath?(arrival: Arrival): boolean;
  /** The network beyond this router does not let it offer the address; null: it does again. */
  onOfferRefused?(refusal: ErrorFact | null): void;
  deliver(arrival: Arrival, source: Source): Sink;
}

/** The next consumer for a message: the one with the least in hand, this site's own first, in turn among equals. */
export function chooseConsumer(
  address: Address,
  arrival: Arrival,
  tried: ReadonlySet<Consumer> | null,
): Consumer | null {
  let best: Consumer | null = null;
  const { consumers } = address;
  const count = consumers.length;
  const start = address.turn++ % Math.max(count, 1);
  for (let index = 0; index < count; index++) {
    const consumer = consumers[(start + index) % count] as Consumer;
    if (!mayGoTo(consumer, arrival) || tried?.has(consumer)) continue;
    if (
      !best ||
      consumer.cost + consumer.outstanding < best.cost + best.outstanding ||
      (consumer.outstanding === best.outstanding && best.via !== null && consumer.via === null)
    ) {
      best = consumer;
    }
  }
  return best;
}

/** A message goes neither back where it came from, nor in circles. */
function mayGoTo(consumer: Consumer, arrival: Arrival): boolean {
  if (arrival.via !== null && consumer.via === arrival.via) return false;
  return consumer.mayTake?.(arrival) ?? true;
}

/** Gives a message to one consumer of its address; null when there is none. Takes `arrival.first` if it does. */
export function forwardToOne(address: Address, arrival: Arrival, source: Source): Sink | null {
  const consumer = chooseConsumer(address, arrival, null);
  if (!consumer) return null;
  const flags = arrival.head.annotations?.flags ?? 0;
  const mayRetry = !arrival.settled && (flags & (AnnotationFlag.streaming | AnnotationFlag.resendReleased)) !== 0;
  if (!mayRetry) return consumer.deliver(arrival, source);
  return new Retrying(address, arrival, source).begin(consumer);
}

/**
 * A stream whose consumer gives it back (`released`) before it took an octet goes to the next one: its head is kept
 * until the first octet of the body.
 */
class Retrying implements Sink, Source {
  readonly #address: Address;
  readonly #source: Source;
  readonly #tried = new Set<Consumer>();
  #arrival: Arrival | null;
  #head: Buffer | null;
  #sink: Sink | null = null;

  constructor(address: Address, arrival: Arrival, source: Source) {
    this.#address = address;
    this.#arrival = arrival;
    this.#source = source;
    this.#head = Buffer.from(arrival.first.view());
  }

  begin(consumer: Consumer): Sink {
    this.#give(consumer, this.#arrival as Arrival);
    return this;
  }

  get blocked(): boolean {
    return this.#sink?.blocked ?? true;
  }

  write(chunk: Chunk): void {
    this.#commit();
    if (this.#sink) this.#sink.write(chunk);
    else chunk.release();
  }

  end(settled: boolean): void {
    this.#commit();
    this.#sink?.end(settled);
  }

  abort(): void {
    this.#commit();
    this.#sink?.abort();
  }

  onOutcome(state: DeliveryState, settled: boolean): void {
    if (state.outcome === 'released' && this.#arrival && this.#head) {
      const next = chooseConsumer(this.#address, this.#arrival, this.#tried);
      if (next) {
        // The first consumer's delivery is over for it; what it would still say is not about this message any more.
        this.#sink?.end(true);
        this.#sink = null;
        const head = this.#head;
        this.#give(next, { ...this.#arrival, first: new Chunk(head, 0, head.length) });
        return;
      }
    }
    if (isTerminal(state)) this.#commit();
    this.#source.onOutcome(state, settled);
  }

  onWritable(): void {
    this.#source.onWritable();
  }

  /** From here on the message is with its consumer, for better or worse. */
  #commit(): void {
    this.#arrival = null;
    this.#head = null;
  }

  #give(consumer: Consumer, arrival: Arrival): void {
    this.#tried.add(consumer);
    let sink: Sink | null = null;
    const attempt: Source = {
      onOutcome: (state, settled) => {
        if (sink === null || sink === this.#sink) this.onOutcome(state, settled);
      },
      onWritable: () => {
        if (sink === this.#sink) this.onWritable();
      },
    };
    sink = consumer.deliver(arrival, attempt);
    this.#sink = sink;
  }
}

/**
 * Gives a copy to every consumer, once the message is whole. The source is told `accepted` as soon as all copies are
 * on their way: nobody's outcome speaks for the others.
 */
export class Multicast implements Sink {
  readonly blocked = false;
  readonly #address: Address;
  readonly #arrival: Arrival;
  readonly #source: Source;
  #parts: Buffer[];
  #octets = 0;

  constructor(address: Address, arrival: Arrival, source: Source) {
    this.#address = address;
    this.#arrival = arrival;
    this.#source = source;
    this.#parts = [Buffer.from(arrival.first.view())];
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
      const error = {
        condition: 'amqp:link:message-size-exceeded',
        description: `a multicast message may have ${MULTICAST_LIMIT} octets`,
      };
      this.#source.onOutcome({ outcome: 'rejected', error }, true);
      return;
    }
    const whole = Buffer.concat(this.#parts);
    for (const consumer of [...this.#address.consumers]) {
      if (!mayGoTo(consumer, this.#arrival)) continue;
      // Nobody waits for a copy. Those for a consumer that takes none must not pile up.
      if (consumer.outstanding >= MULTICAST_BACKLOG) continue;
      const copy: Arrival = {
        ...this.#arrival,
        first: new Chunk(whole, 0, whole.length),
        complete: true,
        settled: true,
      };
      consumer.deliver(copy, DEAF).end(true);
    }
    if (!settled) this.#source.onOutcome({ outcome: 'accepted' }, true);
  }

  abort(): void {
    this.#parts = [];
  }
}

/** Octets of a multicast message: it is held until it is whole, since each consumer takes it at its own pace. */
const MULTICAST_LIMIT = 1024 * 1024;
/** Messages in a consumer's hands with which it gets no further copies until it has taken some. */
const MULTICAST_BACKLOG = 1_000;

export const DEAF: Source = { onOutcome: () => {}, onWritable: () => {} };

/** Takes everything and drops it. */
export const DISCARD: Sink = {
  blocked: false,
  write: (chunk) => chunk.release(),
  end: () => {},
  abort: () => {},
};
