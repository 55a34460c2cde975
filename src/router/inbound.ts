/** The way in over AMQP: deliveries on a link become messages that are routed. */
import type { IncomingDelivery } from '../amqp/delivery.ts';
import { AmqpError, Condition } from '../amqp/error.ts';
import type { Receiver, ReceiverHandler } from '../amqp/link.ts';
import { AnnotationFlag, keepsWindow, type MessageHead, readHead } from '../amqp/message.ts';
import { type DeliveryState, isTerminal, RELEASED } from '../amqp/performatives.ts';
import { Chunk } from '../net/chunk.ts';
import type { Address, Producer } from './addresses.ts';
import { addressKey } from './addresses.ts';
import { type Arrival, DISCARD, type Sink, type Source } from './forwarding.ts';
import type { UnderWay } from './guard.ts';
import { checkHead } from './head-check.ts';
import type { Peer } from './peer.ts';

/** Deliveries a peer may have under way on one link, as many as skupper-router allows. */
export const LINK_CAPACITY = 250;
/** Octets in which the head of a message must have come whole. */
const MAX_HEAD = 64 * 1024;

/** A link by which a peer sends to one address, or, without an address, to whatever each message says. */
export class InboundLink implements ReceiverHandler, Producer {
  readonly via: Peer;
  readonly address: string | null;
  /** What one consumer gives back may go to another. */
  readonly #resendReleased: boolean;
  #key: string | null;
  #receiver: Receiver | null = null;
  #entry: Address | null = null;

  constructor(peer: Peer, address: string | null, resendReleased = false) {
    this.via = peer;
    this.address = address;
    this.#resendReleased = resendReleased;
    this.#key = address === null ? null : addressKey(address, peer.router.id);
  }

  /** Begins to take messages on the link. */
  bind(receiver: Receiver): void {
    this.#receiver = receiver;
    // A client is bound by what it has not settled; what a router sends is many clients', and each is bound where it is.
    receiver.shared = this.via.isRouter && this.address === null;
    if (this.#key?.startsWith('M')) {
      this.#entry = this.via.router.addresses.addProducer(this.#key, this);
      this.onConsumersChanged();
    } else {
      receiver.setCapacity(LINK_CAPACITY);
    }
  }

  /** Takes the peer's link away. */
  detach(error: AmqpError): void {
    this.#receiver?.detach(error);
    this.onDetached();
  }

  /** Whether somebody takes messages of this link: what the peer is told, and given credit for. */
  get reachable(): boolean {
    return this.#entry?.reachableFrom(this.via.notBackTo) ?? true;
  }

  get key(): string | null {
    return this.#key;
  }

  onConsumersChanged(): void {
    // A router has told its own clients to wait, and may have sent a message before it heard: that must not be stuck there.
    const takes = this.reachable || this.#entry?.multicast || this.via.isRouter;
    this.#receiver?.setCapacity(takes ? LINK_CAPACITY : 0);
    this.via.onReachability(this);
  }

