/** What this router knows of another one: which start of it, its link state and its addresses, and how far behind that is. */
import type { Treatment } from '../addresses.ts';
import type { RemoteRouterFacts } from './engine.ts';
import type { LinkStateUpdate, MobileAddressUpdate, RouterAdvertisement, ServedAddress } from './messages.ts';

/** Milliseconds for which what a router said before it was started again is recognised as such. */
const STALE_TIME = 60_000;
/** Messages of an earlier start in that time that tell of two routers, rather than of some that were late. */
const STALE_MESSAGES = 3;
/** Milliseconds for which messages may overtake each other. */
const LATE_TIME = 2_000;
/** Milliseconds until something missing is asked for, which may be on its way; and the longest until it is again. */
const FIRST_REQUEST = 200;
const LAST_REQUEST = 30_000;

/** `back`: one that was over long ago, as no router comes back to. */
export type Start = 'same' | 'new' | 'back' | 'stale' | 'duplicate';

/** Addresses that a router has come to serve, and such that it does not serve any more. */
export interface MobileChange {
  added: ServedAddress[];
  removed: string[];
}

export class KnownRouter {
  readonly id: string;
  instance: number | null = null;
  linkSequence = 0;
  /** null: not known. */
  peers: ReadonlyMap<string, number> | null = null;
  mobileSequence = 0;
  readonly served = new Map<string, Treatment>();
  /** The latest sequences that it is known to have reached. */
  heardLinkSequence = 0;
  heardMobileSequence = 0;
  /** When it was last heard of. */
  heardAt: number;
  /** When an advertisement of it last went on to others. */
  advertisedAt = Number.NEGATIVE_INFINITY;
  /** How it is reached; null: it is not. */
  facts: RemoteRouterFacts | null = null;
  /** As a neighbour: its link state has named this router since the link came up. null: it is none. */
  confirmed: boolean | null = null;
  /** It asked for this router's addresses, and when it last got them. */
  wantsAddresses = false;
  answeredAt = Number.NEGATIVE_INFINITY;
  /** When what is missing is asked for. */
  requestAt: number;
  #requestWait = FIRST_REQUEST;
  #earlier: { instance: number; until: number; messages: number } | null = null;
  #behindSince: number | null = null;

  constructor(id: string, now: number) {
    this.id = id;
    this.heardAt = now;
    this.requestAt = now + FIRST_REQUEST;
  }

  get lacksLinkState(): boolean {
    return this.linkSequence < this.heardLinkSequence || this.peers === null;
  }

  get lacksAddresses(): boolean {
    return this.mobileSequence < this.heardMobileSequence;
  }

  /**
   * Judges which start of the router a message is of. Its own word decides; what others tell of another start
   * (`firstHand` is false) may be old.
   */
  judge(instance: number, firstHand: boolean, now: number): Start {
    this.instance ??= instance;
    if (instance === this.instance) return 'same';
    if (!firstHand) return 'stale';
    const earlier = this.#earlier;
    if (earlier?.instance === instance && now < earlier.until) {
      return ++earlier.messages >= STALE_MESSAGES ? 'duplicate' : 'stale';
    }
    this.#earlier = { instance: this.instance, until: now + STALE_TIME, messages: 0 };
    this.instance = instance;
    return earlier?.instance === instance ? 'back' : 'new';
  }

  /** It has begun anew: nothing it said holds any more. Returns the addresses it served. */
  forget(): string[] {
    const removed = [...this.served.keys()];
    this.served.clear();
    this.mobileSequence = 0;
    this.heardMobileSequence = 0;
    this.forgetLinkState();
    return removed;
  }

  forgetLinkState(): void {
    this.linkSequence = 0;
    this.heardLinkSequence = 0;
    this.peers = null;
  }

  /** Whether an advertisement tells of something new. */
  hear(advertisement: RouterAdvertisement, now: number): boolean {
    const { linkSequence, mobileSequence } = advertisement;
    const news = linkSequence > this.heardLinkSequence || mobileSequence > this.heardMobileSequence;
    if (news && !this.lacksLinkState && !this.lacksAddresses) this.#awaitNews(now);
    this.heardLinkSequence = Math.max(this.heardLinkSequence, linkSequence);
    this.heardMobileSequence = Math.max(this.heardMobileSequence, mobileSequence);
    return news;
  }

  /**
   * Whether it says, and still says after a while, that it has not got as far as was heard. Then somebody told
   * lies about it, or it was started twice with one instance.
   */
  isBehindItself(advertisement: RouterAdvertisement, now: number): boolean {
    const behind =
      advertisement.linkSequence < this.heardLinkSequence || advertisement.mobileSequence < this.heardMobileSequence;
    if (!behind) this.#behindSince = null;
    else this.#behindSince ??= now;
    return this.#behindSince !== null && now - this.#behindSince > LATE_TIME;
  }

  /** Whether a link state is newer than the one known. */
  takeLinkState({ linkSequence, peers }: LinkStateUpdate): boolean {
    if (linkSequence <= this.linkSequence) return false;
    this.linkSequence = linkSequence;
    this.heardLinkSequence = Math.max(this.heardLinkSequence, linkSequence);
    this.peers = peers;
    return true;
  }

  /** Takes what follows what is known, or is all there is. Returns null when it is neither. */
  takeAddresses({ mobileSequence, change }: MobileAddressUpdate, now: number): MobileChange | null {
    const whole = 'exist' in change;
    if (whole ? mobileSequence < this.mobileSequence : mobileSequence !== this.mobileSequence + 1) {
      if (mobileSequence > this.heardMobileSequence) {
        if (!this.lacksAddresses) this.#awaitNews(now);
        this.heardMobileSequence = mobileSequence;
      }
      return null;
    }
    this.mobileSequence = mobileSequence;
    this.heardMobileSequence = Math.max(this.heardMobileSequence, mobileSequence);
    return whole ? this.#replace(change.exist) : this.#apply(change.add, change.del);
  }

  /** Something was asked for: once more when no answer comes, ever more rarely. */
  requested(now: number): void {
    this.#requestWait = Math.min(this.#requestWait * 2, LAST_REQUEST);
    this.requestAt = now + this.#requestWait;
  }

  #awaitNews(now: number): void {
    this.#requestWait = FIRST_REQUEST;
    this.requestAt = now + FIRST_REQUEST;
  }

  #replace(exist: ServedAddress[]): MobileChange {
    const keys = new Set(exist.map(({ key }) => key));
    return this.#apply(
      exist,
      [...this.served.keys()].filter((key) => !keys.has(key)),
    );
  }

  #apply(add: ServedAddress[], del: string[]): MobileChange {
    const removed = del.filter((key) => this.served.delete(key));
    const added = add.filter(({ key, treatment }) => this.served.get(key) !== treatment);
    for (const { key, treatment } of added) this.served.set(key, treatment);
    return { added, removed };
  }
}
