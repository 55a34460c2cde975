/** Against rhea as an independent peer, in both roles. */
import crypto from 'node:crypto';
import { once } from 'node:events';
import type net from 'node:net';
import type { Socket } from 'node:net';
import rhea, { type Container, type EventContext, type Connection as RheaConnection } from 'rhea';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { symbol, type Writable } from '../../src/amqp/codec.ts';
import { Connection, type ConnectionOptions } from '../../src/amqp/connection.ts';
import { AmqpError, Condition } from '../../src/amqp/error.ts';
import type { Receiver, Sender } from '../../src/amqp/link.ts';
import { readBody, readHead, writeMessage } from '../../src/amqp/message.ts';
import { ACCEPTED, type DeliveryState, MODIFIED_FAILED, RELEASED, terminus } from '../../src/amqp/performatives.ts';
import { SaslClient, SaslServer } from '../../src/amqp/sasl.ts';
import { dial } from '../../src/net/dial.ts';
import { slabsInUse } from '../../src/net/slab.ts';
import { secureContext } from '../../src/net/tls.ts';
import { makeCa } from '../support/certificates.ts';
import { chunkOf, connectionOptions, Inbox, listen, Outcomes, Recorder, settleDown, until } from './loopback.ts';

const test = suite('rhea');

const ca = makeCa('site');
const server = ca.issue({ commonName: 'hub', hosts: ['localhost', '127.0.0.1'] });
const client = ca.issue({ commonName: 'store1' });

interface WithRhea extends AsyncDisposable {
  /** rhea's side. Its events come to `container` too. */
  rhea: RheaConnection;
  container: Container;
  ours: Connection;
  events: Recorder;
}

interface Options {
  ours?: Partial<ConnectionOptions>;
  /** Options of rhea's connection. */
  rhea?: Record<string, unknown>;
  tls?: boolean;
}

function newContainer(): Container {
  const container = rhea.create_container({ id: 'rhea' });
  // Without these rhea throws what it has to say.
  for (const event of ['error', 'connection_error', 'session_error', 'disconnected', 'protocol_error'])
    container.on(event, () => {});
  return container;
}

/** rhea connects, we accept. */
async function acceptRhea(options: Options = {}): Promise<WithRhea> {
  const slabs = slabsInUse();
  const events = new Recorder();
  const container = newContainer();
  const listening = await listen(options.tls ? secureContext(server, 'access') : null, ({ socket }) => {
    events.connection = new Connection(socket, connectionOptions({ containerId: 'hub', ...options.ours }), events);
  });
  const connection = container.connect({
    host: '127.0.0.1',
    port: listening.port,
    reconnect: false,
    tcp_no_delay: true,
    ...(options.tls
      ? {
          transport: 'tls',
          servername: 'localhost',
          cert: client.certificate,
          key: client.key,
          ca: [client.ca],
          enable_sasl_external: true,
        }
      : {}),
    ...options.rhea,
  } as Parameters<Container['connect']>[0]);
  await until(() => events.opened !== null && connection.is_open(), 'both ends are open');
  const dispose = async (): Promise<void> => {
    events.connection.close();
    await until(() => events.closed && listening.sockets.every(({ destroyed }) => destroyed), 'we are closed');
    await listening[Symbol.asyncDispose]();
    await until(() => slabsInUse() === slabs, 'all slabs are free');
  };
  return { rhea: connection, container, ours: events.connection, events, [Symbol.asyncDispose]: dispose };
}

