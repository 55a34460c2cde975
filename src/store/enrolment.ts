/**
 * A device's own enrolment: its key, which hub it belongs to, and what that said last.
 */
import type { Sqlite } from './sqlite.ts';

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

export class EnrolmentRepository {
  readonly #get;
  readonly #put;
  readonly #remove;

  constructor(db: Sqlite) {
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
    return this.#get.get();
  }

  put(enrolment: StoredEnrolment): void {
    this.#put.run(enrolment);
  }

  remove(): void {
    this.#remove.run();
  }
}
