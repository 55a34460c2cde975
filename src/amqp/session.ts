/** Sessions (AMQP 1.0, 2.5): a sequence of transfers in each direction, bounded by a window of frames. */
import { SkiffError } from '../errors.ts';
import { Chunk, type ChunkOwner, COPY_LIMIT } from '../net/chunk.ts';
import type { Slab } from '../net/slab.ts';
import type { Connection } from './connection.ts';
import { Deliveries } from './deliveries.ts';
import type { IncomingDelivery, OutgoingDelivery } from './delivery.ts';
import { AmqpError, Condition, tell } from './error.ts';
import {
  type Disposition,
  dispositionSize,
  FLOW_MAX,
  type Flow,
  type LinkFlowFields,
  TRANSFER_HEADER_MAX,
  type Transfer,
  writeDisposition,
  writeFlow,
  writeTransfer,
} from './hot.ts';
import {
  allowance,
  type Link,
  type LinkOptions,
  Receiver,
  type ReceiverHandler,
  Sender,
  type SenderHandler,
} from './link.ts';
import {
  type Attach,
  attachFrame,
  type Begin,
  beginFrame,
  type DeliveryState,
  type Detach,
  detachFrame,
  type ErrorValue,
  endFrame,
} from './performatives.ts';

/** What we say of frames we may send: no limit of our own (as skupper-router says it). */
const OUTGOING_WINDOW = 0x7fffffff;
/** Links a session may carry; more is refused by `handle-max`. */
const HANDLE_MAX = 0xffff;

export class Session implements ChunkOwner {
  readonly connection: Connection;
  readonly channel: number;
  /** The peer's channel, -1 before its begin. */
  remoteChannel = -1;
  /** We have sent end, and wait for the peer's. */
  ending = false;
  closed = false;
  /** Called when the session is gone by the peer's doing, be it a fault of the peer's that we ended it for. */
  onEnded: (error: ErrorValue | null) => void = () => {};
  /** Called when the peer's begin has come. */
  onBegan: () => void = () => {};
  #began = false;

  #nextOutgoingId: number;
  #remoteWindow = 0;
  #nextIncomingId = 0;
  /** Frames the peer may still send. */
  #window: number;
  /** Frames received whose payload is still in our hands. */
  #held = 0;

  #nextDeliveryId: number;
  #nextTag = 0;
  readonly #outgoing = new Deliveries<OutgoingDelivery>();
  readonly #incoming = new Deliveries<IncomingDelivery>();
  #local = new Map<number, Link>();
  #remote = new Map<number, Link>();
  /** Links of ours that the peer has not answered, by role and name. */
  #unanswered = new Map<string, Link>();
  /** Handles that were in use and are free again; those from `#handlesUsed` on have never been. */
  #freeHandles: number[] = [];
  #handlesUsed = 0;
  /** The highest handle the peer takes. */
  #remoteHandleMax = HANDLE_MAX;
  /** Deliveries that wait for the peer's window. */
  #stalled: OutgoingDelivery[] = [];

  constructor(connection: Connection, channel: number) {
    this.connection = connection;
    this.channel = channel;
    this.#window = connection.sessionWindow;
    this.#nextOutgoingId = connection.firstSequence;
    this.#nextDeliveryId = connection.firstSequence;
  }

  /** Links that are not gone. */
  get linkCount(): number {
    return this.#local.size;
  }

  /** Links that are not gone. */
  get links(): IterableIterator<Link> {
    return this.#local.values();
  }

  /** Deliveries in either direction of which something is still to be said. */
  get deliveryCount(): number {
    return this.#outgoing.size + this.#incoming.size;
  }

  /** Whether the peer's window has room for a transfer. */
  get mayTransfer(): boolean {
    return this.#remoteWindow > 0 && this.remoteChannel !== -1 && !this.ending && !this.connection.closing;
  }

