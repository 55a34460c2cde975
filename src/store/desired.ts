/**
 * What the devices of a hub's fleet are to be, what they last said of themselves, and the key that signs the one.
 */
import type { JsonObject } from './documents.ts';
import type { Sqlite } from './sqlite.ts';
import type { Vault } from './vault.ts';

export interface StoredDesired {
  /** The device's name. */
  device: string;
  /** Counts the changes of what it is to be. */
  generation: number;
  documents: JsonObject[];
  /** Of the documents. */
  digest: string;
  /** Why its group's documents, as they are now, cannot be for it: it stays with what it has. */
  problem: string | null;
  /** Milliseconds since the epoch. */
  changedAt: number;
}

interface Row extends Omit<StoredDesired, 'documents'> {
  documents: string;
}

const keyPlace = 'controller.key/1';
const place = (device: string): string => `desired.documents/${device}`;

export class DesiredRepository {
  readonly #vault: Vault;
  readonly #key;
  readonly #keepKey;
  readonly #get;
  readonly #head;
  readonly #put;
  readonly #remove;
  readonly #reports;
  readonly #putReport;

  constructor(db: Sqlite, vault: Vault) {
    this.#vault = vault;
    this.#key = db.prepare<[], { key: string }>('SELECT key FROM controller');
    this.#keepKey = db.prepare<[string]>('INSERT INTO controller (slot, key) VALUES (1, ?)');
    this.#get = db.prepare<[string], Row>(
      `SELECT device, generation, documents, digest, problem, changed_at AS changedAt FROM desired WHERE device = ?`,
    );
    this.#head = db.prepare<[string], Omit<StoredDesired, 'documents'>>(
      'SELECT device, generation, digest, problem, changed_at AS changedAt FROM desired WHERE device = ?',
    );
    this.#put = db.prepare<[Row]>(
      `INSERT OR REPLACE INTO desired (device, generation, documents, digest, problem, changed_at)
       VALUES (@device, @generation, @documents, @digest, @problem, @changedAt)`,
    );
    this.#remove = db.prepare<[string]>('DELETE FROM reports WHERE device = ?');
    this.#reports = db.prepare<[], { device: string; report: string; at: number }>(
      'SELECT device, report, at FROM reports',
    );
    this.#putReport = db.prepare<[string, string, number]>(
      'INSERT OR REPLACE INTO reports (device, report, at) VALUES (?, ?, ?)',
    );
  }

  /** PEM: the controller's private key. */
  key(): string | undefined {
    const row = this.#key.get();
    return row && this.#vault.open(row.key, keyPlace);
  }

  keepKey(key: string): void {
    this.#keepKey.run(this.#vault.seal(key, keyPlace));
  }

  get(device: string): StoredDesired | undefined {
    const row = this.#get.get(device);
    return row && { ...row, documents: JSON.parse(this.#vault.open(row.documents, place(device))) as JsonObject[] };
  }

  /** The same without the documents, which may be many. */
  head(device: string): Omit<StoredDesired, 'documents'> | undefined {
    return this.#head.get(device);
  }

  put(desired: StoredDesired): void {
    const documents = this.#vault.seal(JSON.stringify(desired.documents), place(desired.device));
    this.#put.run({ ...desired, documents });
  }

  /** What each device last said, as JSON, and when. */
  reports(): { device: string; report: string; at: number }[] {
    return this.#reports.all();
  }

  putReport(device: string, report: string, at: number): void {
    this.#putReport.run(device, report, at);
  }

  removeReport(device: string): void {
    this.#remove.run(device);
  }
}
