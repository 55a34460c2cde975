/** A running site before a router that the test plays: what is asked of it, and what is said of it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AccessState, LinkState, ListenerState } from '../../src/router/protocol.ts';
import type { FlowRecord } from '../../src/router/records/encoding.ts';
import type { Status } from '../../src/site/conditions.ts';
import type { Kind } from '../../src/site/resources.ts';
import { Site, type SiteEvent } from '../../src/site/site.ts';
import { ca, certificate, key } from './credentials.ts';
import { FakeRouter } from './fake-router.ts';
import {
  access,
  connector,
  document,
  edgeSite,
  hubSite,
  link,
  listener,
  NO_FACTS,
  newStore,
  read,
  secret,
} from './setup.ts';

const test = suite('site');
const hidden = { showSecrets: false };
const tls = { ca, certificate, key };

async function running(...documents: object[]) {
  const router = new FakeRouter();
  const failures: Error[] = [];
  const clock = { now: Date.UTC(2026, 0, 1) };
  const store = newStore();
  const site = new Site({
    store,
    version: '1.2.3',
    startRouter: router.start,
    now: () => clock.now,
    onFailure: (error) => failures.push(error),
  });
  if (documents.length) site.documents.apply(read(...documents), 'local');
  await site.start();
  const status = (kind: Exclude<Kind, 'Secret'>, name: string) => site.get({ kind, name }, hidden)?.status as Status;
  const brief = (...at: Parameters<typeof status>) => {
    const { status: word, message } = status(...at);
    return `${word}: ${message}`;
  };
  return { site, router, failures, clock, store, status, brief };
}

function listenerState(name: string, change: Partial<ListenerState> = {}): ListenerState {
  const state = { status: 'open', port: 8080, matched: true, error: null } as const;
  return { kind: 'listener', name, ...state, connectionsOpen: 0, connectionsTotal: 0, ...change };
}

function linkState(name: string, change: Partial<LinkState>): LinkState {
  const state = {
    since: 0,
    endpoint: null,
    peer: null,
    error: null,
    attempts: 0,
    nextAttemptAt: null,
    certificate: null,
    facts: NO_FACTS,
  };
  return { kind: 'link', name, status: 'connecting', ...state, ...change };
}

function accessState(name: string, change: Partial<AccessState> = {}): AccessState {
  return { kind: 'access', name, status: 'listening', port: 45671, error: null, peers: [], refusals: [], ...change };
}

test('the router is told who it is and what to run', async () => {
  const { site, router } = await running(edgeSite, secret(), link('up'), listener('a'), connector('b'));
  const [identity] = router.identities;
  const { id } = site.facts;
  assert.equal(identity, {
    id: `store1-${id?.slice(0, 8)}`,
    mode: 'edge',
    siteId: id,
    siteName: 'store1',
    version: '1.2.3',
  });
  const [{ put, remove }] = router.applies;
  assert.equal(remove, []);
  assert.equal(
    put.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    [
      { kind: 'listener', name: 'a', routingKey: 'a', host: '127.0.0.1', port: 8080 },
      { kind: 'connector', name: 'b', routingKey: 'b', host: 'localhost', port: 5432 },
      { kind: 'link', name: 'up', role: 'edge', endpoints: [{ host: 'hub.example', port: 45671 }], cost: 1, tls },
    ],
  );
});

test('only the difference is sent, and nothing where nothing changed', async () => {
  const { site, router } = await running(edgeSite, listener('a', 80), listener('b', 81));
  await site.apply(read(listener('a', 80), listener('c', 82)), 'local');
  await site.apply(read(listener('b', 83)), 'local');
  await site.apply(read(listener('b', 83)), 'local');
  await site.delete([{ kind: 'Listener', name: 'a' }], 'local');
  const sent = router.applies.slice(1).map(({ put, remove }) => [put.map(({ name }) => name), remove]);
  assert.equal(sent, [
    [['c'], []],
    [['b'], []],
    [[], [{ kind: 'listener', name: 'a' }]],
  ]);
  assert.is(router.identities.length, 1);
});

test('every role of a RouterAccess is an access of its own', async () => {
  const roles = [{ name: 'inter-router' }, { name: 'edge', port: 0 }, { name: 'normal' }];
  const { router } = await running(hubSite, secret('ra'), access('ra', roles));
  assert.equal(router.applies[0].put, [
    { kind: 'access', name: 'ra-inter-router', role: 'inter-router', host: '', port: 55671, tls },
    { kind: 'access', name: 'ra-edge', role: 'edge', host: '', port: 0, tls },
    { kind: 'access', name: 'ra-normal', role: 'normal', host: '127.0.0.1', port: 5671, tls: null },
  ]);
});

test('a listener is ready when it is open and matched', async () => {
  const { router, brief, status, clock } = await running(edgeSite, listener('a'));
  assert.is(brief('Listener', 'a'), 'Pending: Pending');
  router.say(listenerState('a', { status: 'closed', port: null, matched: false }));
  assert.is(brief('Listener', 'a'), 'Pending: No matching connectors');
  assert.is(status('Listener', 'a').hasMatchingConnector, false);
  clock.now += 60_000;
  router.say(listenerState('a'));
  assert.is(brief('Listener', 'a'), 'Ready: OK');
  assert.is(status('Listener', 'a').hasMatchingConnector, true);
  const times = status('Listener', 'a').conditions.map(({ type, lastTransitionTime }) => [type, lastTransitionTime]);
  assert.equal(times, [
    ['Configured', '2026-01-01T00:00:00Z'],
    ['Matched', '2026-01-01T00:01:00Z'],
    ['Ready', '2026-01-01T00:01:00Z'],
  ]);
  router.say(
    listenerState('a', {
      status: 'failed',
      error: { code: 'port-taken', message: '127.0.0.1:8080: taken', hint: 'x' },
    }),
  );
  assert.is(brief('Listener', 'a'), 'Error: 127.0.0.1:8080: taken');
});

test('a MultiKeyListener is ready while any of its keys is reachable, and tells which', async () => {
  const of = (name: string, port: number, strategy: object) =>
    document('MultiKeyListener', name, { host: '127.0.0.1', port, strategy });
  const { router, brief, status } = await running(
    edgeSite,
    of('a', 80, { priority: { routingKeys: ['x', 'y'] } }),
    of('b', 81, { weighted: { routingKeys: { x: 3, y: 1 } } }),
  );
  assert.equal(
    router.applies[0].put.map((part) => (part.kind === 'multiKeyListener' ? part.strategy : part)),
    [{ priority: ['x', 'y'] }, { weighted: { x: 3, y: 1 } }],
  );
  const say = (reachable: string[]) =>
    router.say(
      ...['a', 'b'].map((name) => ({
        ...listenerState(name, { matched: reachable.length > 0 }),
        kind: 'multiKeyListener' as const,
        reachable,
      })),
    );
  say([]);
  assert.is(brief('MultiKeyListener', 'a'), 'Pending: No matching connectors');
  assert.is(status('MultiKeyListener', 'a').hasDestination, false);
  assert.equal(status('MultiKeyListener', 'a').strategy, { priority: { routingKeysReachable: [] } });
  say(['y']);
  for (const name of ['a', 'b']) assert.is(brief('MultiKeyListener', name), 'Ready: OK');
  assert.is(status('MultiKeyListener', 'a').hasDestination, true);
  assert.equal(status('MultiKeyListener', 'a').strategy, { priority: { routingKeysReachable: ['y'] } });
  assert.equal(status('MultiKeyListener', 'b').strategy, { weighted: { routingKeysReachable: { y: 1 } } });
});

/** What a hub named `hub` tells of itself. */
const hubRecords: FlowRecord[] = [
  { type: 'SITE', identity: 'hub-site', name: 'hub', platform: 'linux', version: '2.0' },
  { type: 'ROUTER', identity: 'aaaaa:0', parent: 'hub-site', name: '0/hub-router' },
  { type: 'ROUTER_ACCESS', identity: 'aaaaa:1', parent: 'aaaaa:0', name: 'edges', role: 'edge' },
];
const listensTo = (address: string): FlowRecord => ({
  ...{ type: 'LISTENER', identity: 'aaaaa:2', parent: 'aaaaa:0', name: 'listener/a', address },
});

