/**
 * What was decided of devices and claims, by whom and when. It is only ever added to.
 */
import type { Sqlite } from './sqlite.ts';

export interface AuditEntry {
  /** Milliseconds since the epoch. */
  at: number;
  /** Such as `device-enrolled`. */
  event: string;
  device: string | null;
  claim: string | null;
  /** Where it was asked from; null for what was decided here. */
  address: string | null;
  detail: string | null;
}

export class AuditRepository {
  readonly #add;
  readonly #latest;
  readonly #ofDevice;

  constructor(db: Sqlite) {
    const columns = 'at, event, device, claim, address, detail';
    this.#add = db.prepare<[AuditEntry]>(
      `INSERT INTO audit (${columns}) VALUES (@at, @event, @device, @claim, @address, @detail)`,
    );
    this.#latest = db.prepare<[number], AuditEntry>(`SELECT ${columns} FROM audit ORDER BY id DESC LIMIT ?`);
    this.#ofDevice = db.prepare<[string, number], AuditEntry>(
      `SELECT ${columns} FROM audit WHERE device = ? ORDER BY id DESC LIMIT ?`,
    );
  }

  /** To be called in the step in which what it tells of is written. */
  add(entry: Pick<AuditEntry, 'at' | 'event'> & Partial<AuditEntry>): void {
    this.#add.run({ device: null, claim: null, address: null, detail: null, ...entry });
  }

  /** The last ones, the latest first. */
  latest(most: number): AuditEntry[] {
    return this.#latest.all(most);
  }

  ofDevice(name: string, most: number): AuditEntry[] {
    return this.#ofDevice.all(name, most);
  }
}
