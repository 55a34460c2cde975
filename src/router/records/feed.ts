/**
 * What a hub of ours knows of the network, passed on to its edges. By the rules of flow records each site would take
 * the beacons and heartbeats of each other: among a thousand edges that is a million messages every two seconds. So an
 * edge whose hub offers a feed takes that instead: one link, with what has changed.
 *
 * A message's body is a binary of AMQP values one after the other, each a list of a source's id and all its records;
 * none says that the source is gone. `complete` among the application properties ends what is known at the beginning.
 */
import { encode, int, Reader, symbol, type Value } from '../../amqp/codec.ts';
import type { IncomingDelivery } from '../../amqp/delivery.ts';
import { AmqpError, Condition } from '../../amqp/error.ts';
import type { ReceiverHandler, Sender } from '../../amqp/link.ts';
import { readHead, writeAnnotations, writeMessage } from '../../amqp/message.ts';
import { ACCEPTED } from '../../amqp/performatives.ts';
import { Chunk } from '../../net/chunk.ts';
import type { Collected } from './collected.ts';
import { SILENCE } from './collector.ts';
import { decodeRecords, encodeRecord, type FlowRecord } from './encoding.ts';
import { readMessage } from './messages.ts';

/** The address of a hub's feed, and the property of its open that says that it has one, with the version. */
export const FEED = '_$skiff.records';
export const FEED_PROPERTY = 'skiff.records';
export const FEED_VERSION = int(1);
/** Octets of a message, about, unless a single source needs more: what is under way to very many slow edges adds up. */
const MESSAGE_OCTETS = 16 * 1024;
/** Octets of a message that an edge takes. */
const MAX_MESSAGE = 8 * 1024 * 1024;

/** What is told to those who may not know everything. */
export interface FeedView {
  /** The same for those who are told the same. */
  key: string;
  /** Whether it may be told where this routing key is offered, and used. */
  shows(routingKey: string): boolean;
}

/** The hub's side. */
export class Feed {
  readonly #collected: Collected;
  /** The source that is the hub itself, of which everybody may know. */
  readonly #own: string;
  readonly #view: FeedView | null;
  /** With a view: the sources of which something was told. */
  readonly #shown = new Set<string>();
  readonly #subscribers = new Set<Subscriber>();
  /** Changes in order, of each source at least the last: where an edge stands in it is all that is kept for the edge. */
  #log: Change[] = [];
  #changes = 0;
  /** The number of each source's last change. */
  readonly #latest = new Map<string, number>();
  /** What was encoded since it last changed, by source. */
  readonly #entries = new Map<string, Buffer>();
  /** Messages made since the last change: most edges get the same. */
  readonly #messages = new Map<string, FeedMessage>();

  constructor(collected: Collected, own: string, view: FeedView | null = null) {
    this.#collected = collected;
    this.#own = own;
    this.#view = view;
    this.#note(collected.ids().filter((source) => view === null || this.#concerns(source)));
  }

  get idle(): boolean {
    return this.#subscribers.size === 0;
  }

