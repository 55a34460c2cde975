/**
 * The routing engine of an interior router: who the neighbours are, which routers there are and by which link each is
 * reached, and who serves which address. It knows no sockets and no timers: time and messages come in by calls, messages
 * and news go out by hooks.
 *
 * It speaks skupper-router's protocol, and does three things that skupper-router does not. A router's new link state
 * goes to everybody at once, instead of being asked for by each; what is news goes to every neighbour, not along paths
 * that it may just have changed; and a new neighbour that is a Skiff is told what is known of all others.
 */
import type { Treatment } from '../addresses.ts';
import type { UnreadableMessage } from './encoding.ts';
import { Flooding, isFirstHand } from './flooding.ts';
import { KnownRouter, type MobileChange } from './known-router.ts';
import { MAX_ADDRESSES, MAX_ADDRESSES_EACH, MAX_LINES, MAX_ROUTERS } from './limits.ts';
import type {
  Destination,
  Hello,
  LinkStateUpdate,
  MobileAddressUpdate,
  RouterAdvertisement,
  RoutingMessage,
  ServedAddress,
} from './messages.ts';
import { type ControlLink, Neighbours } from './neighbours.ts';
import { OwnAddresses } from './own-addresses.ts';
import { Pace } from './pace.ts';
import { type Peers, Topology } from './paths.ts';
import type { MeshProblem } from './problems.ts';

/** A connection to a neighbour, by its control link. Whoever owns the connections numbers them; no number comes twice. */
export type LinkId = number;

/** The routers whose messages may be sent on to another by us: the path from them leads through us, or begins here. */
export interface Origins {
  has(router: string): boolean;
  [Symbol.iterator](): Iterator<string>;
}

export interface RemoteRouterFacts {
  id: string;
  nextHop: LinkId;
  /** The router at the other end of `nextHop`. */
  neighbour: string;
  cost: number;
  /** skupper-router's valid origins. Computed when asked, by the paths of that moment. */
  origins: Origins;
  instance: number;
}

export interface MeshHooks {
  /** Send this on each of these control links, for the address that `wireAddress(message, to)` has. */
  send(message: RoutingMessage, to: Destination, links: readonly LinkId[]): void;
  /** Next hops, costs, instances or reachable routers are others than before: those that changed, and those gone. */
  onPaths(changed: RemoteRouterFacts[], gone: string[]): void;
  /**
   * A remote router has come to serve `added`, or serves them by another treatment, and does not serve `removed` any
   * more. It is always one that `onPaths` has told of, and serves nothing any more when it goes.
   */
  onMobile(router: string, added: ServedAddress[], removed: string[]): void;
  /** What somebody who looks after the network should see, each time it is seen. */
  onProblem(problem: MeshProblem): void;
  /** The router on this link is not the neighbour of the same id that is heard on the other. The link is to go. */
  onTwin(link: LinkId, other: LinkId): void;
}

/** What management shows of a router that can be reached. */
export interface NodeFacts {
  id: string;
  /** The neighbour on the way, and the link to it; null: this router itself. */
  nextHop: string | null;
  link: LinkId | null;
  cost: number;
  linkState: string[];
  instance: number | null;
  /** Without this router itself, as skupper-router shows it. */
  validOrigins: string[];
}

export interface MeshEngineOptions {
  id: string;
  /** Another one than before each time the router starts: the seconds since 1970 then. */
  instance: number;
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  hooks: MeshHooks;
}

const ADVERTISE_INTERVAL = 30_000;
/** The interval while the topology changes: this, and more in large networks, lest advertisements be all they do. */
const ADVERTISE_INTERVAL_IN_FLUX = 4_000;
const ADVERTISE_INTERVAL_A_ROUTER = 20;
/** How long after a change of the topology it counts as changing. */
const FLUX_TIME = 8_000;
/** Milliseconds without a word after which a router's link state counts no more. */
const LINK_STATE_AGE = 60_000;
/** The least between two answers to one router, and the most between two looks at what is due. */
const REPEAT_INTERVAL = 1_000;
/** What another router says of this one may be of its life before, for so long after its start. */
const START_TIME = 10_000;

/** No link state changes as often. Lies beyond are left to those who believe them to see through. */
const LAST_SEQUENCE = 2 ** 31;

