/** What a router that is not ours cannot bear, and so is not made to: all of it was seen of skupper-router 3.5.1. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Connection } from '../../src/amqp/connection.ts';
import type { IncomingDelivery } from '../../src/amqp/delivery.ts';
import { AnnotationFlag, readHead, streamStart } from '../../src/amqp/message.ts';
import { SaslServer } from '../../src/amqp/sasl.ts';
import type { Chunk } from '../../src/net/chunk.ts';
import type { AccessState, PartConfig, PartState } from '../../src/router/protocol.ts';
import { Parts } from '../../src/tcp/parts.ts';
import { chunkOf, connectionOptions, listen, Recorder } from '../amqp/loopback.ts';
import { makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { closeHostileEdges, DOWNLINK, HostileEdge } from '../support/hostile-edge.ts';
import { TestRouter } from '../support/router.ts';
import { closeSockets, connect } from '../support/tcp.ts';

const test = suite('a router that is not ours');
const running: Parts[] = [];
const ca = makeCa('network');
const host = '127.0.0.1';

test.after.each(async () => {
  await closeHostileEdges();
  await closeSockets();
  for (const parts of running.splice(0)) await parts.stop(200);
});

async function newHub(...more: PartConfig[]) {
  const states = new Map<string, PartState>();
  const siteId = '5a17f1e1-0000-4000-8000-000000000001';
  const parts = new Parts({ id: 'hub', mode: 'interior', siteId, siteName: 'hub', version: '1' }, (changed) => {
    for (const state of changed) states.set(state.name, state);
  });
  running.push(parts);
  const tls = { ...ca.issue({ commonName: 'hub', hosts: [host] }), ca: ca.certificate };
  await parts.apply([{ kind: 'access', name: 'edges', role: 'edge', host, port: 0, tls }, ...more], []);
  const { port } = states.get('edges') as AccessState;
  const edge = (id: string, product?: string) =>
    HostileEdge.connect(port as number, { ...ca.issue({ commonName: id }), ca: ca.certificate }, id, product);
  return { edge, states };
}

/** Resolves when all that was sent to and fro before has been taken. */
const passed = (edge: HostileEdge) => edge.send({ to: 'nobody' });

/** The octets of the first stream that came to the edge, as far as they have come; null before. */
function bodyAt(edge: HostileEdge): Buffer | null {
  const [stream] = edge.streams.received;
  if (!stream) return null;
  const octets = Buffer.concat(stream.parts);
  const head = readHead(octets, 0, octets.length, false);
  return octets.subarray(streamStart(octets, head?.bodyStart as number, octets.length));
}

/** Where the first stream that came to the edge awaits its answer. */
function replyAt(edge: HostileEdge): string {
  const octets = Buffer.concat(edge.streams.received[0]?.parts ?? []);
  return readHead(octets, 0, octets.length, false)?.replyTo as string;
}

test('a message that nobody takes is settled when it has come whole, and not before', async () => {
  const { edge } = await newHub();
  const foreign = await edge('foreign');
  const { delivery, outcomes } = foreign.stream({ to: 'nobody' }, 'octets');
  await eventually('it is released', () => outcomes.states.length > 0);
  assert.equal(outcomes.states, [{ state: { outcome: 'released' }, settled: false }]);
  delivery.end(false);
  await eventually('it is settled', () => outcomes.final);
  assert.is(outcomes.final, 'released');
});

test('a message that a consumer has settled early is settled when it has come whole', async () => {
  const { edge } = await newHub();
  const [foreign, consumer] = [await edge('foreign'), await edge('consumer')];
  const { inbox } = await consumer.receiver('quick');
  const { delivery, outcomes } = foreign.stream({ to: 'quick', by: await foreign.sender('quick') }, 'octets');
  const stream = await eventually('it has come', () => consumer.streams.received[0] ?? inbox.received[0]);
  stream.delivery.update({ outcome: 'accepted' }, true);
  await eventually('its outcome', () => outcomes.states.length > 0);
  assert.equal(outcomes.states, [{ state: { outcome: 'accepted' }, settled: false }]);
  delivery.end(false);
  await eventually('it is settled', () => outcomes.final);
});

