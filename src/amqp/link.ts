/** Links (AMQP 1.0, 2.6): one direction of messages within a session, governed by credit. */
import { Bag } from '../net/bag.ts';
import type { Chunk } from '../net/chunk.ts';
import { DeliveryCounts } from './counts.ts';
import { IncomingDelivery, OutgoingDelivery, type OutgoingDeliveryHandler } from './delivery.ts';
import { AmqpError, Condition, tell } from './error.ts';
import { MAX_TAG, type Transfer } from './hot.ts';
import type { DeliveryState, ErrorValue, Terminus } from './performatives.ts';
import type { Session } from './session.ts';

export interface LinkOptions {
  name: string;
  source: Terminus | null;
  target: Terminus | null;
}

interface LinkHandler {
  /** The peer has answered our attach; one that is not `granted` is detached by it next (2.6.3). */
  onAttached?(granted: boolean): void;
  /** The link is gone: detached by the peer, refused, or its session or connection ended. */
  onDetached(error: ErrorValue | null): void;
}

export interface SenderHandler extends LinkHandler {
  /** The receiver gave credit where there was none. */
  onCredit?(): void;
}

export interface ReceiverHandler extends LinkHandler {
  /**
   * Octets of a delivery, or its end: `delivery.complete` and `delivery.aborted` tell. The first call for a delivery
   * introduces it. The chunk is the handler's to release. An `AmqpError` that it throws detaches the link.
   */
  onTransfer(delivery: IncomingDelivery, chunk: Chunk | null): void;
  /** The sender has settled a delivery that we have not. */
  onSettled?(delivery: IncomingDelivery, state: DeliveryState | null): void;
}

let linkCount = 0;

/** How far attaching and detaching have come, on each side. */
export abstract class Link {
  /** Tells it from every other link of the process. */
  readonly number = ++linkCount;
  readonly counts = new DeliveryCounts();
  readonly session: Session;
  readonly name: string;
  readonly handle: number;
  source: Terminus | null;
  target: Terminus | null;
  /** The peer's attach has come. */
  attached = false;
  /** We have sent detach; what the peer still sends of the link is dropped until its own comes. */
  detaching = false;
  /** Gone for good. */
  closed = false;
  /** The peer's handle, -1 before its attach. */
  remoteHandle = -1;
  abstract readonly isSender: boolean;

  constructor(session: Session, handle: number, options: LinkOptions) {
    this.session = session;
    this.handle = handle;
    this.name = options.name;
    this.source = options.source;
    this.target = options.target;
  }

  abstract get handler(): LinkHandler;

  /** Detaches the link for good. Deliveries under way on it are lost. */
  detach(error: AmqpError | null = null): void {
    if (this.closed || this.detaching) return;
    this.detaching = true;
    this.session.sendDetach(this, error);
    this.abandon();
  }

  /** The link ends from the other side, or with its session. */
  end(error: ErrorValue | null): void {
    if (this.closed) return;
    this.closed = true;
    this.session.connection.countsOfEnded[this.isSender ? 'out' : 'in'].add(this.counts);
    const told = this.detaching;
    this.abandon();
    if (!told) tell(() => this.handler.onDetached(error));
  }

  /** Gives up everything that is under way. */
  protected abstract abandon(): void;
}

export class Sender extends Link {
  override readonly isSender = true;
  override handler: SenderHandler;
  /** Where our delivery-count begins. */
  readonly initialDeliveryCount: number;
  #credit = 0;
  #deliveryCount: number;
  /** The receiver wants what credit is left to be used up. */
  #draining = false;
  /** Deliveries that wait for credit, in order. */
  #line: OutgoingDelivery[] = [];
  /** The delivery whose transfers are under way: those of two must not mix on one link (2.6.14). */
  #current: OutgoingDelivery | null = null;
  /** Deliveries that are not both sent and settled. */
  readonly #live = new Bag<OutgoingDelivery>();