/** What taking in a message came to. */
type Verdict = 'news' | 'known' | 'ignored';

export class MeshEngine {
  readonly id: string;
  readonly #instance: number;
  readonly #now: () => number;
  readonly #hooks: MeshHooks;
  readonly #startedAt: number;
  readonly #neighbours = new Neighbours();
  readonly #routers = new Map<string, KnownRouter>();
  readonly #addresses: OwnAddresses;
  #linkSequence = 0;
  #peers: ReadonlyMap<string, number> = new Map();
  /** The neighbours are not those of `#peers` any more. */
  #linksChanged = false;
  readonly #flooding: Flooding;
  /** Addresses, and neighbours, of all other routers together. */
  #addressCount = 0;
  #lineCount = 0;
  #advertisedAt = Number.NEGATIVE_INFINITY;
  #lookAt = 0;
  readonly #settling = new Pace(10, 1_000);
  readonly #announcing = new Pace(20, 1_000);

  constructor({ id, instance, now, hooks }: MeshEngineOptions) {
    this.id = id;
    this.#instance = instance;
    this.#now = now;
    this.#hooks = hooks;
    this.#startedAt = now();
    this.#addresses = new OwnAddresses(id);
    const alone = new Topology(id, new Map([[id, this.#peers]]), () => true);
    this.#flooding = new Flooding(id, this.#neighbours, alone);
  }

  /** By the clock given; infinitely long ago: never. */
  get lastTopologyChange(): number {
    return this.#flooding.changedAt;
  }

  /** When `tick` has something to do next, by the clock given. */
  get nextTickAt(): number {
    return Math.min(this.#neighbours.helloAt, this.#settling.dueAt, this.#announcing.dueAt, this.#lookAt);
  }

  /**
   * The control link of a connection is attached in both directions. `peer`: the router that its open named, which
   * alone may speak for itself there; `skiff`: it is one of ours.
   */
  linkUp(
    id: LinkId,
    cost: number,
    { peer = null, skiff = false }: { peer?: string | null; skiff?: boolean } = {},
  ): void {
    this.#greet(this.#neighbours.add(id, cost, peer, skiff, this.#now()));
  }

  linkDown(id: LinkId): void {
    const neighbour = this.#neighbours.remove(id);
    if (neighbour !== null) this.#neighbourChanged(neighbour);
  }

  /** Asked before a message is read: false when the neighbour sends too many. The message is to be dropped then. */
  admits(id: LinkId, octets: number): boolean {
    const link = this.#neighbours.get(id);
    if (!link) return false;
    if (link.gate.admits(octets, this.#now())) return true;
    const name = link.router ?? link.peer;
    this.#report('neighbour-floods', name, `${name ?? 'a neighbour'} sends more routing messages than are read`);
    return false;
  }

  /** Takes in a message that was for this router, or for the neighbour. `trace` is that of its router annotations. */
  receive(id: LinkId, message: RoutingMessage | UnreadableMessage, trace: readonly string[]): void {
    const link = this.#neighbours.get(id);
    if (link) this.#take(link, message, trace);
  }

  /**
   * Takes in a message that was for all routers, and says on which control links it goes on as it is. Whoever calls has
   * made sure that this router is not in the trace, and adds it.
   */
  receiveFlooded(id: LinkId, message: RoutingMessage | UnreadableMessage, trace: readonly string[]): LinkId[] {
    const link = this.#neighbours.get(id);
    if (!link) return [];
    const verdict = this.#take(link, message, trace);
    if (verdict === 'ignored' || message.opcode === 'unreadable') return [];
    const origin = this.#routers.get(message.id) as KnownRouter;
    return this.#flooding.onward(message, origin, { from: link, trace, isNews: verdict === 'news', now: this.#now() });
  }

  /** The address has consumers here or on an edge of ours. */
  serve(key: string, treatment: Treatment): void {
    this.#addresses.serve(key, treatment);
    if (this.#addresses.changed) this.#announcing.want(this.#now());
  }

  unserve(key: string): void {
    this.#addresses.unserve(key);
    if (this.#addresses.changed) this.#announcing.want(this.#now());
  }

  tick(): void {
    const now = this.#now();
    for (const neighbour of this.#neighbours.expire(now)) this.#neighbourChanged(neighbour);
    if (this.#neighbours.helloDue(now)) for (const link of this.#neighbours.all()) this.#greet(link);
    if (this.#settling.take(now)) this.#settle(now);
    if (this.#announcing.take(now)) this.#announce();
    if (now >= this.#lookAt) this.#look(now);
  }

  /** This router, and all others that can be reached. */
  facts(): NodeFacts[] {
    const nodes: NodeFacts[] = [
      {
        id: this.id,
        nextHop: null,
        link: null,
        cost: 0,
        linkState: [...this.#peers.keys()],
        instance: this.#instance,
        validOrigins: [],
      },
    ];
    for (const { id, instance, facts, peers } of this.#routers.values()) {
      if (!facts) continue;
      const { neighbour: nextHop, nextHop: link, cost } = facts;
      const linkState = [...(peers?.keys() ?? [])];
      const self = this.id;
      nodes.push({
        ...{ id, nextHop, link, cost, linkState, instance },
        // Only for those who ask: in a large network it takes a while.
        get validOrigins() {
          return [...facts.origins].filter((origin) => origin !== self);
        },
      });
    }
    return nodes;
  }

  #take(link: ControlLink, message: RoutingMessage | UnreadableMessage, trace: readonly string[]): Verdict {
    if (message.opcode === 'unreadable') {
      const origin = message.id ?? link.router;
      this.#report(message.code, origin, `what ${origin ?? 'a neighbour'} says cannot be used: ${message.message}`);
      return 'ignored';
    }
    if (link.twinSince !== null && message.opcode !== 'HELLO') return 'ignored';
    const firstHand = isFirstHand(message, trace);
    if (message.id === this.id) return this.#takeOwn(message, firstHand);
    if (message.opcode === 'HELLO') return this.#takeHello(link, message);
    const router = this.#know(message.id, link.router);
    if (!router) return 'ignored';
    switch (message.opcode) {
      case 'RA':
        return this.#takeAdvertisement(router, message, firstHand);
      case 'LSU':
        return this.#takeLinkState(router, message, firstHand);
      case 'LSR':
        this.#sendTo(router, this.#ownLinkState());
        return 'known';
      case 'MAR':
        if (message.haveSequence < this.#addresses.sequence) router.wantsAddresses = true;
        this.#answer(router, this.#now());
        return 'known';
      case 'MAU':
        return this.#takeAddresses(router, message);
    }
  }

  /** A message that names this router as its sender: an echo, a lie, or another router of the same id. */
  #takeOwn(message: RoutingMessage, firstHand: boolean): Verdict {
    if (!('instance' in message)) return 'ignored';
    if (message.instance !== this.#instance) {
      const old = this.#now() - this.#startedAt < START_TIME;
      if (message.opcode === 'HELLO' || (firstHand && !old)) this.#reportDuplicate(this.id);
    } else if ('linkSequence' in message && message.linkSequence > this.#linkSequence) {
      const words = 'somebody told of a link state of this router that it never had';
      this.#report('forged-link-state', this.id, words);
      // Only a later one than the forged is believed, as long as sequences go on.
      if (message.linkSequence < LAST_SEQUENCE) {
        this.#linkSequence = message.linkSequence;
        this.#linksChanged = true;
        this.#settling.want(this.#now());
      }
    }
    return 'ignored';
  }

  #takeHello(link: ControlLink, hello: Hello): Verdict {
    const expected = link.peer ?? link.router ?? hello.id;
    if (hello.id !== expected) {
      const words = `${expected} now says that it is ${hello.id}, which is not believed`;
      this.#report('neighbour-changes-id', expected, words);
      return 'ignored';
    }
    if (this.#isTwin(link, hello)) return 'ignored';
    // However many there are said to be, there is room for one that is here.
    const router = this.#routers.get(hello.id) ?? this.#remember(hello.id);
    if (!this.#isOfThisStart(router, hello.instance, true)) return 'ignored';
    const { first, changed } = this.#neighbours.hear(link, hello, this.id, this.#now());
    if (first) this.#greet(link);
    if (changed) this.#neighbourChanged(hello.id);
    return 'known';
  }

  /**
   * Whether the router on a link has the id of a neighbour that is there already, and is not it. It may be it all the same,
   * started again, while its connection of before is dead and nobody has noticed: that is known when the other has
   * said something since, or nothing for as long as a neighbour may be silent.
   */
  #isTwin(link: ControlLink, hello: Hello): boolean {
    const now = this.#now();
    const other = this.#neighbours.otherStart(link, hello, now);
    if (!other) return false;
    link.twinSince ??= now;
    if (other.heardAt <= link.twinSince) return true;
    this.#reportDuplicate(hello.id);
    this.#hooks.onTwin(link.id, other.id);
    return true;
  }

  #takeAdvertisement(router: KnownRouter, advertisement: RouterAdvertisement, firstHand: boolean): Verdict {
    const now = this.#now();
    const restarted = router.instance !== null && router.instance !== advertisement.instance;
    if (!this.#isOfThisStart(router, advertisement.instance, firstHand)) return 'ignored';
    if (firstHand && router.isBehindItself(advertisement, now)) this.#forget(router);
    const news = router.hear(advertisement, now) || restarted;
    if (firstHand || news) router.heardAt = now;
    this.#lookFor(router);
    return news ? 'news' : 'known';
  }

  #takeLinkState(router: KnownRouter, update: LinkStateUpdate, firstHand: boolean): Verdict {
    if (!this.#isOfThisStart(router, update.instance, firstHand)) return 'ignored';
    if (this.#lineCount - (router.peers?.size ?? 0) + update.peers.size > MAX_LINES) {
      const words = `more than ${MAX_LINES} links of routers are spoken of, lately by ${router.id}`;
      this.#report('too-many-routers', null, words);
      return 'ignored';
    }
    if (!this.#counted(router, () => router.takeLinkState(update))) return 'known';
    router.heardAt = this.#now();
    if (router.confirmed === false && update.peers.has(this.id)) router.confirmed = true;
    for (const peer of update.peers.keys()) if (peer !== this.id) this.#know(peer, router.id);
    this.#settling.want(this.#now());
    return 'news';
  }

  #takeAddresses(router: KnownRouter, update: MobileAddressUpdate): Verdict {
    const { change } = update;
    const most = 'exist' in change ? change.exist.length : router.served.size + change.add.length;
    const total = this.#addressCount - router.served.size + most;
    if (most > MAX_ADDRESSES_EACH || total > MAX_ADDRESSES) {
      const name = most > MAX_ADDRESSES_EACH ? router.id : null;
      const words = `${name ?? 'the network'} serves more addresses than are remembered`;
      this.#report('too-many-addresses', name, name ? words : `${words}, lately ${router.id}`);
      return 'ignored';
    }
    const news = update.mobileSequence > router.heardMobileSequence;
    const result = this.#counted(router, () => router.takeAddresses(update, this.#now()));
    this.#lookFor(router);
    if (result) this.#tellMobile(router, result);
    return news ? 'news' : 'known';
  }

  /** Whether a message is of the router's present start; when it tells of a new one, what was before is forgotten. */
  #isOfThisStart(router: KnownRouter, instance: number, firstHand: boolean): boolean {
    const start = router.judge(instance, firstHand, this.#now());
    if (start === 'new' || start === 'back') this.#forget(router);
    if (start === 'duplicate' || start === 'back') this.#reportDuplicate(router.id);
    return start !== 'stale' && start !== 'duplicate';
  }

  /** Does something to what is known of a router, and keeps count of that. */
  #counted<T>(router: KnownRouter, work: () => T): T {
    const [addresses, lines] = [router.served.size, router.peers?.size ?? 0];
    const result = work();
    this.#addressCount += router.served.size - addresses;
    this.#lineCount += (router.peers?.size ?? 0) - lines;
    return result;
  }

  #forget(router: KnownRouter): void {
    const removed = this.#counted(router, () => router.forget());
    this.#tellMobile(router, { added: [], removed });
    this.#settling.want(this.#now());
  }

  #reportDuplicate(id: string): void {
    this.#report('duplicate-router-id', id, `two routers of this network have the id ${id}`);
  }

  #report(code: MeshProblem['code'], router: string | null, message: string): void {
    this.#hooks.onProblem({ code, router, message });
  }

  #tellMobile(router: KnownRouter, { added, removed }: MobileChange): void {
    if (router.facts && added.length + removed.length > 0) this.#hooks.onMobile(router.id, added, removed);
  }

  /** The record of a router that `teller` speaks of, new if need be; null when there are too many. */
  #know(id: string, teller: string | null): KnownRouter | null {
    const known = this.#routers.get(id);
    if (known || this.#routers.size < MAX_ROUTERS) return known ?? this.#remember(id);
    const words = `more than ${MAX_ROUTERS} routers are spoken of, lately by ${teller ?? 'a neighbour'}`;
    this.#report('too-many-routers', null, words);
    return null;
  }

  #remember(id: string): KnownRouter {
    const router = new KnownRouter(id, this.#now());
    this.#routers.set(id, router);
    this.#lookFor(router);
    return router;
  }

  #greet(link: ControlLink): void {
    const seen = this.#neighbours.seenOn(link);
    this.#hooks.send({ opcode: 'HELLO', id: this.id, instance: this.#instance, seen }, 'neighbour', [link.id]);
  }

  /** A neighbour has come or gone, or is reached by another link. */
  #neighbourChanged(id: string): void {
    const router = this.#routers.get(id);
    if (!router) return;
    const link = this.#neighbours.best.get(id);
    if (link && router.confirmed === null) {
      router.confirmed = false;
      this.#introduce(link);
    } else if (!link) router.confirmed = null;
    this.#linksChanged = true;
    this.#settling.want(this.#now());
  }

  /** Tells a new neighbour how far this router has got, and one of ours what is known of the others. */
  #introduce(link: ControlLink): void {
    if (link.skiff) {
      for (const router of this.#routers.values()) {
        const { id, instance, peers, linkSequence, mobileSequence, facts } = router;
        if (!facts || !peers || instance === null || id === link.router) continue;
        this.#hooks.send({ opcode: 'LSU', id, instance, linkSequence, peers }, 'all', [link.id]);
        this.#hooks.send({ opcode: 'RA', id, instance, linkSequence, mobileSequence }, 'all', [link.id]);
      }
    }
    this.#hooks.send(this.#advertisement(), 'all', [link.id]);
  }

  /** Takes account of all that has changed in the topology. */
  #settle(now: number): void {
    this.#flooding.changedAt = now;
    if (this.#linksChanged) {
      this.#linksChanged = false;
      this.#peers = new Map([...this.#neighbours.best].map(([id, link]) => [id, link.cost]));
      this.#linkSequence++;
      this.#sendAll(this.#ownLinkState());
    }
    const states = new Map<string, Peers>([[this.id, this.#peers]]);
    for (const router of this.#routers.values()) states.set(router.id, router.peers);
    this.#flooding.topology = new Topology(this.id, states, (id) => this.#routers.get(id)?.confirmed ?? false);
    this.#tellPaths();
    this.#lookBy(now);
  }

  #tellPaths(): void {
    const changed: RemoteRouterFacts[] = [];
    const gone = new Set<string>();
    for (const router of this.#routers.values()) if (router.facts) gone.add(router.id);
    const come: KnownRouter[] = [];
    for (const { id, cost, neighbour } of this.#flooding.topology.paths) {
      const router = this.#routers.get(id) as KnownRouter;
      const nextHop = (this.#neighbours.best.get(neighbour) as ControlLink).id;
      const instance = router.instance ?? 0;
      const { facts } = router;
      gone.delete(id);
      if (facts?.nextHop === nextHop && facts.cost === cost && facts.instance === instance) continue;
      if (!facts) come.push(router);
      router.facts = { id, nextHop, neighbour, cost, instance, origins: facts?.origins ?? this.#originsOf(id) };
      changed.push(router.facts);
    }
    for (const id of gone) {
      const router = this.#routers.get(id) as KnownRouter;
      this.#tellMobile(router, { added: [], removed: [...router.served.keys()] });
      router.facts = null;
    }
    if (changed.length + gone.size > 0) this.#hooks.onPaths(changed, [...gone]);
    for (const router of come) {
      this.#tellMobile(router, {
        added: [...router.served].map(([key, treatment]) => ({ key, treatment })),
        removed: [],
      });
    }
  }

  #originsOf(destination: string): Origins {
    const has = (origin: string): boolean => this.#flooding.topology.leadsOverUs(origin, destination);
    return { has, [Symbol.iterator]: () => this.#flooding.topology.ids.filter(has)[Symbol.iterator]() };
  }

  #announce(): void {
    if (this.#addresses.changed) this.#sendAll(this.#addresses.takeChange());
  }

  /** Sees to it that what is missing of a router is asked for in time, if it can be. */
  #lookFor(router: KnownRouter): void {
    const lacking = router.lacksLinkState || router.lacksAddresses;
    if (lacking && this.#wayTo(router) !== null) this.#lookBy(router.requestAt);
  }

  #lookBy(at: number): void {
    this.#lookAt = Math.min(this.#lookAt, at);
  }

  /** What is due now and then: advertisements, requests for what is missing, and forgetting what is old. */
  #look(now: number): void {
    this.#lookAt = now + REPEAT_INTERVAL;
    const inFlux = now - this.lastTopologyChange <= FLUX_TIME;
    const forSize = Math.max(ADVERTISE_INTERVAL_IN_FLUX, this.#routers.size * ADVERTISE_INTERVAL_A_ROUTER);
    const interval = inFlux ? Math.min(forSize, ADVERTISE_INTERVAL) : ADVERTISE_INTERVAL;
    if (now - this.#advertisedAt >= interval && this.#neighbours.best.size > 0) {
      this.#advertisedAt = now;
      this.#sendAll(this.#advertisement());
    }
    for (const router of this.#routers.values()) {
      if (now - router.heardAt > LINK_STATE_AGE) this.#age(router);
      this.#answer(router, now);
      this.#request(router, now);
    }
  }

  /** A router that was not heard of for long. */
  #age(router: KnownRouter): void {
    if (router.peers) {
      this.#counted(router, () => router.forgetLinkState());
      this.#settling.want(this.#now());
    } else if (!router.facts && router.confirmed === null) {
      this.#addressCount -= router.served.size;
      this.#routers.delete(router.id);
    }
  }

  #request(router: KnownRouter, now: number): void {
    const { lacksLinkState, lacksAddresses } = router;
    if (now < router.requestAt) this.#lookFor(router);
    if (now < router.requestAt || this.#wayTo(router) === null || !(lacksLinkState || lacksAddresses)) return;
    if (lacksLinkState) this.#sendTo(router, { opcode: 'LSR', id: this.id });
    if (lacksAddresses) this.#sendTo(router, { opcode: 'MAR', id: this.id, haveSequence: router.mobileSequence });
    router.requested(now);
  }

  /** Sends all addresses to a router that asked for them, if that was not just done. */
  #answer(router: KnownRouter, now: number): void {
    if (!router.wantsAddresses || now - router.answeredAt < REPEAT_INTERVAL || this.#wayTo(router) === null) return;
    router.wantsAddresses = false;
    router.answeredAt = now;
    this.#announce();
    this.#sendTo(router, this.#addresses.whole());
  }

  #ownLinkState(): LinkStateUpdate {
    const [linkSequence, peers] = [this.#linkSequence, this.#peers];
    return { opcode: 'LSU', id: this.id, instance: this.#instance, linkSequence, peers };
  }

  #advertisement(): RouterAdvertisement {
    const [linkSequence, mobileSequence] = [this.#linkSequence, this.#addresses.sequence];
    return { opcode: 'RA', id: this.id, instance: this.#instance, linkSequence, mobileSequence };
  }

  #sendAll(message: RoutingMessage): void {
    const links = this.#flooding.fromHere(message, this.#now());
    if (links.length > 0) this.#hooks.send(message, 'all', links);
  }

  #wayTo(router: KnownRouter): LinkId | null {
    return this.#neighbours.best.get(router.id)?.id ?? router.facts?.nextHop ?? null;
  }

  #sendTo(router: KnownRouter, message: RoutingMessage): void {
    const link = this.#wayTo(router);
    if (link !== null) this.#hooks.send(message, { router: router.id }, [link]);
  }
}