test('octets that run ahead of the answer come when it passes', async () => {
  const { edge } = await newHub();
  const [foreign, client] = [await edge('foreign'), await edge('client', 'skiff')];
  await foreign.receiver('echo');
  const reply = '_edge/client/temp.0123456789abcde';
  await client.receiver('client', { capabilities: [DOWNLINK] });
  const stream = client.stream({ to: 'echo', replyTo: reply, by: await client.sender('echo') }, '');
  await eventually('the stream has come', () => foreign.streams.received[0]);
  stream.delivery.write(chunkOf(Buffer.from('hello')));
  await passed(client);
  foreign.stream({ to: reply }, 'good morning');
  await eventually('the octets have come', () => bodyAt(foreign)?.toString() === 'hello');
  stream.delivery.write(chunkOf(Buffer.from(' and more')));
  stream.delivery.end(false);
  await eventually('the rest has come', () => foreign.streams.received[0]?.delivery.complete);
  assert.is(bodyAt(foreign)?.toString(), 'hello and more');
});

test('octets of an edge come without the answer, too: that may go by another uplink of its', async () => {
  const { edge } = await newHub();
  const [foreign, client] = [await edge('foreign'), await edge('client', 'skiff')];
  await foreign.receiver('echo');
  const said = { to: 'echo', replyTo: '_edge/client/temp.0123456789abcde', by: await client.sender('echo') };
  const { delivery } = client.stream(said, '');
  delivery.write(chunkOf(Buffer.from('hello')));
  delivery.end(false);
  await eventually('the octets have come', () => foreign.streams.received[0]?.delivery.complete);
  assert.is(bodyAt(foreign)?.toString(), 'hello');
});

test('towards a router of ours they do not wait', async () => {
  const { edge } = await newHub();
  const [server, client] = [await edge('server', 'skiff'), await edge('client', 'skiff')];
  await server.receiver('echo');
  const said = { to: 'echo', replyTo: '_edge/client/temp.0123456789abcde', by: await client.sender('echo') };
  const { delivery } = client.stream(said, '');
  delivery.write(chunkOf(Buffer.from('hello')));
  await eventually('the octets have come', () => bodyAt(server)?.toString() === 'hello');
});

test('a message that streams and is no TCP connection does not wait: its answer comes when it is whole', async () => {
  const { edge } = await newHub();
  const [foreign, client] = [await edge('foreign'), await edge('client', 'skiff')];
  await foreign.receiver('echo');
  const said = { to: 'echo', replyTo: '_edge/client/temp.0123456789abcde', by: await client.sender('echo') };
  const { delivery } = client.stream({ ...said, flags: AnnotationFlag.streaming }, '');
  await eventually('the message has come', () => foreign.streams.received[0]);
  delivery.write(chunkOf(Buffer.from('hello')));
  delivery.end(false);
  await eventually('its end has come', () => foreign.streams.received[0]?.delivery.complete);
  assert.is(bodyAt(foreign)?.toString(), 'hello');
});

test('a stream that is given up before its answer ends with what it had', async () => {
  const { edge } = await newHub();
  const [foreign, client] = [await edge('foreign'), await edge('client', 'skiff')];
  await foreign.receiver('echo');
  const said = { to: 'echo', replyTo: '_edge/client/temp.0123456789abcde', by: await client.sender('echo') };
  const { delivery } = client.stream(said, '');
  await eventually('the stream has come', () => foreign.streams.received[0]);
  delivery.write(chunkOf(Buffer.from('hello')));
  delivery.end(true);
  await eventually('its end has come', () => foreign.streams.received[0]?.delivery.complete);
  assert.is(bodyAt(foreign)?.toString(), '');
});

test('a client that speaks first is heard when its server has answered', async () => {
  const { edge, states } = await newHub({ kind: 'listener', name: 'echo', routingKey: 'echo', host, port: 0 });
  const foreign = await edge('foreign');
  await foreign.receiver('echo');
  const port = await eventually('the listener is open', () => {
    const state = states.get('echo');
    return state?.kind === 'listener' && state.status === 'open' ? state.port : null;
  });
  const client = await connect(port);
  client.end('hello');
  await eventually('the stream has come', () => foreign.streams.received[0]);
  await passed(foreign);
  assert.is(bodyAt(foreign)?.toString(), '');
  foreign.stream({ to: replyAt(foreign) }, '');
  await eventually('its end has come', () => foreign.streams.received[0]?.delivery.complete);
  assert.is(bodyAt(foreign)?.toString(), 'hello');
});

