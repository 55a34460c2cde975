/** What Skupper's own command line and grant server print is taken as it is; the fixtures' README says what made it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { makePlan } from '../../src/site/plan.ts';
import { type ReadDocument, readDocuments } from '../../src/site/read.ts';
import type { Resource } from '../../src/site/resources.ts';

const test = suite('documents of Skupper');

function read(name: string): ReadDocument[] {
  const text = readFileSync(join(import.meta.dirname, '../fixtures/skupper', name), 'utf8');
  return readDocuments([{ name, text }]);
}

function only(name: string) {
  const [{ kind, name: called, spec, uid }, ...others] = read(name);
  assert.equal(others, []);
  return { kind, name: called, spec, ...(uid ? { uid } : {}) };
}

test('sites, as generated and as they stand in the records of a running one', () => {
  assert.equal(only('site.yaml'), { kind: 'Site', name: 'west', spec: { linkAccess: 'default' } });
  assert.equal(only('running-site.yaml'), {
    kind: 'Site',
    name: 'west',
    spec: { linkAccess: 'default' },
    uid: '77ea7e48-06b1-4dd7-a1b3-3658630df860',
  });
});

test('listeners, connectors and accesses', () => {
  const common = { routingKey: 'be', host: '127.0.0.1', type: 'tcp' };
  const spec = { ...common, port: 18_080, tlsCredentials: 'be-tls' };
  assert.equal(only('listener.yaml'), { kind: 'Listener', name: 'backend', spec });
  assert.equal(only('connector.yaml'), { kind: 'Connector', name: 'backend', spec: { ...common, port: 18_081 } });
  assert.equal(only('connector.json'), {
    kind: 'Connector',
    name: 'backend',
    spec: { routingKey: 'backend', host: 'localhost', port: 18_081, type: 'tcp' },
  });
  const roles = [
    { name: 'edge', port: 45_999 },
    { name: 'inter-router', port: 45_998 },
  ];
  assert.equal(only('router-access.yaml'), {
    kind: 'RouterAccess',
    name: 'uplinks',
    spec: { bindHost: '127.0.0.1', roles },
  });
});

for (const [file, name, port] of [
  ['link.yaml', 'link-uplinks', 45_999],
  ['grant-answer.yaml', 'thegrant', 45_994],
] as const) {
  test(`${file}: a certificate and a link that an edge can run`, () => {
    const documents = read(file);
    assert.equal(
      documents.map(({ kind, name: called }) => `${kind} ${called}`),
      [`Secret ${name}`, `Link ${name}`],
    );
    const site = { kind: 'Site', name: 'store', spec: { edge: true } };
    const resources = [site, ...documents] as unknown as Resource[];
    const issued = { previous: () => undefined, get: () => undefined, problem: () => undefined };
    const { parts, problems } = makePlan(resources, '0c5dbb4e-0000-4000-8000-000000000000', '1.0.0', issued);
    assert.equal([...problems], []);
    const [part] = parts.values();
    assert.ok(part?.kind === 'link');
    assert.equal(part.endpoints, [{ host: '127.0.0.1', port }]);
    assert.match(part.tls?.key ?? '', /BEGIN RSA PRIVATE KEY/);
  });
}

test.run();
