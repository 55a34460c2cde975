/** Consumers at this site and at other routers, as forwarding sees them: they take what comes, and say what a test has them say. */
import { AnnotationFlag } from '../../src/amqp/message.ts';
import type { DeliveryState } from '../../src/amqp/performatives.ts';
import { Chunk } from '../../src/net/chunk.ts';
import type { Arrival, Consumer, Sink, Source, Way } from '../../src/router/forwarding.ts';
import { openingOf } from '../../src/tcp/encapsulation.ts';

/** What a consumer has been given. */
export class Taken implements Sink {
  readonly blocked = false;
  readonly source: Source;
  readonly arrival: Arrival;
  octets: Buffer;
  /** Nothing has been said of it yet. */
  asked = true;
  ended: 'settled' | 'unsettled' | 'aborted' | null = null;

  constructor(arrival: Arrival, source: Source) {
    this.arrival = arrival;
    this.source = source;
    this.octets = Buffer.from(arrival.first.view());
    arrival.first.release();
  }

  write(chunk: Chunk): void {
    this.octets = Buffer.concat([this.octets, chunk.view()]);
    chunk.release();
  }

  end(settled: boolean): void {
    this.ended = settled ? 'settled' : 'unsettled';
  }

  abort(): void {
    this.ended = 'aborted';
  }

  say(state: DeliveryState, settled = true): void {
    this.asked = false;
    this.source.onOutcome(state, settled);
  }
}

export class FakeConsumer implements Consumer {
  readonly via: Way | null;
  readonly cost: number;
  outstanding = 0;
  allowed = true;
  onPath = true;
  /** What it says of each message at once. */
  answer: DeliveryState | null = null;
  readonly taken: Taken[] = [];

  /** At this site. With a way it is at one of its edges, and with a cost at another router. */
  constructor(via: Way | null = null, cost = 0) {
    this.via = via;
    this.cost = cost;
  }

  mayTake(): boolean {
    return this.allowed;
  }

  isOnPath(): boolean {
    return this.onPath;
  }

  deliver(arrival: Arrival, source: Source): Sink {
    const taken = new Taken(arrival, source);
    this.taken.push(taken);
    // As a consumer here counts what it has; that of other routers is the address's to count.
    if (this.cost === 0) this.outstanding++;
    if (this.answer) taken.say(this.answer);
    return taken;
  }
}

/** Somebody who sends, and keeps what is said of it. */
export class FakeSource implements Source {
  readonly heard: { outcome: DeliveryState['outcome']; settled: boolean }[] = [];

  onOutcome({ outcome }: DeliveryState, settled: boolean): void {
    this.heard.push({ outcome, settled });
  }

  onWritable(): void {}
}

/** A stream that begins at this site. */
export const stream = (to: string): Arrival => openingOf(to, null);

/** A message that is whole. */
export function message(to: string, change: Partial<Arrival> = {}): Arrival {
  const { head, ...arrival } = openingOf(to, null);
  return { ...arrival, head: { ...head, annotations: null }, complete: true, ...change };
}

/** The same, to be given to others when one gives it back. */
export function resendable(to: string): Arrival {
  const { head, ...arrival } = message(to);
  const annotations = { flags: AnnotationFlag.resendReleased, toOverride: null, ingress: null, trace: [], mesh: null };
  return { ...arrival, head: { ...head, annotations } };
}

export function chunkOf(text: string | Buffer): Chunk {
  const octets = Buffer.from(text);
  return new Chunk(octets, 0, octets.length);
}