test('a connector is ready when somebody listens to its routing key, wherever that is', async () => {
  const { router, brief, status } = await running(edgeSite, connector('a'));
  router.say({ kind: 'connector', name: 'a', connectionsOpen: 1, connectionsTotal: 2, error: null });
  assert.is(brief('Connector', 'a'), 'Pending: No matching listeners');
  assert.is(status('Connector', 'a').hasMatchingListener, false);
  router.send({ type: 'network', put: [{ source: 'aaaaa:0', records: [...hubRecords, listensTo('b')] }], remove: [] });
  assert.is(brief('Connector', 'a'), 'Pending: No matching listeners');
  router.send({ type: 'network', put: [{ source: 'aaaaa:0', records: [...hubRecords, listensTo('a')] }], remove: [] });
  assert.is(brief('Connector', 'a'), 'Ready: OK');
  assert.is(status('Connector', 'a').hasMatchingListener, true);
  const error = { code: 'connection-refused', message: 'localhost:5432: nobody there' };
  router.say({ kind: 'connector', name: 'a', connectionsOpen: 0, connectionsTotal: 2, error });
  assert.is(brief('Connector', 'a'), 'Ready: localhost:5432: nobody there [connection-refused]');
  router.send({ type: 'network', put: [], remove: ['aaaaa:0'] });
  assert.is(brief('Connector', 'a'), 'Pending: No matching listeners');
});

