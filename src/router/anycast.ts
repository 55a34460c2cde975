/** A message that goes to one of its address's consumers: which one, and to whom next when that one gives it back. */
import { AnnotationFlag } from '../amqp/message.ts';
import { type DeliveryState, isTerminal } from '../amqp/performatives.ts';
import { Chunk } from '../net/chunk.ts';
import type { Address } from './addresses.ts';
import { type Arrival, type Consumer, isRemote, mayGoTo, type Sink, type Source, type Way } from './forwarding.ts';

/** Messages in hand with which a consumer is busy: it gets more only while all others are, too; as in skupper-router. */
const BUSY = 250;
/** Octets of a stream that are kept beyond its first part, for the case that its consumer gives it back. */
const MOST_KEPT = 4 * 1024;

/** The consumers, and the ways to other routers, that a message was given to before. */
type Tried = readonly (Consumer | Way)[];

const NONE: Tried = [];

/**
 * The next consumer for a message. Of a balanced address it is the one with the least in hand, where the cost of the
 * path to another router counts as that many messages more; of any other, the nearest, and among the nearest the least
 * busy. Equals take turns, this site's own first. `docs/addresses.md` says it for users.
 */
export function chooseConsumer(address: Address, arrival: Arrival, tried: Tried = NONE): Consumer | null {
  let best: Standing | null = null;
  const { consumers } = address;
  const count = consumers.length;
  const start = address.turn++ % Math.max(count, 1);
  for (let index = 0; index < count; index++) {
    const consumer = consumers[(start + index) % count] as Consumer;
    if (!mayGoTo(consumer, arrival) || tried.includes(consumer) || (consumer.via && tried.includes(consumer.via)))
      continue;
    const standing = standingOf(consumer, address, arrival);
    if (!best || isBetter(standing, best)) best = standing;
  }
  return best?.consumer ?? null;
}

/** What speaks for and against a consumer, less being better: the first difference decides. */
export interface Standing {
  consumer: Consumer;
  /** Messages it has in hand, or, at another router, those of this address on the way there. */
  inHand: number;
  /** A path that leads back is taken when there is no other, as while the network changes: the trace keeps it from circling. */
  detour: number;
  busy: number;
  value: number;
  /** Decides between those of one value. */
  rest: number;
  foreign: number;
}

function standingOf(consumer: Consumer, address: Address, arrival: Arrival): Standing {
  const { cost, via } = consumer;
  const remote = isRemote(consumer);
  const balanced = address.treatment === 'balanced';
  // What a neighbour has in hand for all addresses says nothing about those who serve this one.
  const inHand = remote && via ? address.sentBy(via) : consumer.outstanding;
  return {
    consumer,
    inHand,
    detour: remote && !(consumer.isOnPath?.(arrival) ?? true) ? 1 : 0,
    busy: balanced && inHand >= BUSY ? 1 : 0,
    value: balanced ? inHand + cost : cost,
    rest: balanced ? cost : inHand,
    foreign: via === null ? 0 : 1,
  };
}

const CRITERIA = ['detour', 'busy', 'value', 'rest', 'foreign'] as const;
export type Criterion = (typeof CRITERIA)[number];

/** What decides between two; null: nothing, they take turns. */
export function difference(one: Standing, other: Standing): Criterion | null {
  return CRITERIA.find((what) => one[what] !== other[what]) ?? null;
}

function isBetter(one: Standing, other: Standing): boolean {
  const what = difference(one, other);
  return what !== null && one[what] < other[what];
}

/** How all stand to whom a message may go, the best first. Nothing is chosen by that. */
export function standings(address: Address, arrival: Arrival): Standing[] {
  const all = address.consumers.filter((consumer) => mayGoTo(consumer, arrival));
  const ranked = all.map((consumer) => standingOf(consumer, address, arrival));
  return ranked.sort((one, other) => (isBetter(one, other) ? -1 : isBetter(other, one) ? 1 : 0));
}

/** Gives a message to one consumer of its address; null when there is none. Takes `arrival.first` if it does. */
export function forwardToOne(address: Address, arrival: Arrival, source: Source): Sink | null {
  const consumer = chooseConsumer(address, arrival);
  if (!consumer) return null;
  // Nobody hears what became of a message that is settled.
  const once = arrival.settled || consumer.takesForGood?.(arrival);
  if (once || !(mayRetry(arrival) || isRemote(consumer))) return address.give(consumer, arrival, source);
  return new Attempts(address, arrival, source).begin(consumer);
}

