/** Certificates that a site issues to itself: when, for whom, from which CA, and that they are kept. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AccessConfig, TlsMaterial } from '../../src/router/protocol.ts';
import type { Status } from '../../src/site/conditions.ts';
import type { Kind } from '../../src/site/resources.ts';
import { Site } from '../../src/site/site.ts';
import type { Store } from '../../src/store/store.ts';
import { makeCa } from '../support/certificates.ts';
import { verdict } from '../support/openssl.ts';
import { ca, certificate, key } from './credentials.ts';
import { FakeRouter } from './fake-router.ts';
import { access, document, edgeSite, hubSite, newStore, problemsOf, read, secret } from './setup.ts';

const test = suite('issuing');
const hidden = { showSecrets: false };
const hosts = ['10.0.0.5', 'fd00::5', 'hub.example'];
const uplinks = access('uplinks', [{ name: 'edge' }]);
const yearMs = 365 * 24 * 60 * 60 * 1_000;

interface Options {
  store?: Store;
  now?: number;
}

async function running(documents: object[], { store = newStore(), now = Date.now() }: Options = {}) {
  const router = new FakeRouter();
  const clock = { now };
  const site = new Site({
    store,
    version: '1',
    startRouter: router.start,
    now: () => clock.now,
    hosts: () => hosts,
    onFailure: (error) => {
      throw error;
    },
  });
  if (documents.length) site.documents.apply(read(...documents), 'local');
  await site.start();
  /** What the router was last given for an access. */
  const shown = (name: string): TlsMaterial => {
    const configs = router.applies.flatMap(({ put }) => put).filter((part): part is AccessConfig => part.name === name);
    const tls = configs.at(-1)?.tls;
    if (!tls) throw new Error(`no TLS for ${name}`);
    return tls;
  };
  const status = (kind: Kind, name: string) => site.get({ kind, name }, hidden)?.status as Status;
  return { site, router, clock, store, shown, status };
}

function parsed({ certificate: pem = '' }: { certificate?: string }): X509Certificate {
  return new X509Certificate(pem);
}

test('services without a Secret get certificates from the CA of services', async () => {
  const at = { host: 'localhost', port: 81 };
  const strategy = { priority: { routingKeys: ['a'] } };
  const { router } = await running([
    edgeSite,
    document('Listener', 'a', { ...at, routingKey: 'a', tlsCredentials: 'listener' }),
    document('MultiKeyListener', 'm', { ...at, port: 82, strategy, tlsCredentials: 'several' }),
  ]);
  for (const name of ['a', 'm']) {
    const [part] = router.applies.flatMap(({ put }) => put).filter((each) => each.name === name);
    const own = parsed(('tls' in part && part.tls) || {});
    assert.is(own.issuer, 'CN=skupper-service-ca');
    assert.ok(own.checkHost('localhost'));
  }
});

test('an access without a Secret gets its certificate from the site CA, for all hosts of the machine', async () => {
  const { shown, site, status } = await running([hubSite, uplinks]);
  const tls = shown('uplinks-edge');
  const own = parsed(tls);
  assert.is(own.subject, 'CN=uplinks');
  assert.is(own.issuer, 'CN=skupper-site-ca');
  assert.is(
    own.subjectAltName,
    'DNS:10.0.0.5, DNS:fd00::5, DNS:hub.example, IP Address:10.0.0.5, IP Address:FD00:0:0:0:0:0:0:5',
  );
  assert.ok(own.checkPrivateKey(createPrivateKey(tls.key ?? '')));
  assert.match(tls.key ?? '', /^-----BEGIN RSA PRIVATE KEY-----/);
  assert.is(verdict(tls.certificate ?? '', tls.ca, 'sslserver'), 'OK');
  assert.equal(
    site.list('Certificate', hidden).map(({ metadata, spec }) => [metadata.name, spec]),
    [
      ['uplinks', { ca: 'skupper-site-ca', subject: 'uplinks', hosts, server: true }],
      ['client-uplinks', { ca: 'skupper-site-ca', subject: 'client-uplinks', client: true }],
      ['skupper-site-ca', { subject: 'skupper-site-ca', signing: true }],
    ],
  );
  for (const name of ['uplinks', 'client-uplinks', 'skupper-site-ca']) {
    assert.is(status('Certificate', name).message, 'OK', name);
    assert.is(status('Certificate', name).daysLeft, 5 * 365 - 1, name);
  }
  const { expiration } = status('Certificate', 'uplinks');
  assert.is(Date.parse(expiration as string), own.validToDate.getTime());
  assert.equal(status('RouterAccess', 'uplinks').certificate, { expiration, daysLeft: 5 * 365 - 1 });
  assert.equal(site.export(hidden).length, 2, 'what follows from documents is none');
});

