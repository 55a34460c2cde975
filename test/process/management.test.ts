/** The management of running sites: what routers say of themselves to clients of AMQP, and to `skiff router`. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Encoded, encode, ulong } from '../../src/amqp/codec.ts';
import { answerId } from '../../src/amqp/message.ts';
import { terminus } from '../../src/amqp/performatives.ts';
import { Inbox } from '../amqp/loopback.ts';
import { AmqpClient, closeClients } from '../support/amqp.ts';
import { fleetDocument, newClaim, newDevice, newHub, untilEnrolled } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { Management, type Row, typeName } from '../support/management.ts';
import {
  connector,
  edge,
  hub,
  listener,
  multiKeyListener,
  type Network,
  neighbour,
  newNetwork,
  normalAccess,
} from '../support/network.ts';
import { RawClient } from '../support/raw-client.ts';
import { Skiff } from '../support/skiff.ts';
import { closeSockets, connect, echo, ending, exchange, freePort, say, untilAccepting } from '../support/tcp.ts';

const test = suite('management');

/** Two hubs, an edge at each, and a service at the first edge. */
let near: Network;
let far: Network;
let hub1: Skiff;
let hub2: Skiff;
let store1: Skiff;
let store2: Skiff;
let listenerPort: number;
let keysPort: number;
let storePort: number;

const idOf = ({ ready }: Skiff): string => `${ready.site}-${String(ready.id).slice(0, 8)}`;

test.before(async () => {
  near = await newNetwork();
  far = await newNetwork('127.0.0.1', near.ca);
  [listenerPort, keysPort, storePort] = await Promise.all([freePort(), freePort(), freePort()]);
  const server = await echo();
  hub1 = await Skiff.run({ documents: [...hub(near, [], 'hub1'), listener('erp', listenerPort)] });
  hub2 = await Skiff.run({ documents: [...hub(far, [], 'hub2'), ...neighbour(near, 'hub1')] });
  const services = [
    connector('erp', server.port),
    normalAccess(storePort),
    multiKeyListener('either', keysPort, ['erp', 'spare']),
  ];
  store1 = await Skiff.run({ documents: [...edge(near, 'store1'), ...services] });
  store2 = await Skiff.run({ documents: edge(far, 'store2') });
  for (const site of [store1, store2]) await site.until('Link', 'to-hub', 'Ready');
  await hub2.until('Link', 'hub1', 'Ready');
  await untilAccepting(listenerPort);
});

test.after.each(() => closeClients());

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

test('each type has the columns that it says it has, and each thing can be read by its identity', async () => {
  const management = await Management.connect(near.normalPort);
  const { body: attributes } = await management.ask({ operation: 'GET-ATTRIBUTES' });
  const { body: operations } = await management.ask({ operation: 'GET-OPERATIONS' });
  const { body: types } = await management.ask({ operation: 'GET-TYPES' });
  assert.equal(Object.keys(types).sort(), Object.keys(attributes).sort());
  for (const [type, names] of Object.entries(attributes as Record<string, string[]>)) {
    const rows = await management.query(type.slice(typeName('').length));
    for (const row of rows.slice(0, 5)) {
      assert.equal(Object.keys(row), names, type);
      if (type === typeName('management')) continue;
      assert.ok(operations[type].includes('READ'), type);
      const { status, body } = await management.ask({ operation: 'READ', type, identity: row.identity });
      assert.is(status, 200, `${type} ${row.identity}`);
      assert.is(body.name, row.name);
    }
  }
  const { body: schema } = await management.ask({ operation: 'GET-SCHEMA' });
  assert.equal(Object.keys(schema.entityTypes['router.node'].attributes), attributes[typeName('router.node')]);
  const { body: json } = await management.ask({ operation: 'GET-JSON-SCHEMA' });
  assert.equal(JSON.parse(json), schema);
});

