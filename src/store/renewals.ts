/**
 * Where the certificates in Secrets are renewed, and what is under way of that.
 */
import type { Sqlite } from './sqlite.ts';
import type { Vault } from './vault.ts';

export interface StoredRenewal {
  /** The name of the Secret. */
  secret: string;
  url: string;
  /** PEM: of the server there. */
  ca: string;
  /** PEM: the next certificate's key, while it has been asked for and not come. */
  key: string | null;
  /** The pair before, as JSON, until the present one has been used. */
  previous: string | null;
}

export class RenewalRepository {
  readonly #vault: Vault;
  readonly #all;
  readonly #put;

  constructor(db: Sqlite, vault: Vault) {
    this.#vault = vault;
    this.#all = db.prepare<[], StoredRenewal>('SELECT secret, url, ca, key, previous FROM renewals ORDER BY secret');
    this.#put = db.prepare<[StoredRenewal]>(
      `INSERT INTO renewals (secret, url, ca, key, previous) VALUES (@secret, @url, @ca, @key, @previous)
       ON CONFLICT (secret) DO UPDATE SET
         url = excluded.url, ca = excluded.ca, key = excluded.key, previous = excluded.previous`,
    );
  }

  all(): StoredRenewal[] {
    return this.#all.all().map((row) => this.#both(row, (text, place) => this.#vault.open(text, place)));
  }

  put(renewal: StoredRenewal): void {
    this.#put.run(this.#both(renewal, (text, place) => this.#vault.seal(text, place)));
  }

  /** The same with other texts for the two that are secret. */
  #both(renewal: StoredRenewal, other: (text: string, place: string) => string): StoredRenewal {
    const { secret, key, previous } = renewal;
    return {
      ...renewal,
      key: key === null ? null : other(key, `renewals.key/${secret}`),
      previous: previous === null ? null : other(previous, `renewals.previous/${secret}`),
    };
  }
}
