/** What a fleet's device may do at its hub: all that an edge that means no good tries, and what becomes of it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AccessState, DeviceRights, LinkState, PartConfig, PartState } from '../../src/router/protocol.ts';
import { Parts } from '../../src/tcp/parts.ts';
import { AmqpClient, closeClients } from '../support/amqp.ts';
import { makeCa } from '../support/certificates.ts';
import { eventually, sleep } from '../support/eventually.ts';
import { closeHostileEdges, DOWNLINK, HostileEdge } from '../support/hostile-edge.ts';
import { closeSockets, connect, echo, ending, exchange, read } from '../support/tcp.ts';

const test = suite('privileges');
const running: Parts[] = [];
const ca = makeCa('network');
const host = '127.0.0.1';
const DENIED = 'amqp:unauthorized-access';
const FLEET = 'urn:skiff:fleet';
const DEVICE = 'store1-5a17f1e1';

test.after.each(async () => {
  await closeHostileEdges();
  await closeClients();
  await closeSockets();
  for (const parts of running.splice(0)) await parts.stop(200);
});

class Site {
  readonly parts: Parts;
  readonly states = new Map<string, PartState>();

  constructor(id: string, mode: 'edge' | 'interior') {
    const siteId = `${id.slice(-8)}-0000-4000-8000-000000000001`;
    this.parts = new Parts({ id, mode, siteId, siteName: id.slice(0, -9), version: '1' }, (changed) => {
      for (const state of changed) this.states.set(state.name, state);
    });
    running.push(this.parts);
  }

  put(...parts: PartConfig[]): Promise<void> {
    return this.parts.apply(parts, []);
  }

  state<T extends PartState['kind']>(kind: T, name: string): Extract<PartState, { kind: T }> {
    const state = this.states.get(name);
    if (state?.kind !== kind) throw new Error(`no state of ${kind} ${name}`);
    return state as Extract<PartState, { kind: T }>;
  }
}

const credentials = (id: string, ...uris: string[]) => ({
  ...ca.issue({ commonName: id, uris: [`urn:skiff:device:${id}`, ...uris] }),
  ca: ca.certificate,
});

async function newHub(...rights: DeviceRights[]) {
  const hub = new Site('hub-00000001', 'interior');
  const tls = { ...ca.issue({ commonName: 'hub', hosts: [host] }), ca: ca.certificate };
  hub.parts.grant(rights, []);
  await hub.put(
    { kind: 'access', name: 'edges', role: 'edge', host, port: 0, tls },
    { kind: 'access', name: 'clients', role: 'normal', host, port: 0, tls: null },
    { kind: 'access', name: 'secure', role: 'normal', host, port: 0, tls },
  );
  const port = (name: string): number => hub.state('access', name).port as number;
  const denials = (id = DEVICE): string[] =>
    (hub.state('access', 'edges') as AccessState).peers
      .filter((peer) => peer.id === id)
      .flatMap((peer) => peer.denials ?? [])
      .map(({ action, address }) => `${action} ${address}`);
  return { hub, port: port('edges'), clients: port('clients'), secure: port('secure'), denials };
}

const hostile = (port: number, id = DEVICE) => HostileEdge.connect(port, credentials(id, FLEET), id);

async function newEdge(port: number, id = DEVICE, uris = [FLEET]): Promise<Site> {
  const edge = new Site(id, 'edge');
  const tls = credentials(id, ...uris);
  await edge.put({ kind: 'link', name: 'up', role: 'edge', endpoints: [{ host, port }], cost: 1, tls });
  await eventually('the link', () => (edge.states.get('up') as LinkState | undefined)?.status === 'up');
  return edge;
}

/** Addresses that no device may receive from or send to, whatever its rights. */
const NOBODYS = [
  '$management',
  '_local/$management',
  'amqp:/_topo/0/hub-00000001/$management',
  '_topo/0/hub-00000001/temp.guessed',
  '_topo/0/all/qdrouter',
  '_topo/0/hub-00000001/qdrouter.ma',
  '_local/qdhello',
  'qdrouter',
  'qdhello',
  '_edge/store2-5a17f1e2',
  '_edge/store2-5a17f1e2/temp.guessed',
  'skiff.device.store2-5a17f1e2',
  'skiff.anything',
  'mc/anything',
  'mc/sfe.AAAAA:0',
  'sfe.AAAAA:0',
  'vfcr.AAAAA:0',
  '_$qd.anything',
];