/** We connect, rhea accepts. */
async function connectToRhea(options: Options = {}): Promise<WithRhea> {
  const slabs = slabsInUse();
  const events = new Recorder();
  const container = newContainer();
  const opened = Promise.withResolvers<RheaConnection>();
  container.on('connection_open', (context: EventContext) => opened.resolve(context.connection));
  const tls = {
    transport: 'tls',
    cert: server.certificate,
    key: server.key,
    ca: [server.ca],
    requestCert: true,
    enable_sasl_external: true,
  };
  const listener = container.listen({
    host: '127.0.0.1',
    port: 0,
    ...(options.tls ? tls : {}),
    ...options.rhea,
  } as Parameters<Container['listen']>[0]);
  const sockets: Socket[] = [];
  listener.on('connection', (socket: Socket) => sockets.push(socket));
  await once(listener, 'listening');
  const { port } = listener.address() as net.AddressInfo;
  const context = options.tls ? secureContext(client, 'link') : null;
  dial(
    { host: '127.0.0.1', port, context, timeout: 20_000 },
    (socket) => {
      const ours = connectionOptions({
        containerId: 'store1',
        hostname: '127.0.0.1',
        sasl: new SaslClient('ANONYMOUS'),
        ...options.ours,
      });
      events.connection = new Connection(socket, ours, events);
    },
    opened.reject,
  );
  const connection = await opened.promise;
  await until(() => events.opened !== null, 'we are open');
  const dispose = async (): Promise<void> => {
    events.connection.close();
    await until(() => events.closed && events.connection.socket.destroyed, 'we are closed');
    for (const socket of sockets) socket.destroy();
    listener.close();
    await until(() => slabsInUse() === slabs, 'all slabs are free');
  };
  return { rhea: connection, container, ours: events.connection, events, [Symbol.asyncDispose]: dispose };
}

const roles = { 'rhea connects': acceptRhea, 'we connect': connectToRhea };

const anonymous = () => new SaslServer('ANONYMOUS', { optional: true, refusal: null });

for (const [role, meet] of Object.entries(roles)) {
  test(`${role}: open`, async () => {
    const properties = new Map<Writable, Writable>([[symbol('product'), 'skiff']]);
    const ours = { maxFrameSize: 7000, channelMax: 77, idleTimeout: 20_000, capabilities: ['a', 'b'], properties };
    await using met = await meet({
      ours,
      rhea: { max_frame_size: 5000, channel_max: 55, idle_time_out: 30_000, container_id: 'them' },
    });
    assert.is(met.events.opened?.containerId, 'them');
    assert.is(met.events.opened?.maxFrameSize, 5000);
    assert.is(met.events.opened?.channelMax, 55);
    assert.is(met.events.opened?.idleTimeOut, 30_000);
    assert.is(met.ours.maxPayload, 5000 - 80);
    assert.is(met.rhea.container_id, met.ours.options.containerId);
    assert.is(met.rhea.max_frame_size, 7000);
    assert.is(met.rhea.channel_max, 77);
    assert.is(met.rhea.idle_time_out, 10_000);
    assert.equal(met.rhea.offered_capabilities, ['a', 'b']);
    assert.is(met.rhea.properties?.product, 'skiff');
  });

  test(`${role}: EXTERNAL over mutual TLS, and messages`, async () => {
    const sasl =
      role === 'rhea connects'
        ? new SaslServer('EXTERNAL', { optional: false, refusal: null })
        : new SaslClient('EXTERNAL');
    await using met = await meet({ tls: true, ours: { sasl } });
    assert.ok(sasl.done);
    await exchange(met);
  });

  test(`${role}: ANONYMOUS, and messages`, async () => {
    const sasl = role === 'rhea connects' ? anonymous() : new SaslClient('ANONYMOUS');
    await using met = await meet({ ours: { sasl }, rhea: { username: 'anonymous' } });
    assert.ok(sasl.done);
    await exchange(met);
  });

  test(`${role}: our close tells rhea why`, async () => {
    await using met = await meet();
    const closed = once(met.rhea, 'connection_error');
    met.ours.close(new AmqpError(Condition.connectionForced, 'go away'));
    const [context] = (await closed) as [EventContext];
    assert.is(
      context.connection.error && 'condition' in context.connection.error ? context.connection.error.condition : '',
      'amqp:connection:forced',
    );
    await until(() => met.events.closed, 'we are closed');
  });

  test(`${role}: rhea's close is orderly, with and without an error`, async () => {
    {
      await using met = await meet();
      met.rhea.close();
      await until(() => met.events.closed, 'we are closed');
      assert.equal(met.events.closings, [null]);
    }
    await using met = await meet();
    met.rhea.close({ condition: 'amqp:internal-error', description: 'oops' });
    await until(() => met.events.closed, 'we are closed');
    assert.is(met.events.closings[0]?.code, 'amqp:internal-error');
    assert.match(met.events.closings[0]?.message ?? '', 'oops');
  });

  test(`${role}: idle timeouts are kept on both sides`, async () => {
    await using met = await meet({ ours: { idleTimeout: 1200 }, rhea: { idle_time_out: 600 } });
    const before = met.ours.octetsIn;
    await until(() => met.ours.octetsIn >= before + 4 * 8, 'rhea sends empty frames');
    assert.ok(met.rhea.is_open());
    assert.not(met.ours.closed);
  });

  test(`${role}: frames keep to what the other side takes`, async () => {
    await using met = await meet({ ours: { maxFrameSize: 600 }, rhea: { max_frame_size: 512 } });
    await exchange(met, 20_000);
  });
}

