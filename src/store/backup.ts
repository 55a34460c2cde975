/**
 * Copies of the database: made while it is in use, and put back in its place.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { migrate } from './migrations.ts';
import { isDamaged, openCopy, openSqlite, type Sqlite } from './sqlite.ts';
import type { Vault } from './vault.ts';

/** Copies under way; what a crash leaves of them is nobody's. */
const temporary = /^skiff\.db\.(backup|restore)-[0-9a-f]+(-wal|-shm|-journal)?$/;

/**
 * Tables to which rows are only ever added, whatever is restored: who was locked out stays so, what was given out is
 * still known, what was used is used.
 */
const remembered = ['revocations', 'issued', 'redemptions'];

export function removeLeftCopies(directory: string): void {
  for (const name of readdirSync(directory)) if (temporary.test(name)) rmSync(join(directory, name));
}

/**
 * The database as it is at one moment, while others go on to change it. What is sealed in it is open, for it is to be
 * encrypted as a whole: the file on the way is not.
 */
export async function copyOf(db: Sqlite, file: string, vault: Vault): Promise<Buffer> {
  const copy = `${file}.backup-${randomBytes(8).toString('hex')}`;
  // Made here first, so that it never is for other eyes than the user's.
  writeFileSync(copy, '', { mode: 0o600 });
  try {
    await db.backup(copy);
    return opened(readFileSync(copy), vault);
  } finally {
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(copy + suffix, { force: true });
  }
}

function opened(sealed: Buffer, vault: Vault): Buffer {
  const db = openCopy(sealed);
  try {
    db.transaction(() => vault.openAll(db))();
    return db.serialize();
  } finally {
    db.close();
  }
}

export interface Restored {
  /** Rows that the backup did not have and that are kept, by table. */
  kept: Record<string, number>;
  /** Where the database that was there lies now. */
  aside: string | null;
}

/** Puts `database` in the place of `file`, whose directory the caller holds. At every moment one of the two is there. */
export function restore(file: string, database: Buffer, vault: Vault): Restored {
  const next = `${file}.restore-${randomBytes(8).toString('hex')}`;
  try {
    const { kept, sealed } = prepare(database, others(file), vault);
    writeFileSync(next, sealed, { mode: 0o600 });
    sync(next);
    const aside = existsSync(file) ? setAside(file) : null;
    renameSync(next, file);
    sync(dirname(file));
    return { kept, aside };
  } catch (error) {
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(next + suffix, { force: true });
    throw error;
  }
}

/** Checks the copy, adds what must not be forgotten, and seals it with this directory's key. */
function prepare(database: Buffer, sources: string[], vault: Vault): { kept: Record<string, number>; sealed: Buffer } {
  const db = openCopy(database);
  try {
    const finding = db.pragma('quick_check(1)', { simple: true });
    if (finding !== 'ok')
      throw new SkiffError('backup-unreadable', `the database in the backup is damaged: ${finding}`);
    migrate(db, vault);
    const kept: Record<string, number> = {};
    for (const source of sources) remember(db, source, kept);
    db.transaction(() => vault.sealAll(db))();
    return { kept, sealed: db.serialize() };
  } finally {
    db.close();
  }
}

function remember(db: Sqlite, source: string, kept: Record<string, number>): void {
  try {
    db.prepare('ATTACH ? AS old').run(source);
  } catch (error) {
    unreadable(source, error);
    return;
  }
  try {
    db.transaction(() => {
      for (const table of remembered) add(db, table, kept);
    })();
  } catch (error) {
    unreadable(source, error);
  } finally {
    db.exec('DETACH old');
  }
}

/** The columns that both have, for what was there may be of another release. */
function add(db: Sqlite, table: string, kept: Record<string, number>): void {
  const columnsOf = db.prepare<[string, string], string>('SELECT name FROM pragma_table_info(?, ?)').pluck();
  const old = columnsOf.all(table, 'old');
  const columns = columnsOf.all(table, 'main').filter((column) => old.includes(column));
  if (columns.length === 0) return;
  const names = columns.map((column) => `"${column}"`).join(', ');
  const { changes } = db
    .prepare(`INSERT OR IGNORE INTO main."${table}" (${names}) SELECT ${names} FROM old."${table}"`)
    .run();
  if (changes > 0) kept[table] = (kept[table] ?? 0) + changes;
}

function unreadable(source: string, error: unknown): void {
  if (!isDamaged(error)) throw error;
  log.warn('store', `nothing can be read of ${source}, which is damaged`);
}

/** The database that is there, and those that were set aside before. */
function others(file: string): string[] {
  const directory = dirname(file);
  return readdirSync(directory)
    .filter((name) => /^skiff\.db($|\.(bad|before-restore)-)/.test(name) && !/-(wal|shm|journal)$/.test(name))
    .map((name) => join(directory, name));
}

/** Under a second name, while the first one stays in place. */
function setAside(file: string): string {
  const aside = `${file}.before-restore-${new Date().toISOString().replaceAll(/[-:]/g, '')}`;
  try {
    const db = openSqlite(file, 0);
    // All of it in the one file.
    db.pragma('journal_mode = DELETE');
    db.close();
  } catch (error) {
    if (!isDamaged(error)) throw error;
  }
  linkSync(file, aside);
  for (const suffix of ['-wal', '-shm']) if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  return aside;
}

function sync(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
