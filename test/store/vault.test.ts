/** What is secret in a database: nowhere in the clear, useless without its key, and the same with it. */
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SkiffError } from '../../src/errors.ts';
import { unseal } from '../../src/store/sealed-backup.ts';
import { openSqlite } from '../../src/store/sqlite.ts';
import { Store } from '../../src/store/store.ts';
import { vaultIn } from '../../src/store/vault.ts';

const test = suite('vault');
const newDirectory = () => mkdtempSync(join(tmpdir(), 'vault-'));
const open = (directory: string) => Store.open(directory, { command: 'test', waitMs: 0 });
const databaseOf = (directory: string) => join(directory, 'skiff.db');

/** Each secret has this in it. */
const secret = 'hush-hush';

function fill(store: Store): void {
  const at = { createdAt: 1, updatedAt: 1, generation: 1, origin: 'local', labels: {}, annotations: {} } as const;
  store.transaction(() => {
    for (const kind of ['Secret', 'AccessToken']) {
      store.documents.put({ ...at, kind, name: 'a', apiVersion: 'v1', spec: { inside: `${secret} ${kind}` } });
    }
    store.documents.put({ ...at, kind: 'Listener', name: 'a', apiVersion: 'v1', spec: { port: 1 } });
    const authority = { name: 'ca', certificate: 'c', crossCertificate: null, createdAt: 1, retiredAt: null };
    store.authorities.put({ ...authority, fingerprint: 'f', key: `${secret} authority` });
    store.credentials.put({ name: 'n', ca: 'c', certificate: 'c', key: `${secret} own`, subject: 's', authority: 'f' });
    store.grants.put({ name: 'g', uid: 'u', code: `${secret} code`, expiresAt: 1, redemptions: 0 });
    store.redemptions.put({ token: 't', key: `${secret} redemption`, redeemedAt: null });
    store.renewals.put({ secret: 's', url: 'u', ca: 'c', key: `${secret} next`, previous: `${secret} previous` });
    store.renewals.put({ secret: 'none', url: 'u', ca: 'c', key: null, previous: null });
  });
}

function all(store: Store): unknown[] {
  const { documents, authorities, credentials, grants, redemptions, renewals } = store;
  const lists = [documents, authorities, credentials, grants, renewals].map((repository) => repository.all());
  return [...lists, authorities.named('ca'), redemptions.get('t')];
}

/** How often a secret is in the clear in the files of a directory. */
function inTheClear(directory: string): number {
  const texts = readdirSync(directory).map((name) => readFileSync(join(directory, name), 'latin1'));
  return texts.join().split(secret).length - 1;
}

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (error) {
    assert.instance(error, SkiffError);
    assert.ok((error as SkiffError).hint);
    return (error as SkiffError).code;
  }
  return undefined;
}

test('secrets are sealed, from the first moment on and under way, and come back as they were', () => {
  const directory = newDirectory();
  const store = open(directory);
  fill(store);
  const before = all(store);
  assert.ok(JSON.stringify(before).split(secret).length - 1 >= 9);
  assert.is(inTheClear(directory), 0, 'with the write-ahead log');
  store.close();
  assert.is(inTheClear(directory), 0);
  assert.is(statSync(join(directory, 'skiff.key')).mode & 0o777, 0o600);
  const again = open(directory);
  assert.equal(all(again), before);
  again.close();
});

test('a database without its key says so, and so does one with another', () => {
  const [directory, thief] = [newDirectory(), newDirectory()];
  const store = open(directory);
  fill(store);
  store.close();
  copyFileSync(databaseOf(directory), databaseOf(thief));
  assert.is(
    codeOf(() => open(thief)),
    'key-missing',
  );
  assert.not.ok(readdirSync(thief).includes('skiff.key'), 'none is made');
  open(newDirectory()).close();
  const other = newDirectory();
  open(other).close();
  copyFileSync(join(other, 'skiff.key'), join(thief, 'skiff.key'));
  assert.is(
    codeOf(() => open(thief)),
    'key-wrong',
  );
  writeFileSync(join(thief, 'skiff.key'), 'short');
  assert.is(
    codeOf(() => open(thief)),
    'key-wrong',
  );
  copyFileSync(join(directory, 'skiff.key'), join(thief, 'skiff.key'));
  open(thief).close();
});

test('a sealed text opens in its own place only, and only as it was', () => {
  const directory = newDirectory();
  const store = open(directory);
  fill(store);
  store.close();
  const db = openSqlite(databaseOf(directory), 0);
  db.exec(`UPDATE documents SET spec = (SELECT spec FROM documents WHERE kind = 'Secret') WHERE kind = 'AccessToken'`);
  db.exec("UPDATE grants SET code = 'in the clear'");
  db.close();
  const moved = open(directory);
  assert.is(
    codeOf(() => moved.documents.all()),
    'key-wrong',
  );
  assert.is(
    codeOf(() => moved.grants.all()),
    'key-wrong',
  );
  moved.close();
});

/** Made by steps after the one that seals. */
const laterTables = [
  ...['devices', 'audit', 'enrolment', 'controller', 'desired', 'reports', 'orders', 'applied', 'orders_done'],
  'replacements',
];

test('what an older database has in the clear is sealed, and no trace is left in the file', () => {
  const directory = newDirectory();
  const store = open(directory);
  fill(store);
  const before = all(store);
  store.close();
  const db = openSqlite(databaseOf(directory), 0);
  vaultIn(directory).openAll(db);
  for (const table of laterTables) db.exec(`DROP TABLE ${table}`);
  db.pragma('user_version = 2');
  db.close();
  rmSync(join(directory, 'skiff.key'));
  assert.ok(inTheClear(directory) >= 8, 'as the release before had it');
  const sealed = open(directory);
  assert.equal(all(sealed), before);
  assert.is(inTheClear(directory), 0);
  sealed.close();
  assert.is(inTheClear(directory), 0);
});

test('a backup needs no key, and is sealed anew where it is restored', async () => {
  const [directory, elsewhere] = [newDirectory(), newDirectory()];
  const store = open(directory);
  fill(store);
  const before = all(store);
  const facts = { version: '1', madeAt: '2026-01-01T00:00:00Z', site: null };
  const { database } = await unseal(await store.backup('correct horse', facts), 'correct horse', 'x');
  assert.is(inTheClear(directory), 0);
  assert.equal(all(store), before, 'what it was made of stays sealed');
  store.close();
  Store.restore(elsewhere, database, { force: false });
  assert.is(inTheClear(elsewhere), 0);
  assert.not.equal(readFileSync(join(elsewhere, 'skiff.key')), readFileSync(join(directory, 'skiff.key')));
  const restored = open(elsewhere);
  assert.equal(all(restored), before);
  restored.close();
  // What was there is set aside under the same key.
  Store.restore(elsewhere, database, { force: true });
  const again = open(elsewhere);
  assert.equal(all(again), before);
  again.close();
});

test.run();
