/**
 * The CAs of a site, with their keys. One of a name issues; those that it took the place of are still believed.
 */
import type { Sqlite } from './sqlite.ts';
import type { Vault } from './vault.ts';

export interface StoredAuthority {
  /** SHA-256 of the certificate, hexadecimal. */
  fingerprint: string;
  /** What RouterAccesses call it, such as `skupper-site-ca`. */
  name: string;
  /** PEM. */
  certificate: string;
  key: string;
  /** Its certificate signed by the CA before it, for those who know only that one; null for the first of a name. */
  crossCertificate: string | null;
  /** Milliseconds since the epoch. */
  createdAt: number;
  /** When another took its place; null for the one that issues. */
  retiredAt: number | null;
}

const columns =
  'fingerprint, name, certificate, key, cross_certificate AS crossCertificate, created_at AS createdAt, retired_at AS retiredAt';

const place = ({ fingerprint }: StoredAuthority) => `authorities.key/${fingerprint}`;

export class AuthorityRepository {
  readonly #vault: Vault;
  readonly #named;
  readonly #all;
  readonly #put;
  readonly #retire;
  readonly #remove;

  constructor(db: Sqlite, vault: Vault) {
    this.#vault = vault;
    this.#named = db.prepare<[string], StoredAuthority>(
      `SELECT ${columns} FROM authorities WHERE name = ? ORDER BY retired_at IS NOT NULL, created_at DESC`,
    );
    this.#all = db.prepare<[], StoredAuthority>(`SELECT ${columns} FROM authorities ORDER BY name, created_at`);
    this.#put = db.prepare<[StoredAuthority]>(
      `INSERT INTO authorities (fingerprint, name, certificate, key, cross_certificate, created_at, retired_at)
       VALUES (@fingerprint, @name, @certificate, @key, @crossCertificate, @createdAt, @retiredAt)`,
    );
    this.#retire = db.prepare<[number, string]>(
      'UPDATE authorities SET retired_at = ? WHERE name = ? AND retired_at IS NULL',
    );
    this.#remove = db.prepare<[string]>('DELETE FROM authorities WHERE fingerprint = ?');
  }

  /** The one that issues, then those before it, the latest first. */
  named(name: string): StoredAuthority[] {
    return this.#named.all(name).map((row) => this.#opened(row));
  }

  all(): StoredAuthority[] {
    return this.#all.all().map((row) => this.#opened(row));
  }

  put(authority: StoredAuthority): void {
    this.#put.run({ ...authority, key: this.#vault.seal(authority.key, place(authority)) });
  }

  retire(name: string, at: number): void {
    this.#retire.run(at, name);
  }

  remove(fingerprint: string): void {
    this.#remove.run(fingerprint);
  }

  #opened(row: StoredAuthority): StoredAuthority {
    return { ...row, key: this.#vault.open(row.key, place(row)) };
  }
}
