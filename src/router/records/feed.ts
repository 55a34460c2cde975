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
  /** What was encoded since the last change. */
  readonly #entries = new Map<string, Buffer>();
  /** The last message that was made. Most edges get the same. */
  #message: { key: string; octets: Buffer } | null = null;

  constructor(collected: Collected, own: string, view: FeedView | null = null) {
    this.#collected = collected;
    this.#own = own;
    this.#view = view;
  }

  get idle(): boolean {
    return this.#subscribers.size === 0;
  }

  /**
   * Sends everything, and then what changes, for as long as the link is there; returns how that ends, which tells the
   * sources that were told of. Those that were told `before` by another feed are told again, or withdrawn.
   */
  serve(sender: Sender, before: string[] = []): () => string[] {
    const known = this.#collected.ids().filter((source) => this.#recordsOf(source).length > 0);
    if (this.#view) for (const source of known) this.#shown.add(source);
    const subscriber = new Subscriber(this, sender, [...before, ...known]);
    this.#subscribers.add(subscriber);
    subscriber.pump();
    return () => {
      const told = [...this.#shown];
      this.#subscribers.delete(subscriber);
      subscriber.end();
      if (this.#subscribers.size > 0) return told;
      this.#entries.clear();
      this.#shown.clear();
      this.#message = null;
      return told;
    };
  }

  /** Something else is known of these sources. */
  publish(sources: Iterable<string>): void {
    if (this.#subscribers.size === 0) return;
    this.#message = null;
    const all = [...sources];
    for (const source of all) this.#entries.delete(source);
    const changed = this.#view ? all.filter((source) => this.#changes(source)) : all;
    if (changed.length === 0) return;
    for (const subscriber of this.#subscribers) subscriber.note(changed);
  }

  /** What is known of a source, as octets. */
  entry(source: string): Buffer {
    let entry = this.#entries.get(source);
    if (entry) return entry;
    const records = this.#recordsOf(source);
    entry = encode([source, records.map(encodeRecord)]);
    if (records.length > 0) this.#entries.set(source, entry);
    return entry;
  }

  /** Whether a source that changed is of any interest: something is to be told of it, or was. */
  #changes(source: string): boolean {
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

  /** A message about these sources; `complete`: with it everything has been told. */
  message(sources: string[], complete: boolean): Buffer {
    const key = `${complete} ${sources.join(' ')}`;
    if (this.#message?.key !== key) {
      const body = Buffer.concat(sources.map((source) => this.entry(source)));
      const applicationProperties = complete ? new Map([[symbol('complete'), true]]) : null;
      const octets = Buffer.concat([NO_ANNOTATIONS, writeMessage({ applicationProperties }, body)]);
      this.#message = { key, octets };
    }
    return this.#message.octets;
  }
}

/** An edge that is fed. It takes one message at a time: what changes meanwhile is told once. */
class Subscriber {
  readonly #feed: Feed;
  readonly #sender: Sender;
  readonly #untold: Set<string>;
  #began = false;
  #busy = false;
  #over = false;

  constructor(feed: Feed, sender: Sender, sources: string[]) {
    this.#feed = feed;
    this.#sender = sender;
    this.#untold = new Set(sources);
  }

  note(sources: string[]): void {
    for (const source of sources) this.#untold.add(source);
    this.pump();
  }

  end(): void {
    this.#over = true;
  }

  pump(): void {
    if (this.#busy || this.#over || this.#untold.size === 0) return;
    const sources = this.#take();
    const complete = !this.#began && this.#untold.size === 0;
    if (complete) this.#began = true;
    const octets = this.#feed.message(sources, complete);
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

  /** As much as fits a message. */
  #take(): string[] {
    const sources: string[] = [];
    let octets = 0;
    for (const source of this.#untold) {
      if (octets > MESSAGE_OCTETS) break;
      octets += this.#feed.entry(source).length;
      sources.push(source);
      this.#untold.delete(source);
    }
    return sources;
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
