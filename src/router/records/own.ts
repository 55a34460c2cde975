/**
 * This router as a source of flow records: it announces itself, shows that it is alive, and tells of its records what
 * is new, to those who ask for it. Nothing is sent while nobody does. The pace is that of skupper-router.
 */
import type { Producer } from '../addresses.ts';
import { type Arrival, type Consumer, DISCARD, type Sink, type Source, type Way } from '../forwarding.ts';
import { post } from '../post.ts';
import type { Router } from '../router.ts';
import type { Attributes, FlowRecord, RecordType } from './encoding.ts';
import { BEACONS, beacon, flushAddress, heartbeat, RECORDS_A_MESSAGE, records, recordsAddress } from './messages.ts';

/** Changes are gathered for this long, in milliseconds. */
const GATHER = 200;
/** All records are sent again no more often than this, however often that is asked for. */
const FLUSH_EVERY = 1_000;
/** Heartbeats from one beacon to the next. */
const HEARTBEATS_A_BEACON = 5;
/** Ends of records that are kept to be told, while nobody is there to hear them. */
const MAX_ENDED = 1_000;

/** One record of this router. */
export class OwnRecord {
  readonly identity: string;
  readonly #owner: OwnRecords;

  constructor(owner: OwnRecords, identity: string) {
    this.#owner = owner;
    this.identity = identity;
  }

  /** Told soon. */
  set(attributes: Attributes): void {
    this.#owner.change(this.identity, attributes, true);
  }

  /** Told now and then: what changes all the time is not worth a message each time. */
  count(attributes: Attributes): void {
    this.#owner.change(this.identity, attributes, false);
  }

  end(): void {
    this.#owner.end(this.identity);
  }
}

interface Entry {
  record: FlowRecord;
  /** What has not been told. */
  news: Attributes;
}

export class OwnRecords implements Consumer, Producer {
  /** The id of this source: that of its router's record. */
  readonly id: string;
  /** What begins here is not given back to the collector here, which has it already. */
  readonly via: Way;
  readonly partOfRouter = true;
  readonly cost = 0;
  readonly outstanding = 0;
  readonly #router: Router;
  readonly #onRecord: (record: FlowRecord) => void;
  readonly #entries = new Map<string, Entry>();
  readonly #untold = new Set<string>();
  #ended: FlowRecord[] = [];
  #timer: NodeJS.Timeout | null = null;
  #flushAll = false;
  #flushedAt = 0;
  /** Somebody takes our beacons. */
  #noticed = false;
  /** Somebody takes our records. */
  #heard = false;
  #everHeard = false;
  #beats = 0;
  #messages = 0;
  #closed = false;

  /** `onRecord` hears what is new of every record, as others do. */
  constructor(router: Router, via: Way, onRecord: (record: FlowRecord) => void) {
    this.#router = router;
    this.via = via;
    this.#onRecord = onRecord;
    this.id = router.nextRecordId();
  }

  start(): void {
    const { addresses } = this.#router;
    addresses.addProducer(`M${BEACONS}`, this);
    addresses.addProducer(`M${recordsAddress(this.id)}`, this);
    addresses.addConsumer(`M${flushAddress(this.id)}`, this);
  }

  add(type: RecordType, attributes: Attributes, identity = this.#router.nextRecordId()): OwnRecord {
    const record: FlowRecord = { type, identity, startTime: microseconds(), ...attributes };
    this.#entries.set(identity, { record, news: attributesOf(record) });
    this.#tell(identity, record, true);
    return new OwnRecord(this, identity);
  }

  change(identity: string, attributes: Attributes, soon: boolean): void {
    const entry = this.#entries.get(identity);
    if (!entry) return;
    Object.assign(entry.record, attributes);
    Object.assign(entry.news, attributes);
    const { type } = entry.record;
    this.#tell(identity, { type, identity, ...attributes }, soon);
  }