  constructor(session: Session, handle: number, options: LinkOptions, handler: SenderHandler) {
    super(session, handle, options);
    this.handler = handler;
    this.initialDeliveryCount = session.connection.firstSequence;
    this.#deliveryCount = this.initialDeliveryCount;
  }

  /** Octets of payload that fit a frame, whatever its header. */
  get maxPayload(): number {
    return this.session.connection.maxPayload;
  }

  /** Deliveries the receiver is ready for. */
  get credit(): number {
    return this.#credit;
  }

  /** Deliveries sent or to be sent, not yet settled. */
  get outstanding(): number {
    return this.#live.size;
  }

  /** Deliveries that wait for credit. */
  get waiting(): number {
    return this.#line.length;
  }

  /** Begins a delivery. It goes when there is credit. */
  send(settled: boolean, handler: OutgoingDeliveryHandler): OutgoingDelivery {
    const delivery = new OutgoingDelivery(this, this.session.nextTag(), settled, handler);
    if (this.closed || this.detaching) queueMicrotask(() => delivery.lose());
    else this.#live.add(delivery);
    return delivery;
  }

  /** Whether the next transfer of this delivery may go now. */
  mayTransfer(delivery: OutgoingDelivery): boolean {
    if (!this.attached || this.closed || this.detaching || !this.session.mayTransfer) return false;
    if (this.#current !== null) return this.#current === delivery;
    if (this.#credit <= 0) return false;
    const first = this.#first();
    return first === undefined || first === delivery;
  }

  /** A delivery that has something to send and may not, or waits for its turn. */
  enqueue(delivery: OutgoingDelivery): void {
    if (this.closed || this.detaching) return;
    if (delivery === this.#current) {
      this.session.enqueue(delivery);
      return;
    }
    if (!delivery.inLine) {
      delivery.inLine = true;
      this.#line.push(delivery);
    }
    this.#wakeFirst();
  }

  transfer(delivery: OutgoingDelivery, chunk: Chunk | null, more: boolean, aborted: boolean): void {
    const first = this.#current !== delivery;
    delivery.transfers++;
    if (first) {
      if (delivery.inLine) {
        this.#line.shift();
        delivery.inLine = false;
      }
      this.#current = delivery;
      this.#credit--;
      this.#deliveryCount = (this.#deliveryCount + 1) >>> 0;
      this.session.numberOutgoing(delivery);
      this.counts.begun(delivery.settled);
    }
    if (!more) this.#current = null;
    this.session.sendTransfer(this, delivery, chunk, first, more, aborted);
    if (more) return;
    if (delivery.settled || aborted) this.settled(delivery);
    this.#wakeFirst();
    this.#useUp();
  }

  /** A delivery that never began is dropped. */
  forget(delivery: OutgoingDelivery): void {
    this.#live.delete(delivery);
    this.#wakeFirst();
    this.#useUp();
  }

  /** Nothing more will be said about a delivery; it lives on until its last transfer has gone. */
  settled(delivery: OutgoingDelivery): void {
    if (delivery.finished) this.#live.delete(delivery);
    this.session.forgetOutgoing(delivery);
  }

  /** The receiver's flow: where it stands and what it allows (2.6.7). */
  onFlow(deliveryCount: number, credit: number, drain: boolean): void {
    const seen = deliveryCount === -1 ? this.initialDeliveryCount : deliveryCount;
    const had = this.#credit;
    this.#credit = allowance(credit, this.#deliveryCount, seen);
    this.#draining = drain;
    this.#wakeFirst();
    if (had === 0 && this.#credit > 0) this.handler.onCredit?.();
    this.#useUp();
  }

  /** What the sender's side of a flow says of this link, when the peer asks (echo). */
  flowFields(): { handle: number; deliveryCount: number; credit: number; drain: boolean } {
    return { handle: this.handle, deliveryCount: this.#deliveryCount, credit: this.#credit, drain: this.#draining };
  }

  protected override abandon(): void {
    const live = this.#live.empty();
    this.#line = [];
    this.#current = null;
    for (const delivery of live) {
      this.session.forgetOutgoing(delivery);
      delivery.lose();
    }
  }

  /** The first in line, passing over those that were given up meanwhile. */
  #first(): OutgoingDelivery | undefined {
    while (this.#line[0]?.finished) this.#line.shift();
    return this.#line[0];
  }

  #wakeFirst(): void {
    if (this.#current !== null || this.#credit <= 0) return;
    const first = this.#first();
    if (first) this.session.enqueue(first);
  }

  /** A receiver that drains gets back at once what credit nothing waits for (2.6.7). */
  #useUp(): void {
    if (!this.#draining || this.#credit <= 0 || this.#current !== null || this.#first()) return;
    this.#deliveryCount = (this.#deliveryCount + this.#credit) >>> 0;
    this.#credit = 0;
    this.session.sendFlow(this.flowFields());
  }
}

/**
 * What is left of `granted` as seen by a peer that has seen our sequence up to `seen`, when we are at `current`
 * (2.5.6, 2.6.7). Sequence numbers wrap at 2^32; a peer cannot have seen what we have not sent.
 */
export function allowance(granted: number, current: number, seen: number): number {
  return Math.max(0, granted - Math.max(0, (current - seen) | 0));
}

export class Receiver extends Link {
  override readonly isSender = false;
  override handler: ReceiverHandler;
  /** Credit we keep topped up; 0 stops the sender. */
  #capacity = 0;
  #credit = 0;
  #deliveryCount = 0;
  /** Delivery-count up to which the sender was ever allowed to go. */
  #limit = 0;
  #current: IncomingDelivery | null = null;
  readonly #live = new Bag<IncomingDelivery>();
  /**
   * Only what is still coming counts against the capacity, not what is to be settled: for a link that many share, of whom
   * one that waits for an outcome must not stop the others.
   */
  shared = false;

  constructor(session: Session, handle: number, options: LinkOptions, handler: ReceiverHandler) {
    super(session, handle, options);
    this.handler = handler;
  }

  /** Deliveries the sender may have under way at once. */
  get capacity(): number {
    return this.#capacity;
  }

  get credit(): number {
    return this.#credit;
  }

  /** Deliveries that have begun to come, and are not yet settled. */
  get outstanding(): number {
    return this.#live.size;
  }

  /** Allows up to `deliveries` under way at once, from now on. */
  setCapacity(deliveries: number): void {
    if (this.#capacity === deliveries) return;
    this.#capacity = deliveries;
    this.#grant(this.#room);
  }

  onAttach(initialDeliveryCount: number): void {
    this.#deliveryCount = initialDeliveryCount;
    this.#limit = initialDeliveryCount;
    if (this.#capacity > 0) this.#grant(this.#capacity);
  }

  /** The sender's flow: it tells its delivery count, and uses up credit when it drains. */
  onFlow(deliveryCount: number, echo: boolean): void {
    if (deliveryCount !== -1) {
      const skipped = (deliveryCount - this.#deliveryCount) | 0;
      if (skipped > 0) {
        this.#deliveryCount = deliveryCount;
        this.#credit = Math.max(0, this.#credit - skipped);
      }
    }
    if (echo) this.#grant(this.#credit);
    else this.#topUp();
  }

  /** The delivery a transfer belongs to; null when there was no credit for it. Throws `AmqpError` when it is amiss. */
  admit(transfer: Transfer, buffer: Buffer): IncomingDelivery | null {
    const current = this.#current;
    if (current) {
      if (transfer.deliveryId !== -1 && transfer.deliveryId !== current.id) {
        throw new AmqpError(Condition.notAllowed, 'two deliveries are mixed on one link');
      }
      return current;
    }
    if (transfer.deliveryId === -1) {
      throw new AmqpError(Condition.invalidField, 'the first transfer of a delivery lacks its delivery-id');
    }
    if (transfer.tagEnd - transfer.tagStart > MAX_TAG) {
      throw new AmqpError(Condition.invalidField, `a delivery-tag is longer than ${MAX_TAG} octets`);
    }
    // Credit that was taken back counts: the delivery may have been under way already (2.6.7).
    if (((this.#limit - this.#deliveryCount) | 0) <= 0) {
      this.detach(new AmqpError(Condition.transferLimit, 'a delivery without credit for it'));
      return null;
    }
    const tag = Buffer.from(buffer.subarray(transfer.tagStart, transfer.tagEnd));
    const delivery = new IncomingDelivery(this, transfer.deliveryId, tag, transfer.settled === 1);
    this.counts.begun(delivery.remoteSettled);
    this.session.trackIncoming(delivery);
    this.#live.add(delivery);
    this.#current = delivery;
    this.#credit = Math.max(0, this.#credit - 1);
    this.#deliveryCount = (this.#deliveryCount + 1) >>> 0;
    return delivery;
  }

  /** A transfer of a delivery that was admitted. Takes the chunk. */
  onTransfer(delivery: IncomingDelivery, transfer: Transfer, chunk: Chunk | null): void {
    if (transfer.settled === 1 || transfer.aborted) delivery.remoteSettled = true;
    delivery.aborted = transfer.aborted;
    delivery.complete = !transfer.more || transfer.aborted;
    if (delivery.complete) this.#current = null;
    this.handler.onTransfer(delivery, chunk);
    if (!delivery.complete) return;
    if (delivery.remoteSettled || delivery.settled) this.#forget(delivery);
    else if (this.shared) this.#topUp();
  }

  /** We have told a state of a delivery. */
  updated(delivery: IncomingDelivery, state: DeliveryState | null, settled: boolean): void {
    if (this.closed || this.detaching) return;
    this.counts.outcome(delivery, state);
    if (!delivery.remoteSettled) this.session.sendDisposition(delivery, state, settled);
    if (settled && delivery.complete) this.#forget(delivery);
  }

  /** The sender has settled, by a disposition of its own. */
  onSettled(delivery: IncomingDelivery, state: DeliveryState | null): void {
    delivery.remoteSettled = true;
    this.handler.onSettled?.(delivery, state);
    if (delivery.complete) this.#forget(delivery);
  }

  flowFields(): { handle: number; deliveryCount: number; credit: number; drain: boolean } {
    return { handle: this.handle, deliveryCount: this.#deliveryCount, credit: this.#credit, drain: false };
  }

  protected override abandon(): void {
    const live = this.#live.empty();
    this.#current = null;
    for (const delivery of live) {
      this.session.forgetIncoming(delivery);
      if (delivery.complete) continue;
      delivery.complete = true;
      delivery.aborted = true;
      delivery.remoteSettled = true;
      tell(() => this.handler.onTransfer(delivery, null));
    }
  }

  get #room(): number {
    return this.#capacity - (this.shared ? (this.#current ? 1 : 0) : this.#live.size);
  }

  #forget(delivery: IncomingDelivery): void {
    if (!this.#live.delete(delivery)) return;
    this.session.forgetIncoming(delivery);
    this.#topUp();
  }

  /** Deliveries under way count against the capacity, so that a slow consumer is not sent without end. */
  #topUp(): void {
    const room = this.#room;
    if (room > this.#credit && room - this.#credit >= this.#capacity / 4) this.#grant(room);
  }

  #grant(credit: number): void {
    if (!this.attached || this.closed || this.detaching) return;
    this.#credit = Math.max(0, credit);
    const limit = (this.#deliveryCount + this.#credit) >>> 0;
    if (((limit - this.#limit) | 0) > 0) this.#limit = limit;
    this.session.sendFlow(this.flowFields());
  }
}
