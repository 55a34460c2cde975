/**
 * An edge's link to its interior router, seen from the edge (`capture-edge` in `test/fixtures/wire`). While it is the active one, it carries an
 * anonymous sender for everything the edge does not know, a downlink for the edge's own addresses, address tracking,
 * and a link for every address that local parts consume or produce.
 */

import { described, encode, symbol } from '../amqp/codec.ts';
import type { IncomingDelivery } from '../amqp/delivery.ts';
import { AmqpError, Condition } from '../amqp/error.ts';
import type { Receiver, Sender } from '../amqp/link.ts';
import { readBody, readHead, writeAnnotations } from '../amqp/message.ts';
import { ACCEPTED, type Attach, type ErrorValue, type Open, terminus } from '../amqp/performatives.ts';
import type { Session } from '../amqp/session.ts';
import type { SkiffError } from '../errors.ts';
import { Chunk } from '../net/chunk.ts';
import type { Address, Refusals } from './addresses.ts';
import { ADDRESS_TRACKING, EDGE_DOWNLINK, LEAVING, MESH_DISCOVERY } from './edge-peer.ts';
import type { Arrival } from './forwarding.ts';
import { InboundLink, LINK_CAPACITY } from './inbound.ts';
import { LinkConsumer } from './outbound.ts';
import { Peer } from './peer.ts';
import { FEED, FEED_PROPERTY, type FeedReader } from './records/feed.ts';
import type { Router } from './router.ts';
import { LINK_DETACH, linkName } from './streaming-links.ts';

/** Tracking updates the hub may send ahead, as many as skupper-router allows. */
const TRACKING_CREDIT = 32;
/** How often what the hub refused is asked for again, in milliseconds, with jitter; a hub of ours says when it is time. */
const ASK_AGAIN_EVERY = 60_000;

/** Milliseconds that a hub which is not ours has to take the word of which mesh this edge is in: an old one knows none. */
const INTRODUCED_WITHIN = 2_000;

/** How often it is looked whether anything is still under way, in milliseconds. */
const DRAIN_EVERY = 500;

export interface UplinkHooks {
  onOpened(uplink: Uplink, open: Open): void;
  onGone(uplink: Uplink, error: SkiffError | null): void;
  /** The hub is about to go. */
  onLeaving(): void;
}

/** What is beyond the uplink. While one takes over from another, what came down by one does not go up by the other. */
class UpwardConsumer extends LinkConsumer {
  mayTake({ via }: Arrival): boolean {
    return !(via instanceof Uplink);
  }
}

/** A proxy for one address on the uplink: our receiver for it, our sender to it. */
interface Proxy {
  receiver: Receiver | null;
  sender: Sender | null;
  /** The sender as a consumer, while the hub says that somebody is there. */
  consumer: LinkConsumer | null;
  reachable: boolean;
  /** The hub has refused the receiver, or the sender: it is not asked again before its time. */
  refused: Record<keyof Refusals, boolean>;
}

export class Uplink extends Peer {
  override readonly role = 'edge';
  override readonly isRouter = true;
  readonly #hooks: UplinkHooks;
  readonly #proxies = new Map<string, Proxy>();
  #control: Session | null = null;
  #data: Session | null = null;
  #anonymous: LinkConsumer | null = null;
  #active = false;
  /** The hub may be told what this edge sends to. */
  #introduced = false;
  #introducing: NodeJS.Timeout | null = null;
  #leaving = false;
  #hasFeed = false;
  /** The container-id of the hub's router. */
  #hub = '';
  #feed: FeedReader | null = null;
  #asking: NodeJS.Timeout | null = null;
  /** The ways to end what is left of a time when this was the active one. */
  readonly #draining = new Set<() => void>();

  constructor(router: Router, hooks: UplinkHooks) {
    super(router);
    this.#hooks = hooks;
  }

  /** Whether the hub has said that it is about to go. */
  get leaving(): boolean {
    return this.#leaving;
  }

  get active(): boolean {
    return this.#active;
  }

  protected override onOpened(open: Open): void {
    this.#hub = open.containerId;
    this.#hasFeed = open.properties?.has(FEED_PROPERTY) ?? false;
    this.#hooks.onOpened(this, open);
  }

