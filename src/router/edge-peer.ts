/**
 * An edge router on one of our accesses: the hub's side of an edge's uplink (`capture-edge` in `test/fixtures/wire`). The edge attaches
 * a receiver for each address it consumes, a sender for each it produces, a downlink for its own addresses, and a
 * receiver on which it learns which of its produced addresses exist beyond it.
 */
import type { IncomingDelivery } from '../amqp/delivery.ts';
import { AmqpError, Condition } from '../amqp/error.ts';
import type { Sender } from '../amqp/link.ts';
import { writeAnnotations, writeMessage } from '../amqp/message.ts';
import { ACCEPTED, type Attach, type Open } from '../amqp/performatives.ts';
import type { Session } from '../amqp/session.ts';
import type { SkiffError } from '../errors.ts';
import { Chunk } from '../net/chunk.ts';
import type { PeerCertificate } from '../net/tls.ts';
import { addressKey } from './addresses.ts';
import { Guard } from './guard.ts';
import type { InboundLink } from './inbound.ts';
import type { LinkConsumer } from './outbound.ts';
import { Peer } from './peer.ts';
import type { Denial } from './protocol.ts';
import { FEED, type FeedView } from './records/feed.ts';
import type { FeedLink } from './records/records.ts';
import type { Router } from './router.ts';

export const EDGE_DOWNLINK = 'qd.router-edge-downlink';
export const ADDRESS_TRACKING = '_$qd.edge_addr_tracking';
export const MESH_DISCOVERY = '_$qd.mesh_discovery';
/** What stands for a key when a hub of ours tells its edges that it is about to go. */
export const LEAVING = 'skiff.leaving';
/** Messages an edge may send ahead on its mesh discovery link. */
const DISCOVERY_CREDIT = 3;

export interface EdgePeerHooks {
  /** The edge is a fleet's device, and was refused something for the first time. */
  onDenied(peer: EdgePeer, denial: { action: Denial['action']; address: string }): void;
  /** Decides on the edge's open; answers with `accept` or `refuse` of the connection. */
  onOpened(peer: EdgePeer, open: Open): void;
  onGone(peer: EdgePeer, error: SkiffError | null): void;
}

export class EdgePeer extends Peer {
  override readonly role = 'edge';
  override readonly isRouter = true;
  /** The router id that its certificate is for; null when that does not say. */
  readonly device: string | null;
  override readonly guard: Guard | null;
  /** Another that came with this one's certificate and id while this one was there, and was turned away. */
  twin: { address: string; at: number } | null = null;
  readonly #hooks: EdgePeerHooks;
  #id = '';
  #tracking: Sender | null = null;
  readonly #links = new Set<InboundLink>();
  /** What the edge was last told of each of its links. */
  readonly #told = new Map<InboundLink, boolean>();
  /** Of a fleet's device: what it consumes. */
  readonly #consumers = new Map<LinkConsumer, string>();
  #feed: FeedLink | null = null;

  constructor(router: Router, certificate: PeerCertificate | null, hooks: EdgePeerHooks) {
    super(router);
    this.device = certificate?.deviceId ?? null;
    this.#hooks = hooks;
    const onDenied = (action: Denial['action'], address: string) => hooks.onDenied(this, { action, address });
    // A fleet's certificate that names no device is nobody's, and gets nothing.
    this.guard = certificate?.fleet ? new Guard(this.device ?? '', router, onDenied) : null;
  }

  /** The container-id of the edge's router. */
  get id(): string {
    return this.#id;
  }

  protected override onOpened(open: Open): void {
    this.#id = open.containerId;
    this.#hooks.onOpened(this, open);
  }

  override onClosed(error: SkiffError | null): void {
    this.#hooks.onGone(this, error);
  }

  protected override onWantsToReceive(session: Session, attach: Attach): void {
    const address = attach.source?.address ?? null;
    if (attach.source?.capabilities.includes(EDGE_DOWNLINK)) {
      this.#attachDownlink(session, attach, address);
    } else if (address === ADDRESS_TRACKING) {
      this.#attachTracking(session, attach);
    } else if (address === FEED) {
      this.#attachFeed(session, attach);
    } else {
      const refusal = this.#refusalOf('receive', address);
      if (refusal) session.refuse(attach, refusal);
      else this.acceptSubscription(session, attach);
    }
  }

  protected override onWantsToSend(session: Session, attach: Attach): void {
    const address = attach.target?.address ?? null;
    if (address !== MESH_DISCOVERY) {
      const refusal = address ? this.#refusalOf('send', address) : null;
      if (refusal) session.refuse(attach, refusal);
      else super.onWantsToSend(session, attach);
      return;
    }
    const receiver = this.acceptReceiver(session, attach, {
      // The mesh an edge is in matters to edges that link to each other; ours do not.
      onTransfer: (delivery: IncomingDelivery, chunk: Chunk | null) => {
        chunk?.release();
        if (delivery.complete && !delivery.aborted) delivery.update(ACCEPTED, true);
      },
      onDetached: () => {},
    });
    receiver.setCapacity(DISCOVERY_CREDIT);
  }