test('names of the access take the place of those of the machine', async () => {
  const spec = {
    subjectAlternativeNames: ['hub.acme.test', '192.0.2.7'],
    bindHost: '127.0.0.1',
    tlsCredentials: 'mine',
  };
  const { shown, site } = await running([hubSite, access('ra', [{ name: 'edge' }], spec)]);
  const own = parsed(shown('ra-edge'));
  assert.is(own.subject, 'CN=ra');
  const names = 'DNS:127.0.0.1, DNS:hub.acme.test, DNS:192.0.2.7, IP Address:127.0.0.1, IP Address:192.0.2.7';
  assert.is(own.subjectAltName, names);
  assert.ok(site.get({ kind: 'Certificate', name: 'client-mine' }, hidden));
});

test('what was issued is kept over a restart; the same CA issues what is added', async () => {
  const first = await running([hubSite, uplinks]);
  const before = first.shown('uplinks-edge');
  const second = await running([access('more', [{ name: 'inter-router' }])], { store: first.store });
  assert.equal(second.shown('uplinks-edge'), before);
  assert.is(second.shown('more-inter-router').ca, before.ca);
  assert.is(verdict(second.shown('more-inter-router').certificate ?? '', before.ca), 'OK');
});

test('it is issued anew when the document asks for more, and before it expires', async () => {
  const { site, shown, store, clock } = await running([hubSite, uplinks]);
  const first = shown('uplinks-edge');
  const named = (names: string[]) => access('uplinks', [{ name: 'edge' }], { subjectAlternativeNames: names });
  await site.apply(read(named(['hub.example'])), 'local');
  assert.is(shown('uplinks-edge').certificate, first.certificate, 'it names that host already');
  await site.apply(read(named(['other.example'])), 'local');
  const second = shown('uplinks-edge');
  assert.is(parsed(second).subjectAltName, 'DNS:other.example');
  const later = await running([], { store, now: clock.now + 3 * yearMs });
  assert.is(later.shown('uplinks-edge').certificate, second.certificate);
  const muchLater = await running([], { store, now: clock.now + 3.5 * yearMs });
  const third = parsed(muchLater.shown('uplinks-edge'));
  assert.is.not(third.serialNumber, parsed(second).serialNumber);
  assert.is(third.validToDate.getTime(), Math.floor((clock.now + 8.5 * yearMs) / 1000) * 1000);
});

test('what a user supplies wins: a certificate, and a CA', async () => {
  const { shown, site } = await running([hubSite, secret('uplinks'), uplinks]);
  assert.equal(shown('uplinks-edge'), { ca, certificate, key });
  assert.equal(
    site.list('Certificate', hidden).map(({ metadata }) => metadata.name),
    ['client-uplinks', 'skupper-site-ca'],
  );
  await site.delete([{ kind: 'Secret', name: 'uplinks' }], 'local');
  assert.is(parsed(shown('uplinks-edge')).issuer, 'CN=skupper-site-ca');

  const theirs = makeCa('their CA');
  const supplied = secret('skupper-site-ca', {
    'ca.crt': theirs.certificate,
    'tls.crt': theirs.certificate,
    'tls.key': theirs.key,
  });
  await site.apply(read(supplied), 'local');
  assert.is(shown('uplinks-edge').ca, theirs.certificate);
  assert.is(verdict(shown('uplinks-edge').certificate ?? '', theirs.certificate, 'sslserver'), 'OK');
});

test('what runs with a Secret that is taken away goes on with it, until it has a certificate of its own', async () => {
  const { site, router, shown, status } = await running([
    hubSite,
    access('uplinks', [{ name: 'edge' }], { tlsCredentials: 'mine' }),
    document('Listener', 'a', { host: 'localhost', port: 81, routingKey: 'a', tlsCredentials: 'mine' }),
    secret('mine'),
  ]);
  assert.is(shown('uplinks-edge').certificate, certificate);
  const seen = new Set<string>();
  site.subscribe((event) => {
    if (event.event === 'status' && event.kind !== 'Certificate') seen.add(event.message);
  });
  await site.delete([{ kind: 'Secret', name: 'mine' }], 'local');
  for (const name of ['uplinks-edge', 'a']) assert.is.not(shown(name).certificate, certificate, name);
  assert.equal(
    router.applies.flatMap(({ remove }) => remove),
    [],
    'nothing was closed',
  );
  assert.not.ok(
    [...seen].some((message) => /being issued/.test(message)),
    [...seen].join(),
  );
  const { certificate: shownTo } = status('Listener', 'a') as Status & { certificate?: { daysLeft?: number } };
  assert.ok((shownTo?.daysLeft ?? 0) > 300, 'the status of a service says how long its certificate is good');
});

