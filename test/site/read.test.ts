/** What is accepted as a document and what is refused, by name, with its place. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import { DocumentsError } from '../../src/site/problems.ts';
import { readDocuments, readReferences } from '../../src/site/read.ts';
import { readSources } from '../../src/site/sources.ts';
import { ca, certificate, foreignKey, key } from './credentials.ts';
import { access, connector, document, edgeSite, link, listener, problemsOf, read, secret } from './setup.ts';

const test = suite('read');

const refusal = (...documents: object[]) => problemsOf(() => read(...documents));
const refusalOf = (text: string) => problemsOf(() => readDocuments([{ name: 'site.yaml', text }]));
const base64 = (text: string) => Buffer.from(text).toString('base64');

test('many documents in YAML, in JSON, in a JSON array and in a List', () => {
  const two = [edgeSite, listener('a')];
  const texts = [
    two.map((each) => stringify(each)).join('---\n'),
    JSON.stringify(two, null, '\t'),
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: two }),
    `---\n---\n${stringify(two[0])}...\n---\n# nothing\n---\n${JSON.stringify(two[1])}\n`,
  ];
  for (const text of texts) {
    const names = readDocuments([{ name: 'x', text }]).map(({ kind, name }) => `${kind}/${name}`);
    assert.equal(names, ['Site/store1', 'Listener/a']);
  }
});

test('what Skupper and Kubernetes write beside the spec is no obstacle', () => {
  const [site] = readDocuments([
    {
      name: 'x',
      text: `apiVersion: skupper.io/v2alpha1
kind: Site
metadata:
  creationTimestamp: null
  name: west
  namespace: default
  uid: 123e4567-e89b-42d3-a456-426614174000
  resourceVersion: "7"
  generation: 3
  labels: {app: x}
  annotations: {note: y, skiff/origin: fleet}
  managedFields: [{manager: kubectl}]
spec: {}
status: {conditions: []}
`,
    },
  ]);
  assert.is(site.uid, '123e4567-e89b-42d3-a456-426614174000');
  assert.equal(site.labels, { app: 'x' });
  assert.equal(site.annotations, { note: 'y' });
});

test('a malformed document is named with its file, number and line', () => {
  assert.match(refusalOf('a: 1\n---\nb: [\n'), /^malformed document: .* \(site\.yaml, document 2, line [34]\)$/m);
  assert.match(refusalOf('kind: Site\nkind: Site\n'), /unique \(site\.yaml, document 1, line 2\)/);
  assert.match(refusalOf('just text'), /not a document but a text \(site\.yaml, document 1\)/);
  assert.match(refusalOf('- 1'), /not a document/);
  assert.match(refusalOf('{}'), /needs apiVersion and kind \(site\.yaml, document 1, line 1\)/);
  assert.match(refusalOf(''), /no document in it \(site\.yaml\)/);
  assert.match(refusalOf('a: &a [*a, *b]'), /malformed document/);
  assert.match(refusalOf('['.repeat(100_000)), /malformed document/);
});

test('an unknown kind, version or field is named', () => {
  assert.match(
    refusal({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }),
    /unknown kind "ConfigMap" "x"/,
  );
  assert.match(refusal({ ...listener('x'), apiVersion: 'skupper.io/v1' }), /unknown apiVersion "skupper.io\/v1"/);
  assert.match(refusal({ ...listener('x'), kind: 'constructor' }), /unknown kind "constructor"/);
  assert.match(refusal({ ...listener('x'), sepc: {} }), /Listener "x": sepc: unknown field/);
  assert.match(refusal({ ...listener('x'), metadata: { name: 'x', nmae: 'y' } }), /metadata\.nmae: unknown field/);
  const text =
    'apiVersion: skupper.io/v2alpha1\nkind: Link\nmetadata: {name: x}\nspec:\n  endpoints:\n  - name: edge\n    prot: 1\n';
  assert.match(refusalOf(text), /spec\.endpoints\[0\]\.prot: unknown field \(site\.yaml, document 1, line 7\)/);
});

test('kinds that do not act here yet, or never will, are refused as such', () => {
  assert.match(refusal(document('AccessToken', 'x', { url: 'http://x' })), /spec\.url: scheme must be https/);
  assert.match(refusal(document('AttachedConnector', 'x', {})), /cannot apply on a device: it needs Kubernetes/);
  assert.match(refusal({ ...document('Rollout', 'x', {}), apiVersion: 'skiff/v1alpha1' }), /not supported yet/);
});

test('fields that do not act here are refused, their zero values are not', () => {
  const common = { routingKey: 'a', host: 'localhost', port: 1 };
  const refused: [object, RegExp][] = [
    [document('Site', 'x', { ha: true }), /spec\.ha: is not supported yet/],
    [document('Site', 'x', { linkAccess: 'route' }), /"route" cannot apply on a device/],
    [document('Site', 'x', { settings: { 'router-logging': 'x' } }), /not supported: router-logging/],
    [document('Listener', 'x', { ...common, type: 'udp' }), /spec\.type: must be one of tcp/],
    [link('x', { settings: { proxy: 'p' } }), /spec\.settings: not supported: proxy \(/],
    [link('x', { settings: { 'idle-timeout': '1s' } }), /idle-timeout: must be a duration from 2s to 10m/],
    [access('x', [{ name: 'edge' }], { accessType: 'route' }), /spec\.accessType: cannot apply on a device/],
  ];
  for (const [bad, message] of refused) assert.match(refusal(bad), message);
  assert.is(
    refusal(document('Connector', 'x', { routingKey: 'a', port: 1, selector: 'app=x' })).split('\n').length,
    1,
    'a selector stands for the host',
  );
  read(
    document('Site', 'x', { ha: false, linkAccess: 'none', defaultIssuer: '', settings: {}, serviceAccount: null }),
    document('Listener', 'x', { ...common, type: 'tcp', observer: 'http2', exposePodsByName: false }),
    document('Connector', 'x', { ...common, selector: '', useClientCert: false }),
  );
});

test('names, hosts and ports follow the reload rule', () => {
  for (const name of ['A', 'a.b', '-a', 'a-', 'ä', 'a b', '']) {
    assert.match(refusal(document('Site', name, {})), /metadata\.name/, name);
  }
  for (const port of [0, -1, 65536, 1.5, '80', null]) {
    assert.match(refusal(document('Listener', 'x', { routingKey: 'a', host: 'a', port })), /spec\.port/, String(port));
  }
  for (const host of ['UPPER', 'a_b', 'a..b', '', 'http://a']) {
    assert.match(refusal(document('Listener', 'x', { routingKey: 'a', host, port: 1 })), /spec\.host/, host);
  }
  for (const host of ['0.0.0.0', '::1', 'a.b-c.d', 'localhost']) {
    read(document('Listener', 'x', { routingKey: 'a', host, port: 1 }));
  }
  assert.match(refusal(document('Listener', 'x', { host: 'a', port: 1 })), /spec\.routingKey: is required/);
});

test('a Link keeps its port as a text, however it was written', () => {
  const [number] = read(link('x', { endpoints: [{ name: 'edge', host: 'hub', port: 45671 }] }));
  assert.equal(number.spec.endpoints, [{ name: 'edge', host: 'hub', port: '45671' }]);
  assert.match(refusal(link('x', { endpoints: [{ name: 'edge', host: 'hub', port: '0' }] })), /endpoints\[0\]\.port/);
  assert.match(refusal(link('x', { endpoints: [{ name: 'edge', host: 'hub', port: 'x' }] })), /in quotes/);
});

test('the roles of a RouterAccess', () => {
  assert.match(refusal(access('x', [])), /spec\.roles: must not be empty/);
  assert.match(refusal(access('x', [{ name: 'other' }])), /must be one of inter-router, edge, normal/);
  assert.match(refusal(access('x', [{ name: 'edge' }, { name: 'edge', port: 1 }])), /given twice/);
  assert.match(refusal(access('x', [{ name: 'normal' }], { bindHost: '0.0.0.0' })), /loopback addresses only/);
  read(access('x', [{ name: 'normal' }], { bindHost: '0.0.0.0', tlsCredentials: 'c' }));
  read(access('x', [{ name: 'normal', port: 0 }], { bindHost: '127.0.0.2' }));
});

test('the strategy of a MultiKeyListener', () => {
  const of = (strategy: unknown) => document('MultiKeyListener', 'x', { host: 'localhost', port: 1, strategy });
  const many = Array.from({ length: 257 }, (_, index) => `key-${index}`);
  const refused: [unknown, RegExp][] = [
    [undefined, /spec\.strategy: is required/],
    [{}, /either strategy\.priority or strategy\.weighted is required/],
    [{ priority: { routingKeys: ['a'] }, weighted: { routingKeys: { a: 1 } } }, /only one of/],
    [{ priority: {} }, /priority\.routingKeys: is required/],
    [{ priority: { routingKeys: [] } }, /priority\.routingKeys: must not be empty/],
    [{ priority: { routingKeys: ['a', ''] } }, /priority\.routingKeys: a routing key must not be empty/],
    [{ priority: { routingKeys: ['a', 'b', 'a'] } }, /priority\.routingKeys: "a" is given twice/],
    [{ priority: { routingKeys: many } }, /priority\.routingKeys: must have at most 256 routing keys, not 257/],
    [{ priority: { routingKeys: { a: 1 } } }, /priority\.routingKeys: must be a list/],
    [{ priority: { routingKeys: ['a', 1] } }, /priority\.routingKeys\[1\]: must be a text/],
    [{ weighted: { routingKeys: {} } }, /weighted\.routingKeys: must not be empty/],
    [{ weighted: { routingKeys: { '': 1 } } }, /weighted\.routingKeys: a routing key must not be empty/],
    [{ weighted: { routingKeys: { a: 0 } } }, /weighted\.routingKeys: the weight of "a" must be positive/],
    [{ weighted: { routingKeys: { a: 1, b: -1 } } }, /the weight of "b" must be positive/],
    [{ weighted: { routingKeys: { a: 1.5 } } }, /weighted\.routingKeys: must be a map of whole numbers/],
    [{ weighted: { routingKeys: ['a'] } }, /weighted\.routingKeys: must be a map of whole numbers/],
    [{ weighted: { routingKeys: Object.fromEntries(many.map((key) => [key, 1])) } }, /at most 256/],
    [{ balanced: { routingKeys: ['a'] } }, /spec\.strategy\.balanced: unknown field/],
  ];
  for (const [strategy, message] of refused) assert.match(refusal(of(strategy)), message);
  read(of({ priority: { routingKeys: many.slice(1) } }));
  const [weighted] = read(of({ weighted: { routingKeys: { a: 1, b: 2 } }, priority: null }));
  assert.equal(weighted.spec.strategy, { weighted: { routingKeys: { a: 1, b: 2 } } });
  const common = {
    host: 'localhost',
    port: 1,
    strategy: { priority: { routingKeys: ['a'] } },
    requireClientCert: true,
  };
  assert.match(refusal(document('MultiKeyListener', 'x', common)), /spec\.requireClientCert: needs tlsCredentials/);
  read(document('MultiKeyListener', 'x', { ...common, tlsCredentials: 'c' }));
});

test('the settings of a Connector', () => {
  const of = (settings: object) => document('Connector', 'x', { routingKey: 'a', host: 'a', port: 1, settings });
  const refused: [object, RegExp][] = [
    [{ 'health-chek': 'tcp' }, /spec\.settings: not supported: health-chek/],
    [{ 'health-check': 'udp' }, /health-check: must be one of tcp, http/],
    [{ 'health-check-interval': '5s' }, /health-check-interval: needs health-check/],
    [{ 'health-check': 'tcp', 'health-check-interval': '5' }, /must be a duration from 100ms to 1h/],
    [{ 'health-check': 'tcp', 'health-check-timeout': '6m' }, /must be a duration from 100ms to 5m/],
    [{ 'health-check': 'tcp', 'health-check-failures': '0' }, /must be a number from 1 to 999/],
    [{ 'health-check': 'tcp', 'health-check-path': '/x' }, /health-check-path: is for health-check: http/],
    [{ 'health-check': 'http', 'health-check-path': '/a b' }, /must begin with \/ and have no spaces/],
    [{ 'health-check': 'http', 'health-check-path': '/\r\nX: y' }, /must begin with \/ and have no spaces/],
  ];
  for (const [settings, message] of refused) assert.match(refusal(of(settings)), message);
  read(
    of({}),
    document('Connector', 'y', { routingKey: 'a', host: 'a', port: 1, settings: { 'health-check': 'tcp' } }),
  );
  read(of({ 'health-check': 'http', 'health-check-path': '/health', 'health-check-interval': '1m30s' }));
});

test('a Secret must hold credentials that fit together', () => {
  const of = (data: object) => refusal(secret('x', data));
  const all = { 'ca.crt': ca, 'tls.crt': certificate, 'tls.key': key };
  const [read1] = read(secret());
  assert.is((read1.spec.data as Record<string, string>)['tls.key'], base64(key));
  assert.match(of({ 'ca.crt': ca }), /data\.tls\.crt: is required[\s\S]*data\.tls\.key: is required/);
  assert.match(of({ ...all, 'tls.key': foreignKey }), /data\.tls\.key: does not belong to the certificate/);
  assert.match(of({ ...all, 'tls.key': 'x' }), /data\.tls\.key: is no private key/);
  assert.match(of({ ...all, 'ca.crt': 'x' }), /data\.ca\.crt: holds no certificate/);
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  assert.match(of({ ...all, 'tls.crt': broken }), /data\.tls\.crt: holds a certificate that cannot be read/);
  const { stringData, ...plain } = secret('x');
  assert.match(refusal({ ...plain, data: { 'ca.crt': '%' } }), /data\.ca\.crt: is not base64/);
  assert.match(refusal({ ...plain, data: { 'tls.key': '<redacted>' } }), /--show-secrets/);
  read({ ...secret('x', { ...all, 'connect.json': '{}' }), type: undefined });
  read({ ...secret('x', { 'ca.crt': ca }), type: 'Opaque' });
  read({
    ...plain,
    data: { 'ca.crt': base64(ca), 'tls.crt': base64(certificate), 'tls.key': base64(key).replace(/.{70}/g, '$&\n') },
  });
});

test('a Secret may hold the way to a proxy', () => {
  const of = (data: object, type?: string) => refusal({ ...secret('x', data), type });
  read({ ...secret('x', { host: 'proxy.example', port: '3128' }), type: 'Opaque' });
  read({ ...secret('x', { host: '10.0.0.1', port: '3128', username: 'a', password: 'b' }), type: undefined });
  assert.match(of({ host: 'a b', port: '1' }), /data\.host: must be a host name or an IP address/);
  assert.match(of({ port: '1' }), /data\.host: must be a host name/);
  assert.match(of({ host: 'a', port: '0' }), /data\.port: must be a number from 1 to 65535/);
  assert.match(of({ host: 'a', port: '1', username: 'a:b', password: 'c' }), /data\.username: must not have a colon/);
  assert.match(of({ host: 'a', port: '1', password: 'c' }), /data\.username: is required/);
  assert.match(of({ host: 'a', port: '1' }, 'kubernetes.io/tls'), /data\.ca\.crt: is required/);
});

test('one document may come once', () => {
  assert.match(
    refusal(listener('a'), connector('a'), listener('a')),
    /Listener "a" is given twice \(test, document 1, line 1 and /,
  );
});

test('everything wrong is said at once, and deleting asks for names only', () => {
  assert.is(refusal(document('Listener', 'x', { port: 0 }), { kind: 'X', apiVersion: 'y' }).split('\n').length, 4);
  const text = JSON.stringify([document('Listener', 'x', { nonsense: 1 })]);
  assert.equal(readReferences([{ name: 'x', text }]), [{ kind: 'Listener', name: 'x' }]);
});

test('a directory gives its documents, folders included', () => {
  const directory = mkdtempSync(join(tmpdir(), 'read-'));
  mkdirSync(join(directory, 'b'));
  mkdirSync(join(directory, '..data'));
  writeFileSync(join(directory, '..data', 'hidden.yaml'), 'x');
  writeFileSync(join(directory, 'b', 'two.json'), '2');
  writeFileSync(join(directory, 'a.yml'), '1');
  writeFileSync(join(directory, 'c.yaml'), '3');
  writeFileSync(join(directory, 'notes.txt'), 'x');
  assert.is(
    readSources(directory)
      .map(({ text }) => text)
      .join(''),
    '123',
  );
  assert.throws(() => readSources(join(directory, 'none')), /no such file or directory/);
  assert.throws(() => readSources(mkdtempSync(join(tmpdir(), 'read-'))), /no \.yaml, \.yml or \.json file/);
});

test('whatever comes in, it is read or refused in words', () => {
  const field = fc.constantFrom('apiVersion', 'kind', 'metadata', 'name', 'spec', 'roles', 'endpoints', 'data', 'uid');
  const value = fc.constantFrom(
    'Site',
    'Link',
    'Secret',
    'RouterAccess',
    'v1',
    'skupper.io/v2alpha1',
    'a',
    1,
    null,
    '__proto__',
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ depthSize: 'small' }, value, fc.array(tie('tree')), fc.dictionary(field, tie('tree'))),
  }));
  const near = fc.record({
    apiVersion: fc.constant('skupper.io/v2alpha1'),
    kind: fc.constantFrom('Site', 'Link', 'RouterAccess', 'Listener', 'Connector'),
    metadata: fc.record({ name: fc.constant('x') }),
    spec: fc.dictionary(fc.constantFrom('roles', 'endpoints', 'host', 'port', 'settings', 'edge', 'cost'), tree),
  });
  const text = fc.oneof(
    fc.oneof(tree, near).map((each) => JSON.stringify(each)),
    fc.string(),
  );
  fc.assert(
    fc.property(text, (text) => {
      try {
        readDocuments([{ name: 'x', text }]);
      } catch (error) {
        assert.instance(error, DocumentsError);
      }
    }),
    { numRuns: 500 },
  );
});

test.run();