  /** The fleet lets the device do something else than before: what it has lost is taken from it at once. */
  reconsider(denied: readonly Denial[]): void {
    const { guard } = this;
    if (!guard) return;
    guard.reconsider();
    for (const [consumer, key] of [...this.#consumers]) {
      if (guard.mayReceive(key)) continue;
      this.router.addresses.removeConsumer(key, consumer);
      this.#consumers.delete(consumer);
      consumer.detach(guard.deny('receive', key.slice(1)));
    }
    for (const link of [...this.#links]) {
      if (link.address === null || guard.maySend(link.address)) continue;
      link.detach(guard.deny('send', link.address));
    }
    this.#feed?.change(feedView(guard));
    this.#tellOfGains(denied);
  }

  /** Whether nothing is to come from the edge any more: it has gone over to another uplink. */
  get hasLeft(): boolean {
    return this.#tracking === null || this.connection.closing;
  }

  /** This router is about to go: an edge that has another uplink goes over to that. Returns whether it understands. */
  leave(): boolean {
    if (!this.isForeign) this.#tell(LEAVING, true);
    return !this.isForeign;
  }

  protected override onConsumerAdded(consumer: LinkConsumer, key: string): void {
    if (this.guard && key !== `H${this.#id}`) this.#consumers.set(consumer, key);
  }

  protected override onConsumerGone(consumer: LinkConsumer): void {
    this.#consumers.delete(consumer);
  }

  override onInboundBound(link: InboundLink): void {
    this.#links.add(link);
    this.onReachability(link);
  }

  /** Tells the edge when an address it sends to has come to be, or is gone, beyond the edge itself. */
  override onReachability(link: InboundLink): void {
    if (!this.#tracking || !link.key?.startsWith('M')) return;
    const reachable = link.reachable;
    if ((this.#told.get(link) ?? false) === reachable) return;
    this.#told.set(link, reachable);
    this.#tell(link.key, reachable);
  }

  override onInboundGone(link: InboundLink): void {
    this.#told.delete(link);
    this.#links.delete(link);
  }

  #attachDownlink(session: Session, attach: Attach, address: string | null): void {
    if (address !== this.#id) {
      session.refuse(
        attach,
        new AmqpError(
          Condition.unauthorizedAccess,
          `${this.#id} may not receive for the router ${String(address).slice(0, 256)}`,
        ),
      );
      return;
    }
    this.addConsumer(session, attach, `H${this.#id}`);
  }

  #attachTracking(session: Session, attach: Attach): void {
    this.#tracking = this.acceptSender(session, attach, {
      onDetached: () => {
        this.#tracking = null;
      },
    });
    for (const link of this.#links) this.onReachability(link);
  }

  #attachFeed(session: Session, attach: Attach): void {
    let feed: FeedLink | null = null;
    const sender = this.acceptSender(session, attach, {
      onDetached: () => {
        feed?.end();
        if (this.#feed === feed) this.#feed = null;
      },
    });
    feed = this.router.records.feed(sender, this.guard && feedView(this.guard));
    this.#feed = feed;
  }

  /** Why the device may not attach a link for this address; null when it may, or is none of a fleet. */
  #refusalOf(action: Denial['action'], address: string | null): AmqpError | null {
    const { guard, router } = this;
    if (!guard) return null;
    // A dynamic source has no address: edges give reply addresses of their own.
    const may =
      address !== null &&
      (action === 'send' ? guard.maySend(address) : guard.mayReceive(addressKey(address, router.id)));
    return may ? null : guard.deny(action, address ?? 'a new address');
  }

  /**
   * What was refused and is allowed now: an edge of ours hears a word of the address, and attaches again. Any other
   * does so when it connects.
   */
  #tellOfGains(denied: readonly Denial[]): void {
    const { guard, router } = this;
    const keys = denied.flatMap(({ action, address }) => {
      const key = addressKey(address, router.id);
      return (action === 'send' ? guard?.maySend(address) : guard?.mayReceive(key)) ? [key] : [];
    });
    if (!this.isForeign) for (const key of new Set(keys)) this.#tell(key, false);
    else if (keys.length > 0)
      this.connection.close(
        new AmqpError(Condition.connectionForced, 'the fleet lets this device do more than before'),
      );
  }

  #tell(key: string, reachable: boolean): void {
    const { router } = this;
    const here = `0/${router.id}`;
    const annotations = { flags: 0, toOverride: null, ingress: here, trace: [here], mesh: null };
    const message = Buffer.concat([writeAnnotations(annotations), writeMessage({ durable: false }, [key, reachable])]);
    const delivery = this.#tracking?.send(false, {
      onState: (_state, settled) => {
        if (!settled) delivery?.settle();
      },
      onLost: () => {},
      onWritable: () => {},
      onFinished: () => {},
    });
    delivery?.end(false, new Chunk(message, 0, message.length));
  }
}

/** What the feed tells a device: who there is for what it offers and uses, and its hub. */
function feedView({ entry }: Guard): FeedView {
  return { key: entry.key, shows: (routingKey) => entry.offers.has(routingKey) || entry.uses.has(routingKey) };
}