  onTransfer(delivery: IncomingDelivery, chunk: Chunk | null): void {
    let inbound = delivery.context as Inbound | null;
    if (!inbound) {
      inbound = new Inbound(delivery, this.via, this.address, this.#resendReleased);
      delivery.context = inbound;
    }
    inbound.take(chunk);
  }

  /** The sender settles a stream on its own: with anything but accepted it takes back one that is not whole. */
  onSettled(delivery: IncomingDelivery, state: DeliveryState | null): void {
    // skupper-router settles a whole one as modified when the connection behind it is gone: nothing is lost by that.
    if (delivery.complete || !state || !isTerminal(state) || state.outcome === 'accepted') return;
    (delivery.context as Inbound | null)?.giveUp();
  }

  onDetached(): void {
    if (this.#entry && this.#key) this.via.router.addresses.removeProducer(this.#key, this);
    this.#entry = null;
    this.via.onInboundGone(this);
  }
}

/** One delivery on its way in. */
class Inbound implements Source, UnderWay {
  readonly #delivery: IncomingDelivery;
  readonly #peer: Peer;
  readonly #address: string | null;
  readonly #resendReleased: boolean;
  #sink: Sink | null = null;
  /** The two ends of the stream agree on how far it may run ahead. */
  #ownWindow = false;
  /** The last word on a message whose end has not come. */
  #lastWord: DeliveryState | null = null;
  /** The beginning of a message whose head has not come whole. */
  #gathered: Buffer | null = null;

  constructor(delivery: IncomingDelivery, peer: Peer, address: string | null, resendReleased: boolean) {
    this.#delivery = delivery;
    this.#peer = peer;
    this.#address = address;
    this.#resendReleased = resendReleased;
  }

  take(chunk: Chunk | null): void {
    const delivery = this.#delivery;
    if (delivery.aborted) {
      chunk?.release();
      this.giveUp();
      return;
    }
    if (this.#sink) {
      // What bounds a stream is its own window, kept end to end; the session's may be for many of them.
      if (this.#ownWindow) chunk?.disown();
      if (chunk) this.#sink.write(chunk);
    } else {
      this.#begin(chunk);
    }
    if (!delivery.complete) return;
    if (delivery.remoteSettled) this.#peer.guard?.forget(this);
    this.#sink?.end(delivery.remoteSettled);
    if (this.#lastWord) delivery.update(this.#lastWord, true);
  }

  giveUp(): void {
    this.#peer.guard?.forget(this);
    this.#sink?.abort();
    this.#sink = DISCARD;
  }

  cut(): void {
    this.giveUp();
    this.#tell({ outcome: 'rejected', error: NO_RIGHT }, true);
  }

  onOutcome(state: DeliveryState, settled: boolean): void {
    const delivery = this.#delivery;
    if (settled || isTerminal(state)) this.#peer.guard?.forget(this);
    if (isTerminal(state) && state.outcome !== 'accepted' && !delivery.complete) {
      // The rest is not wanted. The sender hears why, and ends the stream.
      const sink = this.#sink;
      this.#sink = DISCARD;
      sink?.end(true);
      this.#tell(state, true);
    } else {
      this.#tell(state, settled);
    }
  }

  onWritable(): void {
    // Octets that cannot go on keep the session's window closed; nothing else has to be started again.
  }

  #begin(chunk: Chunk | null): void {
    const whole = this.#gather(chunk);
    const delivery = this.#delivery;
    let head: MessageHead | null;
    try {
      head = readHead(whole.buffer, whole.start, whole.end, delivery.complete);
      this.#check(head, whole);
    } catch (error) {
      whole.release();
      if (!(error instanceof AmqpError)) throw error;
      this.#peer.offend(error);
      this.#refuse({ outcome: 'rejected', error: { condition: error.condition, description: error.message } });
      return;
    }
    if (!head) {
      this.#gathered = Buffer.from(whole.view());
      whole.release();
      return;
    }
    this.#gathered = null;
    if (this.#resendReleased) head.annotations ??= RESEND_RELEASED;
    this.#route(head, whole);
  }

  /** What has come of the message, in one piece. */
  #gather(chunk: Chunk | null): Chunk {
    if (this.#gathered === null) return chunk ?? new Chunk(EMPTY, 0, 0);
    const parts = chunk ? [this.#gathered, chunk.view()] : [this.#gathered];
    const joined = Buffer.concat(parts);
    chunk?.release();
    return new Chunk(joined, 0, joined.length);
  }

  #check(head: MessageHead | null, whole: Chunk): void {
    if (!head && whole.length > MAX_HEAD) {
      throw new AmqpError(Condition.messageSize, `the head of a message is longer than ${MAX_HEAD} octets`);
    }
    if (head) checkHead(head, this.#peer);
  }

  #route(head: MessageHead, whole: Chunk): void {
    const delivery = this.#delivery;
    const address = head.annotations?.toOverride ?? this.#address ?? head.to;
    if (address === null) {
      whole.release();
      const error = { condition: 'amqp:precondition-failed', description: 'Routing failure: no address present' };
      this.#refuse({ outcome: 'rejected', error });
      return;
    }
    this.#ownWindow = keepsWindow(head);
    const bodyOffset = head.bodyStart - head.bareStart;
    whole.headroom += head.bareStart - whole.start;
    whole.start = head.bareStart;
    const arrival: Arrival = {
      head,
      first: whole,
      bodyOffset,
      complete: delivery.complete,
      settled: delivery.remoteSettled,
      address,
      byLink: this.#address !== null,
      via: this.#peer.notBackTo,
    };
    const { guard } = this.#peer;
    if (guard && !guard.admits(arrival, address === this.#address)) {
      whole.release();
      this.#refuse({ outcome: 'rejected', error: NO_RIGHT });
      return;
    }
    guard?.trackIncoming(this, address);
    this.#peer.onArrival(arrival);
    // Where it stands in line there is a bound, and who stands behind it in the session has other consumers.
    if (arrival.complete && this.#peer.isRouter) whole.disown();
    const sink = this.#peer.router.route(arrival, this);
    if (sink) {
      // The outcome may be known already: then nothing more of it is wanted.
      this.#sink ??= sink;
    } else {
      whole.release();
      this.#refuse(RELEASED);
    }
  }

  #refuse(state: DeliveryState): void {
    this.#peer.guard?.forget(this);
    this.#sink = DISCARD;
    this.#tell(state, true);
  }

  /**
   * Tells the sender, and settles no message before its last transfer is here: skupper-router (3.5.1) that hears the last
   * word while it still has something to send never sends it, nor anything else on that link, which it uses again.
   */
  #tell(state: DeliveryState, last: boolean): void {
    const { complete } = this.#delivery;
    if (last && !complete) this.#lastWord = state;
    this.#delivery.update(state, last && complete);
  }
}

const EMPTY = Buffer.alloc(0);

const RESEND_RELEASED = {
  ...{ flags: AnnotationFlag.resendReleased, toOverride: null },
  ...{ ingress: null, trace: [], mesh: null },
};

const NO_RIGHT = {
  condition: Condition.unauthorizedAccess,
  description: 'the fleet does not let this device send there',
};
