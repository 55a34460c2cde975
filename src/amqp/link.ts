/** Links (AMQP 1.0, 2.6): one direction of messages within a session, governed by credit. */
import type { Chunk } from '../net/chunk.ts';
import { IncomingDelivery, OutgoingDelivery, type OutgoingDeliveryHandler } from './delivery.ts';
import { AmqpError, Condition } from './error.ts';
import { MAX_TAG, type Transfer } from './hot.ts';
import type { DeliveryState, ErrorValue, Terminus } from './performatives.ts';
import type { Session } from './session.ts';

export interface LinkOptions {
  name: string;
  source: Terminus | null;
  target: Terminus | null;
}

interface LinkHandler {
  /** The peer has answered our attach. */
  onAttached?(): void;
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
   * introduces it. The chunk is the handler's to release.
   */
  onTransfer(delivery: IncomingDelivery, chunk: Chunk | null): void;
  /** The sender has settled a delivery that we have not. */
  onSettled?(delivery: IncomingDelivery, state: DeliveryState | null): void;
}

/** How far attaching and detaching have come, on each side. */
export abstract class Link {
  readonly session: Session;
  readonly name: string;
  readonly handle: number;
  source: Terminus | null;
  target: Terminus | null;
  /** The peer's attach has come. */
  attached = false;
  /** We have sent detach. */
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
    const told = this.detaching;
    this.abandon();
    if (!told) this.handler.onDetached(error);
  }

  /** Gives up everything that is under way. */
  protected abstract abandon(): void;
}

export class Sender extends Link {
  override readonly isSender = true;
  override handler: SenderHandler;
  /** Octets of payload that fit a frame, whatever its header. */
  readonly maxPayload: number;
  #credit = 0;
  #deliveryCount = 0;
  /** Deliveries that wait for credit, in order; the first may be under way. */
  #queue: OutgoingDelivery[] = [];
  /** The delivery whose transfers are under way: those of two must not mix on one link (2.6.14). */
  #current: OutgoingDelivery | null = null;
  #live = new Set<OutgoingDelivery>();
  /** Whether the peer settles by itself: then nothing is kept of what was sent settled. */

  constructor(session: Session, handle: number, options: LinkOptions, handler: SenderHandler) {
    super(session, handle, options);
    this.handler = handler;
    this.maxPayload = session.connection.maxPayload;
  }

  /** Deliveries the receiver is ready for. */
  get credit(): number {
    return this.#credit;
  }

  /** Deliveries sent or to be sent, not yet settled. */
  get outstanding(): number {
    return this.#live.size;
  }

  /** Begins a delivery. It goes when there is credit. */
  send(settled: boolean, handler: OutgoingDeliveryHandler): OutgoingDelivery {
    const delivery = new OutgoingDelivery(this, this.session.nextTag(), settled, handler);
    this.#live.add(delivery);
    if (this.closed || this.detaching) queueMicrotask(() => delivery.lose());
    return delivery;
  }