  override onClosed(error: SkiffError | null): void {
    this.deactivate();
    for (const end of [...this.#draining]) end();
    this.#hooks.onGone(this, error);
  }

  /** Makes this the way up: attaches everything an active uplink carries. */
  activate(): void {
    if (this.#active) {
      // Another one was to take over, and is gone again, or worse.
      this.router.uplink = this.#anonymous;
      return;
    }
    this.#active = true;
    const control = this.#openSession();
    const data = this.#openSession();
    this.#control = control;
    this.#data = data;
    this.#introduce(control);
    const anonymous = data.openSender(
      { name: linkName(), source: terminus(null, LINK_DETACH), target: terminus(null, LINK_DETACH) },
      { onDetached: () => {} },
    );
    this.#openDownlink(data);
    this.#openTracking(control);
    if (this.#hasFeed) this.#openFeed(control);
    else this.router.records.collect();
    this.#anonymous = new UpwardConsumer(this, anonymous);
    this.router.uplink = this.#anonymous;
    // What is for the hub's own parts, such as a reply, takes the straight way, whichever uplink all else goes by.
    this.router.addresses.addConsumer(`R${this.#hub}`, this.#anonymous);
    for (const address of [...this.router.addresses.all()]) this.onAddressChange(address);
  }

  /** Another link takes over, or the connection is gone. Streams under way go on where they are. */
  deactivate(): void {
    if (!this.#active) return;
    this.#active = false;
    if (this.router.uplink === this.#anonymous) this.router.uplink = null;
    if (this.#asking) clearTimeout(this.#asking);
    this.#asking = null;
    if (this.#introducing) clearTimeout(this.#introducing);
    this.#introducing = null;
    this.#introduced = false;
    const { addresses } = this.router;
    for (const [key, proxy] of this.#proxies) {
      if (proxy.consumer) addresses.removeConsumer(key, proxy.consumer);
      proxy.consumer = null;
      proxy.receiver?.detach();
      proxy.sender?.detach();
      for (const what of ['offer', 'use'] as const) addresses.setRefusal(key, what, null);
    }
    this.#proxies.clear();
    this.#feed?.close();
    this.#feed = null;
    this.#endControl();
    this.#drain(this.#data as Session, this.#anonymous as LinkConsumer);
    this.#data = null;
    this.#anonymous = null;
  }

  /**
   * Each link is detached before its session ends: skupper-router (3.5.1) keeps address tracking that went with its session,
   * and what it has to say on the next of the same connection it says on that one.
   */
  #endControl(): void {
    const control = this.#control;
    this.#control = null;
    for (const link of [...(control?.links ?? [])]) link.detach();
    control?.end();
  }

  /**
   * A stream that came by this uplink is answered by it, and the answer to one that went up comes by it, even when that
   * begins now: both ways stay until nothing is under way.
   */
  #drain(data: Session, anonymous: LinkConsumer): void {
    const end = (): void => {
      this.#draining.delete(end);
      clearInterval(timer);
      this.router.addresses.removeConsumer(`R${this.#hub}`, anonymous);
      data.end();
    };
    const timer = setInterval(() => {
      if (this.connection.deliveryCount === 0) end();
    }, DRAIN_EVERY);
    this.#draining.add(end);
  }

  /** Keeps the proxies of an address as its local consumers and producers ask. */
  onAddressChange(address: Address): void {
    if (!this.#active || !address.mobile) return;
    const consumed = address.consumers.some((consumer) => consumer.via !== this);
    const produced = [...address.producers].some((producer) => producer.via !== this);
    let proxy = this.#proxies.get(address.key);
    if (!proxy) {
      if (!consumed && !produced) return;
      const refused = { offer: false, use: false };
      proxy = { receiver: null, sender: null, consumer: null, reachable: false, refused };
      this.#proxies.set(address.key, proxy);
    }
    const { refused } = proxy;
    refused.offer &&= consumed;
    refused.use &&= produced;
    const receives = consumed && !refused.offer;
    const sends = produced && !refused.use && this.#introduced;
    if (receives !== (proxy.receiver !== null)) this.#proxyReceiver(address, proxy, receives);
    if (sends !== (proxy.sender !== null)) this.#proxySender(address, proxy, sends);
    if (!consumed && !produced) this.#proxies.delete(address.key);
  }

  protected override onWantsToReceive(session: Session, attach: Attach): void {
    session.refuse(
      attach,
      new AmqpError(Condition.notAllowed, 'an edge router takes no subscriptions from its interior router'),
    );
  }

  #openSession(): Session {
    const session = this.connection.openSession();
    session.onEnded = (error) => {
      if (this.#isCurrent(session))
        this.connection.close(
          new AmqpError(
            Condition.internalError,
            `a session of the uplink ended: ${error?.description ?? 'no reason given'}`,
          ),
        );
    };
    return session;
  }

  #proxyReceiver(address: Address, proxy: Proxy, wanted: boolean): void {
    if (!wanted) {
      proxy.receiver?.detach();
      proxy.receiver = null;
      return;
    }
    // Not bound as a producer: what comes by it is for the local consumers alone.
    const link = new InboundLink(this, address.name);
    proxy.receiver = (this.#data as Session).openReceiver(
      { name: linkName(), source: terminus(address.name, LINK_DETACH), target: terminus(null, LINK_DETACH) },
      {
        onTransfer: (delivery, chunk) => link.onTransfer(delivery, chunk),
        onAttached: (granted) => this.#answered(address.key, 'offer', granted),
        onDetached: (error) => {
          proxy.receiver = null;
          this.#onRefused(address.key, proxy, 'offer', error);
        },
      },
    );
    proxy.receiver.setCapacity(LINK_CAPACITY);
  }

  #proxySender(address: Address, proxy: Proxy, wanted: boolean): void {
    if (!wanted) {
      const sender = proxy.sender;
      proxy.sender = null;
      this.#setReachable(address.key, proxy, false);
      sender?.detach();
      return;
    }
    proxy.sender = (this.#data as Session).openSender(
      { name: linkName(), source: terminus(null, LINK_DETACH), target: terminus(address.name, LINK_DETACH) },
      {
        onAttached: (granted) => this.#answered(address.key, 'use', granted),
        onDetached: (error) => {
          this.#setReachable(address.key, proxy, false);
          proxy.sender = null;
          this.#onRefused(address.key, proxy, 'use', error);
        },
      },
    );
  }

  #setReachable(key: string, proxy: Proxy, reachable: boolean): void {
    proxy.reachable = reachable;
    if (reachable && !proxy.consumer && proxy.sender) {
      proxy.consumer = new UpwardConsumer(this, proxy.sender);
      this.router.addresses.addConsumer(key, proxy.consumer);
    } else if (!reachable && proxy.consumer) {
      const consumer = proxy.consumer;
      proxy.consumer = null;
      this.router.addresses.removeConsumer(key, consumer);
    }
  }

  /** What was refused before is granted now. */
  #answered(key: string, what: keyof Refusals, granted: boolean): void {
    if (granted) this.router.addresses.setRefusal(key, what, null);
  }

  /** The hub has detached a link, and says why: whoever is concerned shows it, and all else goes on. */
  #onRefused(key: string, proxy: Proxy, what: keyof Refusals, error: ErrorValue | null): void {
    if (!this.#active || this.connection.closing || error?.condition !== Condition.unauthorizedAccess) return;
    proxy.refused[what] = true;
    const why = error.description ?? error.condition;
    const message = `the hub does not let this site ${what} the routing key ${key.slice(1)}: ${why}`;
    const hint = 'Ask whoever runs the hub for the right to it';
    this.router.addresses.setRefusal(key, what, { code: 'address-refused', message, hint });
    const wait = ASK_AGAIN_EVERY * (0.75 + Math.random() / 2);
    this.#asking ??= setTimeout(() => {
      this.#asking = null;
      for (const each of [...this.#proxies.keys()]) this.#askAgain(each);
    }, wait);
  }

  #askAgain(key: string): void {
    const proxy = this.#proxies.get(key);
    const address = this.router.addresses.get(key);
    if (!proxy || !address || !(proxy.refused.offer || proxy.refused.use)) return;
    proxy.refused = { offer: false, use: false };
    this.onAddressChange(address);
  }

  #openDownlink(session: Session): void {
    const link = new InboundLink(this, null);
    const capabilities = [EDGE_DOWNLINK];
    const receiver = session.openReceiver(
      {
        name: linkName(),
        source: terminus(this.router.id, { ...LINK_DETACH, capabilities }),
        target: terminus(null, { ...LINK_DETACH, capabilities }),
      },
      {
        onTransfer: (delivery, chunk) => link.onTransfer(delivery, chunk),
        onDetached: (error) => this.#refused(session, 'the downlink', error),
      },
    );
    link.bind(receiver);
  }

  #openTracking(session: Session): void {
    const receiver = session.openReceiver(
      { name: linkName(), source: terminus(ADDRESS_TRACKING, LINK_DETACH), target: terminus(null, LINK_DETACH) },
      {
        onTransfer: (delivery, chunk) => this.#onTracking(delivery, chunk),
        onDetached: (error) => this.#refused(session, 'address tracking', error),
      },
    );
    receiver.setCapacity(TRACKING_CREDIT);
  }