/** A message each way, over links that we open, so that it is the same whoever connected. */
async function exchange(met: WithRhea, octets = 100_000): Promise<void> {
  const body = crypto.randomBytes(octets).toString('base64');
  const { sender } = await ourSender(met);
  const message = once(met.container, 'message');
  const outcomes = new Outcomes();
  sender.send(false, outcomes).end(false, chunkOf(writeMessage({ to: 'there' }, body)));
  const [{ message: received }] = (await message) as [EventContext];
  assert.is(received?.body, body);
  assert.is(received?.to, 'there');
  await until(() => outcomes.final === 'accepted', 'rhea has accepted it');

  const { inbox } = await ourReceiver(met, ({ delivery }) => delivery.update(ACCEPTED, true));
  const accepted = once(met.container, 'accepted');
  rheaSender(met).send({ body, subject: 'back' });
  await until(() => inbox.completed.length === 1, 'it has come');
  const whole = Buffer.concat(inbox.received[0]?.parts ?? []);
  assert.is(readHead(whole, 0, whole.length, true)?.subject, 'back');
  assert.is(readBody(whole).body, body);
  await accepted;
}

let names = 0;

async function ourSender(met: WithRhea): Promise<{ sender: Sender; detached: { condition?: string | undefined }[] }> {
  const detached: { condition?: string | undefined }[] = [];
  const sender = met.ours
    .openSession()
    .openSender(
      { name: `s${++names}`, source: terminus(), target: terminus('there') },
      { onDetached: (error) => detached.push({ condition: error?.condition }) },
    );
  await until(() => sender.credit > 0, 'rhea gives credit');
  return { sender, detached };
}

async function ourReceiver(
  met: WithRhea,
  onComplete: Inbox['onComplete'] = () => {},
): Promise<{ receiver: Receiver; inbox: Inbox }> {
  const inbox = new Inbox();
  inbox.onComplete = onComplete;
  const receiver = met.ours
    .openSession()
    .openReceiver({ name: `r${++names}`, source: terminus('here'), target: terminus() }, inbox);
  receiver.setCapacity(10);
  await until(() => receiver.attached, 'rhea has attached');
  await until(() => rheaSender(met).sendable(), 'rhea has credit');
  return { receiver, inbox };
}

/** The sender that rhea has for our last receiver. */
function rheaSender(met: WithRhea): rhea.Sender {
  let found: rhea.Sender | undefined;
  met.rhea.each_sender((sender: rhea.Sender) => {
    found = sender;
  });
  if (!found) throw new Error('rhea has no sender');
  return found;
}

