/**
 * Deliveries in both directions. A delivery may be a stream: its transfers are handed on as they come, and may take
 * as long as the connection lasts (`more`, AMQP 1.0, 2.6.14).
 */
import type { BagItem } from '../net/bag.ts';
import type { Chunk } from '../net/chunk.ts';
import { tell } from './error.ts';
import type { Receiver, Sender } from './link.ts';
import { type DeliveryState, isTerminal } from './performatives.ts';

/** What a delivery that we send hears from the other side. */
export interface OutgoingDeliveryHandler {
  /** The receiver's word on it: progress (`received`) or an outcome; `settled`: it is the last. */
  onState(state: DeliveryState | null, settled: boolean): void;
  /** It can no longer be sent or settled: its link, session or connection is gone. */
  onLost(): void;
  /** Output that was `blocked` may go on. */
  onWritable(): void;
  /** The last transfer has gone. */
  onFinished(): void;
}

export class OutgoingDelivery implements BagItem {
  readonly sender: Sender;
  readonly tag: Buffer;
  readonly handler: OutgoingDeliveryHandler;
  /** Among those of its link. */
  place = -1;
  /** The delivery-id, -1 until its first transfer has gone. */
  id = -1;
  settled: boolean;
  /** Transfers that have gone. */
  transfers = 0;
  /** Its last transfer has gone, or it was given up. */
  finished = false;
  /** Its outcome is counted; the link keeps this. */
  judged = false;
  /** It stands in its link's line for credit; the link keeps this. */
  inLine = false;
  /** It stands in a line for the session's window or the connection's output; these keep it. */
  scheduled = false;
  #waiting: Chunk[] = [];
  #waitingOctets = 0;
  /** No more will be written: the last octets carry the end. */
  #ending = false;
  #aborting = false;
  #queued = false;

  constructor(sender: Sender, tag: Buffer, settled: boolean, handler: OutgoingDeliveryHandler) {
    this.sender = sender;
    this.tag = tag;
    this.settled = settled;
    this.handler = handler;
  }

  /** Whether more octets would wait here; the producer should stop until `onWritable`. */
  get blocked(): boolean {
    return this.#queued;
  }

  /** Octets written that have not gone. */
  get waitingOctets(): number {
    return this.#waitingOctets;
  }

  /** Sends payload, or keeps it until credit, window and socket allow. Takes the chunk. */
  write(chunk: Chunk): void {
    if (this.finished || this.#ending || this.#aborting) {
      chunk.release();
      return;
    }
    this.#waiting.push(chunk);
    this.#waitingOctets += chunk.length;
    if (this.#queued) {
      park(chunk);
      return;
    }
    this.#drain(Number.POSITIVE_INFINITY);
    if (this.#waiting.length > 0) park(chunk);
    // With nothing left to send it still waits for its turn, to be told that output may go on.
    else if (!this.finished && this.sender.session.connection.congested) this.#wait();
  }

  /** Ends the delivery, with a last chunk if given; `settled` says that no outcome is awaited. */
  end(settled: boolean, last: Chunk | null = null): void {
    if (this.finished || this.#ending || this.#aborting) {
      last?.release();
      return;
    }
    if (last) {
      this.#waiting.push(last);
      this.#waitingOctets += last.length;
    }
    this.#ending = true;
    this.settled ||= settled;
    if (!this.#queued) this.#drain(Number.POSITIVE_INFINITY);
    if (last && this.#waiting.length > 0) park(last);
  }

  /** Takes the delivery back: the receiver forgets what it has of it. One that never began is only forgotten. */
  abort(): void {
    if (this.finished || this.#aborting) return;
    this.#drop();
    this.#aborting = true;
    if (this.id === -1) {
      this.finished = true;
      this.settled = true;
      this.sender.forget(this);
      this.handler.onFinished();
    } else if (!this.#queued) {
      this.#drain(Number.POSITIVE_INFINITY);
    }
  }

  /** Called in turn by the connection: sends what may go now, about `quantum` octets at most. */
  pump(quantum: number): void {
    this.#queued = false;
    this.#drain(quantum);
    if (!this.#queued && !this.finished && !this.#ending) this.handler.onWritable();
  }

  /** Settles a delivery whose outcome is known, so that the receiver may forget it too. */
  settle(): void {
    if (this.settled || this.id === -1) return;
    this.settled = true;
    this.sender.session.sendSettled(this);
    this.sender.settled(this);
  }

  /** The link is gone. */
  lose(): void {
    if (this.finished && this.settled) return;
    this.finished = true;
    this.settled = true;
    this.#drop();
    tell(() => this.handler.onLost());
  }

  /** The receiver says how far it is, or settles. */
  update(state: DeliveryState | null, settled: boolean): void {
    if (settled) this.settled = true;
    this.sender.counts.outcome(this, state);
    // Who has refused it does not want the rest.
    if (isTerminal(state) && state?.outcome !== 'accepted') this.#drop();
    this.handler.onState(state, settled);
  }

  /** Sends until everything has gone, `quantum` is used up, the socket has enough, or the peer allows no more. */
  #drain(quantum: number): void {
    const { sender } = this;
    let budget = quantum;
    while (this.#waiting.length > 0) {
      if (budget <= 0 || sender.session.connection.congested || !sender.mayTransfer(this)) {
        this.#wait();
        return;
      }
      let chunk = this.#waiting[0] as Chunk;
      if (chunk.length > sender.maxPayload) chunk = chunk.splitOff(sender.maxPayload);
      else this.#waiting.shift();
      budget -= chunk.length;
      this.#waitingOctets -= chunk.length;
      const last = this.#ending && this.#waiting.length === 0;
      if (last) this.finished = true;
      sender.transfer(this, chunk, !last, false);
      if (last) this.handler.onFinished();
    }
    if (!this.finished && (this.#ending || this.#aborting)) {
      if (!sender.mayTransfer(this)) {
        this.#wait();
        return;
      }
      this.finished = true;
      if (this.#aborting) this.settled = true;
      sender.transfer(this, null, false, this.#aborting);
      this.handler.onFinished();
    }
  }

  #wait(): void {
    if (this.#queued) return;
    this.#queued = true;
    this.sender.enqueue(this);
  }

  #drop(): void {
    for (const chunk of this.#waiting) chunk.release();
    this.#waiting = [];
    this.#waitingOctets = 0;
  }
}

/** A chunk that is to wait must not pin a slab many times its size. */
function park(chunk: Chunk): void {
  if (chunk.slab && chunk.length * 8 < chunk.slab.size) chunk.compact();
}

/** A delivery that comes in. What consumes it sets `handler` when it begins. */
export class IncomingDelivery implements BagItem {
  readonly receiver: Receiver;
  readonly id: number;
  readonly tag: Buffer;
  /** Among those of its link. */
  place = -1;
  /** The sender has settled it: it wants to hear of no outcome. */
  remoteSettled: boolean;
  /** We have settled it. */
  settled = false;
  /** Its last transfer has come. */
  complete = false;
  aborted = false;
  /** Its outcome is counted; the link keeps this. */
  judged = false;
  /** Whatever the consumer wants to keep with it. */
  context: unknown = null;

  constructor(receiver: Receiver, id: number, tag: Buffer, remoteSettled: boolean) {
    this.receiver = receiver;
    this.id = id;
    this.tag = tag;
    this.remoteSettled = remoteSettled;
  }

  /** Tells the sender a state; `settled` forgets the delivery. Nothing is sent for what the sender has settled. */
  update(state: DeliveryState | null, settled: boolean): void {
    if (this.settled) return;
    this.settled = settled;
    this.receiver.updated(this, state, settled);
  }
}
