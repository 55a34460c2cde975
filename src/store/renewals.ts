/**
 * Where the certificates in Secrets are renewed, and what is under way of that.
 */
import type { Sqlite } from './sqlite.ts';

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
  readonly #all;
  readonly #put;

  constructor(db: Sqlite) {
    this.#all = db.prepare<[], StoredRenewal>('SELECT secret, url, ca, key, previous FROM renewals ORDER BY secret');
    this.#put = db.prepare<[StoredRenewal]>(
      `INSERT INTO renewals (secret, url, ca, key, previous) VALUES (@secret, @url, @ca, @key, @previous)
       ON CONFLICT (secret) DO UPDATE SET
         url = excluded.url, ca = excluded.ca, key = excluded.key, previous = excluded.previous`,
    );
  }

  all(): StoredRenewal[] {
    return this.#all.all();
  }

  put(renewal: StoredRenewal): void {
    this.#put.run(renewal);
  }
}
