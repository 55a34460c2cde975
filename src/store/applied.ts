/**
 * What a device was told to be: the last that is known to be good, the one that is being tried, and those that were
 * not good.
 */
import type { JsonObject } from './documents.ts';
import type { Sqlite } from './sqlite.ts';
import type { Vault } from './vault.ts';

export interface StoredApplied {
  generation: number;
  documents: JsonObject[];
  /** `trying`: the controller has not acknowledged it yet. There is one `good` one, and at most one being tried. */
  state: 'good' | 'trying' | 'bad';
  /** Whether its documents are those of the site at present. */
  active: boolean;
  /** Why it is bad. */
  reason: string | null;
  /** Milliseconds since the epoch. */
  at: number;
}

interface Row extends Omit<StoredApplied, 'documents' | 'active'> {
  documents: string;
  active: number;
}

const place = ({ generation }: { generation: number }): string => `applied.documents/${generation}`;

export class AppliedRepository {
  readonly #vault: Vault;
  readonly #all;
  readonly #put;
  readonly #clear;

  constructor(db: Sqlite, vault: Vault) {
    this.#vault = vault;
    this.#all = db.prepare<[], Row>(
      'SELECT generation, documents, state, active, reason, at FROM applied ORDER BY generation',
    );
    this.#put = db.prepare<[Row]>(
      `INSERT OR REPLACE INTO applied (generation, documents, state, active, reason, at)
       VALUES (@generation, @documents, @state, @active, @reason, @at)`,
    );
    this.#clear = db.prepare('DELETE FROM applied');
  }

  all(): StoredApplied[] {
    return this.#all.all().map((row) => ({
      ...row,
      documents: JSON.parse(this.#vault.open(row.documents, place(row))) as JsonObject[],
      active: row.active === 1,
    }));
  }

  /** Makes these all that there are. To be called in the step in which the documents of the site change. */
  replace(all: StoredApplied[]): void {
    this.#clear.run();
    for (const each of all) {
      const documents = this.#vault.seal(JSON.stringify(each.documents), place(each));
      this.#put.run({ ...each, documents, active: each.active ? 1 : 0 });
    }
  }
}
