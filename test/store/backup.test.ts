/** Copies of a database that is in use, sealed and put back; what must not be forgotten is not. */
import { existsSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { SkiffError } from '../../src/errors.ts';
import { seal, unseal } from '../../src/store/sealed-backup.ts';
import { openSqlite } from '../../src/store/sqlite.ts';
import { Store } from '../../src/store/store.ts';

const test = suite('backup');
const passphrase = 'correct horse';
const facts = { version: '1', madeAt: '2026-01-01T00:00:00Z', site: 'hub' };
const newDirectory = () => mkdtempSync(join(tmpdir(), 'backup-'));
const open = (directory: string) => Store.open(directory, { command: 'test', waitMs: 0 });

async function failure(work: () => unknown): Promise<SkiffError> {
  try {
    await work();
  } catch (error) {
    return error as SkiffError;
  }
  throw new Error('it did not fail');
}

test('what was sealed is opened with the passphrase only, and only as it was', async () => {
  const database = Buffer.from('the whole database '.repeat(1_000));
  const sealed = await seal(database, passphrase, facts);
  assert.not.ok(sealed.includes('the whole database'));
  assert.equal(await unseal(sealed, passphrase, 'x'), { facts, database });
  assert.not.equal(sealed, await seal(database, passphrase, facts), 'never twice the same');
  assert.match((await failure(() => unseal(sealed, 'wrong horse', 'x'))).message, /the passphrase is wrong/);
  const head = sealed.indexOf('\n', 20);
  for (const at of [sealed.indexOf('"hub"') + 1, head + 5, sealed.length - 20, sealed.length - 1]) {
    const changed = Buffer.from(sealed);
    changed[at] ^= 1;
    assert.is((await failure(() => unseal(changed, passphrase, 'x'))).code, 'backup-unreadable', `octet ${at}`);
  }
  for (const bad of [
    '',
    'SKIFF-BACKUP 1\n',
    'SKIFF-BACKUP 1\n{}\n',
    'SKIFF-BACKUP 1\n{}\n0123456789012345',
    'SKIFF-BACKUP 2\n',
  ]) {
    assert.is((await failure(() => unseal(Buffer.from(bad), passphrase, 'x'))).code, 'backup-unreadable', bad);
  }
  assert.is((await failure(() => unseal(sealed.subarray(0, -1), passphrase, 'x'))).code, 'backup-unreadable');
  const greedy = Buffer.from(sealed.toString('latin1').replace('"N":65536', '"N":2147483648'), 'latin1');
  assert.match((await failure(() => unseal(greedy, passphrase, 'x'))).message, /head of the backup/);
});

test('a copy is of one moment, while others write, and leaves nothing behind', async () => {
  const directory = newDirectory();
  const store = open(directory);
  store.facts.set('site-id', 'before');
  const backing = store.backup(passphrase, facts);
  store.facts.set('site-id', 'after');
  const { database } = await unseal(await backing, passphrase, 'x');
  assert.equal(
    readdirSync(directory).filter((name) => name.includes('.backup-')),
    [],
  );
  store.close();
  const elsewhere = join(newDirectory(), 'new');
  assert.equal(Store.restore(elsewhere, database, { force: false }), { kept: {}, aside: null });
  assert.is(statSync(join(elsewhere, 'skiff.db')).mode & 0o777, 0o600);
  const restored = open(elsewhere);
  assert.ok(['before', 'after'].includes(restored.facts.get('site-id') ?? ''));
  restored.close();
});

/** As the release has it that knows of revocations. */
function revoke(directory: string, ...fingerprints: string[]): void {
  const db = openSqlite(join(directory, 'skiff.db'), 0);
  db.exec('CREATE TABLE IF NOT EXISTS revocations (fingerprint TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT');
  for (const each of fingerprints) db.prepare('INSERT OR IGNORE INTO revocations VALUES (?, 1)').run(each);
  db.close();
}

function revoked(directory: string): string[] {
  const db = openSqlite(join(directory, 'skiff.db'), 0);
  const found = db.prepare('SELECT fingerprint FROM revocations ORDER BY 1').pluck().all() as string[];
  db.close();
  return found;
}

async function copied(directory: string): Promise<Buffer> {
  const store = open(directory);
  const { database } = await unseal(await store.backup(passphrase, facts), passphrase, 'x');
  store.close();
  return database;
}

test('an older backup brings nobody back who was revoked since, not even by way of another restore', async () => {
  const directory = newDirectory();
  open(directory).close();
  revoke(directory, 'a');
  const old = await copied(directory);
  revoke(directory, 'b');
  const store = open(directory);
  store.facts.set('site-id', 'later');
  store.close();

  assert.is((await failure(() => Store.restore(directory, old, { force: false }))).code, 'already-exists');
  const { kept, aside } = Store.restore(directory, old, { force: true });
  assert.equal(kept, { revocations: 1 });
  assert.equal(revoked(directory), ['a', 'b']);
  assert.ok(aside && existsSync(aside));
  const after = open(directory);
  assert.is(after.facts.get('site-id'), undefined, 'all else is as it was');
  after.close();

  // The database of before is moved away by hand: those that were set aside still know.
  const empty = newDirectory();
  open(empty).close();
  revoke(empty);
  Store.restore(directory, await copied(empty), { force: true });
  assert.equal(revoked(directory), ['a', 'b']);
});

test('what cannot be restored changes nothing, and a directory in use is left alone', async () => {
  const directory = newDirectory();
  const store = open(directory);
  store.facts.set('site-id', 'mine');
  const { database } = await unseal(await store.backup(passphrase, facts), passphrase, 'x');
  assert.is((await failure(() => Store.restore(directory, database, { force: true }))).code, 'data-held');
  store.close();
  const before = readdirSync(directory).sort();
  const damaged = Buffer.concat([database.subarray(0, 4_096), Buffer.alloc(database.length - 4_096, 7)]);
  for (const bad of [damaged, Buffer.from('no database'.repeat(100))]) {
    await failure(() => Store.restore(directory, bad, { force: true }));
    assert.equal(readdirSync(directory).sort(), before);
  }
  writeFileSync(join(directory, 'skiff.db.backup-0123456789abcdef'), 'left by a crash');
  const again = open(directory);
  assert.is(again.facts.get('site-id'), 'mine');
  assert.not.ok(existsSync(join(directory, 'skiff.db.backup-0123456789abcdef')));
  again.close();
});

test.run();
