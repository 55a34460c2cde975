/**
 * Secrets at rest: what is secret in the database is sealed with AES-256-GCM, under a key in a file beside it. A copy of
 * the database alone is of no use, and a sealed text opens only in the place that it was sealed for.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SkiffError } from '../errors.ts';
import type { Sqlite } from './sqlite.ts';

export const keyName = 'skiff.key';
const keyOctets = 32;
const nonceOctets = 12;
const tagOctets = 16;
const mark = 'sealed:1:';
/** The fact by which it is known that a database is sealed, and with which key. */
const probe = 'sealed-with';

/** Kinds of documents that are secret as a whole; what devices are given may have Secrets in it. */
export const secretKinds: readonly string[] = ['Secret', 'AccessToken', 'EnrolmentToken', 'DeviceGroup', 'Device'];

/** What is secret: columns by table, what tells the rows apart, and which rows if not all. */
const secrets: { table: string; id: string; column: string; where?: string }[] = [
  { table: 'authorities', id: 'fingerprint', column: 'key' },
  { table: 'credentials', id: 'name', column: 'key' },
  { table: 'grants', id: 'name', column: 'code' },
  { table: 'redemptions', id: 'token', column: 'key' },
  { table: 'renewals', id: 'secret', column: 'key' },
  { table: 'renewals', id: 'secret', column: 'previous' },
  { table: 'enrolment', id: 'slot', column: 'token' },
  { table: 'enrolment', id: 'slot', column: 'key' },
  { table: 'controller', id: 'slot', column: 'key' },
  { table: 'desired', id: 'device', column: 'documents' },
  { table: 'applied', id: 'generation', column: 'documents' },
  {
    table: 'documents',
    id: "kind || '/' || name",
    column: 'spec',
    where: `kind IN (${secretKinds.map((kind) => `'${kind}'`)})`,
  },
];

export class Vault {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** `place` is a table, a column and a row, such as `grants.code/erp`. */
  seal(text: string, place: string): string {
    const nonce = randomBytes(nonceOctets);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(place));
    const body = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return mark + body.toString('base64');
  }

  open(sealed: string, place: string): string {
    const body = isSealed(sealed) ? Buffer.from(sealed.slice(mark.length), 'base64') : Buffer.alloc(0);
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, body.subarray(0, nonceOctets), {
        authTagLength: tagOctets,
      });
      decipher.setAAD(Buffer.from(place)).setAuthTag(body.subarray(-tagOctets));
      const text = decipher.update(body.subarray(nonceOctets, -tagOctets));
      return Buffer.concat([text, decipher.final()]).toString('utf8');
    } catch (error) {
      throw new SkiffError('key-wrong', `what is sealed in the database cannot be opened (${place})`, {
        hint: `Put the ${keyName} back that belongs to it, or restore a backup`,
        cause: error,
      });
    }
  }

  /** Seals all that is secret and still in the clear. Says whether there was anything. */
  sealAll(db: Sqlite): boolean {
    const changed = each(db, (text, place) => (isSealed(text) ? text : this.seal(text, place)));
    db.prepare('INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)').run(probe, this.seal(probe, probe));
    return changed;
  }

  /** Opens all that is sealed: for a copy that is encrypted as a whole. */
  openAll(db: Sqlite): void {
    each(db, (text, place) => (isSealed(text) ? this.open(text, place) : text));
    db.prepare('DELETE FROM facts WHERE name = ?').run(probe);
  }
}

/** The vault of the database in a directory: its key is made with it, and never again. */
export function vaultOf(db: Sqlite, directory: string): Vault {
  const sealed = probeOf(db);
  const file = join(directory, keyName);
  if (sealed !== undefined && !existsSync(file)) {
    throw new SkiffError('key-missing', `the database is sealed, and the key is not there (${file})`, {
      hint: `Put ${keyName} back, or restore a backup, which needs no key but its passphrase`,
    });
  }
  const vault = vaultIn(directory);
  if (sealed !== undefined) vault.open(sealed, probe);
  return vault;
}

/** With the key that is in a directory, or a new one. */
export function vaultIn(directory: string): Vault {
  const file = join(directory, keyName);
  if (!existsSync(file)) makeKey(file);
  const key = Buffer.from(readFileSync(file, 'utf8').trim(), 'base64');
  if (key.length === keyOctets) return new Vault(key);
  throw new SkiffError('key-wrong', `that is no key (${file})`, {
    hint: `Put the ${keyName} back that belongs to the database, or restore a backup`,
  });
}

function probeOf(db: Sqlite): string | undefined {
  const tables = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'facts'").all();
  if (tables.length === 0) return undefined;
  return db.prepare<[string], string>('SELECT value FROM facts WHERE name = ?').pluck().get(probe);
}

/** Whole and on disk before anything is sealed with it. */
function makeKey(file: string): void {
  const unfinished = `${file}.part`;
  writeFileSync(unfinished, `${randomBytes(keyOctets).toString('base64')}\n`, { mode: 0o600, flush: true });
  renameSync(unfinished, file);
  const directory = openSync(dirname(file), 'r');
  fsyncSync(directory);
  closeSync(directory);
}

function isSealed(text: string): boolean {
  return text.startsWith(mark);
}

/** Puts another text in the place of each secret one; says whether any was another. */
function each(db: Sqlite, other: (text: string, place: string) => string): boolean {
  let changed = false;
  const tables = new Set(db.prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all());
  for (const { table, id, column, where = 'TRUE' } of secrets) {
    // A later step of the migration may make it.
    if (!tables.has(table)) continue;
    const rows = db
      .prepare<[], { id: string; text: string }>(
        `SELECT ${id} AS id, "${column}" AS text FROM "${table}" WHERE "${column}" IS NOT NULL AND ${where}`,
      )
      .all();
    const put = db.prepare<[string, string]>(`UPDATE "${table}" SET "${column}" = ? WHERE ${id} = ?`);
    for (const row of rows) {
      const text = other(row.text, `${table}.${column}/${row.id}`);
      if (text === row.text) continue;
      put.run(text, row.id);
      changed = true;
    }
  }
  return changed;
}