  /** What the hub knows of the network. */
  #openFeed(session: Session): void {
    this.#feed = this.router.records.readFeed();
    const options = {
      name: linkName(),
      source: terminus(FEED, LINK_DETACH),
      target: terminus(null, LINK_DETACH),
    };
    session.openReceiver(options, this.#feed).setCapacity(TRACKING_CREDIT);
  }

  /**
   * Says which mesh this edge is in; the hub has no use for it unless edges link to each other. But skupper-router (3.5.1) may
   * take an edge whose mesh it does not know yet for part of the one where an address is served, and then never says that
   * it is reachable: it hears of the addresses that this edge sends to only when it knows.
   */
  #introduce(session: Session): void {
    const known = (): void => {
      if (session === this.#control) this.#onIntroduced();
    };
    this.#introduced = !this.isForeign;
    if (this.isForeign) this.#introducing = setTimeout(known, INTRODUCED_WITHIN);
    const options = {
      name: linkName(),
      source: terminus(null, LINK_DETACH),
      target: terminus(MESH_DISCOVERY, LINK_DETACH),
    };
    const sender = session.openSender(options, { onDetached: known });
    const mesh = this.router.meshId ?? '';
    const annotations = writeAnnotations({ flags: 0, toOverride: null, ingress: null, trace: [], mesh });
    const properties = encode(described(0x74, new Map([[symbol('meshid'), mesh]])));
    const message = Buffer.concat([annotations, properties]);
    const ignore = (): void => {};
    const delivery = sender.send(false, { onState: known, onLost: ignore, onWritable: ignore, onFinished: ignore });
    delivery.end(false, new Chunk(message, 0, message.length));
  }