test('without an entry a device may do nothing but be there', async () => {
  const { port, denials } = await newHub();
  const edge = await hostile(port);
  assert.is((await edge.receiver('erp')).answer, DENIED);
  assert.is((await edge.sender('erp')).answer, DENIED);
  assert.is(await edge.send({ to: 'erp' }), DENIED);
  assert.is((await edge.receiver(DEVICE, { capabilities: [DOWNLINK] })).answer, null);
  await eventually('what it was refused', () => denials().join() === 'receive erp,send erp');
  assert.not.ok(edge.events.closed, 'the link goes on');
});

test('nothing that is not of its group: no address of the routers, of the fleet, of another device', async () => {
  const all = { device: DEVICE, offers: ['*'], uses: ['*'] };
  const { port, hub } = await newHub(all);
  hub.parts.mailbox.handle({ type: 'mail.subscribe', addresses: ['skiff.fleet'] });
  const edge = await hostile(port);
  // Its own source of flow records; every other is somebody else's.
  assert.is((await edge.receiver('sfe.BBBBB:0')).answer, null);
  for (const address of NOBODYS) {
    assert.is((await edge.receiver(address)).answer, DENIED, `receive ${address}`);
    assert.is((await edge.sender(address)).answer, DENIED, `attach to send ${address}`);
    assert.is(await edge.send({ to: address }), DENIED, `send ${address}`);
    assert.is(await edge.send({ to: 'erp', override: address }), DENIED, `override ${address}`);
  }
  assert.is((await edge.receiver('skiff.fleet')).answer, DENIED);
  assert.is((await edge.receiver(null, { dynamic: true })).answer, DENIED);
  assert.is((await edge.receiver('store2-5a17f1e2', { capabilities: [DOWNLINK] })).answer, DENIED);
  assert.is((await edge.receiver('hub-00000001', { capabilities: [DOWNLINK] })).answer, DENIED);
  // What is left is what its rights say, and what all devices need.
  assert.is((await edge.receiver('erp')).answer, null);
  assert.is((await edge.receiver(`skiff.device.${DEVICE}`)).answer, null);
  assert.is((await edge.sender('skiff.fleet')).answer, null);
  assert.is(await edge.send({ to: 'nobody-there' }), 'released');
});

test('the override of a message is what counts, by whichever link it comes', async () => {
  const { port, clients } = await newHub({ device: DEVICE, offers: [], uses: ['erp'] });
  const client = await AmqpClient.connect(clients);
  const erp = await client.receiver('erp', { autoaccept: true });
  const orders = await client.receiver('orders', { autoaccept: true });
  const edge = await hostile(port);
  const by = await edge.sender('erp');
  assert.is(await edge.send({ by, override: 'orders' }), DENIED);
  assert.is(await edge.send({ to: 'erp', override: 'orders' }), DENIED);
  assert.is(await edge.send({ to: 'orders' }), DENIED);
  assert.is(await edge.send({ to: 'orders', override: 'erp' }), 'accepted', 'goes to erp, whatever it says');
  assert.is(await edge.send({ by, to: 'orders' }), 'accepted');
  assert.is(await edge.send({ by }), 'accepted');
  await eventually('three messages', () => erp.all.length === 3);
  assert.is(orders.all.length, 0);
});

