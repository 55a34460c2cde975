/**
 * How a device becomes what its controller wants: a new generation is applied in one transaction and tried until the
 * controller acknowledges it. One that changes the way to the hub and cuts the device off is rolled back by the device
 * itself, if the last good one does connect; a hub that is merely away rolls back nobody.
 */
import { type ErrorFact, errorFact } from '../errors.ts';
import { log } from '../log.ts';
import type { ReadDocument } from '../site/read.ts';
import type { JsonObject } from '../store/documents.ts';
import type { Store } from '../store/store.ts';
import { digest } from './signing.ts';

type StoredApplied = ReturnType<Store['applied']['all']>[number];

/** How long the controller has to acknowledge a generation that changed the way to it, in milliseconds. */
const patience = 40_000;
/** The same when the last good one did not connect either: the hub may be away for long. */
const mostPatience = 600_000;
/** How long the last good one is given to connect. */
const wayBack = 15_000;
/** Generations that were not good that are remembered. */
const mostBad = 20;
/** Kinds of documents that decide whether the controller can be reached. */
const kindsOfWay = ['Site', 'Link', 'Secret'];

export interface ApplierOptions {
  store: Store;
  /** Makes these all that the fleet gives to this site; `along` is written in the same step. */
  replace(documents: ReadDocument[], along: () => void): Promise<unknown>;
  now: () => number;
  /** Something is to be told to the controller. */
  onChange: () => void;
  /** Shorter times for tests, as a share of the real ones. */
  share?: number;
}

/** What the controller hears of it. */
export interface AppliedFacts {
  /** The generation whose documents the site has; 0: none yet. */
  applied: number;
  /** The one that is being tried, if it is. */
  trying: number | null;
  /** Those that were rolled back; they are not tried again. */
  bad: { generation: number; reason: string }[];
  /** Why the last one that came could not be applied. */
  failure: { generation: number; error: ErrorFact } | null;
  /** What each document of the fleet says, as the beginning of its digest. */
  parts: Record<string, string>;
}

export class Applier {
  readonly #options: ApplierOptions;
  readonly #share: number;
  #rows: StoredApplied[];
  #failure: AppliedFacts['failure'] = null;
  /** Times that the new one was tried. */
  #tries = 0;
  #since = performance.now();
  #timer: NodeJS.Timeout | null = null;
  /** One change at a time: the next waits for the one before. */
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#share = options.share ?? 1;
    this.#rows = options.store.applied.all();
    if (this.#trying) this.#wait();
  }

  get facts(): AppliedFacts {
    const active = this.#rows.find((row) => row.active);
    return {
      applied: active?.generation ?? 0,
      trying: this.#trying?.generation ?? null,
      bad: this.#rows
        .filter(({ state }) => state === 'bad')
        .map(({ generation, reason }) => ({ generation, reason: reason ?? '' })),
      failure: this.#failure,
      parts: partsOf(active?.documents ?? []),
    };
  }

  /** Whether a generation is news: not what there is, nothing older, and not known to be bad. */
  isNews(generation: number): boolean {
    return this.#rows.every((row) => row.generation < generation);
  }

