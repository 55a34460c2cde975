/**
 * What becomes of AccessGrants: who may redeem them, how often that has been done, and until when.
 */
import type { Sqlite } from './sqlite.ts';
import type { Vault } from './vault.ts';

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

const place = ({ name }: StoredGrant) => `grants.code/${name}`;

export class GrantRepository {
  readonly #vault: Vault;
  readonly #all;
  readonly #put;
  readonly #count;
  readonly #remove;

  constructor(db: Sqlite, vault: Vault) {
    this.#vault = vault;
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
    return this.#all.all().map((row) => ({ ...row, code: this.#vault.open(row.code, place(row)) }));
  }

  put(grant: StoredGrant): void {
    this.#put.run({ ...grant, code: this.#vault.seal(grant.code, place(grant)) });
  }

  /** One redemption more, or one given back (-1). */
  count(uid: string, change: 1 | -1): void {
    this.#count.run(change, uid);
  }

  remove(name: string): void {
    this.#remove.run(name);
  }
}
