/**
 * The tokens that a site redeems: the key that was made for each, so that asking again is asking for the same, and
 * whether it was answered.
 */
import type { Sqlite } from './sqlite.ts';
import type { Vault } from './vault.ts';

export interface StoredRedemption {
  /** SHA-256 of the token's URL and code, hexadecimal. */
  token: string;
  /** PEM. */
  key: string;
  /** Milliseconds since the epoch; null: not yet. */
  redeemedAt: number | null;
}

const place = (token: string) => `redemptions.key/${token}`;

export class RedemptionRepository {
  readonly #vault: Vault;
  readonly #get;
  readonly #put;

  constructor(db: Sqlite, vault: Vault) {
    this.#vault = vault;
    this.#get = db.prepare<[string], StoredRedemption>(
      'SELECT token, key, redeemed_at AS redeemedAt FROM redemptions WHERE token = ?',
    );
    this.#put = db.prepare<[StoredRedemption]>(
      `INSERT INTO redemptions (token, key, redeemed_at) VALUES (@token, @key, @redeemedAt)
       ON CONFLICT (token) DO UPDATE SET redeemed_at = excluded.redeemed_at`,
    );
  }

  get(token: string): StoredRedemption | undefined {
    const row = this.#get.get(token);
    return row && { ...row, key: this.#vault.open(row.key, place(token)) };
  }

  put(redemption: StoredRedemption): void {
    this.#put.run({ ...redemption, key: this.#vault.seal(redemption.key, place(redemption.token)) });
  }
}
