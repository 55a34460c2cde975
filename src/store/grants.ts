/**
 * What becomes of AccessGrants: who may redeem them, how often that has been done, and until when.
 */
import type { Sqlite } from './sqlite.ts';

export interface StoredGrant {
  name: string;
  /** The path at which it is redeemed. */
  uid: string;
  code: string;
  /** Milliseconds since the epoch. */
  expiresAt: number;
  redemptions: number;
}

const columns = 'name, uid, code, expires_at AS expiresAt, redemptions';

export class GrantRepository {
  readonly #all;
  readonly #put;
  readonly #count;
  readonly #remove;

  constructor(db: Sqlite) {
    this.#all = db.prepare<[], StoredGrant>(`SELECT ${columns} FROM grants ORDER BY name`);
    this.#put = db.prepare<[StoredGrant]>(
      `INSERT INTO grants (name, uid, code, expires_at, redemptions)
       VALUES (@name, @uid, @code, @expiresAt, @redemptions)
       ON CONFLICT (name) DO UPDATE SET code = excluded.code`,
    );
    this.#count = db.prepare<[number, string]>('UPDATE grants SET redemptions = redemptions + ? WHERE uid = ?');
    this.#remove = db.prepare<[string]>('DELETE FROM grants WHERE name = ?');
  }

  all(): StoredGrant[] {
    return this.#all.all();
  }

  put(grant: StoredGrant): void {
    this.#put.run(grant);
  }

  /** One redemption more, or one given back (-1). */
  count(uid: string, change: 1 | -1): void {
    this.#count.run(change, uid);
  }

  remove(name: string): void {
    this.#remove.run(name);
  }
}
