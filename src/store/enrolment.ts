/**
 * A device's own enrolment: its key, which hub it belongs to, and what that said last.
 */
import type { Sqlite } from './sqlite.ts';
import type { Vault } from './vault.ts';

export interface StoredEnrolment {
  /** The spec of the EnrolmentToken, as JSON. */
  token: string;
  /** PEM: the key that this device is known by, kept for as long as it belongs to that hub. */
  key: string;
  /** What the hub gave, as JSON; null while it is not enrolled. */
  answer: string | null;
  /** Why it is not tried any more, as JSON. */
  refusal: string | null;
  /** Milliseconds since the epoch. */
  enrolledAt: number | null;
}

const [tokenPlace, keyPlace] = ['enrolment.token/1', 'enrolment.key/1'];

export class EnrolmentRepository {
  readonly #vault: Vault;
  readonly #get;
  readonly #put;
  readonly #remove;

  constructor(db: Sqlite, vault: Vault) {
    this.#vault = vault;
    this.#get = db.prepare<[], StoredEnrolment>(
      'SELECT token, key, answer, refusal, enrolled_at AS enrolledAt FROM enrolment',
    );
    this.#put = db.prepare<[StoredEnrolment]>(
      `INSERT OR REPLACE INTO enrolment (slot, token, key, answer, refusal, enrolled_at)
       VALUES (1, @token, @key, @answer, @refusal, @enrolledAt)`,
    );
    this.#remove = db.prepare('DELETE FROM enrolment');
  }

  get(): StoredEnrolment | undefined {
    const row = this.#get.get();
    if (!row) return undefined;
    const [token, key] = [this.#vault.open(row.token, tokenPlace), this.#vault.open(row.key, keyPlace)];
    return { ...row, token, key };
  }

  put(enrolment: StoredEnrolment): void {
    const [token, key] = [this.#vault.seal(enrolment.token, tokenPlace), this.#vault.seal(enrolment.key, keyPlace)];
    this.#put.run({ ...enrolment, token, key });
  }

  remove(): void {
    this.#remove.run();
  }
}
