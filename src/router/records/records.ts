/**
 * The flow records of this router: its own, which it tells to whoever asks, and those of the network, which it collects
 * for the statuses of this site.
 */
import type { Sender } from '../../amqp/link.ts';
import type { NetworkChange } from '../protocol.ts';
import type { Router } from '../router.ts';
import { Collected } from './collected.ts';
import { Collector } from './collector.ts';
import type { Attributes, RecordType } from './encoding.ts';
import { Feed, FeedReader, type FeedView } from './feed.ts';
import { type OwnRecord, OwnRecords } from './own.ts';

/** From one heartbeat to the next, in milliseconds. */
const BEAT = 2_000;
/** A first change is passed on soon, further ones no more often than this. */
const REPORT_SOON = 50;
const REPORT_EVERY = 1_000;

/** An edge that is fed. */
export interface FeedLink {
  /** From now on it may know what this view shows. */
  change(view: FeedView): void;
  end(): void;
}

export class Records {
  /** What changes in the network, from now on. */
  onChange: (change: NetworkChange) => void = () => {};
  readonly #own: OwnRecords;
  readonly #collected: Collected;
  readonly #collector: Collector;
  readonly #feed: Feed;
  /** For those who may not know everything, by the keys of their views. */
  readonly #narrowed = new Map<string, Feed>();
  readonly #isEdge: boolean;
  readonly #router: OwnRecord;
  readonly #changed = new Set<string>();
  #reported = 0;
  #reporting: NodeJS.Timeout | null = null;
  #beating: NodeJS.Timeout | null = null;

  constructor(router: Router) {
    const { identity, isEdge } = router;
    const via = {};
    this.#isEdge = isEdge;
    this.#collected = new Collected((source) => this.#note(source));
    this.#own = new OwnRecords(router, via, (record) => this.#collected.merge(this.#own.id, [record]));
    this.#collected.believe(this.#own.id, Number.POSITIVE_INFINITY);
    this.#collector = new Collector(router, this.#collected, this.#own.id, via);
    this.#feed = new Feed(this.#collected, this.#own.id);
    const { siteId, siteName, version, mode, id } = identity;
    this.#own.add('SITE', { name: siteName, platform: 'linux', version }, siteId);
    this.#router = this.#own.add('ROUTER', { parent: siteId, mode, name: `0/${id}`, version }, this.#own.id);
  }

  /** Begins to tell and to collect. An edge collects once it knows how its hub would have it. */
  start(): void {
    this.#own.start();
    if (!this.#isEdge) this.#collector.start();
    this.#beating = setInterval(() => this.#beat(), BEAT);
  }

  /** Tells that this router is going, with all its records. */
  stop(): void {
    this.#own.close();
    this.#collector.stop();
    if (this.#beating) clearInterval(this.#beating);
    if (this.#reporting) clearTimeout(this.#reporting);
    this.onChange = () => {};
  }

  /** A record of a part of this router. */
  add(type: RecordType, attributes: Attributes): OwnRecord {
    return this.#own.add(type, { parent: this.#router.identity, ...attributes });
  }

  /** An edge's uplink has no feed: the edge collects by itself. */
  collect(): void {
    this.#collector.start();
  }

  /** An edge's uplink has a feed, to be read by what is returned; what was collected is taken over. */
  readFeed(): FeedReader {
    this.#collector.stop();
    return new FeedReader(this.#collected, this.#own.id);
  }

  /** Feeds an edge, which may know everything, or what the view shows. */
  feed(sender: Sender, view: FeedView | null): FeedLink {
    let { feed, end } = this.#serve(sender, view, []);
    const leave = (): string[] => {
      const told = end();
      if (view && feed.idle) this.#narrowed.delete(view.key);
      return told;
    };
    return {
      change: (other) => {
        const told = leave();
        view = other;
        ({ feed, end } = this.#serve(sender, view, told));
      },
      end: leave,
    };
  }

  #serve(sender: Sender, view: FeedView | null, told: string[]): { feed: Feed; end: () => string[] } {
    let feed = view ? this.#narrowed.get(view.key) : this.#feed;
    if (!feed) {
      feed = new Feed(this.#collected, this.#own.id, view);
      if (view) this.#narrowed.set(view.key, feed);
    }
    return { feed, end: feed.serve(sender, told) };
  }

  /** Whether anything is known of a source. */
  knows(source: string): boolean {
    return this.#collected.has(source);
  }

  /** The name of the router that a source is, when it has told that. */
  routerOf(source: string): string | undefined {
    return this.#collected.recordsOf(source)?.find(({ type }) => type === 'ROUTER')?.name;
  }

  #beat(): void {
    this.#own.beat();
    this.#collector.beat();
    for (const source of this.#collected.sweep(performance.now())) this.#collector.forgotten(source);
  }

  #note(source: string): void {
    this.#changed.add(source);
    const wait = Math.max(REPORT_SOON, this.#reported + REPORT_EVERY - performance.now());
    this.#reporting ??= setTimeout(() => this.#report(), wait);
  }

  #report(): void {
    this.#reporting = null;
    this.#reported = performance.now();
    const put: NetworkChange['put'] = [];
    const remove: string[] = [];
    for (const source of this.#changed) {
      const records = this.#collected.recordsOf(source);
      if (records) put.push({ source, records });
      else remove.push(source);
    }
    for (const feed of [this.#feed, ...this.#narrowed.values()]) feed.publish(this.#changed);
    this.#changed.clear();
    this.onChange({ put, remove });
  }
}