test('the site shows the network, and another router starts with none', async () => {
  const { site, router, status } = await running(edgeSite);
  assert.is(status('Site', 'store1').sitesInNetwork, 0);
  router.send({ type: 'network', put: [{ source: 'aaaaa:0', records: [...hubRecords, listensTo('a')] }], remove: [] });
  assert.is(status('Site', 'store1').sitesInNetwork, 1);
  const services = [{ routingKey: 'a', listeners: ['listener/a'] }];
  assert.equal(status('Site', 'store1').network, [
    { id: 'hub-site', name: 'hub', platform: 'linux', version: '2.0', services },
  ]);
  await site.apply(read(document('Site', 'store1', {})), 'local');
  assert.is(status('Site', 'store1').sitesInNetwork, 0);
});

test('a link names the site of the access it ends at, and an access the sites of its peers', async () => {
  const { router, status } = await running(
    hubSite,
    secret('edges'),
    access('edges', [{ name: 'edge' }], { tlsCredentials: 'edges' }),
  );
  const peer = { address: '10.0.0.1:4', subject: null, product: 'skupper-router', version: '3', since: 0 };
  router.say(accessState('edges-edge', { peers: [{ id: 'hub-router', siteName: null, ...peer }] }));
  const names = () => (status('RouterAccess', 'edges').peers as { siteName: string | null }[])[0]?.siteName;
  assert.is(names(), null);
  router.send({ type: 'network', put: [{ source: 'aaaaa:0', records: hubRecords }], remove: [] });
  assert.is(names(), 'hub');

  const edge = await running(edgeSite, secret(), link('up'));
  const hub = { id: 'hub-router', product: 'skupper-router', version: '3', siteId: null, siteName: null };
  edge.router.say(linkState('up', { status: 'up', peer: { ...hub, accessId: 'aaaaa:1' } }));
  assert.not.ok('remoteSiteId' in edge.status('Link', 'up'), 'what is not known is not shown');
  edge.router.send({ type: 'network', put: [{ source: 'aaaaa:0', records: hubRecords }], remove: [] });
  const { remoteSiteId, remoteSiteName } = edge.status('Link', 'up');
  assert.equal([remoteSiteId, remoteSiteName], ['hub-site', 'hub']);
});

