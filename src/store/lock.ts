/**
 * Who holds a data directory: one process at a time, and the next one can say which.
 *
 * The lock is an open write transaction on a small database of its own. SQLite still lets others read what was
 * committed before, which is the holder's own row, and the kernel drops the lock with the process, however it ends.
 * A row that is still there when the lock is taken was left by a process that did not end well.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { SkiffError } from '../errors.ts';
import { isBusy, isDamaged, openSqlite, type Sqlite, storeError } from './sqlite.ts';

export interface LockHolder {
  pid: number;
  /** What it does, such as `run` or `apply`. */
  command: string;
  /** Milliseconds since the epoch. */
  since: number;
}

export interface LockOptions {
  command: string;
  /** How long to wait for another holder to end. */
  waitMs: number;
}

/** The data directory is in use; `holder` says by whom. */
export class DataHeldError extends SkiffError {
  readonly holder: LockHolder | undefined;

  constructor(directory: string, holder: LockHolder | undefined) {
    const who = holder
      ? `process ${holder.pid} (skiff ${holder.command}, since ${new Date(holder.since).toISOString()})`
      : 'another process';
    super('data-held', `the data directory is held by ${who} (${directory})`, {
      hint: 'Stop that process, or give another directory with --data',
    });
    this.holder = holder;
  }
}

export class DirectoryLock {
  /** Whether the last holder ended without letting go, by a crash or a loss of power. */
  readonly afterCrash: boolean;
  readonly #db: Sqlite;

  private constructor(db: Sqlite, afterCrash: boolean) {
    this.#db = db;
    this.afterCrash = afterCrash;
  }

  static take(directory: string, options: LockOptions): DirectoryLock {
    const file = join(directory, 'skiff.lock');
    try {
      return DirectoryLock.#take(file, options);
    } catch (error) {
      if (!isDamaged(error)) throw error instanceof SkiffError ? error : storeError(error, file);
      // Nothing is kept in it, and a damaged one is the mark of an unclean end.
      rmSync(file);
      const lock = DirectoryLock.#take(file, options);
      return new DirectoryLock(lock.#db, true);
    }
  }

  static #take(file: string, { command, waitMs }: LockOptions): DirectoryLock {
    const db = openSqlite(file, waitMs);
    try {
      db.exec(
        'CREATE TABLE IF NOT EXISTS holder (pid INTEGER NOT NULL, command TEXT NOT NULL, since INTEGER NOT NULL) STRICT',
      );
      db.exec('BEGIN IMMEDIATE');
      const afterCrash = holderOf(db) !== undefined;
      // Between the commit that others can read and the transaction that stays open another process may slip in:
      // whoever then finds its own row in place holds the lock.
      for (;;) {
        db.exec('DELETE FROM holder');
        db.prepare('INSERT INTO holder VALUES (?, ?, ?)').run(process.pid, command, Date.now());
        db.exec('COMMIT');
        db.exec('BEGIN IMMEDIATE');
        if (holderOf(db)?.pid === process.pid) return new DirectoryLock(db, afterCrash);
      }
    } catch (error) {
      const held = isBusy(error) ? new DataHeldError(file.slice(0, -'/skiff.lock'.length), readHolder(db)) : error;
      db.close();
      throw held;
    }
  }

  release(): void {
    try {
      this.#db.exec('DELETE FROM holder');
      this.#db.exec('COMMIT');
    } catch {
      // A disk that is full, say. The next start finds the row and checks the database, no more.
    } finally {
      this.#db.close();
    }
  }
}

function holderOf(db: Sqlite): LockHolder | undefined {
  return db.prepare('SELECT pid, command, since FROM holder').get() as LockHolder | undefined;
}

/** Another process may be committing at this very moment; then it stays nameless. */
function readHolder(db: Sqlite): LockHolder | undefined {
  try {
    return holderOf(db);
  } catch {
    return undefined;
  }
}