test('a hub tells of itself, of the other hub, and of its edge', async () => {
  const management = await Management.connect(near.normalPort);
  const [router, ...noMore] = await management.query('router');
  assert.equal(noMore, []);
  assert.is(router?.id, idOf(hub1));
  assert.is(router?.mode, 'interior');
  assert.is(JSON.parse(String(router?.metadata)).id, hub1.ready.id);
  const nodes = await management.query('router.node', ['id', 'nextHop', 'cost', 'linkState']);
  assert.equal(
    nodes.sort((one, other) => String(one.id).localeCompare(String(other.id))),
    [
      { id: idOf(hub1), nextHop: '(self)', cost: null, linkState: [idOf(hub2)] },
      { id: idOf(hub2), nextHop: null, cost: 1, linkState: [idOf(hub1)] },
    ],
  );
  const { body: managementNodes } = await management.ask({ operation: 'GET-MGMT-NODES' });
  assert.equal(managementNodes.sort(), [hub1, hub2].map((site) => `amqp:/_topo/0/${idOf(site)}/$management`).sort());
  const connections = await management.query('connection');
  const byContainer = (id: string): Row => connections.find(({ container }) => container === id) ?? {};
  const { role, dir, isEncrypted, sasl, user, opened } = byContainer(idOf(store1));
  assert.equal([role, dir, isEncrypted, sasl, user, opened], ['edge', 'in', true, 'EXTERNAL', 'CN=store1', true]);
  assert.is(byContainer(idOf(hub2)).role, 'inter-router');
  const [site] = await management.query('site');
  assert.is(site?.name, 'hub1');
});