  /** Takes what the controller wants; its signature has been checked. */
  take(generation: number, documents: JsonObject[]): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.isNews(generation)) return;
      try {
        const rows = this.#rows.filter(({ state }) => state !== 'trying').map((row) => ({ ...row, active: false }));
        const row = { generation, documents, reason: null, at: this.#options.now(), active: true };
        await this.#apply([...rows, { ...row, state: 'trying' }]);
        this.#failure = null;
        this.#tries = 0;
        log.info('fleet', `generation ${generation} is being tried`, { generation });
      } catch (error) {
        // Nothing was changed. What is in the way here may go, so that it is taken when it is sent again.
        this.#failure = { generation, error: errorFact(error) };
        log.error('fleet', `generation ${generation} cannot be applied: ${this.#failure.error.message}`, {
          code: this.#failure.error.code,
        });
      }
      this.#wait();
      this.#options.onChange();
    });
  }

  /** The controller has heard that the site has this generation; it has been there for `upMs`. */
  acknowledged(generation: number, upMs: number): Promise<void> {
    return this.#inTurn(async () => {
      const trying = this.#trying;
      if (!trying) return;
      if (trying.active) {
        if (generation === trying.generation) this.#keep(trying);
      } else if (generation === this.#good?.generation && upMs < performance.now() - this.#since) {
        // It was not the new one that failed: the controller was away while that was tried.
        this.#tries = 0;
        await this.#switchTo(trying);
      } else if (generation === this.#good?.generation) {
        this.#giveUp(trying);
      }
    });
  }

  close(): void {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  get #trying(): StoredApplied | undefined {
    return this.#rows.find(({ state }) => state === 'trying');
  }

  get #good(): StoredApplied | undefined {
    return this.#rows.find(({ state }) => state === 'good');
  }

  #keep(trying: StoredApplied): void {
    const others = this.#rows.filter(({ state }) => state === 'bad').slice(-mostBad);
    this.#write([...others, { ...trying, state: 'good' }]);
    log.info('fleet', `generation ${trying.generation} is acknowledged`, { generation: trying.generation });
    this.#wait();
  }

  #giveUp(trying: StoredApplied): void {
    const reason = 'with it the controller could not be reached, and with the one before it could';
    const others = this.#rows.filter((row) => row !== trying);
    this.#write([...others, { ...trying, state: 'bad', active: false, documents: [], reason }]);
    log.error('fleet', `generation ${trying.generation} has been rolled back: ${reason}`, {
      generation: trying.generation,
    });
    this.#wait();
    this.#options.onChange();
  }

  /** Sets the time after which something else is tried, if there is anything else. */
  #wait(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const [trying, good] = [this.#trying, this.#good];
    if (this.#closed || !trying || !good || sameWay(good.documents, trying.documents)) return;
    if (trying.active && this.#tries === 0) this.#since = performance.now();
    const longest = Math.min(mostPatience, patience * 2 ** this.#tries);
    const delay = (trying.active ? longest : wayBack) * this.#share;
    this.#timer = setTimeout(() => void this.#inTurn(() => this.#turn()), delay);
  }

  async #turn(): Promise<void> {
    const [trying, good] = [this.#trying, this.#good];
    if (!trying || !good) return;
    if (trying.active) {
      log.warn('fleet', `generation ${trying.generation} is not acknowledged: going back to ${good.generation} to see`);
      await this.#switchTo(good);
    } else {
      this.#tries++;
      log.warn('fleet', 'the controller cannot be reached with the last good generation either');
      await this.#switchTo(trying);
    }
  }

  async #switchTo(row: StoredApplied): Promise<void> {
    try {
      await this.#apply(this.#rows.map((each) => ({ ...each, active: each === row })));
    } catch (error) {
      // Somebody here has taken one of its names meanwhile; the other one stays.
      const { message, code } = errorFact(error);
      log.error('fleet', `generation ${row.generation} cannot be applied again: ${message}`, { code });
    }
    this.#wait();
    this.#options.onChange();
  }

  async #apply(rows: StoredApplied[]): Promise<void> {
    const { store, replace } = this.#options;
    const documents = rows.find(({ active }) => active)?.documents ?? [];
    const { readDocuments } = await import('../site/read.ts');
    const read = documents.length ? readDocuments([{ name: 'the controller', text: JSON.stringify(documents) }]) : [];
    await replace(read, () => {
      store.applied.replace(rows);
      this.#rows = rows;
    });
  }

  #write(rows: StoredApplied[]): void {
    const { store } = this.#options;
    store.transaction(() => store.applied.replace(rows));
    this.#rows = rows;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(() => (this.#closed ? undefined : work()));
    return this.#work;
  }
}

function keyOf({ kind, metadata }: JsonObject): string {
  return `${kind}/${(metadata as JsonObject).name}`;
}

/** The beginning of each document's digest. */
export function partsOf(documents: JsonObject[]): Record<string, string> {
  return Object.fromEntries(documents.map((document) => [keyOf(document), digest(document).slice(0, 8)]));
}

function sameWay(before: JsonObject[], after: JsonObject[]): boolean {
  const way = (documents: JsonObject[]) => digest(documents.filter(({ kind }) => kindsOfWay.includes(String(kind))));
  return way(before) === way(after);
}