  /** Whether the next transfer of this delivery may go now. */
  mayTransfer(delivery: OutgoingDelivery): boolean {
    if (!this.attached || this.closed || this.detaching || !this.session.mayTransfer) return false;
    if (this.#current === delivery) return true;
    return this.#current === null && this.#credit > 0 && (this.#queue.length === 0 || this.#queue[0] === delivery);
  }

  /** A delivery that has something to send and may not. */
  enqueue(delivery: OutgoingDelivery): void {
    if (this.closed || this.detaching) return;
    if (delivery === this.#current || (this.#current === null && this.#credit > 0 && this.#queue.length === 0)) {
      if (delivery !== this.#current) this.#queue.push(delivery);
      this.session.enqueue(delivery);
    } else if (!this.#queue.includes(delivery)) {
      this.#queue.push(delivery);
    }
  }

  transfer(delivery: OutgoingDelivery, chunk: Chunk | null, more: boolean, aborted: boolean): void {
    const first = this.#current !== delivery;
    if (first) {
      if (this.#queue[0] === delivery) this.#queue.shift();
      this.#current = delivery;
      this.#credit--;
      this.#deliveryCount = (this.#deliveryCount + 1) >>> 0;
      delivery.id = this.session.takeDeliveryId(delivery);
    }
    if (!more) this.#current = null;
    this.session.sendTransfer(this, delivery, chunk, first, more, aborted);
    if (more) return;
    if (delivery.settled || aborted) this.settled(delivery);
    this.#wakeNext();
  }

  /** A delivery that never began is dropped. */
  forget(delivery: OutgoingDelivery): void {
    this.#live.delete(delivery);
    const index = this.#queue.indexOf(delivery);
    if (index >= 0) this.#queue.splice(index, 1);
  }

  settled(delivery: OutgoingDelivery): void {
    this.#live.delete(delivery);
    this.session.forgetOutgoing(delivery);
  }

  /** The receiver's flow: where it stands and what it allows (2.6.7). */
  onFlow(deliveryCount: number, credit: number, drain: boolean): void {
    const seen = deliveryCount === -1 ? 0 : deliveryCount;
    const had = this.#credit;
    this.#credit = Math.max(0, (seen + credit - this.#deliveryCount) | 0);
    if (drain && this.#queue.length === 0 && this.#current === null && this.#credit > 0) {
      this.#deliveryCount = (this.#deliveryCount + this.#credit) >>> 0;
      this.#credit = 0;
      this.session.sendFlow({ handle: this.handle, deliveryCount: this.#deliveryCount, credit: 0, drain: true });
      return;
    }
    if (this.#credit > 0) this.#wakeNext();
    if (had === 0 && this.#credit > 0) this.handler.onCredit?.();
  }

  /** What the sender's side of a flow says of this link, when the peer asks (echo). */
  flowFields(): { handle: number; deliveryCount: number; credit: number; drain: boolean } {
    return { handle: this.handle, deliveryCount: this.#deliveryCount, credit: this.#credit, drain: false };
  }

  protected override abandon(): void {
    const live = [...this.#live];
    this.#live.clear();
    this.#queue = [];
    this.#current = null;
    for (const delivery of live) {
      this.session.forgetOutgoing(delivery);
      delivery.lose();
    }
  }

  #wakeNext(): void {
    const next = this.#queue[0];
    if (next && this.#current === null && this.#credit > 0) this.session.enqueue(next);
  }
}

export class Receiver extends Link {
  override readonly isSender = false;
  override handler: ReceiverHandler;
  /** Credit we keep topped up; 0 stops the sender. */
  #capacity = 0;
  #credit = 0;
  #deliveryCount = 0;
  #current: IncomingDelivery | null = null;
  #live = new Set<IncomingDelivery>();

  constructor(session: Session, handle: number, options: LinkOptions, handler: ReceiverHandler) {
    super(session, handle, options);
    this.handler = handler;
  }

  /** Allows up to `deliveries` under way at once, from now on. */
  setCapacity(deliveries: number): void {
    if (this.#capacity === deliveries) return;
    this.#capacity = deliveries;
    if (deliveries === 0) this.#grant(0);
    else this.#topUp(true);
  }

  onAttach(initialDeliveryCount: number): void {
    this.#deliveryCount = initialDeliveryCount;
    if (this.#capacity > 0) this.#topUp(true);
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
  }

  onTransfer(transfer: Transfer, buffer: Buffer, chunk: Chunk | null): void {
    let delivery = this.#current;
    if (!delivery) {
      if (transfer.deliveryId === -1)
        throw new AmqpError(Condition.invalidField, 'the first transfer of a delivery lacks its delivery-id');
      if (transfer.tagEnd - transfer.tagStart > MAX_TAG)
        throw new AmqpError(Condition.invalidField, 'a delivery-tag is longer than 32 octets');
      if (this.#credit <= 0) {
        chunk?.release();
        this.detach(new AmqpError(Condition.transferLimit, 'a delivery without credit for it'));
        return;
      }
      this.#credit--;
      this.#deliveryCount = (this.#deliveryCount + 1) >>> 0;
      const tag = Buffer.from(buffer.subarray(transfer.tagStart, transfer.tagEnd));
      delivery = new IncomingDelivery(this, transfer.deliveryId, tag, transfer.settled === 1);
      this.#live.add(delivery);
      this.session.trackIncoming(delivery);
      this.#current = delivery;
    } else if (transfer.deliveryId !== -1 && transfer.deliveryId !== delivery.id) {
      throw new AmqpError(Condition.notAllowed, 'two deliveries are mixed on one link');
    }
    if (transfer.settled === 1) delivery.remoteSettled = true;
    delivery.aborted = transfer.aborted;
    delivery.complete = !transfer.more || transfer.aborted;
    if (delivery.complete) this.#current = null;
    if (delivery.aborted) delivery.remoteSettled = true;
    this.handler.onTransfer(delivery, chunk);
    if (delivery.complete && (delivery.remoteSettled || delivery.settled)) this.#forget(delivery);
  }

  /** We have told a state of a delivery. */
  updated(delivery: IncomingDelivery, state: DeliveryState | null, settled: boolean): void {
    if (this.closed || this.detaching) return;
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
    const live = [...this.#live];
    this.#live.clear();
    this.#current = null;
    for (const delivery of live) {
      this.session.forgetIncoming(delivery);
      if (delivery.complete) continue;
      delivery.complete = true;
      delivery.aborted = true;
      delivery.remoteSettled = true;
      this.handler.onTransfer(delivery, null);
    }
  }

  #forget(delivery: IncomingDelivery): void {
    if (!this.#live.delete(delivery)) return;
    this.session.forgetIncoming(delivery);
    this.#topUp(false);
  }

  /** Deliveries under way count against the capacity, so that a slow consumer is not sent without end. */
  #topUp(always: boolean): void {
    const room = this.#capacity - this.#live.size;
    if (room <= this.#credit || !(always || room - this.#credit >= this.#capacity / 4)) return;
    this.#grant(room);
  }

  #grant(credit: number): void {
    this.#credit = Math.max(0, credit);
    if (this.attached && !this.closed && !this.detaching) this.session.sendFlow(this.flowFields());
  }
}