test('links and addresses count what goes by them, and services what they carry', async () => {
  const management = await Management.connect(near.normalPort);
  assert.is(await exchange(listenerPort, 'hello'), 'hello');
  const [tcp] = await management.query('tcpListener');
  assert.equal([tcp?.name, tcp?.address, tcp?.port, tcp?.operStatus], ['listener/erp', 'erp', `${listenerPort}`, 'up']);
  assert.ok(Number(tcp?.connectionsOpened) >= 1);
  await eventually('octets are counted', async () => Number((await management.query('tcpListener'))[0]?.bytesIn) >= 5);
  const links = await management.query('router.link');
  const own = links.find(({ owningAddr, linkDir }) => owningAddr === 'L$management' && linkDir === 'in');
  assert.ok(Number(own?.acceptedCount) >= 3, JSON.stringify(own));
  const types = new Set(links.map(({ linkType }) => linkType));
  for (const type of ['endpoint', 'edge-downlink', 'router-control', 'inter-router']) assert.ok(types.has(type), type);
  const shared = links.filter(({ linkType, linkDir }) => linkType === 'inter-router' && linkDir === 'out');
  assert.equal(shared.map(({ priority }) => priority).sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await eventually('the link of the stream that is over is kept', async () =>
    (await management.query('router.link')).some(({ operStatus }) => operStatus === 'idle'),
  );
  const addresses = await management.query('router.address');
  const of = (key: string): Row => addresses.find((each) => each.key === key) ?? {};
  assert.equal([of('Merp').distribution, of('Merp').subscriberCount, of('Merp').remoteCount], ['balanced', 1, 0]);
  assert.ok(Number(of('Merp').deliveriesIngress) >= 1 && Number(of('Merp').deliveriesEgress) >= 1);
  assert.ok(Number(of('L$management').deliveriesToContainer) >= 3);
  assert.equal([of(`H${idOf(store2)}`).subscriberCount, of(`H${idOf(store2)}`).remoteCount], [0, 1]);
  assert.equal(of(`H${idOf(store2)}`).remoteHostRouters, [idOf(hub2)]);
  const [metrics] = await management.query('routerMetrics');
  assert.is(metrics?.version, String((await management.query('router'))[0]?.version));
  assert.ok(Number(metrics?.deliveriesIngress) > 0 && Number(metrics?.deliveriesTransit) > 0, JSON.stringify(metrics));
});

test('an edge tells of its connector, its link and each key of its listener', async () => {
  const management = await Management.connect(storePort);
  assert.equal(await management.query('router.node'), []);
  const [service] = await management.query('tcpConnector');
  assert.equal([service?.name, service?.address], ['connector/erp@127.0.0.1', 'erp']);
  const [up] = await management.query('connector');
  assert.equal([up?.name, up?.role, up?.port, up?.connectionStatus], ['to-hub', 'edge', `${near.edgePort}`, 'SUCCESS']);
  const keys = await management.query('listenerAddress', ['address', 'value', 'listener']);
  assert.equal(keys, [
    { address: 'erp', value: 1, listener: 'multiAddress/either' },
    { address: 'spare', value: 0, listener: 'multiAddress/either' },
  ]);
  // Whoever asks sees that there are certificates, and nothing of them.
  for (const profile of await management.query('sslProfile')) {
    assert.equal([profile.privateKeyFile, profile.password, profile.certFile], [null, null, null]);
  }
});

test('any router of the network answers, wherever it is asked', async () => {
  for (const [port, address, id] of [
    [near.normalPort, `_topo/0/${idOf(hub2)}/$management`, idOf(hub2)],
    [near.normalPort, `_topo/0/${idOf(hub1)}/$management`, idOf(hub1)],
    [near.normalPort, `_edge/${idOf(store1)}/$management`, idOf(store1)],
    [near.normalPort, `amqp:/_edge/${idOf(store2)}/$management`, idOf(store2)],
    [storePort, `amqp:/_topo/0/${idOf(hub2)}/$management`, idOf(hub2)],
    [storePort, `_edge/${idOf(store2)}/$management`, idOf(store2)],
    [storePort, '_local/$management', idOf(store1)],
  ] as const) {
    const management = await Management.connect(port, address);
    assert.is((await management.query('routerMetrics'))[0]?.id, id, address);
  }
});

test('pages fit together, and a table of thousands of rows comes whole', async () => {
  const management = await Management.connect(near.normalPort);
  const client = await AmqpClient.connect(near.normalPort);
  const wanted = 1_200;
  for (let index = 0; index < wanted; index++) client.connection.open_receiver(`many.${index}`);
  const all = await eventually('all addresses are there', async () => {
    const rows = await management.query('router.address', ['key']);
    return rows.length >= wanted && rows;
  });
  assert.is(new Set(all.map(({ key }) => key)).size, all.length);
  const pages: Row[] = [];
  for (let offset = 0; ; offset += 500) {
    const page = await management.query('router.address', ['key'], { offset, count: 500 });
    pages.push(...page);
    if (page.length < 500) break;
  }
  assert.equal(pages, all);
  assert.equal(await management.query('router.address', [], { offset: 100_000, count: 5 }), []);
});

test('what cannot be done is said in the words of skupper-router', async () => {
  const management = await Management.connect(near.normalPort);
  const self = typeName('management');
  for (const [properties, body, status, description] of [
    [{ operation: 'QUERY', entityType: 'nosuch' }, {}, 400, "No such entity type 'io.skupper.router.nosuch'"],
    [
      { operation: 'QUERY', entityType: typeName('site') },
      { attributeNames: ['bogus'] },
      404,
      `Unknown attributes ['bogus'] for type ${typeName('site')}.`,
    ],
    [{ operation: 'READ', type: typeName('listener'), name: 'nope' }, {}, 404, 'No entity with name=nope'],
    [
      { operation: 'READ', type: typeName('listener') },
      {},
      400,
      `${typeName('listener')}: No name or identity provided`,
    ],
    [
      { operation: 'UPDATE', type: typeName('connection'), identity: '1' },
      { x: 1 },
      400,
      `Unknown attribute 'x' for '${typeName('connection')}'`,
    ],
    [
      { operation: 'UPDATE', type: typeName('connection'), identity: '1' },
      'text',
      400,
      'Body of request must be a map',
    ],
    [{ operation: 'DELETE', type: typeName('connection'), identity: '1' }, {}, 403, 'Forbidden'],
    [{ operation: 'CREATE', type: typeName('router.link'), name: 'x' }, {}, 403, 'Forbidden'],
    [{ operation: 'GET-PATH' }, {}, 400, "No 'address' property"],
    [{ operation: 'QUERY' }, {}, 200, 'OK'],
    [{}, {}, 400, "No 'operation' property"],
  ] as const) {
    const reply = await management.ask(properties, body);
    assert.equal([reply.status, reply.description], [status, description], JSON.stringify(properties));
    if (status !== 200) assert.equal(reply.body, {});
  }
  const { status, description } = await management.ask({ operation: 'JUMP', type: self, name: 'self' });
  assert.is(status, 501);
  assert.match(description, /^Operation 'JUMP' not implemented for 'io\.skupper\.router\.management' \['QUERY', /);
});

test('what the documents say is changed by documents alone', async () => {
  const management = await Management.connect(near.normalPort);
  const before = await management.query('tcpListener', ['identity']);
  const attributes = { host: '127.0.0.1', port: '1', address: 'x' };
  const created = await management.ask({ operation: 'CREATE', type: typeName('tcpListener'), name: 'x' }, attributes);
  assert.is(created.status, 403);
  assert.match(created.description, /^Forbidden: .*skiff apply/);
  const type = typeName('tcpListener');
  const deleted = await management.ask({ operation: 'DELETE', type, name: 'listener/erp' });
  assert.is(deleted.status, 403);
  assert.equal(await management.query('tcpListener', ['identity']), before);
});

test('a connection is closed on request, but none between interior routers', async () => {
  const management = await Management.connect(near.normalPort);
  const other = await AmqpClient.connect(near.normalPort);
  const container = (other.connection as unknown as { container: { id: string } }).container.id;
  const numberOf = async (wanted: string) =>
    (await management.query('connection')).find((each) => each.container === wanted)?.identity;
  const type = typeName('connection');
  const close = async (identity: unknown) =>
    management.ask({ operation: 'UPDATE', type, identity }, { adminStatus: 'deleted' });
  const closed = new Promise<void>((resolve) => other.connection.once('connection_close', () => resolve()));
  const answer = await close(await numberOf(container));
  assert.equal([answer.status, answer.body.adminStatus, answer.body.operStatus], [200, 'deleted', 'closing']);
  await closed;
  await eventually('it is gone from the table', async () => (await numberOf(container)) === undefined);
  const refused = await close(await numberOf(idOf(hub2)));
  assert.equal([refused.status, refused.description], [403, 'You are not allowed to perform this operation.']);
});

test('connections of TCP are shown, and closed on request', async () => {
  const management = await Management.connect(near.normalPort);
  const socket = await connect(listenerPort);
  await say(socket, 'hello');
  const tcp = (await management.query('connection')).filter(({ protocol }) => protocol === 'tcp');
  const own = tcp.find(({ host }) => host === `127.0.0.1:${socket.localPort}`);
  assert.equal([own?.role, own?.dir, own?.container, own?.isEncrypted], ['normal', 'in', 'TcpAdaptor', false]);
  const atServer = (await (await Management.connect(storePort)).query('connection')).filter(
    (each) => each.protocol === 'tcp',
  );
  assert.equal(
    atServer.map(({ dir }) => dir),
    ['out'],
  );
  const closed = ending(socket);
  const type = typeName('connection');
  const answer = await management.ask(
    { operation: 'UPDATE', type, identity: own?.identity },
    { adminStatus: 'deleted' },
  );
  assert.is(answer.body.adminStatus, 'deleted');
  assert.is(await closed, 'reset');
});

test('by its own connection an edge may look at its hub, and change nothing there', async () => {
  const management = await Management.connect(storePort, `_topo/0/${idOf(hub1)}/$management`);
  const [first] = await management.query('connection', ['identity']);
  const type = typeName('connection');
  const refused = await management.ask(
    { operation: 'UPDATE', type, identity: first?.identity },
    { adminStatus: 'deleted' },
  );
  assert.equal([refused.status, refused.description], [403, 'Forbidden']);
});

test('nobody is told what a peer would have to know to pose as another', async () => {
  const management = await Management.connect(near.normalPort);
  const all = JSON.stringify(await management.query('connection'));
  assert.match(all, /skiff\.site-id/);
  assert.not.match(all, /skiff\.instance/);
});

test('answers carry the id of the request, as it came', async () => {
  const raw = await RawClient.connect(near.normalPort);
  const inbox = new Inbox();
  const source = { ...terminus(), dynamic: true };
  const replies = raw.session.openReceiver({ name: 'replies', source, target: terminus() }, inbox);
  replies.setCapacity(10);
  const replyTo = await eventually('an address', () => replies.source?.address);
  const uuid = new Encoded(Buffer.concat([Uint8Array.of(0x98), Buffer.from('0123456789abcdef')]));
  for (const [count, id] of [uuid, ulong(2n ** 60n), ulong(7), 'a text', Buffer.from('octets')].entries()) {
    for (const ids of [{ correlationId: id, messageId: 'another' }, { messageId: id }]) {
      inbox.received.length = 0;
      await raw.request({ to: '$management', replyTo, ...ids }, { operation: 'GET-ANNOTATIONS' });
      const { parts } = await eventually(`the answer ${count}`, () => inbox.completed[0]);
      assert.equal(Buffer.from(answerId(Buffer.concat(parts))?.octets ?? []), encode(id));
    }
  }
  raw.close();
});

test('who asks too much, or in nonsense, gets no more than an answer', async () => {
  const management = await Management.connect(near.normalPort);
  for (let index = 0; index < 200; index++) management.send({ operation: 'GET-SCHEMA' });
  const clumsy = await AmqpClient.connect(near.normalPort);
  const requests = await clumsy.sender('$management');
  await requests.untilCredit();
  const long = { body: 'x'.repeat(200_000), reply_to: 'nowhere', application_properties: { operation: 'QUERY' } };
  assert.is((await requests.send(long)).outcome, 'accepted');
  assert.is((await requests.send({ body: 'no address to answer to' })).outcome, 'accepted');
  assert.is((await requests.send({ body: [1, 2, 3], reply_to: 'nowhere' })).outcome, 'accepted');
  let answered = 0;
  while (answered < 100) {
    assert.is((await management.reply()).status, 200);
    answered++;
  }
  const again = await Management.connect(near.normalPort);
  assert.is((await again.query('router')).length, 1);
});

test("a fleet's device is asked by its hub, and may ask nobody", async () => {
  const hub = await newHub({ documents: [fleetDocument('DeviceGroup', 'stores', { documents: [] })] });
  const device = await newDevice(await newClaim(hub, 'batch'), 'A1');
  await untilEnrolled(device);
  const [, { site, id }] = device.events as [object, { site: string; id: string }];
  const routerId = `${site}-${id.slice(0, 8)}`;
  await device.until(
    'Link',
    String((await device.api.list('Link', { showSecrets: false }))[0]?.metadata.name),
    'Ready',
  );
  assert.is((await stat(hub, '--edge', routerId))[0]?.id, routerId);
  const refused = await device.cli('router', 'stat', '--router', idOf(hub));
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /may not be asked from here: the fleet does not let this device send there/);
  assert.is((await stat(device))[0]?.id, routerId);
});

/** The rows of a view, as `router stat` prints them for programs. */
async function stat(site: Skiff, ...args: string[]): Promise<Row[]> {
  const { code, stdout, stderr } = await site.cli('router', 'stat', '-o', 'json', ...args);
  assert.is(code, 0, stderr);
  return JSON.parse(stdout);
}

test('router stat shows this router, and any other in the network', async () => {
  assert.is((await stat(hub1))[0]?.id, idOf(hub1));
  assert.is((await stat(hub1, '--router', idOf(hub2)))[0]?.id, idOf(hub2));
  assert.is((await stat(hub1, '-g', '--edge', idOf(store2)))[0]?.id, idOf(store2));
  assert.is((await stat(store1, '--router', idOf(hub2)))[0]?.mode, 'interior');
  assert.equal(
    (await stat(hub1, '-e')).map(({ container }) => container),
    [idOf(store1)],
  );
  assert.equal(
    (await stat(hub1, '-e', '-r', idOf(hub2))).map(({ container }) => container),
    [idOf(store2)],
  );
  assert.is((await stat(hub1, '--nodes')).length, 2);
  assert.is((await stat(hub1, '--links', '--limit', '3')).length, 3);
  const views = ['general', 'connections', 'links', 'nodes', 'edges', 'address', 'memory'];
  for (const view of views) {
    const { code, stdout, stderr } = await hub1.cli('router', 'stat', `--${view}`, '--verbose');
    assert.is(code, 0, stderr);
    assert.ok(stdout.split('\n').length > 2, `${view}: ${stdout}`);
  }
});

test('router stat says who cannot be asked, and that one thing is shown at a time', async () => {
  const unknown = await hub1.cli('router', 'stat', '--router', 'nobody');
  assert.is(unknown.code, 1);
  assert.match(unknown.stderr, /the router nobody cannot be reached from here/);
  const unknownToEdge = await store1.cli('router', 'stat', '--edge', 'nobody');
  assert.is(unknownToEdge.code, 1);
  for (const args of [
    ['-c', '-n'],
    ['--router', 'a', '--edge', 'b'],
  ]) {
    assert.is((await hub1.cli('router', 'stat', ...args)).code, 2, args.join(' '));
  }
});

interface Hop {
  router: string;
  candidates: { kind: string; name: string; way: string | null; chosen: boolean; why: string; inHand: number }[];
}

async function path(site: Skiff, address: string): Promise<Hop[]> {
  const { code, stdout, stderr } = await site.cli('router', 'path', address, '-o', 'json');
  assert.is(code, 0, stderr);
  return JSON.parse(stdout);
}

test('router path follows a connection from an edge over both hubs to the server', async () => {
  const hops = await path(store2, 'erp');
  assert.equal(
    hops.map(({ router, candidates: [first] }) => [router, first?.kind, first?.name.split(':')[0]]),
    [
      [idOf(store2), 'uplink', idOf(hub2)],
      [idOf(hub2), 'router', idOf(hub1)],
      [idOf(hub1), 'edge', idOf(store1)],
      [idOf(store1), 'connector', 'erp@127.0.0.1'],
    ],
  );
  assert.is(hops[1]?.candidates[0]?.way, idOf(hub1));
  const none = await store2.cli('router', 'path', 'nothing-like-it');
  assert.is(none.code, 1);
  assert.match(none.stderr, /nobody in reach of hub2-\w+ takes nothing-like-it/);
});

/** A connection that stays open, and is known to have arrived. */
async function hold(port: number): Promise<void> {
  await say(await connect(port), 'hello');
}

test('router path says what decides, and it is what then happens', async () => {
  const [server, port] = [await echo(), await freePort()];
  await hub1.apply(connector('both', server.port), listener('both', port));
  await store1.apply(connector('both', server.port));
  await hub1.until('Listener', 'both', 'Ready');
  await untilAccepting(port);
  const chosen = async () => (await path(hub1, 'both'))[0]?.candidates.find((each) => each.chosen);
  await eventually('both are there', async () => (await path(hub1, 'both'))[0]?.candidates.length === 2);
  const first = await chosen();
  assert.equal([first?.kind, first?.why], ['connector', 'equal, and of this site']);
  await hold(port);
  const second = await chosen();
  assert.equal([second?.kind, second?.why], ['edge', 'the least cost and load']);
  await hold(port);
  const all = (await path(hub1, 'both'))[0]?.candidates ?? [];
  assert.equal(
    all.map(({ inHand }) => inHand),
    [1, 1],
  );
});

test.run();
