/** The way out over AMQP: a consumer behind a link, and the sink of one delivery on it. */
import type { OutgoingDelivery, OutgoingDeliveryHandler } from '../amqp/delivery.ts';
import type { AmqpError } from '../amqp/error.ts';
import type { Sender } from '../amqp/link.ts';
import { keepsWindow, type RouterAnnotations, writeAnnotations } from '../amqp/message.ts';
import { type DeliveryState, isTerminal, MODIFIED_FAILED, RELEASED } from '../amqp/performatives.ts';
import { SkiffError } from '../errors.ts';
import { Chunk } from '../net/chunk.ts';
import { type Arrival, type Consumer, DISCARD, type Sink, type Source } from './forwarding.ts';
import type { UnderWay } from './guard.ts';
import type { Peer } from './peer.ts';
import type { Router } from './router.ts';
import type { StreamingLinks } from './streaming-links.ts';
import type { UnansweredStream } from './unanswered.ts';

export class LinkConsumer implements Consumer {
  readonly via: Peer;
  readonly cost = 0;
  readonly #sender: Sender;
  #outstanding = 0;

  constructor(peer: Peer, sender: Sender) {
    this.via = peer;
    this.#sender = sender;
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  /** Takes the peer's subscription away. */
  detach(error: AmqpError): void {
    this.#sender.detach(error);
  }

  deliver(arrival: Arrival, source: Source): Sink {
    this.#outstanding++;
    return sendTo(this.via, this.#sender, arrival, source, () => this.#outstanding--);
  }
}

/**
 * Sends a message to a peer: on `shared`, or on a link of its own when it is not whole and the peer knows such links.
 * `onDone`: nothing more will be said about it.
 */
export function sendTo(peer: Peer, shared: Sender | null, arrival: Arrival, source: Source, onDone: () => void): Sink {
  peer.guard?.delivering(arrival.head, arrival.address);
  const streams = arrival.complete ? null : peer.streams;
  const sender = streams ? takeLink(streams) : shared;
  if (!sender || (sender === shared && isTooLong(sender.waiting, arrival))) {
    if (arrival.settled && sender) sender.counts.dropped++;
    arrival.first.release();
    onDone();
    queueMicrotask(() => source.onOutcome(RELEASED, true));
    return DISCARD;
  }
  const message = peer.isRouter ? annotate(arrival, peer.router) : arrival.first;
  const { unanswered } = peer.router;
  let waiting: UnansweredStream | null = null;
  const sink = new OutboundSink(sender, arrival, message, source, () => {
    peer.guard?.forget(sink);
    if (waiting) unanswered.remove(waiting);
    onDone();
    streams?.giveBack(sender, sink.isThrough || !keepsWindow(arrival.head));
  });
  peer.guard?.trackOutgoing(sink, arrival.address);
  if (streams && peer.isForeign) waiting = unanswered.add(arrival, sink, () => source.onWritable());
  return waiting ?? sink;
}

/** Whether so many messages stand in line that one more of this length is too much. */
function isTooLong(line: number, { first, complete }: Arrival): boolean {
  return complete && (line >= MOST_IN_LINE || line * first.length > MOST_OCTETS_IN_LINE);
}

/** A link with no stream on it; null when the peer allows no more sessions. */
function takeLink(streams: StreamingLinks): Sender | null {
  try {
    return streams.take();
  } catch (error) {
    if (!(error instanceof SkiffError)) throw error;
    return null;
  }
}

/** Messages, and about how many octets of them, that may stand in line for a peer that does not take them. */
const MOST_IN_LINE = 2_500;
const MOST_OCTETS_IN_LINE = 16 * 1024 * 1024;

/** Octets of one delivery that never wait here: a window of some MiB, end to end or of a session, stops a source before. */
const MOST_WAITING = 64 * 1024 * 1024;

/** Transfers of a delivery that a router takes whatever becomes of them. */
const FEW_TRANSFERS = 6;

/** One delivery on its way out. */
class OutboundSink implements Sink, OutgoingDeliveryHandler, UnderWay {
  readonly #source: Source;
  readonly #delivery: OutgoingDelivery;
  readonly #done: () => void;
  /** A message that is whole waits for `end`, to leave in one transfer. */
  #whole: Chunk | null = null;
  #over = false;
  /** What the receiver has said last it has said of all of it. */
  #answered = false;

  constructor(sender: Sender, arrival: Arrival, message: Chunk, source: Source, done: () => void) {
    this.#source = source;
    this.#done = done;
    this.#delivery = sender.send(arrival.settled, this);
    if (arrival.complete) this.#whole = message;
    else this.#delivery.write(message);
  }

  get blocked(): boolean {
    return this.#delivery.blocked;
  }

  /** Whether nothing of it can be left on its way to the receiver. */
  get isThrough(): boolean {
    return this.#answered || this.#delivery.transfers <= FEW_TRANSFERS;
  }

  write(chunk: Chunk): void {
    if (this.#over) {
      chunk.release();
      return;
    }
    this.#delivery.write(chunk);
    // The source runs ahead of every window: what it sends cannot be kept.
    if (this.#delivery.waitingOctets > MOST_WAITING) this.cut();
  }

  end(settled: boolean): void {
    const whole = this.#whole;
    this.#whole = null;
    this.#delivery.end(settled, whole);
  }

  abort(): void {
    this.#whole?.release();
    this.#whole = null;
    this.#delivery.abort();
  }

  onState(state: DeliveryState | null, settled: boolean): void {
    if (this.#over) return;
    // A receiver that settles second has said all it will: we settle, and so does the source.
    const final = settled || (isTerminal(state) && this.#delivery.finished);
    if (final && !settled) this.#delivery.settle();
    this.#answered = final && this.#delivery.finished;
    if (state || final) this.#source.onOutcome(state ?? MODIFIED_FAILED, final);
    this.#checkDone();
  }

  onLost(): void {
    if (this.#over) return;
    this.#over = true;
    const untouched = this.#delivery.id === -1;
    this.#done();
    this.#source.onOutcome(untouched ? RELEASED : MODIFIED_FAILED, true);
  }

  onWritable(): void {
    if (!this.#over) this.#source.onWritable();
  }

  onFinished(): void {
    this.#checkDone();
  }

  cut(): void {
    this.#delivery.abort();
    this.#source.onOutcome(MODIFIED_FAILED, false);
  }

  #checkDone(): void {
    if (this.#over || !this.#delivery.finished || !this.#delivery.settled) return;
    this.#over = true;
    this.#done();
  }
}

/** Puts the annotations that the next router needs in front of a message. */
function annotate(arrival: Arrival, router: Router): Chunk {
  const { head, first } = arrival;
  const before = head.annotations;
  const annotations: RouterAnnotations = {
    // A client's message is no stream, even if it is forwarded before it is whole.
    flags: before?.flags ?? 0,
    toOverride: before?.toOverride ?? (arrival.byLink ? arrival.address : null),
    ingress: router.isEdge ? null : (before?.ingress ?? `0/${router.id}`),
    trace: router.isEdge ? [] : [...(before?.trace ?? []), `0/${router.id}`],
    mesh: router.meshId,
  };
  // Copied together: the head and its annotations are small, and a message's first part is copied once at most.
  const message = writeAnnotations(annotations, first.view());
  first.release();
  return new Chunk(message, 0, message.length);
}