/** Streams to `to`, one after the other, each of so many pieces and settled by its sender; counts the links they come by. */
async function linksOf(to: string, client: HostileEdge, consumer: HostileEdge, pieces: number[]): Promise<number> {
  const by = await client.sender(to);
  for (const [index, count] of pieces.entries()) {
    const { delivery } = client.stream({ to, by }, '');
    for (let piece = 1; piece < count; piece++) delivery.write(chunkOf('octets'));
    delivery.end(true);
    await eventually('the stream has come', () => consumer.streams.received[index]?.delivery.complete);
    await passed(client);
  }
  return new Set(consumer.streams.received.map(({ delivery }) => delivery.receiver)).size;
}

test('a link by which much has come is not used for the next stream before it is known to be taken', async () => {
  const { edge } = await newHub();
  const [foreign, ours] = [await edge('foreign'), await edge('ours', 'skiff')];
  await foreign.receiver('there');
  await ours.receiver('here');
  const client = await edge('client', 'skiff');
  assert.is(await linksOf('there', client, foreign, [10, 1, 1, 10, 1]), 3);
  assert.is(await linksOf('here', client, ours, [10, 1, 1, 10, 1]), 1);
});

/**
 * A hub that grants every link; `order` has the addresses that an edge attaches senders to, and whose messages have come,
 * `gone` says what became of each link: its own end, or its session's.
 */
async function grantingHub() {
  const order: string[] = [];
  const gone = new Map<string, 'detached' | 'session ended'>();
  const listening = await listen(null, ({ socket }) => {
    const recorder = new Recorder();
    const sasl = new SaslServer('ANONYMOUS', { optional: false, refusal: null });
    recorder.connection = new Connection(socket, connectionOptions({ containerId: 'hub', sasl }), recorder);
    recorder.attach = (session, attach) => {
      const { source, target } = attach;
      const address = source?.address ?? target?.address ?? '';
      const onDetached = () => gone.set(address, session.closed ? 'session ended' : 'detached');
      if (attach.role) {
        session.acceptSender(attach, { source, target }, { onDetached });
        return;
      }
      order.push(`attach ${address}`);
      const onTransfer = (delivery: IncomingDelivery, chunk: Chunk | null) => {
        chunk?.release();
        order.push(`message to ${address}`);
        delivery.update({ outcome: 'accepted' }, true);
      };
      session.acceptReceiver(attach, { source, target }, { onDetached, onTransfer }).setCapacity(3);
    };
  });
  return { ...listening, order, gone };
}

test('an uplink that steps back detaches its links to parts of the hub before their session ends', async () => {
  await using before = await grantingHub();
  await using after = await grantingHub();
  const edge = new TestRouter('edge', 'edge');
  running.push(edge.parts);
  const put = async (name: string, port: number, cost: number): Promise<void> => {
    await edge.put({ kind: 'link', name, role: 'edge', endpoints: [{ host, port }], cost, tls: null });
    await eventually('the link is up', () => edge.state('link', name)?.status === 'up');
  };
  await put('before', before.port, 2);
  await put('after', after.port, 1);
  await eventually('it has stepped back', () => edge.state('link', 'before')?.status === 'standby');
  await eventually('address tracking has ended', () => before.gone.get('_$qd.edge_addr_tracking') === 'detached');
  assert.is(before.gone.get('_$qd.mesh_discovery'), 'detached');
});

test('a hub is told what its edge sends to when it knows which mesh that is in', async () => {
  await using hub = await grantingHub();
  const edge = new TestRouter('edge', 'edge');
  running.push(edge.parts);
  await edge.listener('echo', 0);
  await edge.put({ kind: 'link', name: 'up', role: 'edge', endpoints: [{ host, port: hub.port }], cost: 1, tls: null });
  await eventually('the hub is told', () => hub.order.includes('attach echo'));
  assert.ok(hub.order.indexOf('message to _$qd.mesh_discovery') < hub.order.indexOf('attach echo'));
  assert.ok(hub.order.includes('message to _$qd.mesh_discovery'));
});

test.run();