  end(identity: string): void {
    const entry = this.#entries.get(identity);
    if (!entry) return;
    this.#entries.delete(identity);
    this.#untold.delete(identity);
    const { type, startTime } = entry.record;
    const last: FlowRecord = { type, identity, startTime, endTime: microseconds() };
    if (this.#ended.length < MAX_ENDED) this.#ended.push(last);
    this.#onRecord(last);
    this.#sendSoon();
  }

  /** Ends every record, and tells so at once. */
  close(): void {
    if (this.#closed) return;
    // The site first: who loses the rest has heard the most important.
    for (const identity of [...this.#entries.keys()]) this.end(identity);
    this.#send();
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    const { addresses } = this.#router;
    addresses.removeProducer(`M${BEACONS}`, this);
    addresses.removeProducer(`M${recordsAddress(this.id)}`, this);
    addresses.removeConsumer(`M${flushAddress(this.id)}`, this);
  }

  /** To be called every two seconds. */
  beat(): void {
    this.#beats++;
    const slow = this.#beats % HEARTBEATS_A_BEACON === 0;
    if (slow) this.#announce();
    if (!this.#heard) return;
    if (slow && this.#untold.size > 0) this.#send();
    this.#heartbeat();
  }

  onConsumersChanged(): void {
    const { heard, noticed } = { heard: this.#heard, noticed: this.#noticed };
    this.#noticed = this.#reaches(BEACONS);
    this.#heard = this.#reaches(recordsAddress(this.id));
    if (this.#noticed && !noticed) setImmediate(() => this.#announce());
    if (this.#heard && !heard) this.#beginToTell();
  }

  #beginToTell(): void {
    // Who is there now may have heard of this source before, and missed what has been since.
    if (this.#everHeard) this.#flush();
    this.#everHeard = true;
    // The first heartbeat is what a collector waits for to ask for everything.
    setImmediate(() => this.#heartbeat());
  }

  /** A collector wants to hear of every record. */
  deliver(arrival: Arrival, source: Source): Sink {
    arrival.first.release();
    this.#flush();
    const accept = (settled: boolean): void => {
      if (!settled) source.onOutcome({ outcome: 'accepted' }, true);
    };
    return { ...DISCARD, end: accept };
  }

  #tell(identity: string, news: FlowRecord, soon: boolean): void {
    this.#untold.add(identity);
    if (!soon) return;
    this.#onRecord(news);
    this.#sendSoon();
  }

  #flush(): void {
    this.#flushAll = true;
    this.#sendSoon();
  }

  #sendSoon(): void {
    if (this.#timer || this.#closed || !this.#heard) return;
    const wait = this.#flushAll ? Math.max(GATHER, this.#flushedAt + FLUSH_EVERY - performance.now()) : GATHER;
    this.#timer = setTimeout(() => this.#send(), wait);
  }

  #send(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#heard || this.#closed) return;
    const all = this.#flushAll;
    if (all) this.#flushedAt = performance.now();
    this.#flushAll = false;
    const news = [...this.#ended, ...(all ? this.#all() : this.#news())];
    this.#ended = [];
    this.#untold.clear();
    for (let start = 0; start < news.length; start += RECORDS_A_MESSAGE)
      post(this.#router, records(this.id, news.slice(start, start + RECORDS_A_MESSAGE), this.#ids), this.via);
  }

  #all(): FlowRecord[] {
    return [...this.#entries.values()].map((entry) => {
      entry.news = {};
      return entry.record;
    });
  }

  #news(): FlowRecord[] {
    return [...this.#untold].flatMap((identity) => {
      const entry = this.#entries.get(identity);
      if (!entry) return [];
      const { news } = entry;
      entry.news = {};
      return [{ type: entry.record.type, identity, ...news }];
    });
  }

  #announce(): void {
    if (!this.#closed && this.#noticed) post(this.#router, beacon(this.id, this.#ids), this.via);
  }

  #heartbeat(): void {
    if (!this.#closed && this.#heard) post(this.#router, heartbeat(this.id, Date.now(), this.#ids), this.via);
  }

  #reaches(address: string): boolean {
    return this.#router.addresses.get(`M${address}`)?.reachableFrom(this.via) ?? false;
  }

  readonly #ids = (): number => this.#messages++;
}

function attributesOf({ type: _type, identity: _identity, ...attributes }: FlowRecord): Attributes {
  return attributes;
}

const microseconds = (): number => Date.now() * 1000;