test('rhea opens the links, with messages both ways', async () => {
  await using met = await acceptRhea({ ours: { sasl: anonymous() } });
  const inbox = new Inbox();
  inbox.onComplete = ({ delivery }) => delivery.update(ACCEPTED, true);
  const senders: Sender[] = [];
  met.events.attach = (session, attach) => {
    if (attach.role) senders.push(session.acceptSender(attach, attach, { onDetached: () => {} }));
    else session.acceptReceiver(attach, attach, inbox).setCapacity(20);
  };
  const sender = met.rhea.open_sender('to us');
  met.rhea.open_receiver({ source: 'from us', credit_window: 5 });
  let accepted = 0;
  met.container.on('accepted', () => accepted++);
  const bodies: unknown[] = [];
  met.container.on('message', ({ message }: EventContext) => bodies.push(message?.body));
  const total = 300;
  let sent = 0;
  const send = (): void => {
    while (sent < total && sender.sendable()) sender.send({ body: `message ${sent++}` });
  };
  met.container.on('sendable', send);
  send();
  await until(() => accepted === total, 'all are accepted');
  assert.is(inbox.received[0]?.delivery.receiver.target?.address, 'to us');
  await until(() => senders[0]?.attached === true && senders[0].credit > 0, 'there is credit');
  const all = Array.from({ length: total }, () => new Outcomes());
  for (const [index, outcomes] of all.entries())
    senders[0]?.send(false, outcomes).end(false, chunkOf(writeMessage({}, `answer ${index}`)));
  await until(() => all.every(({ final }) => final === 'accepted'), 'rhea accepts all');
  assert.equal(
    bodies,
    all.map((_, index) => `answer ${index}`),
  );
  assert.is(senders[0]?.outstanding, 0);
});

for (const [event, state] of [
  ['accepted', ACCEPTED],
  ['released', RELEASED],
  ['modified', MODIFIED_FAILED],
  ['rejected', { outcome: 'rejected', error: { condition: 'amqp:not-found', description: 'nobody' } }],
] as [string, DeliveryState][]) {
  test(`rhea hears that its message was ${event}`, async () => {
    await using met = await connectToRhea();
    const { inbox } = await ourReceiver(met, ({ delivery }) => delivery.update(state, true));
    const told = once(met.container, event);
    const settled = once(met.container, 'settled');
    rheaSender(met).send({ body: 'x' });
    const [{ delivery }] = (await told) as [EventContext];
    await settled;
    const outcome = delivery?.remote_state as unknown as { error?: { condition: string; description: string } };
    if (event === 'rejected')
      assert.equal([outcome.error?.condition, outcome.error?.description], ['amqp:not-found', 'nobody']);
    assert.is(inbox.completed.length, 1);
  });
}

test("we hear rhea's outcomes", async () => {
  await using met = await connectToRhea();
  const { sender } = await ourSender(met);
  const acts: [(context: EventContext) => void, string][] = [
    [({ delivery }) => delivery?.accept(), 'accepted'],
    [({ delivery }) => delivery?.release({ delivery_failed: true, undeliverable_here: true }), 'modified'],
    [({ delivery }) => delivery?.release(), 'released'],
    [({ delivery }) => delivery?.reject({ condition: 'x:y', description: 'no' }), 'rejected'],
  ];
  for (const [act, expected] of acts) {
    met.container.once('message', act);
    let receiver: rhea.Receiver | undefined;
    met.rhea.each_receiver((each: rhea.Receiver) => {
      receiver = each;
    });
    receiver?.set_credit_window(50);
    if (receiver) (receiver as unknown as { autoaccept: boolean; local: { attach: object } }).autoaccept = false;
    const outcomes = new Outcomes();
    sender.send(false, outcomes).end(false, chunkOf(writeMessage({}, 'x')));
    await until(() => outcomes.states.length > 0, `it is ${expected}`);
    assert.is(outcomes.states[0]?.state?.outcome, expected);
    if (expected === 'rejected')
      assert.equal(outcomes.states[0]?.state, { outcome: 'rejected', error: { condition: 'x:y', description: 'no' } });
  }
});