test('answers go to those who asked, and to nobody else', async () => {
  const { port, clients } = await newHub({ device: DEVICE, offers: ['printer'], uses: ['erp'] });
  const client = await AmqpClient.connect(clients);
  const replies = await client.receiver({ address: '', dynamic: true }, { autoaccept: true });
  const others = await client.receiver({ address: '', dynamic: true }, { autoaccept: true });
  const edge = await hostile(port);
  const printer = await edge.receiver('printer');
  assert.is(await edge.send({ to: replies.address }), DENIED, 'nobody has asked');
  const requests = await client.sender('printer');
  await requests.untilCredit();
  requests.link.send({ reply_to: replies.address, body: 'print' });
  requests.link.send({ reply_to: 'orders', body: 'print' });
  await eventually('the requests', () => printer.inbox.completed.length === 2);
  assert.is(await edge.send({ to: replies.address }), 'accepted');
  assert.is(await edge.send({ to: others.address }), DENIED);
  assert.is(await edge.send({ to: 'orders' }), DENIED, 'an address that somebody asks to answer to gives no right');

  // Nor may those who answer the device be made to send to where it may not receive.
  const erp = await client.receiver('erp', { autoaccept: true });
  assert.is(await edge.send({ to: 'erp', replyTo: 'orders' }), DENIED);
  assert.is(await edge.send({ to: 'erp', replyTo: '_edge/store2-5a17f1e2/temp.x' }), DENIED);
  assert.is(await edge.send({ to: 'erp', replyTo: `amqp:/_edge/${DEVICE}/temp.x` }), 'accepted');
  assert.is(await edge.send({ to: 'erp', replyTo: 'printer' }), 'accepted');
  assert.is(erp.all.length, 2);
});

test('a device tells of itself, and of nobody else', async () => {
  const { port, clients } = await newHub({ device: DEVICE, offers: [], uses: [] });
  const client = await AmqpClient.connect(clients);
  const beacons = await client.receiver('mc/sfe.all', { autoaccept: true });
  const hubsBeacon = (await beacons.next()).message.application_properties as { id: string };
  const edge = await hostile(port);
  const beacon = (id: string) => ({
    to: 'mc/sfe.all',
    subject: 'BEACON',
    applicationProperties: new Map([
      ['id', id],
      ['address', `mc/sfe.${id}`],
      ['direct', `sfe.${id}`],
      ['sourceType', 'ROUTER'],
    ]),
  });
  assert.is(await edge.send(beacon(hubsBeacon.id)), DENIED, 'the hub');
  assert.is(await edge.send(beacon('BBBBB:0')), 'accepted');
  assert.is(await edge.send(beacon('CCCCC:0')), DENIED, 'a second one');
  assert.is(await edge.send({ to: 'mc/sfe.BBBBB:0' }), 'accepted');
  assert.is(await edge.send({ to: `mc/sfe.${hubsBeacon.id}` }), DENIED);
  assert.is((await edge.receiver('sfe.BBBBB:0')).answer, null);
  const other = await hostile(port, 'store2-5a17f1e2');
  assert.is(await other.send(beacon('BBBBB:0')), DENIED, 'the source of another device');
  edge.close();
  const again = await hostile(port);
  assert.is(await again.send(beacon('BBBBB:0')), 'accepted', 'a device that comes back');
});

test('other certificates keep their rules, and a device gets in nowhere else', async () => {
  const { port, secure } = await newHub();
  const id = 'store3-5a17f1e3';
  const plain = await HostileEdge.connect(port, credentials(id), id);
  assert.is((await plain.receiver('anything')).answer, null);
  const { ca: trusted, certificate: cert, key } = credentials(DEVICE, FLEET);
  const options = { ca: trusted, cert, key, host, transport: 'tls', enable_sasl_external: true } as object;
  let refusal = '';
  await AmqpClient.connect(secure, options).catch((error) => {
    refusal = String(error?.message ?? error);
  });
  assert.ok(refusal, 'it was let in as a client');
});