test('a link tells why it is not operational', async () => {
  const { router, brief, status } = await running(edgeSite, secret(), link('up'));
  assert.is(brief('Link', 'up'), 'Pending: Pending');
  router.say(linkState('up', { status: 'connecting' }));
  assert.is(brief('Link', 'up'), 'Pending: Not operational');
  const error = { code: 'name-not-found', message: 'no such host', hint: 'Check the DNS' };
  router.say(linkState('up', { status: 'waiting', error, attempts: 3 }));
  assert.is(brief('Link', 'up'), 'Pending: Not operational: no such host. Check the DNS [name-not-found]');
  assert.equal(status('Link', 'up').error, error);
  router.say(linkState('up', { status: 'refused', error }));
  assert.match(brief('Link', 'up'), /^Error: Not operational: no such host/);
  router.say(linkState('up', { status: 'standby' }));
  assert.match(brief('Link', 'up'), /^Ready: Standby/);
  const peer = { id: 'hub-1', product: 'skiff', version: '1', accessId: null, siteId: null, siteName: 'hub' };
  router.say(linkState('up', { status: 'up', peer, endpoint: { host: 'hub', port: 1 } }));
  assert.is(brief('Link', 'up'), 'Ready: OK');
  assert.equal(status('Link', 'up').peer, peer);
  assert.is(status('Link', 'up').remoteSiteName, 'hub');
  assert.not.ok('remoteSiteId' in status('Link', 'up'), 'what is not known is not shown');
});

test('a link tells what is known of its line', async () => {
  const { router, status } = await running(edgeSite, secret(), link('up'));
  router.say(linkState('up', { status: 'up' }));
  assert.equal(status('Link', 'up').facts, { octetsIn: 0, octetsOut: 0, reconnects: 0, downCount: 0 });
  const lastError = { code: 'idle-timeout', message: 'silence', class: 'transient', at: 0 } as const;
  const facts = { roundTripMs: 12.5, octetsIn: 1, octetsOut: 2, reconnects: 3, downCount: 2, lastError };
  router.say(
    linkState('up', { status: 'up', facts: { ...facts, certificateExpires: 86_400_000, certificateDaysLeft: 0 } }),
  );
  assert.equal(status('Link', 'up').facts, {
    roundTripMs: 12.5,
    octetsIn: 1,
    octetsOut: 2,
    reconnects: 3,
    downCount: 2,
    lastError: { code: 'idle-timeout', message: 'silence', class: 'transient', time: '1970-01-01T00:00:00Z' },
    certificateExpirationTime: '1970-01-02T00:00:00Z',
    certificateDaysLeft: 0,
  });
});

test('a missing Secret is named, and its document comes alive when it comes', async () => {
  const { site, router, brief } = await running(edgeSite, link('up'));
  assert.is(brief('Link', 'up'), 'Error: TLS credentials secret "credentials" not found');
  await site.apply(read(secret()), 'local');
  assert.is(router.applies.at(-1)?.put[0].name, 'up');
  router.say(linkState('up', { status: 'up' }));
  assert.is(brief('Link', 'up'), 'Ready: OK');
  await site.delete([{ kind: 'Secret', name: 'credentials' }], 'local');
  assert.equal(router.applies.at(-1)?.remove, [{ kind: 'link', name: 'up' }]);
  assert.match(brief('Link', 'up'), /not found/);
});

test('TLS at a service is planned from the Secret, and changes with it', async () => {
  const { site, router, brief } = await running(
    edgeSite,
    document('Listener', 'a', { routingKey: 'a', host: 'localhost', port: 80, tlsCredentials: 'credentials' }),
    document('Connector', 'b', { routingKey: 'b', host: 'localhost', port: 81, tlsCredentials: 'credentials' }),
    document('Connector', 'c', {
      routingKey: 'c',
      host: 'localhost',
      port: 82,
      tlsCredentials: 'credentials',
      useClientCert: true,
      verifyHostname: true,
    }),
  );
  assert.is(brief('Listener', 'a'), 'Pending: Pending', 'what nobody supplies is issued by the site itself');
  const planned = () =>
    Object.fromEntries((router.applies.at(-1)?.put ?? []).map((part) => [part.name, 'tls' in part ? part.tls : null]));
  await site.apply(read(secret()), 'local');
  assert.equal(planned(), {
    a: { ...tls, requireClientCert: false },
    b: { ca, verifyHostname: false },
    c: { ...tls, verifyHostname: true },
  });
  await site.apply(read({ ...secret('credentials', { 'ca.crt': ca }), type: 'Opaque' }), 'local');
  assert.match(brief('Listener', 'a'), /"credentials" has no tls.crt and tls.key/);
  assert.match(brief('Connector', 'c'), /"credentials" has no tls.crt and tls.key/);
  assert.equal(router.applies.at(-1)?.put, [], 'a connector that needs the CA alone goes on');
});