test('a stream of ours is one message to rhea', async () => {
  await using met = await connectToRhea({ ours: { firstSequence: 2 ** 32 - 100 } });
  const { sender } = await ourSender(met);
  const message = once(met.container, 'message');
  const body = 'x'.repeat(300_000);
  const octets = writeMessage({}, body);
  const outcomes = new Outcomes();
  const delivery = sender.send(false, outcomes);
  for (let offset = 0; offset < octets.length; ) {
    const size = crypto.randomInt(1, 20_000);
    delivery.write(chunkOf(octets.subarray(offset, offset + size)));
    offset += size;
    if (size % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  delivery.end(false);
  const [{ message: received }] = (await message) as [EventContext];
  assert.is(received?.body, body);
  await until(() => outcomes.final === 'accepted', 'it is accepted');
});

test('a large message of rhea comes as a stream, and stops at our window', async () => {
  await using met = await connectToRhea({ ours: { sessionWindow: 4, maxFrameSize: 4096 } });
  const { inbox } = await ourReceiver(met);
  inbox.holding = true;
  const body = 'y'.repeat(200_000);
  rheaSender(met).send({ body });
  await until(() => inbox.received[0]?.held.length === 4, 'the window is full');
  await settleDown();
  assert.is(inbox.received[0]?.held.length, 4);
  inbox.letGo();
  await until(() => inbox.completed.length === 1, 'it goes on');
  assert.is(readBody(Buffer.concat(inbox.received[0]?.parts ?? [])).body, body);
});

test('rhea drains its credit', async () => {
  await using met = await acceptRhea();
  const senders: Sender[] = [];
  met.events.attach = (session, attach) => senders.push(session.acceptSender(attach, attach, { onDetached: () => {} }));
  const receiver = met.rhea.open_receiver({ source: 'x', credit_window: 0 });
  await until(() => senders.length === 1, 'it is attached');
  receiver.add_credit(7);
  await until(() => senders[0]?.credit === 7, 'there is credit');
  const drained = once(met.container, 'receiver_drained');
  receiver.drain_credit();
  await drained;
  assert.is(senders[0]?.credit, 0);
  // rhea drains from now on: what waits comes, and the rest of the credit is used up again.
  const messages: unknown[] = [];
  met.container.on('message', ({ message }: EventContext) => messages.push(message?.body));
  for (const body of ['a', 'b']) senders[0]?.send(true, new Outcomes()).end(true, chunkOf(writeMessage({}, body)));
  const again = once(met.container, 'receiver_drained');
  receiver.add_credit(5);
  await again;
  assert.equal(messages, ['a', 'b']);
  assert.is(senders[0]?.credit, 0);
});

test('links end with their conditions, both ways', async () => {
  await using met = await connectToRhea();
  const { sender, detached } = await ourSender(met);
  const told = once(met.container, 'receiver_error');
  sender.detach(new AmqpError(Condition.notFound, 'the address is gone'));
  const [{ receiver }] = (await told) as [EventContext];
  assert.is(receiver?.error && 'condition' in receiver.error ? receiver.error.condition : '', 'amqp:not-found');
  await until(() => sender.closed, 'rhea has answered');
  assert.equal(detached, []);

  const second = await ourSender(met);
  let theirs: rhea.Receiver | undefined;
  met.rhea.each_receiver((each: rhea.Receiver) => {
    if (each.is_open()) theirs = each;
  });
  theirs?.close({ condition: 'x:y', description: 'enough' });
  await until(() => second.detached.length === 1, 'we are told');
  assert.equal(second.detached, [{ condition: 'x:y' }]);

  const third = await ourSender(met);
  const ended = once(met.container, 'session_close');
  third.sender.session.end();
  await ended;
  await until(() => third.sender.session.closed, 'rhea has answered');
});

test('many sessions and links at once', async () => {
  await using met = await acceptRhea({ rhea: { channel_max: 1000 } });
  const inbox = new Inbox();
  inbox.onComplete = ({ delivery }) => delivery.update(ACCEPTED, true);
  met.events.attach = (session, attach) => session.acceptReceiver(attach, attach, inbox).setCapacity(10);
  let accepted = 0;
  met.container.on('accepted', () => accepted++);
  const used = new Set<unknown>();
  met.container.on('sendable', ({ sender }: EventContext) => {
    if (used.has(sender)) return;
    used.add(sender);
    for (let index = 0; index < 5; index++) sender?.send({ body: index });
  });
  for (let session = 0; session < 40; session++) {
    const theirs = met.rhea.create_session();
    theirs.begin();
    for (let link = 0; link < 3; link++) theirs.open_sender(`q${session}.${link}`);
  }
  await until(() => accepted === 40 * 3 * 5, 'all are accepted');
  assert.is(inbox.completed.length, 600);
});

test.run();
