/** What stands at the other end of an AMQP connection: another router, or a client. */
import type { Connection, ConnectionHandler } from '../amqp/connection.ts';
import { AmqpError, Condition } from '../amqp/error.ts';
import type { Link, Receiver, Sender } from '../amqp/link.ts';
import { USUAL_PRIORITY } from '../amqp/message.ts';
import { type Attach, type Open, terminus } from '../amqp/performatives.ts';
import type { Session } from '../amqp/session.ts';
import type { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { addressKey } from './addresses.ts';
import { SHARED_SESSION_WINDOW } from './connections.ts';
import type { Arrival, Way } from './forwarding.ts';
import type { Guard } from './guard.ts';
import { checkAddress } from './head-check.ts';
import { InboundLink } from './inbound.ts';
import { LinkConsumer } from './outbound.ts';
import type { Router } from './router.ts';
import { StreamingLinks } from './streaming-links.ts';

/** The capability of taking streams on links of their own. */
const STREAMING_LINKS = 'qd.streaming-links';

/** The capability of giving what one consumer has given back to another. */
const RESEND_RELEASED = 'qd.resend-released';

/** Kinds of offences that are told of one connection. */
const MAX_OFFENCES = 16;

/** What a connection is for, in the words of skupper-router; `inter-router-data` stands beside an `inter-router` one. */
export type PeerRole = 'normal' | 'edge' | 'inter-router' | 'inter-router-data';

export abstract class Peer implements ConnectionHandler {
  readonly router: Router;
  abstract readonly role: PeerRole;
  /** When its connection was made, `performance.now()`. */
  readonly since = performance.now();
  /** Whether messages carry router annotations on this connection. */
  abstract readonly isRouter: boolean;
  /** Links for streams, when the peer knows them. */
  streams: StreamingLinks | null = null;
  /** A router that is not ours. */
  isForeign = false;
  /** What stands between the peer and the network, when it is a fleet's device. */
  readonly guard: Guard | null = null;
  /** Hears of each kind of thing, once, that the peer sent and may not send. */
  onOffence: (error: AmqpError) => void = ({ message }) => {
    log.warn('router', `a peer sends what it may not: ${message}`, { peer: this.#id, role: this.role });
  };
  readonly #offences = new Set<string>();
  #connection: Connection | null = null;
  #id = '';

  constructor(router: Router) {
    this.router = router;
  }

  /** Whether an interior router is at the other end. */
  get isInterior(): boolean {
    return this.isRouter && (this.role !== 'edge' || this.router.isEdge);
  }

  /** The peer has sent what it may not send, and was told so. */
  offend(error: AmqpError): void {
    if (this.#offences.has(error.message) || this.#offences.size >= MAX_OFFENCES) return;
    this.#offences.add(error.message);
    this.onOffence(error);
  }

  /**
   * Where messages that come from here are not sent back to. A router has served its own consumers before it sends
   * anything on; a client may well be the one that consumes what it sends.
   */
  get notBackTo(): Way | null {
    return this.isRouter ? this : null;
  }

  get connection(): Connection {
    if (!this.#connection) throw new Error('the peer has no connection yet');
    return this.#connection;
  }

  /** What our links for streams say that they are. */
  protected get streamCapabilities(): string[] {
    return [];
  }

  /** The priority of the messages that a link is for. Most are for any, and count as the usual one. */
  priorityOf(_link: Link): number {
    return USUAL_PRIORITY;
  }

  /** To be called once, at once after the connection was made with this peer as its handler. */
  bindTo(connection: Connection): void {
    this.#connection = connection;
    const { peers, totals } = this.router;
    peers.add(this);
    connection.socket.once('close', () => {
      peers.delete(this);
      totals.add(this);
    });
  }

  onOpen(open: Open): void {
    this.#id = open.containerId;
    this.isForeign = this.isRouter && open.properties?.get('product') !== 'skiff';
    if (
      this.isRouter &&
      (open.offeredCapabilities?.includes(STREAMING_LINKS) || open.desiredCapabilities?.includes(STREAMING_LINKS))
    ) {
      this.streams = new StreamingLinks(this.connection, this.streamCapabilities, this.isForeign);
    }
    if (this.isForeign) this.connection.sessionWindow = SHARED_SESSION_WINDOW;
    this.onOpened(open);
  }

  /** The peer's open has come, and `streams` is set. */
  protected abstract onOpened(open: Open): void;

  onAttach(session: Session, attach: Attach): void {
    try {
      for (const end of [attach.source, attach.target]) if (end?.address) checkAddress(end.address, this);
    } catch (error) {
      if (error instanceof AmqpError) this.offend(error);
      throw error;
    }
    if (attach.target?.coordinator) {
      session.refuse(attach, new AmqpError(Condition.notImplemented, 'transactions are not supported'));
    } else if (attach.role) {
      if (attach.source) this.onWantsToReceive(session, attach);
      else session.refuse(attach, new AmqpError(Condition.invalidField, 'an attach without a source'));
    } else if (attach.target) {
      this.onWantsToSend(session, attach);
    } else {
      session.refuse(attach, new AmqpError(Condition.invalidField, 'an attach without a target'));
    }
  }

  /** The peer attaches a receiver: we would be the sender. */
  protected abstract onWantsToReceive(session: Session, attach: Attach): void;

  /** The peer attaches a sender. */
  protected onWantsToSend(session: Session, attach: Attach): void {
    if (attach.target?.dynamic) {
      session.refuse(attach, new AmqpError(Condition.notImplemented, 'dynamic targets are not supported'));
      return;
    }
    const address = attach.target?.address ?? null;
    const resendReleased = attach.target?.capabilities.includes(RESEND_RELEASED) ?? false;
    const link = new InboundLink(this, address === '' ? null : address, resendReleased);
    link.bind(this.acceptReceiver(session, attach, link));
    this.onInboundBound(link);
  }

  protected acceptReceiver(
    session: Session,
    attach: Attach,
    handler: ConstructorParameters<typeof Receiver>[3],
  ): Receiver {
    const source = {
      ...terminus(attach.source?.address ?? null, { capabilities: attach.source?.capabilities ?? [] }),
      expiryPolicy: attach.source?.expiryPolicy ?? 'session-end',
    };
    const target = {
      ...terminus(attach.target?.address ?? null, { capabilities: attach.target?.capabilities ?? [] }),
      expiryPolicy: attach.target?.expiryPolicy ?? 'session-end',
    };
    return session.acceptReceiver(attach, { source, target }, handler);
  }

  protected acceptSender(
    session: Session,
    attach: Attach,
    handler: ConstructorParameters<typeof Sender>[3],
    address?: string,
  ): Sender {
    const source = {
      ...terminus(address ?? attach.source?.address ?? null, { capabilities: attach.source?.capabilities ?? [] }),
      dynamic: attach.source?.dynamic ?? false,
      expiryPolicy: attach.source?.expiryPolicy ?? 'session-end',
    };
    const target = {
      ...terminus(attach.target?.address ?? null, { capabilities: attach.target?.capabilities ?? [] }),
      expiryPolicy: attach.target?.expiryPolicy ?? 'session-end',
    };
    return session.acceptSender(attach, { source, target }, handler);
  }

  /** Lets the peer receive from an address: a mobile one, or a reply address made for it (a dynamic source). */
  protected acceptSubscription(session: Session, attach: Attach): void {
    const reply = attach.source?.dynamic ? this.router.newReplyAddress() : null;
    const address = reply?.address ?? attach.source?.address ?? null;
    if (address === null || address === '') {
      session.refuse(attach, new AmqpError(Condition.invalidField, 'a receiver without a source address'));
      return;
    }
    const key = reply?.key ?? addressKey(address, this.router.id);
    if (!reply && !key.startsWith('M')) {
      const reason = `only the router itself may receive from ${address.slice(0, 256)}`;
      session.refuse(attach, new AmqpError(Condition.unauthorizedAccess, reason));
      return;
    }
    this.addConsumer(session, attach, key, address);
  }

  /** Makes the peer's receiver a consumer of the address with this key, for as long as it is attached. */
  protected addConsumer(session: Session, attach: Attach, key: string, address?: string): void {
    const { addresses } = this.router;
    let consumer: LinkConsumer | null = null;
    const onDetached = (): void => {
      if (!consumer) return;
      addresses.removeConsumer(key, consumer);
      this.onConsumerGone(consumer);
    };
    consumer = new LinkConsumer(this, this.acceptSender(session, attach, { onDetached }, address));
    addresses.addConsumer(key, consumer);
    this.onConsumerAdded(consumer, key);
  }

  /** The peer consumes an address. */
  protected onConsumerAdded(_consumer: LinkConsumer, _key: string): void {}

  /** It does so no more. */
  protected onConsumerGone(_consumer: LinkConsumer): void {}

  /** A message of the peer's is about to be routed. */
  onArrival(_arrival: Arrival): void {}

  /** A link by which the peer sends has begun. */
  onInboundBound(_link: InboundLink): void {}

  /** Whether a link's messages find somebody may have changed. */
  onReachability(_link: InboundLink): void {}

  /** A link by which the peer sends is gone. */
  onInboundGone(_link: InboundLink): void {}

  abstract onClosed(error: SkiffError | null): void;
}