test('a link is told of its proxy and its idle timeout', async () => {
  const settings = { 'proxy-configuration': 'proxy', 'idle-timeout': '1m30s' };
  const { site, router, brief } = await running(edgeSite, secret(), link('up', { settings }));
  assert.is(brief('Link', 'up'), 'Error: Secret not found for proxy configuration');
  const proxy = { host: 'proxy', port: '3128', username: 'u', password: 'p' };
  await site.apply(read({ ...secret('proxy', proxy), type: 'Opaque' }), 'local');
  const [part] = router.applies.at(-1)?.put ?? [];
  assert.equal(part?.kind === 'link' && [part.proxy, part.idleTimeout], [{ ...proxy, port: 3128 }, 90_000]);
  await site.apply(read(secret('proxy')), 'local');
  assert.is(brief('Link', 'up'), 'Error: the Secret "proxy" is no proxy configuration');
  await site.apply(read({ ...secret('credentials', proxy), type: 'Opaque' }), 'local');
  assert.is(brief('Link', 'up'), 'Error: TLS credentials secret "credentials" has no ca.crt');
});

test('a link without an endpoint for this site says so', async () => {
  const endpoints = [{ name: 'inter-router', host: 'hub', port: '55671' }];
  const edge = await running(edgeSite, secret(), link('up', { endpoints }));
  assert.is(edge.brief('Link', 'up'), 'Error: no endpoint named "edge"');
  const hub = await running(hubSite, secret(), link('up', { endpoints: [{ ...endpoints[0], name: 'edge' }] }));
  assert.is(hub.brief('Link', 'up'), 'Error: no endpoint named "inter-router"');
});

test('an access needs the whole key pair', async () => {
  const authority = { ...secret('ra', { 'ca.crt': ca }), type: 'Opaque' };
  const { brief } = await running(hubSite, authority, access('ra', [{ name: 'edge' }]));
  assert.is(brief('RouterAccess', 'ra'), 'Error: TLS credentials secret "ra" has no tls.crt and tls.key');
});

test('an access shows its real ports, its peers and what it refused', async () => {
  const roles = [{ name: 'edge', port: 0 }, { name: 'inter-router' }];
  const { router, brief, status } = await running(
    hubSite,
    secret(),
    access('ra', roles, { tlsCredentials: 'credentials', bindHost: '127.0.0.1' }),
  );
  router.say(accessState('ra-edge', { port: 40001 }));
  assert.match(brief('RouterAccess', 'ra'), /^Pending/, 'the other role is not open yet');
  const peer = {
    id: 'store1',
    address: '10.0.0.1:5',
    subject: 'CN=store1',
    siteName: null,
    product: null,
    version: null,
    since: 0,
  };
  router.say(accessState('ra-edge', { port: 40001, peers: [peer] }), accessState('ra-inter-router', { port: 55671 }));
  assert.is(brief('RouterAccess', 'ra'), 'Ready: OK');
  const endpoints = [
    { name: 'edge', host: '127.0.0.1', port: '40001', group: 'ra' },
    { name: 'inter-router', host: '127.0.0.1', port: '55671', group: 'ra' },
  ];
  assert.equal(status('RouterAccess', 'ra').endpoints, endpoints);
  assert.equal(status('Site', 'hub').endpoints, endpoints);
  assert.equal(status('RouterAccess', 'ra').peers, [{ role: 'edge', ...peer, since: '1970-01-01T00:00:00Z' }]);
  const cause = { code: 'certificate-untrusted', message: 'not of our CA' };
  router.say(accessState('ra-edge', { port: 40001, refusals: [{ cause, from: '10.0.0.9', at: 5, count: 2 }] }));
  const refused = status('RouterAccess', 'ra').conditions.find(({ type }) => type === 'PeersRefused');
  assert.is(refused?.message, 'not of our CA [certificate-untrusted] (10.0.0.9)');
  const error = { code: 'port-taken', message: '127.0.0.1:55671: taken' };
  router.say(accessState('ra-inter-router', { status: 'failed', port: null, error }));
  assert.is(brief('RouterAccess', 'ra'), 'Error: 127.0.0.1:55671: taken');
});