test('a right that is lost ends links and streams at once; one that is won lets them be', async () => {
  const rights = { device: DEVICE, offers: ['printer'], uses: ['erp'] };
  const { hub, port, denials } = await newHub(rights);
  const edge = await newEdge(port);
  const server = await echo();
  const target = { host, port: server.port };
  await hub.put(
    { kind: 'connector', name: 'erp', routingKey: 'erp', ...target },
    { kind: 'connector', name: 'crm', routingKey: 'crm', ...target },
    { kind: 'listener', name: 'printer', routingKey: 'printer', host, port: 0 },
  );
  await edge.put(
    { kind: 'listener', name: 'use-erp', routingKey: 'erp', host, port: 0 },
    { kind: 'listener', name: 'use-crm', routingKey: 'crm', host, port: 0 },
    { kind: 'connector', name: 'offer-printer', routingKey: 'printer', ...target },
    { kind: 'connector', name: 'offer-pos', routingKey: 'pos', ...target },
  );
  const open = (site: Site, name: string) =>
    eventually(
      `${name} is open`,
      () => site.state('listener', name).status === 'open' && site.state('listener', name).port,
    );
  const [erpPort, printerPort] = [await open(edge, 'use-erp'), await open(hub, 'printer')];
  await eventually('crm is refused', () => edge.state('listener', 'use-crm').error?.code === 'address-refused');
  await eventually(
    'what it offers besides is refused',
    () => edge.state('connector', 'offer-pos').error?.code === 'address-refused',
  );
  assert.equal(denials().sort(), ['receive pos', 'send crm']);

  const usedErp = await connect(erpPort);
  const usedPrinter = await connect(printerPort);
  const goOn = async (word: string): Promise<void> => {
    for (const socket of [usedErp, usedPrinter]) {
      socket.write(word);
      assert.is(String(await read(socket, word.length)), word);
    }
  };
  await goOn('hello');

  // What is granted besides disturbs nobody, and is taken up at once.
  hub.parts.grant([{ ...rights, uses: ['erp', 'crm'] }], []);
  const crmPort = await open(edge, 'use-crm');
  assert.is(await exchange(crmPort, 'hello'), 'hello');
  await goOn('and on');

  hub.parts.grant([{ ...rights, uses: ['crm'] }], []);
  assert.is(await ending(usedErp.resume()), 'reset');
  await eventually('the listener shows why', () => edge.state('listener', 'use-erp').error?.code === 'address-refused');
  assert.is(edge.state('listener', 'use-erp').status, 'closed');
  assert.not.ok(usedPrinter.destroyed);

  hub.parts.grant([{ device: DEVICE, offers: [], uses: [] }], []);
  assert.is(await ending(usedPrinter.resume()), 'reset');
  await eventually('nobody serves it', () => hub.state('listener', 'printer').status === 'closed');
  await eventually(
    'the connector shows why',
    () => edge.state('connector', 'offer-printer').error?.code === 'address-refused',
  );
  assert.is(edge.state('link', 'up').status, 'up');
  assert.is(edge.state('link', 'up').facts.reconnects, 0);

  hub.parts.grant([rights], []);
  assert.is(await exchange(await open(edge, 'use-erp'), 'again'), 'again');
  assert.is(await exchange(await open(hub, 'printer'), 'again'), 'again');
  assert.is(edge.state('connector', 'offer-printer').error, null);
});

test('a stream of an edge that does not let go is cut, in both directions', async () => {
  const rights = { device: DEVICE, offers: [], uses: ['erp'] };
  const { hub, port } = await newHub(rights);
  const server = await echo();
  await hub.put({ kind: 'connector', name: 'erp', routingKey: 'erp', host, port: server.port });
  const edge = await hostile(port);
  await edge.receiver(DEVICE, { capabilities: [DOWNLINK] });
  const { delivery, outcomes } = edge.stream({ to: 'erp', replyTo: `amqp:/_edge/${DEVICE}/temp.x` }, 'hello');
  await eventually('the answer', () => edge.streams.received.length > 0);
  hub.parts.grant([{ device: DEVICE, offers: [], uses: [] }], []);
  await eventually('the word of its end', () => outcomes.states.some(({ state }) => state?.outcome === 'rejected'));
  await eventually('the server has nobody any more', () => server.connections.every(({ destroyed }) => destroyed));
  await eventually('the answer ends', () => edge.streams.received[0]?.delivery.complete);
  assert.not.ok(edge.events.closed);
  delivery.end(false);
});

test('refusals are bounded, and told once a cause', async () => {
  const { port, denials, hub } = await newHub();
  const edge = await hostile(port);
  for (let index = 0; index < 100; index++) assert.is(await edge.send({ to: `guess-${index % 50}` }), DENIED);
  await eventually('the list', () => denials().length === 32);
  await sleep(200);
  assert.is(denials().length, 32);
  assert.ok(hub.state('access', 'edges').refusals.length <= 20);
});

test.run();