test('issuers by name: of an access, of the site, of a local port', async () => {
  const { shown, status, site } = await running([
    document('Site', 'hub', { defaultIssuer: 'acme-ca' }),
    uplinks,
    access('other', [{ name: 'edge', port: 0 }], { issuer: 'other-ca' }),
    access('local', [{ name: 'normal' }], { tlsCredentials: 'local-server' }),
    document('Certificate', 'mine', { ca: 'acme-ca', subject: 'me', hosts: ['me.example'], client: true }),
  ]);
  assert.is(parsed(shown('uplinks-edge')).issuer, 'CN=acme-ca');
  assert.is(parsed(shown('other-edge')).issuer, 'CN=other-ca');
  assert.is(parsed(shown('local-normal')).issuer, 'CN=skupper-local-ca');
  assert.match(parsed(shown('local-normal')).subjectAltName ?? '', /DNS:127.0.0.1, DNS:localhost/);
  assert.is(status('Site', 'hub').defaultIssuer, 'acme-ca');
  assert.is(status('Certificate', 'mine').status, 'Ready');
  const names = site.list('Certificate', hidden).map(({ metadata }) => metadata.name);
  assert.equal(names.filter((name) => name.endsWith('-ca')).sort(), ['acme-ca', 'other-ca', 'skupper-local-ca']);
});

test('a CA that cannot issue is an error of what needs it, and heals', async () => {
  const { site, status, shown } = await running([hubSite, secret('skupper-site-ca'), uplinks]);
  assert.is(status('RouterAccess', 'uplinks').status, 'Error');
  assert.match(
    status('RouterAccess', 'uplinks').message,
    /cannot issue certificates: its certificate is not that of a CA/,
  );
  assert.is(status('Certificate', 'uplinks').status, 'Error');
  await site.delete([{ kind: 'Secret', name: 'skupper-site-ca' }], 'local');
  assert.is(parsed(shown('uplinks-edge')).issuer, 'CN=skupper-site-ca');
  assert.is(status('Certificate', 'uplinks').status, 'Ready');
});

test('linkAccess: default makes the RouterAccess that Skupper makes', async () => {
  const { site, shown, router, status } = await running([document('Site', 'hub', { linkAccess: 'default' })]);
  const made = site.get({ kind: 'RouterAccess', name: 'hub' }, hidden);
  assert.equal(made?.spec, {
    roles: [
      { name: 'inter-router', port: 55671 },
      { name: 'edge', port: 45671 },
    ],
    tlsCredentials: 'hub',
    subjectAlternativeNames: [...hosts, '0.0.0.0', '::'],
  });
  assert.match(parsed(shown('hub-edge')).subjectAltName ?? '', /^DNS:10.0.0.5, .*DNS:0.0.0.0, DNS:::, IP Address/);
  const resolved = () => status('Site', 'hub').conditions.find(({ type }) => type === 'Resolved')?.status;
  assert.is(resolved(), 'False');
  assert.is(status('Site', 'hub').status, 'Pending');
  router.say({
    kind: 'access',
    name: 'hub-edge',
    status: 'listening',
    port: 45671,
    error: null,
    peers: [],
    refusals: [],
  });
  assert.is(resolved(), 'True');
  assert.is(status('Site', 'hub').status, 'Ready');
  assert.equal(status('RouterAccess', 'hub').endpoints, [
    { name: 'edge', host: '10.0.0.5', port: '45671', group: 'hub' },
  ]);

  await site.apply(read(document('Site', 'hub', {})), 'local');
  assert.is(site.get({ kind: 'RouterAccess', name: 'hub' }, hidden), undefined);
  assert.is(resolved(), undefined);
  assert.equal(
    router.applies.at(-1)?.remove.map(({ name }) => name),
    ['hub-inter-router', 'hub-edge'],
  );
});

test('linkAccess is refused for an edge, and beside an access that has its port', async () => {
  const { site } = await running([uplinks, hubSite]);
  const attempt = (name: string, spec: object) =>
    problemsOf(() => site.documents.apply(read(document('Site', name, spec)), 'local'));
  assert.match(attempt('hub', { linkAccess: 'default' }), /port 45671 is already mapped/);
  const edge = await running([edgeSite]);
  const both = read(document('Site', 'store1', { edge: true, linkAccess: 'default' }));
  assert.match(
    problemsOf(() => edge.site.documents.apply(both, 'local')),
    /Edge sites cannot accept incoming links/,
  );
});

test.run();