test('without a Site nothing runs, until one comes', async () => {
  const { site, router, brief } = await running(listener('a'));
  const events: SiteEvent[] = [];
  site.subscribe((event) => events.push(event));
  assert.is(router.identities.length, 0);
  assert.equal(site.facts, { site: null, mode: null, id: null });
  assert.is(brief('Listener', 'a'), 'Pending: No active site');
  await site.apply(read(edgeSite), 'local');
  assert.is(router.applies[0].put[0].name, 'a');
  assert.equal(
    events.filter(({ event }) => event === 'site'),
    [{ event: 'site', site: 'store1', mode: 'edge', id: site.documents.siteId }],
  );
  assert.is(brief('Site', 'store1'), 'Ready: OK');
});

test('a new mode is a new router with the same documents and the same id', async () => {
  const { site, router } = await running(edgeSite, listener('a'));
  router.say(listenerState('a'));
  await site.apply(read({ ...edgeSite, spec: {} }), 'local');
  assert.equal(
    router.identities.map(({ id, mode }) => [id, mode]),
    [
      [router.identities[0].id, 'edge'],
      [router.identities[0].id, 'interior'],
    ],
  );
  assert.equal(
    router.requests.map(({ type }) => type),
    ['start', 'apply', 'stop', 'start', 'apply'],
  );
  assert.is(router.applies[1].put[0].name, 'a');
  await site.delete([{ kind: 'Site', name: 'store1' }], 'local');
  assert.is(router.requests.at(-1)?.type, 'stop');
  assert.is(site.facts.site, null);
});

test('changes while the router is busy are taken up together', async () => {
  const { site, router } = await running(edgeSite);
  router.answers = false;
  const first = site.apply(read(listener('a', 1)), 'local');
  const second = site.apply(read(listener('b', 2)), 'local');
  const third = site.apply(read(listener('c', 3)), 'local');
  assert.is(router.applies.length, 2);
  router.answers = true;
  router.send({ type: 'applied', seq: 2 });
  await Promise.all([first, second, third]);
  assert.equal(
    router.applies.slice(1).map(({ put }) => put.map(({ name }) => name)),
    [['a'], ['b', 'c']],
  );
});

test('what is said late of a part that is gone is not believed', async () => {
  const { site, router, brief } = await running(edgeSite, listener('a'));
  await site.delete([{ kind: 'Listener', name: 'a' }], 'local');
  router.say(listenerState('a'));
  await site.apply(read(listener('a')), 'local');
  assert.is(brief('Listener', 'a'), 'Pending: Pending');
});

test('a router that ends by itself is reported with its reason', async () => {
  const { router, failures, site } = await running(edgeSite);
  router.answers = false;
  const applying = site.apply(read(listener('a')), 'local');
  router.die(new Error('boom'));
  assert.match(failures[0].message, /the router thread ended by itself: boom/);
  await applying.then(
    () => assert.unreachable(),
    (error) => assert.is(error.code, 'router-ended'),
  );
});

test('a stop drains the router, and one that hangs is not waited for', async () => {
  const { site, router, failures } = await running(edgeSite);
  router.answers = false;
  const begun = performance.now();
  await site.stop(50);
  assert.ok(performance.now() - begun < 1_000);
  assert.equal(router.requests.at(-1), { type: 'stop', withinMs: 50 });
  router.die(null);
  assert.is(failures.length, 0);
});

test('secret values are shown to those who ask only, and an export makes the same site again', async () => {
  const { site } = await running(edgeSite, secret(), link('up'), listener('a'));
  const shown = (showSecrets: boolean) =>
    JSON.stringify([site.list('Secret', { showSecrets }), site.export({ showSecrets })]);
  const value = Buffer.from(key).toString('base64');
  assert.not.ok(shown(false).includes(value));
  assert.ok(shown(true).includes(value));
  const again = await running(...site.export({ showSecrets: true }));
  assert.equal(again.site.export({ showSecrets: true }), site.export({ showSecrets: true }));
  assert.equal(again.site.facts, site.facts);
});

test.run();
