/** A stolen box at a real hub: it has enrolled as any device, its key is in hands that mean no good, and tries everything. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AmqpClient, closeClients } from '../support/amqp.ts';
import { edgePortOf, enrolByHand, fleetDocument, newClaim, newHub, type Stolen } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { closeHostileEdges, DOWNLINK, HostileEdge } from '../support/hostile-edge.ts';
import { connector, listener, normalAccess } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { closeSockets, echo, freePort } from '../support/tcp.ts';

const test = suite('privileges of devices');
const DENIED = 'amqp:unauthorized-access';

test.after.each(async () => {
  await closeHostileEdges();
  await closeClients();
  await closeSockets();
  await Skiff.stopAll();
});

/** A group whose devices use `erp`, offer a printer of their own, and whatever `more` says. */
const group = (more: object = {}): object =>
  fleetDocument('DeviceGroup', 'stores', {
    documents: [listener('erp', 18_090), connector('printer', 9, '{{name}}-printer')],
    ...more,
  });

async function newFleet() {
  const clients = await freePort();
  const server = await echo();
  const services = [connector('erp', server.port), connector('orders', server.port)];
  const hub = await newHub({ documents: [normalAccess(clients), ...services, group()] });
  const claim = await newClaim(hub, 'batch', '--uses', '0');
  const edgePort = await edgePortOf(hub);
  const enrol = (serial: string) => enrolByHand(claim, serial);
  const attack = ({ credentials, id }: Stolen) => HostileEdge.connect(edgePort, credentials, id);
  return { hub, clients, enrol, attack };
}

test('it may do what its group does, and nothing else, whatever it says', async () => {
  const { hub, clients, enrol, attack } = await newFleet();
  const [stolen, other] = [await enrol('A1'), await enrol('A2')];
  const { name } = stolen;
  const client = await AmqpClient.connect(clients);
  const edge = await attack(stolen);
  const control = (id: string): string => `skiff.device.${id}`;

  for (const address of [
    ...['erp', 'orders', `${other.name}-printer`, '$management', '_topo/0/x/$management', 'qdrouter', 'skiff.fleet'],
    ...[control(other.id), 'mc/sfe.all', 'mc/anything', '_edge/anybody', '_local/$management'],
  ])
    assert.is((await edge.receiver(address)).answer, DENIED, `poses as ${address}`);
  for (const address of [
    ...['orders', `${other.name}-printer`, '$management', '_local/$management', '_topo/0/x/$management', 'qdrouter'],
    ...[control(other.id), control(stolen.id), `_edge/${other.id}/temp.guess`, 'sfe.AAAAA:0', 'mc/anything'],
  ]) {
    assert.is((await edge.sender(address)).answer, DENIED, `attaches to ${address}`);
    assert.is(await edge.send({ to: address }), DENIED, `sends to ${address}`);
    assert.is(await edge.send({ to: 'erp', override: address }), DENIED, `overrides with ${address}`);
  }
  for (const id of [other.id, 'hq'])
    assert.is((await edge.receiver(id, { capabilities: [DOWNLINK] })).answer, DENIED, `takes what is for ${id}`);

  // The network as the hub knows it is not for it, but for what it may use.
  const feed = await edge.receiver('_$skiff.records');
  await eventually('what the feed says', () => feed.inbox.completed.length > 0);
  const told = feed.inbox.completed.map((_, index) => feed.inbox.text(index)).join('');
  assert.not.match(told, /orders/);
  assert.not.match(told, new RegExp(other.name));

  assert.is((await edge.receiver(`${name}-printer`)).answer, null);
  assert.is((await edge.receiver(control(stolen.id))).answer, null);
  assert.is((await edge.sender('erp')).answer, null);
  assert.is((await edge.sender('skiff.fleet')).answer, null);
  assert.not.ok(edge.events.closed, 'what it may do goes on');

  // What it tried is seen by whoever looks.
  const device = await hub.until('Device', name, ({ status }) => (status.refused as string[])?.length > 0);
  assert.ok((device.status.refused as string[]).includes('receive erp'), JSON.stringify(device.status.refused));
  const access = await hub.get('RouterAccess', 'uplinks');
  const refusals = access.status.refusals as { cause: { code: string; message: string } }[];
  assert.ok(refusals.some(({ cause }) => cause.code === 'address-refused' && cause.message.startsWith(stolen.id)));
  await client.close();
});

test('what the group is given and loses takes effect while the device is linked, and a restart forgets nothing', async () => {
  const { hub, enrol, attack } = await newFleet();
  const stolen = await enrol('A1');
  const edge = await attack(stolen);
  assert.is((await edge.sender('orders')).answer, DENIED);
  await hub.apply(group({ uses: ['orders'], offers: ['{{name}}.*'] }));
  // An edge that is no Skiff connects again to try again.
  await eventually('it is told to', () => edge.events.closed);
  const again = await attack(stolen);
  const orders = await again.sender('orders');
  assert.is(orders.answer, null);
  assert.is((await again.receiver(`${stolen.name}.anything`)).answer, null);

  await again.receiver(stolen.id, { capabilities: [DOWNLINK] });
  const stream = again.stream({ to: 'orders', replyTo: `amqp:/_edge/${stolen.id}/temp.x` }, 'hello');
  await eventually('the answer', () => again.streams.received.length > 0);
  await hub.apply(group());
  await eventually('the link is taken from it', () => orders.answer === DENIED);
  await eventually('the stream too', () => stream.outcomes.states.some(({ state }) => state?.outcome === 'rejected'));

  await hub.stop('SIGKILL');
  const back = await Skiff.run({ data: hub.data });
  const later = await eventually('it gets in', () => attack(stolen));
  assert.is((await later.sender('erp')).answer, null);
  assert.is((await later.sender('orders')).answer, DENIED);

  assert.is((await back.cli('fleet', 'revoke', stolen.name)).code, 0);
  await eventually('its link has ended', () => later.events.closed);
  let refusal = '';
  await attack(stolen).catch((error) => {
    refusal = String(error);
  });
  assert.match(refusal, /did not accept this site's certificate/);
});

test.run();