function mayRetry({ head }: Arrival): boolean {
  const flags = head.annotations?.flags ?? 0;
  return (flags & (AnnotationFlag.streaming | AnnotationFlag.resendReleased)) !== 0;
}

/**
 * One message, until it is over. A stream, or another message that asks for it, that its consumer gives back (`released`)
 * goes to the next one: what has come of it is kept until it is too much, or the consumer says more than that.
 */
class Attempts implements Sink, Source {
  readonly #address: Address;
  readonly #source: Source;
  readonly #tried: (Consumer | Way)[] = [];
  readonly #arrival: Arrival;
  /** What has come, and how many octets of it beyond the first part; null: it stays with its consumer. */
  #kept: Buffer[] | null = null;
  #further = 0;
  #ended = false;
  #sink: Sink | null = null;
  /** The last one: only that has something to say. */
  #attempt: Attempt | null = null;
  /** The way to another router on which the address counts the message. */
  #way: Way | null = null;

  constructor(address: Address, arrival: Arrival, source: Source) {
    this.#address = address;
    this.#arrival = arrival;
    this.#source = source;
    if (mayRetry(arrival)) this.#kept = [lasting(arrival.first)];
  }

  begin(consumer: Consumer): Sink {
    this.#give(consumer, this.#arrival);
    return this;
  }

  get blocked(): boolean {
    return this.#sink?.blocked ?? true;
  }

  write(chunk: Chunk): void {
    this.#keep(chunk);
    if (this.#sink) this.#sink.write(chunk);
    else chunk.release();
  }

  end(settled: boolean): void {
    this.#ended = true;
    if (settled) this.#over();
    this.#sink?.end(settled);
  }

  abort(): void {
    this.#over();
    this.#sink?.abort();
  }

  onWritable(): void {
    this.#source.onWritable();
  }

  onOutcome(state: DeliveryState, settled: boolean): void {
    if (state.outcome === 'released' && this.#kept) {
      const next = chooseConsumer(this.#address, this.#arrival, this.#tried);
      if (next) {
        this.#giveAgain(next, this.#kept);
        return;
      }
    }
    this.#kept = null;
    if (settled || isTerminal(state)) this.#over();
    this.#source.onOutcome(state, settled);
  }

  #keep(chunk: Chunk): void {
    if (!this.#kept) return;
    this.#further += chunk.length;
    if (this.#further > MOST_KEPT) this.#kept = null;
    else this.#kept.push(lasting(chunk));
  }

  #giveAgain(consumer: Consumer, kept: Buffer[]): void {
    this.#takeBack();
    const head = Buffer.concat(kept);
    this.#give(consumer, { ...this.#arrival, first: new Chunk(head, 0, head.length), complete: this.#ended });
    if (this.#ended) this.#sink?.end(false);
  }

  /** The delivery is over for the consumer; what it would still say is not about this message any more. */
  #takeBack(): void {
    const before = this.#sink;
    this.#sink = null;
    this.#uncount();
    if (!this.#ended) before?.end(true);
  }

  #give(consumer: Consumer, arrival: Arrival): void {
    this.#tried.push(consumer);
    const { via } = consumer;
    if (isRemote(consumer) && via) {
      // The neighbour has tried all that it knows.
      this.#tried.push(via);
      this.#way = via;
      this.#address.countSent(via, 1);
    }
    const attempt = new Attempt(this);
    this.#attempt = attempt;
    const sink = this.#address.give(consumer, arrival, attempt);
    if (this.isLast(attempt)) this.#sink = sink;
  }

  isLast(attempt: Attempt): boolean {
    return attempt === this.#attempt;
  }

  #over(): void {
    this.#kept = null;
    this.#uncount();
  }

  #uncount(): void {
    if (this.#way) this.#address.countSent(this.#way, -1);
    this.#way = null;
  }
}

/** What one consumer says of a message that was given to it. */
class Attempt implements Source {
  readonly #of: Attempts;

  constructor(of: Attempts) {
    this.#of = of;
  }

  onOutcome(state: DeliveryState, settled: boolean): void {
    if (this.#of.isLast(this)) this.#of.onOutcome(state, settled);
  }

  onWritable(): void {
    if (this.#of.isLast(this)) this.#of.onWritable();
  }
}

/** The octets of a chunk, for longer than it is there: memory of their own stays as it is. */
function lasting({ buffer, start, end, slab }: Chunk): Buffer {
  const own = slab === null && start === 0 && end === buffer.length;
  return own ? buffer : Buffer.from(buffer.subarray(start, end));
}