  /**
   * Sends everything, and then what changes, for as long as the link is there; returns how that ends, which tells the
   * sources that were told of. Those that were told `before` by another feed are told again, or withdrawn.
   */
  serve(sender: Sender, before: string[] = []): () => string[] {
    this.#note(before.filter((source) => !this.#latest.has(source)));
    const subscriber = new Subscriber(this, sender);
    this.#subscribers.add(subscriber);
    subscriber.pump();
    return () => {
      const told = [...this.#shown];
      this.#subscribers.delete(subscriber);
      subscriber.end();
      if (this.#subscribers.size > 0) return told;
      this.#entries.clear();
      this.#messages.clear();
      return told;
    };
  }

  /** Something else is known of these sources. */
  publish(sources: Iterable<string>): void {
    const all = [...sources];
    for (const source of all) this.#entries.delete(source);
    const changed = this.#view ? all.filter((source) => this.#concerns(source)) : all;
    if (changed.length === 0) return;
    this.#note(changed);
    if (this.#log.length > 2 * this.#latest.size) this.#shorten();
    for (const subscriber of this.#subscribers) subscriber.pump();
  }

  /**
   * What is to be told to whom knows the changes up to `told`, as much as fits a message; null: nothing. `first`: it is
   * not said yet with what everything has been told.
   */
  message(told: number, first: boolean): FeedMessage | null {
    if (told === this.#changes && !first) return null;
    const key = `${told} ${first}`;
    let message = this.#messages.get(key);
    if (!message) {
      message = this.#write(told, first);
      this.#messages.set(key, message);
    }
    return message;
  }

  #note(sources: Iterable<string>): void {
    this.#messages.clear();
    for (const source of sources) {
      this.#entries.delete(source);
      this.#latest.set(source, ++this.#changes);
      this.#log.push({ source, number: this.#changes });
    }
  }

  #write(told: number, first: boolean): FeedMessage {
    const entries: Buffer[] = [];
    let octets = 0;
    let upTo = this.#changes;
    for (let index = this.#behind(told); index < this.#log.length; index++) {
      const { source, number } = this.#log[index] as Change;
      if (this.#latest.get(source) !== number) continue;
      if (octets > MESSAGE_OCTETS) {
        upTo = number - 1;
        break;
      }
      const entry = this.#entry(source);
      octets += entry.length;
      entries.push(entry);
    }
    const complete = first && upTo === this.#changes;
    const applicationProperties = complete ? new Map([[symbol('complete'), true]]) : null;
    const body = Buffer.concat(entries);
    return { octets: Buffer.concat([NO_ANNOTATIONS, writeMessage({ applicationProperties }, body)]), upTo, complete };
  }

  /** Where the changes behind a number begin in the log. */
  #behind(number: number): number {
    let [low, high] = [0, this.#log.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#log[middle] as Change).number <= number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Leaves out what has changed again, and sources that are gone as everybody knows. */
  #shorten(): void {
    let known = this.#changes;
    for (const { told } of this.#subscribers) known = Math.min(known, told);
    this.#log = this.#log.filter(({ source, number }) => {
      if (this.#latest.get(source) !== number) return false;
      if (number > known || this.#collected.has(source)) return true;
      this.#latest.delete(source);
      return false;
    });
  }

  /** What is known of a source, as octets. */
  #entry(source: string): Buffer {
    let entry = this.#entries.get(source);
    if (entry) return entry;
    const records = this.#recordsOf(source);
    entry = encode([source, records.map(encodeRecord)]);
    if (records.length > 0) this.#entries.set(source, entry);
    return entry;
  }

  /** Whether a source that changed is of any interest: something is to be told of it, or was. */
  #concerns(source: string): boolean {
    if (this.#recordsOf(source).length === 0) return this.#shown.delete(source);
    this.#shown.add(source);
    return true;
  }

  /** What may be told of a source: of others than the hub that they are there, and not where. */
  #recordsOf(source: string): FlowRecord[] {
    const records = this.#collected.recordsOf(source) ?? [];
    const view = this.#view;
    if (!view) return records;
    return records.flatMap(({ type, identity, address, ...rest }): FlowRecord[] => {
      if (address !== undefined) return view.shows(address) ? [{ type, identity, address }] : [];
      return source === this.#own ? [{ type, identity, ...rest }] : [];
    });
  }
}

/** Something else was known of a source from then on. */
interface Change {
  source: string;
  number: number;
}

interface FeedMessage {
  octets: Buffer;
  /** The number of the last change it tells. */
  upTo: number;
  /** With it everything has been told. */
  complete: boolean;
}

/** An edge that is fed. It takes one message at a time: what changes meanwhile is told once. */
class Subscriber {
  /** The number of the last change it was told. */
  told = 0;
  readonly #feed: Feed;
  readonly #sender: Sender;
  #began = false;
  #busy = false;
  #over = false;

  constructor(feed: Feed, sender: Sender) {
    this.#feed = feed;
    this.#sender = sender;
  }

  end(): void {
    this.#over = true;
  }

  pump(): void {
    if (this.#busy || this.#over) return;
    const message = this.#feed.message(this.told, !this.#began);
    if (!message) return;
    const { octets, upTo, complete } = message;
    this.told = upTo;
    this.#began ||= complete;
    this.#busy = true;
    const ignore = (): void => {};
    const delivery = this.#sender.send(false, {
      // The edge has read it.
      onState: (_state, settled) => {
        if (!settled) delivery.settle();
        this.#busy = false;
        this.pump();
      },
      onLost: ignore,
      onWritable: ignore,
      onFinished: ignore,
    });
    delivery.end(false, new Chunk(octets, 0, octets.length));
  }
}

const NO_ANNOTATIONS = writeAnnotations({ flags: 0, toOverride: null, ingress: null, trace: [], mesh: null });

/** The edge's side: keeps what is collected as the hub has it. */
export class FeedReader implements ReceiverHandler {
  readonly #collected: Collected;
  readonly #own: string;
  /** Sources that are known by this feed. */
  readonly #fed = new Set<string>();
  /** Those that were known when it began, and were not named since. */
  #unnamed: Set<string> | null;
  /** Of the message that is under way. */
  #parts: Buffer[] = [];
  #over = false;

  /** `own` is the source that is this router itself, which knows better. */
  constructor(collected: Collected, own: string) {
    this.#collected = collected;
    this.#own = own;
    this.#unnamed = new Set(collected.ids().filter((source) => source !== own));
  }

  onTransfer(delivery: IncomingDelivery, chunk: Chunk | null): void {
    // A copy: the octets lie in a slab that is used again.
    if (chunk) this.#parts.push(Buffer.from(chunk.view()));
    chunk?.release();
    const octets = this.#parts.reduce((sum, part) => sum + part.length, 0);
    if (octets > MAX_MESSAGE) throw new AmqpError(Condition.messageSize, `more than ${MAX_MESSAGE} octets`);
    if (!delivery.complete) return;
    const whole = Buffer.concat(this.#parts);
    this.#parts = [];
    if (delivery.aborted) return;
    delivery.update(ACCEPTED, true);
    if (!this.#over) this.#read(whole);
  }

  /** The hub is gone: what it said is true for a while. */
  onDetached(): void {
    this.close();
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    const until = performance.now() + SILENCE;
    for (const source of this.#fed) if (this.#collected.has(source)) this.#collected.believe(source, until);
  }

  #read(octets: Buffer): void {
    const head = readHead(octets, 0, octets.length, true);
    const message = readMessage(octets.subarray(head?.bareStart ?? 0));
    if (!message || !Buffer.isBuffer(message.body)) return;
    const reader = new Reader(message.body);
    while (!reader.done) this.#take(reader.value());
    if (message.applicationProperties.get('complete') === true) this.#complete();
  }

  #take(entry: Value): void {
    if (!Array.isArray(entry)) return;
    const [source, list] = entry;
    if (typeof source !== 'string' || source.length > 128 || source === this.#own) return;
    this.#unnamed?.delete(source);
    const records = decodeRecords(list ?? null);
    if (records.length === 0) {
      this.#fed.delete(source);
      this.#collected.forget(source);
    } else if (this.#collected.believe(source, Number.POSITIVE_INFINITY)) {
      this.#fed.add(source);
      this.#collected.replace(source, records);
    }
  }

  #complete(): void {
    for (const source of this.#unnamed ?? []) this.#collected.forget(source);
    this.#unnamed = null;
  }
}
