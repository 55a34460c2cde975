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
import type { InboundLink } from './inbound.ts';
import { Peer } from './peer.ts';
import { FEED } from './records/feed.ts';
import type { Router } from './router.ts';

export const EDGE_DOWNLINK = 'qd.router-edge-downlink';
export const ADDRESS_TRACKING = '_$qd.edge_addr_tracking';
export const MESH_DISCOVERY = '_$qd.mesh_discovery';
/** Messages an edge may send ahead on its mesh discovery link. */
const DISCOVERY_CREDIT = 3;

export interface EdgePeerHooks {
  /** Decides on the edge's open; answers with `accept` or `refuse` of the connection. */
  onOpened(peer: EdgePeer, open: Open): void;
  onGone(peer: EdgePeer, error: SkiffError | null): void;
}

export class EdgePeer extends Peer {
  override readonly isRouter = true;
  /** The router id that its certificate is for; null when that does not say. */
  readonly device: string | null;
  readonly #hooks: EdgePeerHooks;
  #id = '';
  #tracking: Sender | null = null;
  readonly #links = new Set<InboundLink>();
  /** What the edge was last told of each of its links. */
  readonly #told = new Map<InboundLink, boolean>();

  constructor(router: Router, device: string | null, hooks: EdgePeerHooks) {
    super(router);
    this.device = device;
    this.#hooks = hooks;
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
      this.acceptSubscription(session, attach);
    }
  }

  protected override onWantsToSend(session: Session, attach: Attach): void {
    if (attach.target?.address !== MESH_DISCOVERY) {
      super.onWantsToSend(session, attach);
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
    let end = (): void => {};
    end = this.router.records.feed(this.acceptSender(session, attach, { onDetached: () => end() }));
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