  #onIntroduced(): void {
    if (this.#introducing) clearTimeout(this.#introducing);
    this.#introducing = null;
    if (this.#introduced) return;
    this.#introduced = true;
    for (const address of [...this.router.addresses.all()]) this.onAddressChange(address);
  }

  /** Not one of a time before, which ends when nothing is under way any more. */
  #isCurrent(session: Session): boolean {
    return session === this.#control || session === this.#data;
  }

  #refused(session: Session, what: string, error: ErrorValue | null): void {
    if (!this.#isCurrent(session) || this.connection.closed) return;
    this.connection.close(
      new AmqpError(
        Condition.notAllowed,
        `the peer refuses ${what}: ${error?.description ?? error?.condition ?? 'no reason given'}`,
      ),
    );
  }

  /** `[key, true|false]`: an address we send to has come to be beyond the hub, or is gone. */
  #onTracking(delivery: IncomingDelivery, chunk: Chunk | null): void {
    const gathered = Buffer.concat([
      (delivery.context as Buffer | null) ?? Buffer.alloc(0),
      chunk?.view() ?? Buffer.alloc(0),
    ]);
    chunk?.release();
    delivery.context = gathered;
    if (!delivery.complete || delivery.aborted) return;
    delivery.update(ACCEPTED, true);
    try {
      const head = readHead(gathered, 0, gathered.length, true);
      const { body } = readBody(gathered.subarray(head?.bareStart ?? 0));
      if (!Array.isArray(body)) return;
      const [key, reachable] = body;
      if (typeof key !== 'string' || typeof reachable !== 'boolean') return;
      if (key === LEAVING) {
        this.#leaving = true;
        this.#hooks.onLeaving();
        return;
      }
      const proxy = this.#proxies.get(key);
      if (proxy?.sender) this.#setReachable(key, proxy, reachable);
      this.#askAgain(key);
    } catch (error) {
      if (!(error instanceof AmqpError)) throw error;
    }
  }
}