  /** Asks the peer for a link. Its name must be new to both sides. Throws `SkiffError` when there are too many. */
  openSender(options: LinkOptions, handler: SenderHandler): Sender {
    const link = new Sender(this, this.#freeHandle(), options, handler);
    this.#attachLocal(link);
    return link;
  }

  openReceiver(options: LinkOptions, handler: ReceiverHandler): Receiver {
    const link = new Receiver(this, this.#freeHandle(), options, handler);
    this.#attachLocal(link);
    return link;
  }

  /** Answers a peer's attach that makes us the sender. To be called before `onAttach` returns. */
  acceptSender(attach: Attach, termini: Pick<LinkOptions, 'source' | 'target'>, handler: SenderHandler): Sender {
    const link = new Sender(this, this.#freeHandle(), { name: attach.name, ...termini }, handler);
    this.#attachAnswer(link, attach);
    return link;
  }

  /** Answers a peer's attach that makes us the receiver. To be called before `onAttach` returns. */
  acceptReceiver(attach: Attach, termini: Pick<LinkOptions, 'source' | 'target'>, handler: ReceiverHandler): Receiver {
    const link = new Receiver(this, this.#freeHandle(), { name: attach.name, ...termini }, handler);
    this.#attachAnswer(link, attach);
    link.onAttach(attach.initialDeliveryCount ?? 0);
    return link;
  }

  /** Refuses a peer's attach: an attach without its terminus, then a detach that says why (2.6.3). */
  refuse(attach: Attach, error: AmqpError): void {
    const handler = {
      onDetached: () => {},
      onTransfer: (_: IncomingDelivery, chunk: Chunk | null) => chunk?.release(),
    };
    const termini = { source: attach.role ? null : attach.source, target: attach.role ? attach.target : null };
    const link: Link = attach.role
      ? this.acceptSender(attach, termini, handler)
      : this.acceptReceiver(attach, termini, handler);
    link.detach(error);
  }

  /** Ends the session and everything on it. */
  end(error: AmqpError | null = null): void {
    if (this.ending || this.closed) return;
    if (!this.#began) this.begin();
    this.ending = true;
    this.connection.sendFrame(this.channel, endFrame(error));
    this.#dropLinks(null);
  }

  /** Sends begin, in answer to the peer's if it has sent one. */
  begin(): void {
    this.#began = true;
    const begin: Begin = {
      remoteChannel: this.remoteChannel === -1 ? null : this.remoteChannel,
      nextOutgoingId: this.#nextOutgoingId,
      incomingWindow: this.#window,
      outgoingWindow: OUTGOING_WINDOW,
      handleMax: HANDLE_MAX,
    };
    this.connection.sendFrame(this.channel, beginFrame(begin));
  }

  onBegin(begin: Begin, remoteChannel: number): void {
    this.remoteChannel = remoteChannel;
    this.#nextIncomingId = begin.nextOutgoingId;
    this.#remoteWindow = begin.incomingWindow;
    this.#remoteHandleMax = Math.min(begin.handleMax ?? HANDLE_MAX, HANDLE_MAX);
    if (!this.#began) this.begin();
    this.#wakeStalled();
    tell(() => this.onBegan());
  }

  onEnd(error: ErrorValue | null): void {
    const told = this.ending;
    this.closed = true;
    if (!told) {
      this.ending = true;
      this.connection.sendFrame(this.channel, endFrame(null));
    }
    this.#dropLinks(error);
    if (!told) tell(() => this.onEnded(error));
  }

  /** The connection is gone. */
  abandon(error: ErrorValue | null): void {
    if (this.closed) return;
    const told = this.ending;
    this.closed = true;
    this.ending = true;
    this.#dropLinks(error);
    if (!told) tell(() => this.onEnded(error));
  }

  /** The peer broke a rule of sessions: the session ends, the connection goes on. */
  #fault(error: AmqpError): void {
    this.ending = true;
    this.connection.sendFrame(this.channel, endFrame(error));
    const value = { condition: error.condition, description: error.message };
    this.#dropLinks(value);
    tell(() => this.onEnded(value));
  }

  onAttach(attach: Attach): void {
    if (attach.handle > HANDLE_MAX) {
      throw new AmqpError(Condition.framingError, `handle ${attach.handle} is past the handle-max of ${HANDLE_MAX}`);
    }
    if (this.#remote.has(attach.handle)) {
      this.#fault(new AmqpError(Condition.handleInUse, `handle ${attach.handle} is attached already`));
      return;
    }
    // Ours is the other end of the link that a peer's attach names.
    const key = linkKey(attach.role, attach.name);
    const own = this.#unanswered.get(key);
    if (own) {
      this.#unanswered.delete(key);
      own.remoteHandle = attach.handle;
      own.attached = true;
      this.#remote.set(attach.handle, own);
      if (own.detaching) return;
      own.source = attach.source ?? own.source;
      own.target = attach.target ?? own.target;
      if (own instanceof Receiver) own.onAttach(attach.initialDeliveryCount ?? 0);
      own.handler.onAttached?.((own instanceof Receiver ? attach.source : attach.target) !== null);
      return;
    }
    if (this.#freeHandles.length === 0 && this.#handlesUsed > this.#remoteHandleMax) {
      this.#fault(new AmqpError(Condition.resourceLimit, 'no handle is left to answer an attach with'));
      return;
    }
    let refusal = new AmqpError(Condition.notImplemented, 'no such links are taken here');
    try {
      this.connection.handler.onAttach(this, attach);
    } catch (error) {
      if (!(error instanceof AmqpError)) throw error;
      refusal = error;
    }
    // The peer's next frames may be for this link: it must be known by now.
    if (!this.ending && !this.#remote.has(attach.handle)) this.refuse(attach, refusal);
  }

  onDetach(detach: Detach): void {
    const link = this.#remote.get(detach.handle);
    if (!link) {
      this.#fault(new AmqpError(Condition.unattachedHandle, `handle ${detach.handle} is not attached`));
      return;
    }
    this.#remote.delete(detach.handle);
    this.#local.delete(link.handle);
    this.#freeHandles.push(link.handle);
    // We keep nothing of a link that is detached, closed or not; the answer says the same as the peer (2.6.4).
    if (!link.detaching) this.connection.sendFrame(this.channel, detachFrame(link.handle, detach.closed, null));
    link.end(detach.error);
  }

  onFlow(flow: Flow): void {
    // The frame is one object for all connections: what a handler does may read the next into it.
    const { echo } = flow;
    const seen = flow.nextIncomingId === -1 ? this.connection.firstSequence : flow.nextIncomingId;
    this.#remoteWindow = allowance(flow.incomingWindow, this.#nextOutgoingId, seen);
    if (flow.handle !== -1) {
      const link = this.#remote.get(flow.handle);
      if (!link) {
        this.#fault(new AmqpError(Condition.unattachedHandle, `handle ${flow.handle} is not attached`));
        return;
      }
      if (link.detaching) {
        if (echo) this.sendFlow(null);
      } else if (link instanceof Sender) {
        if (flow.linkCredit !== -1) link.onFlow(flow.deliveryCount, flow.linkCredit, flow.drain);
        if (echo) this.sendFlow(link.flowFields());
      } else if (link instanceof Receiver) {
        link.onFlow(flow.deliveryCount, echo);
      }
    } else if (echo) {
      this.sendFlow(null);
    }
    this.#wakeStalled();
  }

  onTransfer(
    transfer: Transfer,
    buffer: Buffer,
    payloadStart: number,
    frameStart: number,
    end: number,
    slab: Slab,
  ): void {
    if (this.#window <= 0) {
      this.#fault(new AmqpError(Condition.windowViolation, 'a transfer beyond the incoming window'));
      return;
    }
    this.#window--;
    this.#nextIncomingId = (this.#nextIncomingId + 1) >>> 0;
    const link = this.#remote.get(transfer.handle);
    if (!link || !(link instanceof Receiver)) {
      const error = link
        ? new AmqpError(Condition.notAllowed, 'a transfer from the receiving end of a link')
        : new AmqpError(Condition.unattachedHandle, `handle ${transfer.handle} is not attached`);
      this.#fault(error);
      return;
    }
    if (!link.detaching) {
      const delivery = this.#admit(link, transfer, buffer);
      if (delivery) {
        let chunk: Chunk | null = null;
        // The payload of an aborted transfer must be ignored (2.7.5).
        if (end > payloadStart && !transfer.aborted) {
          this.#held++;
          chunk = new Chunk(buffer, payloadStart, end, payloadStart - frameStart, slab, this);
        }
        try {
          link.onTransfer(delivery, transfer, chunk);
        } catch (error) {
          if (!(error instanceof AmqpError)) throw error;
          link.detach(error);
        }
      }
    }
    this.#replenish();
  }

  #admit(link: Receiver, transfer: Transfer, buffer: Buffer): IncomingDelivery | null {
    try {
      return link.admit(transfer, buffer);
    } catch (error) {
      if (!(error instanceof AmqpError)) throw error;
      this.#fault(error);
      return null;
    }
  }

  onDisposition(disposition: Disposition): void {
    const { role, first, state, settled } = disposition;
    const count = ((disposition.last - first) >>> 0) + 1;
    if (count > 0x80000000) {
      this.#fault(new AmqpError(Condition.invalidField, 'the last delivery of a disposition is before its first'));
      return;
    }
    // A handler may end some of them: what is said next would be news to nobody.
    if (role) {
      for (const delivery of this.#outgoing.range(first, count)) {
        if (this.#outgoing.get(delivery.id) !== delivery) continue;
        if (settled) delivery.sender.settled(delivery);
        delivery.update(state, settled);
      }
    } else if (settled) {
      for (const delivery of this.#incoming.range(first, count)) {
        if (this.#incoming.get(delivery.id) === delivery) delivery.receiver.onSettled(delivery, state);
      }
    }
  }

  // What deliveries and links need of their session.

  nextTag(): Buffer {
    const tag = Buffer.allocUnsafe(4);
    tag.writeUInt32BE(this.#nextTag);
    this.#nextTag = (this.#nextTag + 1) >>> 0;
    return tag;
  }

  /** Gives a delivery its id, by which the peer will speak of it. */
  numberOutgoing(delivery: OutgoingDelivery): void {
    delivery.id = this.#nextDeliveryId;
    this.#nextDeliveryId = (delivery.id + 1) >>> 0;
    this.#outgoing.add(delivery);
  }

  forgetOutgoing(delivery: OutgoingDelivery): void {
    if (delivery.id !== -1) this.#outgoing.delete(delivery);
  }

  trackIncoming(delivery: IncomingDelivery): void {
    if (this.#incoming.get(delivery.id))
      throw new AmqpError(Condition.invalidField, `delivery-id ${delivery.id} is in use`);
    this.#incoming.add(delivery);
  }

  forgetIncoming(delivery: IncomingDelivery): void {
    this.#incoming.delete(delivery);
  }

  /** A delivery that may not go now: it waits for its session's window, or for its turn on the connection. */
  enqueue(delivery: OutgoingDelivery): void {
    if (this.mayTransfer) {
      this.connection.enqueue(delivery);
    } else if (!delivery.scheduled) {
      delivery.scheduled = true;
      this.#stalled.push(delivery);
    }
  }

  sendTransfer(
    link: Sender,
    delivery: OutgoingDelivery,
    chunk: Chunk | null,
    first: boolean,
    more: boolean,
    aborted: boolean,
  ): void {
    this.#nextOutgoingId = (this.#nextOutgoingId + 1) >>> 0;
    this.#remoteWindow--;
    const { outbox } = this.connection;
    const { channel } = this;
    const settled = delivery.settled;
    const octets = chunk?.length ?? 0;
    if (!chunk || octets < COPY_LIMIT) {
      const start = outbox.reserve(TRANSFER_HEADER_MAX + octets);
      const at = writeTransfer(
        outbox.buffer,
        start,
        channel,
        link.handle,
        delivery.id,
        delivery.tag,
        first,
        settled,
        more,
        aborted,
        octets,
      );
      chunk?.buffer.copy(outbox.buffer, at, chunk.start, chunk.end);
      outbox.commit(at + octets);
      // Last, because it may write a flow to the same outbox.
      chunk?.release();
      return;
    }
    // The header is written apart first, to know its length; most often it then fits in front of the payload.
    const scratch = this.connection.scratch;
    const length = writeTransfer(
      scratch,
      0,
      channel,
      link.handle,
      delivery.id,
      delivery.tag,
      first,
      settled,
      more,
      aborted,
      octets,
    );
    if (length <= chunk.headroom) {
      scratch.copy(chunk.buffer, chunk.start - length, 0, length);
      outbox.append(chunk, chunk.start - length);
    } else {
      const start = outbox.reserve(length);
      scratch.copy(outbox.buffer, start, 0, length);
      outbox.commit(start + length);
      outbox.append(chunk, chunk.start);
    }
  }

  sendDisposition(delivery: IncomingDelivery, state: DeliveryState | null, settled: boolean): void {
    if (this.ending || this.closed) return;
    const { outbox } = this.connection;
    const start = outbox.reserve(dispositionSize(state));
    outbox.commit(writeDisposition(outbox.buffer, start, this.channel, true, delivery.id, delivery.id, settled, state));
  }

  /** Tells the receiver that a delivery of ours is settled. */
  sendSettled(delivery: OutgoingDelivery): void {
    if (this.ending || this.closed) return;
    const { outbox } = this.connection;
    const start = outbox.reserve(dispositionSize(null));
    outbox.commit(writeDisposition(outbox.buffer, start, this.channel, false, delivery.id, delivery.id, true, null));
  }

  sendFlow(link: LinkFlowFields | null): void {
    if (this.ending || this.closed || !this.#began) return;
    this.#window = Math.max(this.#window, this.connection.sessionWindow - this.#held);
    const { outbox } = this.connection;
    const start = outbox.reserve(FLOW_MAX);
    const fields = {
      nextIncomingId: this.#nextIncomingId,
      incomingWindow: this.#window,
      nextOutgoingId: this.#nextOutgoingId,
      outgoingWindow: OUTGOING_WINDOW,
    };
    outbox.commit(writeFlow(outbox.buffer, start, this.channel, fields, link, false));
  }

  sendDetach(link: Link, error: AmqpError | null): void {
    if (!this.ending && !this.closed) this.connection.sendFrame(this.channel, detachFrame(link.handle, true, error));
  }

  /** Payload has left our hands: the window it took is free. */
  chunkReleased(): void {
    this.#held--;
    this.#replenish();
  }

  #replenish(): void {
    const size = this.connection.sessionWindow;
    if (this.#window <= size / 2 && size - this.#held >= this.#window + size / 4) this.sendFlow(null);
  }

  #wakeStalled(): void {
    if (this.#stalled.length === 0 || !this.mayTransfer) return;
    const stalled = this.#stalled;
    this.#stalled = [];
    for (const delivery of stalled) {
      delivery.scheduled = false;
      this.connection.enqueue(delivery);
    }
  }

  #freeHandle(): number {
    const free = this.#freeHandles.pop();
    if (free !== undefined) return free;
    if (this.#handlesUsed > this.#remoteHandleMax) {
      throw new SkiffError(
        'handles-exhausted',
        `the session already has ${this.#handlesUsed} links, as many as the peer takes`,
      );
    }
    return this.#handlesUsed++;
  }

  #attachLocal(link: Link): void {
    if (this.#tooLate(link)) return;
    this.#local.set(link.handle, link);
    this.#unanswered.set(linkKey(link.isSender, link.name), link);
    this.#sendAttach(link);
  }

  #attachAnswer(link: Link, attach: Attach): void {
    if (this.#tooLate(link)) return;
    link.remoteHandle = attach.handle;
    link.attached = true;
    this.#local.set(link.handle, link);
    this.#remote.set(attach.handle, link);
    this.#sendAttach(link);
  }

  /** A link on a session that has ended ends too, as soon as its maker had time to take note of it. */
  #tooLate(link: Link): boolean {
    if (!this.ending) return false;
    queueMicrotask(() => link.end({ condition: Condition.detachForced, description: 'the session is closed' }));
    return true;
  }

  #sendAttach(link: Link): void {
    const attach: Attach = {
      name: link.name,
      handle: link.handle,
      role: !link.isSender,
      sndSettleMode: 2,
      rcvSettleMode: 0,
      source: link.source,
      target: link.target,
      initialDeliveryCount: link instanceof Sender ? link.initialDeliveryCount : null,
    };
    this.connection.sendFrame(this.channel, attachFrame(attach));
  }

  #dropLinks(error: ErrorValue | null): void {
    const links = [...this.#local.values()];
    this.#local.clear();
    this.#remote.clear();
    this.#unanswered.clear();
    this.#stalled = [];
    for (const link of links) link.end(error);
  }
}

function linkKey(isSender: boolean, name: string): string {
  return `${isSender ? 's' : 'r'}${name}`;
}
