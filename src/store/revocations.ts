/**
 * What was revoked, in a file of its own beside the database, which is only ever added to: a database that is copied back
 * from last week must not let in again who was turned out since. A line is on disk before the database has it.
 */
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { log } from '../log.ts';
import type { Sqlite } from './sqlite.ts';

export const revocationsName = 'revocations';

/** A certificate by its fingerprint, a device of the fleet by that of its key: SHA-256, hexadecimal. */
export type Revoked = 'certificate' | 'device';

const line = /^(certificate|device) ([0-9a-f]{64}) (\d{1,16})$/;

export class RevocationFile {
  readonly #file: string;
  /** When each was revoked, in milliseconds since the epoch; keys are those of `keyOf`. */
  readonly #known = new Map<string, number>();

  constructor(directory: string) {
    this.#file = join(directory, revocationsName);
    for (const text of contentOf(this.#file).split('\n')) {
      const [, kind, fingerprint, at] = line.exec(text) ?? [];
      // The last line may have been cut short by a crash: then nobody was told that it counts.
      if (kind && fingerprint) this.#known.set(keyOf(kind as Revoked, fingerprint), Number(at));
    }
  }

  has(kind: Revoked, fingerprint: string): boolean {
    return this.#known.has(keyOf(kind, fingerprint));
  }

  /** On disk when it returns. */
  add(kind: Revoked, fingerprint: string, at: number): void {
    const key = keyOf(kind, fingerprint);
    if (this.#known.has(key)) return;
    const file = openSync(this.#file, 'a', 0o600);
    try {
      // One that was cut short before ends here.
      const octets = Buffer.from(`\n${key} ${at}\n`);
      // A disk that is full may take a part of it.
      if (writeSync(file, octets) < octets.length) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    if (this.#known.size === 0) syncDirectory(this.#file);
    this.#known.set(key, at);
  }

  /** Makes file and database agree: what either knows was revoked stays so. */
  reconcile(db: Sqlite): void {
    const inDatabase = db.prepare<[], { fingerprint: string; at: number }>('SELECT fingerprint, at FROM revocations');
    const devices = db.prepare<[], { key: string; at: number }>(
      "SELECT public_key AS key, coalesce(decided_at, 0) AS at FROM devices WHERE state = 'revoked'",
    );
    for (const { fingerprint, at } of inDatabase.all()) this.add('certificate', fingerprint, at);
    for (const { key, at } of devices.all()) this.add('device', key, at);
    const revoke = db.prepare<[string, number]>('INSERT OR IGNORE INTO revocations (fingerprint, at) VALUES (?, ?)');
    const turnOut = db.prepare<[number, string], { name: string }>(
      `UPDATE devices SET state = 'revoked', reason = NULL, decided_at = ? WHERE public_key = ? AND state <> 'revoked'
       RETURNING name`,
    );
    const tell = db.prepare<[number, string]>(
      "INSERT INTO audit (at, event, device, detail) VALUES (?, 'device-revoked', ?, 'as the file of revocations has it')",
    );
    const recalled = db
      .transaction(() => {
        let count = 0;
        for (const [key, at] of this.#known) {
          const [kind, fingerprint] = key.split(' ') as [Revoked, string];
          if (kind === 'certificate') count += revoke.run(fingerprint, at).changes;
          for (const { name } of kind === 'device' ? turnOut.all(at, fingerprint) : []) {
            tell.run(at, name);
            count++;
          }
        }
        return count;
      })
      .immediate();
    if (recalled === 0) return;
    log.warn('store', `the database is older than what was revoked: ${recalled} revocations are taken from the file`, {
      file: this.#file,
    });
  }

  remove(): void {
    rmSync(this.#file, { force: true });
    this.#known.clear();
  }
}

const keyOf = (kind: Revoked, fingerprint: string): string => `${kind} ${fingerprint}`;

function contentOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** A new file is there for good when its directory is on disk, too. */
function syncDirectory(file: string): void {
  const directory = openSync(dirname(file), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
