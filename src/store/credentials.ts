/**
 * Certificates that a site has issued to itself, with their keys.
 */
import type { Sqlite } from './sqlite.ts';
import type { Vault } from './vault.ts';

export interface StoredCredentials {
  /** As `tlsCredentials` has it. */
  name: string;
  /** PEM. */
  ca: string;
  certificate: string;
  key: string;
  /** The common name. */
  subject: string;
  /** SHA-256 of the CA that issued it. */
  authority: string;
}

const columns = 'name, ca, certificate, key, subject, authority';

const place = ({ name }: StoredCredentials) => `credentials.key/${name}`;

export class CredentialsRepository {
  readonly #vault: Vault;
  readonly #all;
  readonly #put;
  readonly #remove;

  constructor(db: Sqlite, vault: Vault) {
    this.#vault = vault;
    this.#all = db.prepare<[], StoredCredentials>(`SELECT ${columns} FROM credentials ORDER BY name`);
    this.#put = db.prepare<[StoredCredentials]>(
      `INSERT INTO credentials (${columns}) VALUES (@name, @ca, @certificate, @key, @subject, @authority)
       ON CONFLICT (name) DO UPDATE SET
         ca = excluded.ca, certificate = excluded.certificate, key = excluded.key,
         subject = excluded.subject, authority = excluded.authority`,
    );
    this.#remove = db.prepare<[string]>('DELETE FROM credentials WHERE name = ?');
  }

  all(): StoredCredentials[] {
    return this.#all.all().map((row) => ({ ...row, key: this.#vault.open(row.key, place(row)) }));
  }

  put(credentials: StoredCredentials): void {
    this.#put.run({ ...credentials, key: this.#vault.seal(credentials.key, place(credentials)) });
  }

  remove(name: string): void {
    this.#remove.run(name);
  }
}
