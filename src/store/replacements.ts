/**
 * Boxes that are expected in the place of others.
 */
import type { Sqlite } from './sqlite.ts';

export class ReplacementRepository {
  readonly #get;
  readonly #put;
  readonly #remove;

  constructor(db: Sqlite) {
    this.#get = db.prepare<[string], { device: string }>('SELECT device FROM replacements WHERE serial = ?');
    this.#put = db.prepare<[string, string]>('INSERT OR REPLACE INTO replacements (serial, device) VALUES (?, ?)');
    this.#remove = db.prepare<[string]>('DELETE FROM replacements WHERE serial = ?');
  }

  /** The name of the device whose place the box with this serial is to take. */
  get(serial: string): string | undefined {
    return this.#get.get(serial)?.device;
  }

  put(serial: string, device: string): void {
    this.#put.run(serial, device);
  }

  remove(serial: string): void {
    this.#remove.run(serial);
  }
}
