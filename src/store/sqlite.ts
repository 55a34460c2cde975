/**
 * Opening SQLite files, and saying in words what went wrong with one.
 */
import Database from 'better-sqlite3';
import { loadDatabaseBinding } from '../assets.ts';
import { SkiffError } from '../errors.ts';

export type Sqlite = Database.Database;

/** `waitMs`: how long a statement waits for another process's lock. */
export function openSqlite(file: string, waitMs: number): Sqlite {
  return new Database(file, { nativeBinding: loadDatabaseBinding(), timeout: waitMs });
}

/** A database in memory that begins as a copy of a file. */
export function openCopy(file: Buffer): Sqlite {
  const octets = Buffer.from(file);
  // A database in memory has no write-ahead log; these two of a file's octets say whether it has one.
  if (octets.length > 19) octets.fill(1, 18, 20);
  return new Database(octets, { nativeBinding: loadDatabaseBinding() });
}

/** The result code of SQLite, such as `SQLITE_FULL`, or of the system, such as `EACCES`; empty for anything else. */
export function sqliteCode(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const code = (error as Error & { code?: unknown }).code;
  return typeof code === 'string' ? code : '';
}

export function isBusy(error: unknown): boolean {
  return sqliteCode(error).startsWith('SQLITE_BUSY');
}

export function isDamaged(error: unknown): boolean {
  const code = sqliteCode(error);
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB';
}

/** What a failure of SQLite or of the file system means to the one who runs the site. */
const failures: { codes: RegExp; code: string; message: string; hint: string }[] = [
  {
    codes: /^(SQLITE_FULL|ENOSPC|EDQUOT)/,
    code: 'disk-full',
    message: 'the disk is full',
    hint: 'Free some space; nothing was changed',
  },
  {
    codes: /^(SQLITE_READONLY|EROFS)/,
    code: 'read-only',
    message: 'the data directory is read-only',
    hint: 'Make it writable, or give another one with --data',
  },
  {
    codes: /^(SQLITE_CANTOPEN|SQLITE_PERM|EACCES|EPERM|ENOENT|ENOTDIR|EEXIST|EISDIR)/,
    code: 'data-unusable',
    message: 'the data directory cannot be used',
    hint: 'It must be a directory that this user may write to; give another one with --data',
  },
  {
    codes: /^(SQLITE_CORRUPT|SQLITE_NOTADB)/,
    code: 'database-damaged',
    message: 'the database is damaged',
    hint: 'Stop the site and start it again: the file is then checked and moved aside',
  },
  {
    codes: /^(SQLITE_IOERR|EIO)/,
    code: 'disk-error',
    message: 'the disk failed to read or write',
    hint: 'Look at the disk and its free space; nothing was changed',
  },
];

/** The error to show for a failure on `file`; what is neither SQLite's nor the file system's is handed back as it is. */
export function storeError(error: unknown, file: string): unknown {
  const code = sqliteCode(error);
  const failure = failures.find((candidate) => candidate.codes.test(code));
  if (!failure) return error;
  const detail = (error as Error).message;
  return new SkiffError(failure.code, `${failure.message}: ${detail} (${file})`, { hint: failure.hint, cause: error });
}
