/**
 * The records of the network, by the source that tells them: what statuses need of each, and only as much as fits.
 * Sources are believed until a time; each word of theirs moves it on.
 */
import { log } from '../../log.ts';
import type { Attributes, FlowRecord, RecordType } from './encoding.ts';

/** Sources and octets that are kept at most, in all and of one source: others must not fill this site's memory. */
export interface Limits {
  sources: number;
  octets: number;
  octetsOfOne: number;
}

const LIMITS: Limits = { sources: 4_000, octets: 24 * 1024 * 1024, octetsOfOne: 6 * 1024 * 1024 };
/** What a record takes beside its texts, about. */
const RECORD_OCTETS = 200;

/** What is kept of each type; all else is passed over, so that counters change nothing here. */
const KEPT: Record<RecordType, (keyof Attributes)[]> = {
  SITE: ['name', 'platform', 'namespace', 'version'],
  ROUTER: ['parent', 'name', 'startTime'],
  LINK: ['parent', 'peer', 'name', 'status'],
  ROUTER_ACCESS: ['parent', 'name'],
  LISTENER: ['parent', 'name', 'address'],
  CONNECTOR: ['parent', 'name', 'address', 'destHost'],
};

interface Source {
  /** When it is forgotten, in milliseconds of the clock that `sweep` goes by. */
  until: number;
  records: Map<string, FlowRecord>;
  octets: number;
}

export class Collected {
  readonly #onChange: (source: string) => void;
  readonly #limits: Limits;
  readonly #sources = new Map<string, Source>();
  #octets = 0;
  #complained = false;

  /** `onChange` hears of every source of which something else is known than before. */
  constructor(onChange: (source: string) => void, limits = LIMITS) {
    this.#onChange = onChange;
    this.#limits = limits;
  }

  has(source: string): boolean {
    return this.#sources.has(source);
  }

  ids(): string[] {
    return [...this.#sources.keys()];
  }

  /** What is known of a source; null when nothing is. */
  recordsOf(source: string): FlowRecord[] | null {
    const known = this.#sources.get(source);
    return known ? [...known.records.values()] : null;
  }

  /** Believes a source until then, for the first time or longer. Returns false when there is no room for another. */
  believe(source: string, until: number): boolean {
    const known = this.#sources.get(source);
    if (known) {
      known.until = until;
      return true;
    }
    if (this.#sources.size >= this.#limits.sources) {
      this.#complain(source);
      return false;
    }
    this.#sources.set(source, { until, records: new Map(), octets: 0 });
    return true;
  }

  /**
   * Takes what a source says into account. Returns whether something was amiss: a change of a record of which the
   * beginning was not heard.
   */
  merge(source: string, records: FlowRecord[]): boolean {
    const known = this.#sources.get(source);
    if (!known) return false;
    let changed = false;
    let amiss = false;
    for (const record of records) {
      const before = known.records.get(record.identity);
      if (record.endTime) {
        if (before) changed = this.#drop(known, before) || changed;
        continue;
      }
      amiss ||= !before && record.startTime === undefined;
      changed = this.#put(source, known, before, record) || changed;
    }
    if (changed) this.#onChange(source);
    return amiss;
  }

  /** Takes these as all the records of a source. */
  replace(source: string, records: FlowRecord[]): void {
    const known = this.#sources.get(source);
    if (!known) return;
    const named = new Set(records.map(({ identity }) => identity));
    let changed = false;
    for (const record of [...known.records.values()])
      if (!named.has(record.identity)) changed = this.#drop(known, record) || changed;
    for (const record of records)
      changed = this.#put(source, known, known.records.get(record.identity), record) || changed;
    if (changed) this.#onChange(source);
  }

  forget(source: string): void {
    const known = this.#sources.get(source);
    if (!known) return;
    this.#sources.delete(source);
    this.#octets -= known.octets;
    this.#onChange(source);
  }

  /** Forgets those that are believed no longer, and says which. */
  sweep(now: number): string[] {
    const gone = [...this.#sources].filter(([, { until }]) => until < now).map(([id]) => id);
    for (const id of gone) this.forget(id);
    return gone;
  }

  /** Returns whether something else is known now. */
  #put(source: string, known: Source, before: FlowRecord | undefined, record: FlowRecord): boolean {
    if (before && before.type !== record.type) return false;
    const after: FlowRecord = before ? { ...before } : { type: record.type, identity: record.identity };
    let changed = !before;
    for (const name of KEPT[record.type]) {
      if (record[name] === undefined || record[name] === after[name]) continue;
      Object.assign(after, { [name]: record[name] });
      changed = true;
    }
    if (!changed) return false;
    const growth = octetsOf(after) - (before ? octetsOf(before) : 0);
    const { octets, octetsOfOne } = this.#limits;
    if (growth > 0 && (this.#octets + growth > octets || known.octets + growth > octetsOfOne)) {
      this.#complain(source);
      return false;
    }
    known.records.set(record.identity, after);
    known.octets += growth;
    this.#octets += growth;
    return true;
  }

  #drop(known: Source, record: FlowRecord): boolean {
    const octets = octetsOf(record);
    known.octets -= octets;
    this.#octets -= octets;
    return known.records.delete(record.identity);
  }

  #complain(source: string): void {
    if (this.#complained) return;
    this.#complained = true;
    log.warn('records', 'the network has more records than this site keeps; some are left out of statuses', { source });
  }
}

function octetsOf(record: FlowRecord): number {
  let octets = RECORD_OCTETS;
  for (const value of Object.values(record)) if (typeof value === 'string') octets += value.length;
  return octets;
}
