/** What the store promises: one holder a directory, nothing acknowledged lost, a damaged file kept. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SkiffError } from '../../src/errors.ts';
import { type LogRecord, setLogSink } from '../../src/log.ts';
import type { StoredDocument } from '../../src/store/documents.ts';
import { DataHeldError } from '../../src/store/lock.ts';
import { Store } from '../../src/store/store.ts';

const test = suite('store');
const options = { command: 'test', waitMs: 0 };
const directory = () => join(mkdtempSync(join(tmpdir(), 'store-')), 'data');

function documentNamed(name: string): StoredDocument {
  return {
    kind: 'Listener',
    name,
    apiVersion: 'skupper.io/v2alpha1',
    labels: {},
    annotations: { note: 'ä "quoted"' },
    spec: { routingKey: name, host: '127.0.0.1', port: 8080, list: [1, null, { deep: true }] },
    origin: 'local',
    generation: 1,
    createdAt: 1,
    updatedAt: 2,
  };
}

test('documents come back as they were put, in a file that only its user can read', () => {
  const path = directory();
  const store = Store.open(path, options);
  store.transaction(() => store.documents.put(documentNamed('a')));
  store.facts.set('site-id', 'x');
  store.close();
  const again = Store.open(path, options);
  assert.equal(again.documents.all(), [documentNamed('a')]);
  assert.is(again.facts.get('site-id'), 'x');
  again.documents.remove('Listener', 'a');
  assert.equal(again.documents.all(), []);
  assert.is(statSync(path).mode & 0o777, 0o700);
  assert.is(statSync(join(path, 'skiff.db')).mode & 0o777, 0o600);
  again.close();
});

test('a transaction is all or nothing', () => {
  const store = Store.open(directory(), options);
  assert.throws(() =>
    store.transaction(() => {
      store.documents.put(documentNamed('a'));
      store.documents.put({ ...documentNamed('b'), origin: 'nobody' as 'local' });
    }),
  );
  assert.equal(store.documents.all(), []);
  store.close();
});

test('a second one on the directory is told who holds it', () => {
  const path = directory();
  const store = Store.open(path, { ...options, command: 'run' });
  const attempt = () => Store.open(path, options);
  assert.throws(attempt, (error: unknown) => error instanceof DataHeldError && error.holder?.pid === process.pid);
  assert.throws(attempt, new RegExp(`held by process ${process.pid} \\(skiff run`));
  store.close();
  Store.open(path, options).close();
});

test('a damaged database is moved aside and kept, and a new one is made', () => {
  const path = directory();
  Store.open(path, options).close();
  const junk = 'no database at all '.repeat(300);
  writeFileSync(join(path, 'skiff.db'), junk);
  const records: LogRecord[] = [];
  setLogSink((record) => records.push(record));
  const store = Store.open(path, options);
  setLogSink(() => {});
  const [aside] = store.movedAside();
  assert.is(readFileSync(aside, 'utf8'), junk);
  assert.match(records[0].message, aside);
  store.transaction(() => store.documents.put(documentNamed('a')));
  store.close();
  assert.is(Store.open(path, options).documents.all().length, 1);
});

test('damage inside a page is found after an unclean stop', () => {
  const path = directory();
  const file = join(path, 'skiff.db');
  const script = `
    import { Store } from ${JSON.stringify(join(import.meta.dirname, '../../src/store/store.ts'))};
    const store = Store.open(${JSON.stringify(path)}, { command: 'test', waitMs: 0 });
    store.transaction(() => {
      for (let i = 0; i < 2000; i++) store.documents.put({ ...${JSON.stringify(documentNamed('a'))}, name: 'n' + i });
    });
    process.kill(process.pid, 'SIGKILL');`;
  spawnSync(process.execPath, ['--input-type=module', '-e', script]);
  // Opening once brings the log into the file; its lock row is left behind by hand to stand for the next crash.
  Store.open(path, options).close();
  const bytes = readFileSync(file);
  bytes.fill(0xff, 5 * 4096, 9 * 4096);
  writeFileSync(file, bytes);
  spawnSync(process.execPath, [
    '--input-type=module',
    '-e',
    `import { DirectoryLock } from ${JSON.stringify(join(import.meta.dirname, '../../src/store/lock.ts'))};
     DirectoryLock.take(${JSON.stringify(path)}, { command: 'test', waitMs: 0 });
     process.kill(process.pid, 'SIGKILL');`,
  ]);
  const store = Store.open(path, options);
  assert.is(store.movedAside().length, 1);
  store.close();
});

test('a damaged lock file is no obstacle', () => {
  const path = directory();
  Store.open(path, options).close();
  writeFileSync(join(path, 'skiff.lock'), 'junk '.repeat(1000));
  Store.open(path, options).close();
});

test('what cannot be a data directory is said in words', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'store-')), 'file');
  writeFileSync(file, '');
  for (const path of [file, join(file, 'below'), '/proc/skiff']) {
    assert.throws(
      () => Store.open(path, options),
      (error: unknown) => error instanceof SkiffError && error.code === 'data-unusable' && error.message.includes(path),
    );
  }
});

test('a database of the next release is opened all the same', () => {
  const path = directory();
  Store.open(path, options).close();
  const script = `
    import Database from 'better-sqlite3';
    const db = new Database(${JSON.stringify(join(path, 'skiff.db'))});
    db.exec('ALTER TABLE documents ADD COLUMN more TEXT; CREATE TABLE news (id INTEGER) STRICT');
    db.pragma('user_version = 99');`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: join(import.meta.dirname, '../..'),
    encoding: 'utf8',
  });
  assert.is(status, 0, stderr);
  const store = Store.open(path, options);
  store.transaction(() => store.documents.put(documentNamed('a')));
  assert.equal(store.documents.all(), [documentNamed('a')]);
  store.close();
});

test('nothing that was acknowledged is lost by SIGKILL', async () => {
  const path = directory();
  const script = `
    import { Store } from ${JSON.stringify(join(import.meta.dirname, '../../src/store/store.ts'))};
    const store = Store.open(${JSON.stringify(path)}, { command: 'test', waitMs: 0 });
    let n = store.documents.all().length / 2;
    for (;;) {
      store.transaction(() => {
        for (const half of ['a', 'b']) {
          store.documents.put({ ...${JSON.stringify(documentNamed('a'))}, name: 'd' + n + half });
        }
      });
      n++;
      process.stdout.write(n + '\\n');
    }`;
  for (let round = 0; round < 5; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      if (output.length > 60 + round * 40) child.kill('SIGKILL');
    });
    await new Promise((resolve) => child.on('close', resolve));
    const acknowledged = Number(output.split('\n').at(-2));
    const store = Store.open(path, options);
    const { length } = store.documents.all();
    store.close();
    assert.ok(length >= acknowledged * 2, `${length} documents, ${acknowledged} pairs acknowledged`);
    assert.is(length % 2, 0, 'half of a transaction was kept');
  }
  assert.not.ok(readdirSync(path).some((name) => name.includes('.bad-')));
});

test.run();
