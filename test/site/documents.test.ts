/** What an apply does to the set of documents: all or nothing, one owner each, one identity for life. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Documents } from '../../src/site/documents.ts';
import {
  access,
  connector,
  document,
  edgeSite,
  hubSite,
  listener,
  newStore,
  problemsOf,
  read,
  secret,
} from './setup.ts';

const test = suite('documents');

function setup() {
  const store = newStore();
  let time = 1_000;
  return { store, documents: new Documents(store, () => time++) };
}

test('an apply says what it did, and counts a generation only where the spec changed', () => {
  const { store, documents } = setup();
  const actions = (...objects: object[]) => documents.apply(read(...objects), 'local').map(({ action }) => action);
  const labelled = { ...listener('a', 81), metadata: { name: 'a', labels: { x: 'y' } } };
  assert.equal(actions(listener('a'), connector('b')), ['added', 'added']);
  assert.equal(actions(listener('a', 81), connector('b')), ['changed', 'unchanged']);
  assert.equal(actions(labelled), ['changed']);
  const { generation, createdAt, labels } = documents.get({ kind: 'Listener', name: 'a' }) ?? {};
  assert.equal([generation, createdAt, labels], [2, 1_000, { x: 'y' }]);
  assert.equal(new Documents(store, Date.now).all(), documents.all(), 'the database knows the same');
});

test('one problem, and nothing is changed', () => {
  const { store, documents } = setup();
  documents.apply(read(listener('a', 80)), 'local');
  const message = problemsOf(() => documents.apply(read(connector('c'), listener('b', 80)), 'local'));
  assert.match(
    message,
    /Listener "b": port 80 is already mapped for host "127\.0\.0\.1" by Listener "a" \(test, document 1/,
  );
  assert.is(documents.all().length, 1);
  assert.is(store.documents.all().length, 1);
});

test('ports of listeners and accesses are unique together, and may be swapped in one apply', () => {
  const { documents } = setup();
  const twice = read(listener('a', 45671), access('ra', [{ name: 'edge' }], { bindHost: '127.0.0.1' }));
  assert.match(
    problemsOf(() => documents.apply(twice, 'local')),
    /port 45671 is already mapped/,
  );
  documents.apply(read(listener('a', 80), listener('b', 81)), 'local');
  documents.apply(read(listener('a', 81), listener('b', 80)), 'local');
  documents.apply(
    read(
      access('ra', [
        { name: 'edge', port: 0 },
        { name: 'inter-router', port: 0 },
      ]),
    ),
    'local',
  );
});

test('the port of a MultiKeyListener is its own, and its strategy is of one kind for life', () => {
  const { documents } = setup();
  const of = (name: string, port: number, strategy: object) =>
    document('MultiKeyListener', name, { host: '127.0.0.1', port, strategy });
  const priority = { priority: { routingKeys: ['a'] } };
  const weighted = { weighted: { routingKeys: { a: 1 } } };
  documents.apply(read(listener('l', 80), of('m', 81, priority)), 'local');
  assert.match(
    problemsOf(() => documents.apply(read(of('n', 80, priority)), 'local')),
    /MultiKeyListener "n": port 80 is already mapped for host "127\.0\.0\.1" by Listener "l"/,
  );
  assert.match(
    problemsOf(() => documents.apply(read(listener('k', 81)), 'local')),
    /Listener "k": port 81 is already mapped for host "127\.0\.0\.1" by MultiKeyListener "m"/,
  );
  assert.match(
    problemsOf(() => documents.apply(read(listener('k', 82), of('m', 81, weighted)), 'local')),
    /MultiKeyListener "m": strategy cannot be changed from priority to weighted \(test, document 1/,
  );
  assert.is(documents.get({ kind: 'Listener', name: 'k' }), undefined, 'nothing of it was applied');
  documents.apply(read(of('m', 81, { priority: { routingKeys: ['b', 'a'] } })), 'local');
  documents.delete([{ kind: 'MultiKeyListener', name: 'm' }], 'local');
  documents.apply(read(of('m', 81, weighted)), 'local');
});

test('there is one Site', () => {
  const { documents } = setup();
  const other = document('Site', 'a-second', {});
  assert.match(
    problemsOf(() => documents.apply(read(hubSite, other), 'local')),
    /an active site already exists/,
  );
  documents.apply(read(hubSite), 'local');
  assert.match(
    problemsOf(() => documents.apply(read(other), 'local')),
    /Site "a-second": an active site already exists \("hub"\)/,
  );
  documents.delete([{ kind: 'Site', name: 'hub' }], 'local');
  documents.apply(read(other), 'local');
});

test('edge sites accept no links, whichever of the two documents comes last', () => {
  const accepting = access('ra', [{ name: 'normal' }, { name: 'edge' }]);
  const refusal = /Edge sites cannot accept incoming links from remote sites \(RouterAccess "ra", role "edge"\)/;
  const first = setup().documents;
  first.apply(read(edgeSite), 'local');
  assert.match(
    problemsOf(() => first.apply(read(accepting), 'local')),
    refusal,
  );
  first.apply(read(access('local', [{ name: 'normal' }])), 'local');
  const second = setup().documents;
  second.apply(read(accepting), 'local');
  assert.match(
    problemsOf(() => second.apply(read(edgeSite), 'local')),
    /^Site "store1": Edge sites cannot/,
  );
  second.apply(read(hubSite), 'local');
});

test('a site is itself for life', () => {
  const { store, documents } = setup();
  const uid = '123e4567-e89b-42d3-a456-426614174000';
  const withUid = (id: string) => ({ ...hubSite, metadata: { name: 'hub', uid: id } });
  assert.is(documents.siteId, undefined);
  documents.apply(read(withUid(uid)), 'local');
  assert.is(documents.siteId, uid);
  const other = uid.replace('1', '9');
  assert.match(
    problemsOf(() => documents.apply(read(withUid(other)), 'local')),
    new RegExp(`is ${uid} for life`),
  );
  documents.delete([{ kind: 'Site', name: 'hub' }], 'local');
  documents.apply(read(edgeSite), 'local');
  assert.is(new Documents(store, Date.now).siteId, uid);
});

test('without a uid the first Site gets a random one', () => {
  const { documents } = setup();
  documents.apply(read(edgeSite), 'local');
  assert.match(documents.siteId ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
});

test('an origin overwrites and deletes its own documents only', () => {
  const { documents } = setup();
  documents.apply(read(listener('a')), 'fleet');
  const refusal = /Listener "a" is owned by the fleet controller \(origin "fleet"\)/;
  assert.match(
    problemsOf(() => documents.apply(read(listener('a', 81)), 'local')),
    refusal,
  );
  assert.match(
    problemsOf(() => documents.delete([{ kind: 'Listener', name: 'a' }], 'local')),
    refusal,
  );
  documents.apply(read(listener('a', 81)), 'fleet');
  documents.delete([{ kind: 'Listener', name: 'a' }], 'fleet');
});

test('a deletion names what is not there and then deletes nothing', () => {
  const { documents } = setup();
  documents.apply(read(listener('a'), secret()), 'local');
  const attempt = () =>
    documents.delete(
      [
        { kind: 'Listener', name: 'a' },
        { kind: 'Link', name: 'x' },
        { kind: 'Site', name: 'y' },
      ],
      'local',
    );
  assert.throws(attempt, /there is no Link "x", no Site "y"/);
  assert.is(documents.all().length, 2);
});

test('after any applies and deletions the database holds what the site believes', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const port = fc.integer({ min: 1, max: 4 });
  const step = fc.oneof(
    fc.array(fc.tuple(name, port), { minLength: 1, maxLength: 3 }).map((listeners) => ({ listeners })),
    name.map((gone) => ({ gone })),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const { store, documents } = setup();
      for (const each of steps) {
        const before = documents.all();
        try {
          if ('gone' in each) documents.delete([{ kind: 'Listener', name: each.gone }], 'local');
          else documents.apply(read(...each.listeners.map(([n, p]) => listener(n, p))), 'local');
        } catch {
          assert.equal(documents.all(), before);
        }
        const ports = documents.all().map(({ spec }) => (spec as { port: number }).port);
        assert.is(new Set(ports).size, ports.length, 'two listeners share a port');
        const stored = new Documents(store, Date.now).all();
        assert.equal(
          new Set(stored.map((d) => JSON.stringify(d))),
          new Set(documents.all().map((d) => JSON.stringify(d))),
        );
      }
      store.close();
    }),
    { numRuns: 30 },
  );
});

test('documents of a directory that was closed are there when it is opened again', () => {
  const directory = mkdtempSync(join(tmpdir(), 'documents-'));
  const store = newStore(directory);
  new Documents(store, Date.now).apply(read(edgeSite, secret()), 'local');
  store.close();
  const again = newStore(directory);
  assert.is(new Documents(again, Date.now).all().length, 2);
  again.close();
});

test.run();
