/** The life of a connection: open, limits, sessions and links, idle timeouts, close, and handlers that interfere. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { described, symbol, uint, type Writable } from '../../src/amqp/codec.ts';
import { AmqpError, Condition } from '../../src/amqp/error.ts';
import { ACCEPTED, Descriptor, type ErrorValue, saslInit, terminus } from '../../src/amqp/performatives.ts';
import { AMQP_HEADER, SASL_HEADER, SaslClient, SaslServer } from '../../src/amqp/sasl.ts';
import { SkiffError } from '../../src/errors.ts';
import { setLogSink } from '../../src/log.ts';
import {
  chunkOf,
  HEADER,
  Inbox,
  Outcomes,
  openLink,
  openPair,
  rawClient,
  rawFrame,
  rawServer,
  settleDown,
  until,
} from './loopback.ts';

const test = suite('connection');

const ended = described(Descriptor.end, []);
const closed = described(Descriptor.close, []);
const open = () => described(Descriptor.open, ['raw']);
const begin = (remoteChannel: number | null = null, window = 100, handleMax = 100) =>
  described(Descriptor.begin, [
    remoteChannel === null ? null : uint(remoteChannel),
    uint(0),
    uint(window),
    uint(100),
    uint(handleMax),
  ]);
const attach = (name: string, handle: number, receiver: boolean) =>
  described(Descriptor.attach, [
    name,
    uint(handle),
    receiver,
    null,
    null,
    described(Descriptor.source, ['here']),
    described(Descriptor.target, ['there']),
    null,
    null,
    receiver ? null : uint(0),
  ]);

test('both ends learn what the other opened with', async () => {
  await using pair = await openPair({
    client: {
      containerId: 'store1',
      maxFrameSize: 5000,
      channelMax: 9,
      idleTimeout: 9000,
      capabilities: ['ANONYMOUS-RELAY', 'x'],
      properties: new Map<Writable, Writable>([
        [symbol('product'), 'skiff'],
        [symbol('n'), uint(2)],
      ]),
    },
    server: { containerId: 'hub', maxFrameSize: 70_000, channelMax: 300, idleTimeout: 0 },
  });
  const { opened } = pair.serverEvents;
  assert.is(opened?.containerId, 'store1');
  assert.is(opened?.hostname, '127.0.0.1');
  assert.is(opened?.maxFrameSize, 5000);
  assert.is(opened?.channelMax, 9);
  assert.is(opened?.idleTimeOut, 4500, 'half goes on the wire');
  assert.equal(opened?.offeredCapabilities, ['ANONYMOUS-RELAY', 'x']);
  assert.equal(opened?.desiredCapabilities, ['ANONYMOUS-RELAY', 'x']);
  assert.is(opened?.properties?.get('product'), 'skiff');
  assert.is(opened?.properties?.get('n'), 2);
  assert.is(pair.client.remote?.containerId, 'hub');
  assert.is(pair.client.remote?.hostname, null);
  assert.is(pair.client.remote?.idleTimeOut, 0);
});

for (const mechanism of ['ANONYMOUS', 'EXTERNAL'] as const) {
  test(`SASL ${mechanism}`, async () => {
    const server = new SaslServer(mechanism, { optional: false, refusal: null });
    await using pair = await openPair({ client: { sasl: new SaslClient(mechanism) }, server: { sasl: server } });
    assert.ok(server.done);
    assert.not(pair.server.closed);
  });
}

test('a client that skips SASL is let in where SASL is optional, and only there', async () => {
  const sasl = (optional: boolean) => new SaslServer('ANONYMOUS', { optional, refusal: null });
  {
    await using pair = await openPair({ server: { sasl: sasl(true) } });
    assert.not(pair.server.closed);
  }
  {
    await using pair = await rawClient({ sasl: sasl(false) });
    pair.peer.raw(HEADER);
    await until(() => pair.peer.ended, 'the connection is ended');
    assert.equal(pair.peer.headers, [SASL_HEADER], 'told what is spoken here (2.2)');
    assert.is(pair.events.closings[0]?.code, 'not-amqp');
  }
});

test('a client whose mechanism is not offered says so and leaves', async () => {
  await using pair = await openPair({
    client: { sasl: new SaslClient('EXTERNAL') },
    server: { sasl: new SaslServer('ANONYMOUS', { optional: false, refusal: null }) },
    beforeOpen: true,
  });
  await until(() => pair.clientEvents.closed && pair.serverEvents.closed, 'both are closed');
  assert.is(pair.clientEvents.closings[0]?.code, 'authentication-failed');
  assert.match(pair.clientEvents.closings[0]?.message ?? '', 'it offers ANONYMOUS');
  assert.match(pair.serverEvents.closings[0]?.message ?? '', 'during SASL');
});

test('a client that is refused learns it by the SASL outcome; the server says its own reason', async () => {
  const refusal = new SkiffError('certificate-revoked', 'its certificate is revoked');
  await using pair = await openPair({
    client: { sasl: new SaslClient('EXTERNAL') },
    server: { sasl: new SaslServer('EXTERNAL', { optional: false, refusal }) },
    beforeOpen: true,
  });
  await until(() => pair.clientEvents.closed && pair.serverEvents.closed, 'both are closed');
  assert.is(pair.clientEvents.closings[0]?.code, 'authentication-failed');
  assert.is(pair.serverEvents.closings[0], refusal);
  assert.is(pair.serverEvents.opened, null);
});

test('SASL is done once', async () => {
  await using pair = await rawClient({ sasl: new SaslServer('ANONYMOUS', { optional: false, refusal: null }) });
  const { peer } = pair;
  peer.raw(SASL_HEADER);
  peer.raw(rawFrame(0, saslInit('ANONYMOUS', Buffer.from('me'), null), new Uint8Array(0), 1));
  await peer.next(Descriptor.saslOutcome);
  peer.raw(SASL_HEADER);
  await until(() => peer.ended, 'the connection is ended');
  assert.is(pair.events.closings[0]?.code, 'not-amqp');
});

test('an orderly close is told to both as no error', async () => {
  await using pair = await openPair();
  pair.client.close();
  await until(() => pair.clientEvents.closed && pair.serverEvents.closed, 'both are closed');
  assert.equal(pair.clientEvents.closings, [null]);
  assert.equal(pair.serverEvents.closings, [null]);
});

test('a close with an error tells the other side why', async () => {
  await using pair = await openPair();
  pair.server.close(new AmqpError(Condition.connectionForced, 'the access is closed'));
  await until(() => pair.clientEvents.closed && pair.serverEvents.closed, 'both are closed');
  assert.is(pair.clientEvents.closings[0]?.code, 'amqp:connection:forced');
  assert.match(pair.clientEvents.closings[0]?.message ?? '', 'the access is closed');
  assert.is(pair.serverEvents.closings[0]?.code, 'connection-closed');
});

test('both may close at once', async () => {
  await using pair = await openPair();
  pair.client.close();
  pair.server.close();
  await until(() => pair.clientEvents.closed && pair.serverEvents.closed, 'both are closed');
  assert.equal([pair.clientEvents.closings, pair.serverEvents.closings], [[null], [null]]);
});

test('a peer that does not answer close is left after a while', async () => {
  await using pair = await rawClient();
  pair.peer.raw(HEADER);
  pair.peer.send(0, open());
  await until(() => pair.events.opened !== null, 'it is open');
  pair.connection.close();
  await pair.peer.next(Descriptor.close);
  await until(() => pair.events.closed, 'it is given up');
  assert.equal(pair.events.closings, [null]);
});

test('nothing is sent after close', async () => {
  await using pair = await rawClient();
  const { peer, connection, events } = pair;
  events.attach = (session, frame) => void session.acceptReceiver(frame, frame, new Inbox()).setCapacity(5);
  peer.raw(HEADER);
  peer.send(0, open());
  peer.send(0, begin());
  peer.send(0, attach('l', 0, false));
  await peer.next(Descriptor.flow);
  const session = connection.openSession();
  connection.close();
  const count = peer.frames.length;
  session.end();
  session.openReceiver({ name: 'late', source: null, target: null }, new Inbox());
  connection.close();
  connection.sendFrame(0, ended);
  assert.throws(() => connection.openSession(), /closed/);
  // The session's begin and the close were on their way.
  peer.send(0, described(Descriptor.flow, [uint(0), uint(1), uint(0), uint(1), null, null, null, null, null, true]));
  await peer.next(Descriptor.close);
  await settleDown();
  assert.equal(
    peer.frames.slice(count).map(({ code }) => code),
    [Descriptor.begin, Descriptor.close],
  );
  peer.send(0, closed);
  await until(() => peer.ended, 'the socket is ended');
  assert.is(peer.frames.at(-1)?.code, Descriptor.close);
});

test('a peer that leaves without a word is lost', async () => {
  await using pair = await openPair();
  pair.client.socket.destroy();
  await until(() => pair.serverEvents.closed, 'it is noticed');
  assert.is(pair.serverEvents.closings[0]?.code, 'connection-lost');
});

test('a peer that resets is lost', async () => {
  await using pair = await openPair();
  pair.client.socket.resetAndDestroy();
  await until(() => pair.serverEvents.closed, 'it is noticed');
  assert.is(pair.serverEvents.closings[0]?.code, 'connection-lost');
});

test('an accepting side may take its time: nothing is read before it has answered', async () => {
  await using pair = await rawClient({ idleTimeout: 600 });
  const { peer, events, connection } = pair;
  events.acceptAtOnce = false;
  const attached: string[] = [];
  events.attach = (session, frame) => {
    attached.push(frame.name);
    session.acceptReceiver(frame, frame, new Inbox());
  };
  peer.raw(HEADER);
  peer.send(0, open());
  peer.send(0, begin());
  peer.send(0, attach('early', 0, false));
  await until(() => events.opened !== null, 'its open has come');
  // Longer than the idle timeout: while we do not listen, silence is no fault of the peer's.
  await new Promise((resolve) => setTimeout(resolve, 900));
  assert.equal(attached, []);
  assert.not(peer.has(Descriptor.open));
  connection.accept();
  assert.equal(attached, ['early']);
  await peer.next(Descriptor.open);
  await peer.next(Descriptor.attach);
  assert.not(connection.closed);
  peer.send(0, attach('late', 1, false));
  await until(() => attached.length === 2, 'reading goes on');
});

for (const later of [false, true]) {
  test(`a refused peer is told why ${later ? 'later' : 'at once'}, and nothing it says counts`, async () => {
    await using pair = await rawClient();
    const { peer, events, connection } = pair;
    events.acceptAtOnce = false;
    let attaches = 0;
    events.attach = () => attaches++;
    const refusal = new AmqpError(Condition.notAllowed, 'not with that name');
    if (!later) events.onOpen = () => connection.refuse(refusal);
    peer.raw(HEADER);
    peer.send(0, open());
    peer.send(0, begin());
    peer.send(0, attach('early', 0, false));
    if (later) {
      await until(() => events.opened !== null, 'its open has come');
      await settleDown();
      connection.refuse(refusal);
    }
    await peer.next(Descriptor.open);
    const close = await peer.next(Descriptor.close);
    assert.match(JSON.stringify(close.fields), 'not with that name');
    peer.send(0, attach('again', 1, false));
    peer.send(0, closed);
    await until(() => events.closed, 'it is closed without waiting');
    assert.is(attaches, 0);
    assert.is(events.closings[0]?.code, 'connection-closed');
  });
}

test('a peer that never opens is left after openTimeout', async () => {
  await using server = await rawClient({ openTimeout: 100 });
  server.peer.raw(HEADER);
  await using client = await rawServer({ openTimeout: 100 });
  await until(() => server.events.closed && client.events.closed, 'both are closed');
  assert.is(server.events.closings[0]?.code, 'open-timeout');
  assert.is(client.events.closings[0]?.code, 'open-timeout');
  await until(() => server.peer.ended && client.peer.ended, 'the sockets are ended');
});

test('empty frames keep a quiet connection up, in both directions', async () => {
  await using pair = await openPair({ client: { idleTimeout: 1000 }, server: { idleTimeout: 1500 } });
  const before = pair.client.octetsIn;
  await until(
    () => pair.client.octetsIn >= before + 5 * 8 && pair.server.octetsIn >= 5 * 8,
    'empty frames come and go',
  );
  assert.not(pair.client.closed);
  assert.not(pair.server.closed);
});

test('a silent peer is left after the idle timeout, and told so', async () => {
  await using pair = await rawClient({ idleTimeout: 100 });
  pair.peer.raw(HEADER);
  pair.peer.send(0, open());
  const close = await pair.peer.next(Descriptor.close);
  assert.match(JSON.stringify(close.fields), 'local-idle-timeout expired');
  await until(() => pair.events.closed, 'it is closed');
  assert.is(pair.events.closings[0]?.code, 'idle-timeout');
});

test('without an idle timeout silence is no fault', async () => {
  await using pair = await rawClient({ idleTimeout: 0, stallTimeout: 200 });
  pair.peer.raw(HEADER);
  pair.peer.send(0, open());
  await pair.peer.next(Descriptor.open);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.not(pair.connection.closed);
});

test('a peer that stops reading is left after stallTimeout', async () => {
  await using pair = await openPair({ client: { stallTimeout: 300 }, server: { sessionWindow: 0xffff } });
  const { sender } = await openLink(pair);
  const outcomes = new Outcomes();
  const delivery = sender.send(true, outcomes);
  pair.server.socket.pause();
  const produce = (): void => {
    while (!delivery.finished && !delivery.blocked) delivery.write(chunkOf(Buffer.alloc(16_000)));
  };
  outcomes.onWritable = produce;
  produce();
  await until(() => pair.clientEvents.closed, 'the connection is given up');
  assert.is(pair.clientEvents.closings[0]?.code, 'peer-stopped-reading');
  assert.is(outcomes.lost, 1);
});

test('a peer that asks for answers and does not read them is left before they fill the memory', async () => {
  await using pair = await rawClient();
  const { peer, events } = pair;
  peer.raw(HEADER);
  peer.send(0, open());
  peer.send(0, begin());
  await peer.next(Descriptor.begin);
  peer.socket.pause();
  const echo = rawFrame(
    0,
    described(Descriptor.flow, [uint(0), uint(1), uint(0), uint(1), null, null, null, null, null, true]),
  );
  const many = Buffer.concat(Array.from({ length: 10_000 }, () => echo));
  while (!events.closed) {
    peer.raw(many);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.is(events.closings[0]?.code, 'peer-stopped-reading');
});

test('sessions: as many as both ends take, and channels are used again', async () => {
  await using pair = await openPair({ client: { channelMax: 20 }, server: { channelMax: 4 } });
  const sessions = Array.from({ length: 5 }, () => pair.client.openSession());
  assert.throws(
    () => pair.client.openSession(),
    (error: unknown) => error instanceof SkiffError && error.code === 'channels-exhausted',
  );
  await until(() => sessions.every(({ remoteChannel }) => remoteChannel !== -1), 'all have begun');
  sessions[2]?.end();
  await until(() => sessions[2]?.closed === true, 'the session is gone');
  const again = pair.client.openSession();
  assert.is(again.channel, sessions[2]?.channel);
  assert.throws(() => pair.client.openSession(), /sessions/);
  await until(() => again.remoteChannel !== -1, 'it has begun');
  assert.not(pair.server.closed);
});

test('a peer that begins more sessions than it takes itself cannot be answered', async () => {
  await using pair = await rawClient();
  pair.peer.raw(HEADER);
  pair.peer.send(0, described(Descriptor.open, ['raw', null, null, uint(1)]));
  for (let channel = 0; channel < 3; channel++) pair.peer.send(channel, begin());
  const close = await pair.peer.next(Descriptor.close);
  assert.match(JSON.stringify(close.fields), 'amqp:resource-limit-exceeded');
});

test('links: as many as the peer takes, and handles are used again', async () => {
  await using pair = await rawClient();
  const { peer, connection } = pair;
  peer.raw(HEADER);
  peer.send(0, open());
  await until(() => connection.remote !== null, 'it is open');
  const session = connection.openSession();
  await peer.next(Descriptor.begin);
  peer.send(0, begin(0, 100, 2));
  await until(() => session.remoteChannel !== -1, 'the session has begun');
  const detached: (ErrorValue | null)[] = [];
  const newLink = (name: string) =>
    session.openSender({ name, source: null, target: terminus() }, { onDetached: (error) => detached.push(error) });
  const links = ['a', 'b', 'c'].map(newLink);
  assert.equal(
    links.map(({ handle }) => handle),
    [0, 1, 2],
  );
  assert.throws(
    () => newLink('d'),
    (error: unknown) => error instanceof SkiffError && error.code === 'handles-exhausted',
  );
  peer.send(0, attach('b', 7, true));
  await until(() => links[1]?.attached === true, 'one is attached');
  peer.send(0, described(Descriptor.detach, [uint(7), true]));
  await until(() => detached.length === 1, 'it is detached');
  assert.is(newLink('e').handle, 1);
  assert.throws(() => newLink('f'), /links/);
});

test('a thousand links and sessions come and go without a search through all of them', async () => {
  await using pair = await openPair();
  pair.serverEvents.attach = (session, frame) => void session.acceptReceiver(frame, frame, new Inbox());
  const session = pair.client.openSession();
  const link = (name: string) => session.openSender({ name, source: null, target: null }, { onDetached: () => {} });
  const links = Array.from({ length: 5000 }, (_, index) => link(`l${index}`));
  await until(() => links.every(({ attached }) => attached), 'all are attached');
  for (const each of links.slice(1000)) each.detach();
  await until(() => session.linkCount === 1000, 'most are gone');
  const handles = new Set(Array.from({ length: 4000 }, (_, index) => link(`m${index}`).handle));
  assert.is(handles.size, 4000);
  assert.ok(Math.max(...handles) < 5000, 'handles are used again');
  const sessions = Array.from({ length: 3000 }, () => pair.client.openSession());
  await until(() => sessions.every(({ remoteChannel }) => remoteChannel !== -1), 'all have begun');
  for (const each of sessions) each.end();
  await until(() => sessions.every((each) => each.closed), 'all are gone');
  const channels = Array.from({ length: 3000 }, () => pair.client.openSession().channel);
  assert.ok(Math.max(...channels) <= 3000);
});

test('detach: both sides hear of it, with its condition', async () => {
  await using pair = await openPair();
  const near = await openLink(pair);
  near.sender.detach(new AmqpError(Condition.notFound, 'no longer'));
  await until(() => near.inbox.detached !== undefined, 'the receiver hears of it');
  assert.equal(near.inbox.detached, { condition: 'amqp:not-found', description: 'no longer' });
  assert.equal(near.senderDetached, [], 'who detaches is not told');
  await until(() => near.sender.closed, 'the answer has come');
  const far = await openLink(pair, { session: near.session });
  assert.is(far.sender.handle, near.sender.handle);
  far.receiver.detach(new AmqpError(Condition.detachForced, 'go'));
  await until(() => far.senderDetached.length === 1, 'the sender hears of it');
  assert.equal(far.senderDetached, [{ condition: 'amqp:link:detach-forced', description: 'go' }]);
});

test('end: everything on the session is lost on both sides', async () => {
  await using pair = await openPair();
  const { session, sender, inbox, senderDetached } = await openLink(pair);
  const outcomes = new Outcomes();
  sender.send(false, outcomes).write(chunkOf('begun'));
  await until(() => inbox.received.length === 1, 'a stream has begun');
  session.end(new AmqpError(Condition.errantLink, 'done with it'));
  assert.is(outcomes.lost, 1);
  assert.is(senderDetached.length, 1);
  await until(() => inbox.detached !== undefined, 'the other side hears of it');
  assert.equal(inbox.detached, { condition: 'amqp:session:errant-link', description: 'done with it' });
  assert.ok(inbox.received[0]?.delivery.aborted);
  await until(() => session.closed, 'the answer has come');
  assert.not(pair.client.closed);
});

test('a lost connection: everything on it is lost, once', async () => {
  await using pair = await openPair();
  const { session, sender, inbox, senderDetached } = await openLink(pair);
  const outcomes = [new Outcomes(), new Outcomes(), new Outcomes()] as const;
  sender.send(false, outcomes[0]).end(false, chunkOf('unsettled'));
  sender.send(false, outcomes[1]).write(chunkOf('begun'));
  sender.send(false, outcomes[2]).write(chunkOf('in line'));
  let sessionEnds = 0;
  session.onEnded = () => sessionEnds++;
  await until(() => inbox.received.length === 2, 'two have come');
  pair.client.destroy(new SkiffError('certificate-revoked', 'revoked'));
  assert.equal(
    outcomes.map(({ lost }) => lost),
    [1, 1, 1],
  );
  assert.is(senderDetached.length, 1);
  assert.is(sessionEnds, 1);
  assert.is(pair.clientEvents.closings[0]?.code, 'certificate-revoked');
  await until(() => pair.serverEvents.closed, 'the other side notices');
  assert.ok(inbox.received[1]?.delivery.aborted);
  assert.not(inbox.received[0]?.delivery.aborted);
  const late = new Outcomes();
  sender.send(true, late).end(true, chunkOf('too late'));
  await until(() => late.lost === 1, 'what is sent too late is lost');
  assert.throws(() => pair.client.openSession(), /closed/);
  inbox.received[0]?.delivery.update(ACCEPTED, true);
});

test('a link on a session that has ended is detached as soon as its maker can know of it', async () => {
  await using pair = await openPair();
  const session = pair.client.openSession();
  session.end();
  const detached: (ErrorValue | null)[] = [];
  session.openSender({ name: 'x', source: null, target: null }, { onDetached: (error) => detached.push(error) });
  assert.equal(detached, []);
  await until(() => detached.length === 1, 'it is detached');
  assert.is(session.linkCount, 0);
});

test('a refused link: its maker hears why, the session goes on', async () => {
  await using pair = await openPair();
  pair.serverEvents.attach = (session, frame) =>
    session.refuse(frame, new AmqpError(Condition.notFound, 'no such address'));
  const session = pair.client.openSession();
  const inbox = new Inbox();
  const detached: (ErrorValue | null)[] = [];
  const receiver = session.openReceiver({ name: 'r', source: terminus('nowhere'), target: null }, inbox);
  receiver.setCapacity(10);
  session.openSender(
    { name: 's', source: null, target: terminus('nowhere') },
    { onDetached: (error) => detached.push(error) },
  );
  await until(() => inbox.detached !== undefined && detached.length === 1, 'both are refused');
  assert.equal(inbox.detached, { condition: 'amqp:not-found', description: 'no such address' });
  assert.equal(detached, [inbox.detached]);
  assert.is(session.linkCount, 0);
  assert.not(session.ending);
});

test('an attach that nobody answers is refused, and what follows it does no harm', async () => {
  await using pair = await openPair();
  const session = pair.client.openSession();
  const inbox = new Inbox();
  session.openReceiver({ name: 'r', source: null, target: null }, inbox).setCapacity(10);
  await until(() => inbox.detached !== undefined, 'it is refused');
  assert.is(inbox.detached?.condition, 'amqp:not-implemented');
  pair.serverEvents.attach = () => {
    throw new AmqpError(Condition.unauthorizedAccess, 'not you');
  };
  const second = new Inbox();
  session.openReceiver({ name: 'r2', source: null, target: null }, second).setCapacity(10);
  await until(() => second.detached !== undefined, 'it is refused too');
  assert.equal(second.detached, { condition: 'amqp:unauthorized-access', description: 'not you' });
  assert.not(session.ending);
});

test('drain: credit that nothing waits for comes back at once, the rest when it is used', async () => {
  await using pair = await rawClient();
  const { peer, connection } = pair;
  peer.raw(HEADER);
  peer.send(0, open());
  await until(() => connection.remote !== null, 'it is open');
  const session = connection.openSession();
  peer.send(0, begin(0));
  const sender = session.openSender({ name: 's', source: null, target: null }, { onDetached: () => {} });
  peer.send(0, attach('s', 0, true));
  const drain = (count: number, credit: number) =>
    peer.send(
      0,
      described(Descriptor.flow, [
        uint(0),
        uint(100),
        uint(0),
        uint(100),
        uint(0),
        uint(count),
        uint(credit),
        null,
        true,
      ]),
    );
  drain(0, 5);
  const first = await peer.next(Descriptor.flow);
  assert.equal(first.fields.slice(4, 9), [0, 5, 0, null, true], 'delivery-count is past the credit, which is used up');
  assert.is(sender.credit, 0);
  sender.send(true, new Outcomes()).end(true, chunkOf('waits'));
  const stream = sender.send(true, new Outcomes());
  stream.write(chunkOf('waits too'));
  drain(5, 10);
  await peer.next(Descriptor.transfer);
  await peer.next(Descriptor.transfer);
  await settleDown();
  assert.is(peer.frames.filter(({ code }) => code === Descriptor.flow).length, 1, 'a stream is under way');
  stream.end(true);
  const second = await peer.next(Descriptor.flow);
  assert.equal(second.fields.slice(4, 9), [0, 15, 0, null, true]);
});

test('a link that many share has credit for what comes, one of its own only for what is settled, too', async () => {
  await using pair = await openPair();
  for (const shared of [false, true]) {
    const { sender, receiver, inbox } = await openLink(pair, { credit: 8 });
    receiver.shared = shared;
    for (let count = 0; count < 50; count++) sender.send(false, new Outcomes()).end(false, chunkOf('x'));
    await until(() => inbox.completed.length === (shared ? 50 : 8), 'they have come');
    await settleDown();
    assert.is(inbox.completed.length, shared ? 50 : 8);
    assert.is(receiver.outstanding, inbox.completed.length);
  }
});

test('an echo is answered', async () => {
  await using pair = await rawClient();
  const { peer, events } = pair;
  events.attach = (session, frame) =>
    frame.role
      ? void session.acceptSender(frame, frame, { onDetached: () => {} })
      : session.acceptReceiver(frame, frame, new Inbox()).setCapacity(9);
  peer.raw(HEADER);
  peer.send(0, open());
  peer.send(0, begin());
  peer.send(0, attach('in', 0, false));
  peer.send(0, attach('out', 1, true));
  const granted = await peer.next(Descriptor.flow);
  assert.equal(granted.fields.slice(4, 7), [0, 0, 9]);
  const echo = (handle: number | null) =>
    peer.send(
      0,
      described(Descriptor.flow, [
        uint(0),
        uint(100),
        uint(0),
        uint(100),
        handle === null ? null : uint(handle),
        null,
        null,
        null,
        false,
        true,
      ]),
    );
  echo(null);
  assert.is((await peer.next(Descriptor.flow)).fields.length, 4);
  echo(0);
  assert.equal((await peer.next(Descriptor.flow)).fields.slice(4, 7), [0, 0, 9]);
  echo(1);
  assert.equal((await peer.next(Descriptor.flow)).fields.slice(4, 7), [1, 0, 0]);
});

test('credit and windows of 2^31 and more are as good as any', async () => {
  await using pair = await rawClient();
  const { peer, connection } = pair;
  peer.raw(HEADER);
  peer.send(0, open());
  await until(() => connection.remote !== null, 'it is open');
  const session = connection.openSession();
  peer.send(0, begin(0, 0));
  const sender = session.openSender({ name: 's', source: null, target: null }, { onDetached: () => {} });
  peer.send(0, attach('s', 0, true));
  const most = 0xffffffff;
  peer.send(0, described(Descriptor.flow, [uint(0), uint(most), uint(0), uint(100), uint(0), null, uint(most)]));
  await until(() => sender.credit === most, 'the credit is taken as it is');
  for (let index = 0; index < 3; index++) sender.send(true, new Outcomes()).end(true, chunkOf(`${index}`));
  await until(() => peer.frames.filter(({ code }) => code === Descriptor.transfer).length === 3, 'all three come');
  assert.is(sender.credit, most - 3);
  // A flow that crossed the transfers allows what it says, less what was under way.
  peer.send(0, described(Descriptor.flow, [uint(1), uint(100), uint(0), uint(100), uint(0), uint(1), uint(10)]));
  await until(() => sender.credit === 8, 'two were under way');
});

test('late frames for what was just closed are no errors', async () => {
  await using pair = await rawClient();
  const { peer, connection, events } = pair;
  const inbox = new Inbox();
  events.attach = (session, frame) => void session.acceptReceiver(frame, frame, inbox).setCapacity(5);
  peer.raw(HEADER);
  peer.send(0, open());
  peer.send(3, begin());
  peer.send(3, attach('l', 0, false));
  peer.send(
    3,
    described(Descriptor.transfer, [uint(0), uint(0), Buffer.from('t'), uint(0), null, true]),
    Buffer.from('x'),
  );
  await until(() => inbox.received.length === 1, 'a stream has begun');
  inbox.received[0]?.delivery.receiver.detach();
  await peer.next(Descriptor.detach);
  // What a peer may still have under way when the detach reaches it.
  peer.send(3, described(Descriptor.transfer, [uint(0), null, null, null, null, true]), Buffer.from('y'));
  peer.send(3, described(Descriptor.transfer, [uint(0), uint(1), Buffer.from('u'), uint(0)]), Buffer.from('z'));
  peer.send(
    3,
    described(Descriptor.flow, [uint(0), uint(9), uint(3), uint(9), uint(0), uint(2), uint(0), null, null, true]),
  );
  peer.send(3, described(Descriptor.disposition, [false, uint(0), uint(1), true]));
  await peer.next(Descriptor.flow);
  peer.send(3, described(Descriptor.detach, [uint(0), true]));
  await settleDown();
  assert.is(inbox.received.length, 1);
  inbox.received[0]?.delivery.receiver.session.end();
  await peer.next(Descriptor.end);
  peer.send(3, attach('m', 0, false));
  peer.send(3, described(Descriptor.transfer, [uint(0), uint(2), Buffer.from('v'), uint(0)]), Buffer.from('z'));
  peer.send(3, described(Descriptor.flow, [uint(0), uint(9), uint(3), uint(9)]));
  peer.send(3, described(Descriptor.disposition, [true, uint(77), uint(99), true]));
  peer.send(3, described(Descriptor.detach, [uint(0), true]));
  peer.send(3, ended);
  // The channel is free again.
  peer.send(3, begin());
  await peer.next(Descriptor.begin);
  await peer.next(Descriptor.begin);
  assert.not(connection.closed);
  connection.close();
  await peer.next(Descriptor.close);
  peer.send(3, attach('n', 0, false));
  peer.send(9, attach('n', 0, false));
  peer.send(0, closed);
  await until(() => events.closed, 'it is closed');
  assert.equal(events.closings, [null]);
});

test('a session ended before the peer has answered its begin', async () => {
  await using pair = await rawClient();
  const { peer, connection } = pair;
  peer.raw(HEADER);
  peer.send(0, open());
  await until(() => connection.remote !== null, 'it is open');
  const session = connection.openSession();
  session.end();
  peer.send(5, begin(0));
  peer.send(5, attach('crossed', 0, false));
  peer.send(5, ended);
  await until(() => session.closed, 'it is gone');
  assert.not(connection.closed);
  assert.is(connection.openSession().channel, 0);
});

test('a detach that is no close is answered with none', async () => {
  await using pair = await rawClient();
  const { peer, events } = pair;
  events.attach = (session, frame) => void session.acceptReceiver(frame, frame, new Inbox());
  peer.raw(HEADER);
  peer.send(0, open());
  peer.send(0, begin());
  for (const isClosed of [false, true]) {
    peer.send(0, attach('l', 0, false));
    await peer.next(Descriptor.attach);
    peer.send(0, described(Descriptor.detach, [uint(0), isClosed]));
    assert.equal((await peer.next(Descriptor.detach)).fields, [0, isClosed]);
  }
});

test('handlers may close the connection in any of their calls', async () => {
  const calls: ((pair: Awaited<ReturnType<typeof openPair>>) => Promise<void>)[] = [
    async (pair) => {
      pair.serverEvents.attach = () => pair.server.close();
      pair.client.openSession().openSender({ name: 'x', source: null, target: null }, { onDetached: () => {} });
    },
    async (pair) => {
      pair.serverEvents.attach = () => pair.server.destroy();
      pair.client.openSession().openSender({ name: 'x', source: null, target: null }, { onDetached: () => {} });
    },
    async (pair) => {
      const { sender, inbox } = await openLink(pair);
      inbox.onPart = () => pair.server.destroy();
      for (let index = 0; index < 10; index++) sender.send(false, new Outcomes()).end(false, chunkOf('x'));
    },
    async (pair) => {
      const { sender, inbox } = await openLink(pair);
      inbox.onComplete = ({ delivery }) => {
        delivery.update(ACCEPTED, true);
        pair.server.close();
      };
      for (let index = 0; index < 10; index++) sender.send(false, new Outcomes()).end(false, chunkOf('x'));
    },
    async (pair) => {
      const { sender, inbox } = await openLink(pair);
      inbox.onComplete = ({ delivery }) => delivery.update(ACCEPTED, true);
      for (let index = 0; index < 10; index++) {
        const outcomes = new Outcomes();
        outcomes.onState = () => (index % 2 ? pair.client.destroy() : sender.session.end());
        sender.send(false, outcomes).end(false, chunkOf('x'));
      }
      await until(() => pair.client.closed || sender.closed, 'one of them was called');
      pair.client.close();
    },
    async (pair) => {
      const { sender, receiver } = await openLink(pair);
      const outcomes = new Outcomes();
      outcomes.onLost = () => pair.client.close();
      sender.send(false, outcomes).write(chunkOf('x'));
      receiver.detach();
    },
    async (pair) => {
      const { session } = await openLink(pair);
      session.onEnded = () => pair.client.destroy();
      pair.server.close();
    },
    async (pair) => {
      const { sender, inbox } = await openLink(pair);
      sender.send(false, new Outcomes()).write(chunkOf('x'));
      await until(() => inbox.received.length === 1, 'a stream has begun');
      // The end of the stream is told while the connection ends.
      inbox.onComplete = () => {
        pair.server.destroy();
        inbox.received[0]?.delivery.receiver.session.end();
      };
      pair.server.destroy();
    },
  ];
  for (const [index, call] of calls.entries()) {
    await using pair = await openPair();
    await call(pair);
    await until(() => pair.clientEvents.closed && pair.serverEvents.closed, `both are closed (${index})`);
    assert.is(pair.clientEvents.closings.length, 1);
    assert.is(pair.serverEvents.closings.length, 1);
  }
});

test('a handler that fails takes its own connection down, and nothing else', async () => {
  const logged: string[] = [];
  setLogSink((record) => logged.push(`${record.part} ${record.message}`));
  try {
    await using bystander = await openPair();
    await using pair = await openPair();
    pair.serverEvents.attach = () => {
      throw new TypeError('a bug');
    };
    pair.client.openSession().openSender({ name: 'x', source: null, target: null }, { onDetached: () => {} });
    await until(() => pair.clientEvents.closed && pair.serverEvents.closed, 'both are closed');
    assert.is(pair.serverEvents.closings[0]?.code, 'internal-error');
    assert.is(pair.clientEvents.closings[0]?.code, 'amqp:internal-error');
    assert.match(logged.join('\n'), 'amqp a frame could not be handled: TypeError: a bug');
    assert.not(bystander.server.closed);
  } finally {
    setLogSink(() => {});
  }
});

test('when all is lost, everyone is told, even if some handlers fail', async () => {
  const logged: string[] = [];
  setLogSink((record) => logged.push(record.message));
  try {
    await using pair = await openPair();
    const first = await openLink(pair);
    const second = await openLink(pair, { session: first.session });
    const failing = new Outcomes();
    failing.onLost = () => {
      throw new Error('a bug');
    };
    const next = new Outcomes();
    first.sender.send(false, failing).write(chunkOf('x'));
    first.sender.send(false, next).write(chunkOf('x'));
    first.sender.handler = {
      onDetached: () => {
        throw new Error('another bug');
      },
    };
    pair.client.destroy();
    assert.is(next.lost, 1);
    assert.is(second.senderDetached.length, 1);
    assert.is(pair.clientEvents.closings.length, 1);
    assert.is(logged.length, 2);
  } finally {
    setLogSink(() => {});
  }
});

test('frames with padding in their header, and performatives named at length or by symbols, are read', async () => {
  await using pair = await rawClient();
  const { peer, events } = pair;
  const inbox = new Inbox();
  events.attach = (session, frame) => void session.acceptReceiver(frame, frame, inbox).setCapacity(5);
  peer.raw(AMQP_HEADER);
  /** The frame with eight octets of extended header, and its short descriptor written otherwise. */
  const otherwise = (frame: Buffer, descriptor: Buffer): Buffer => {
    const other = Buffer.concat([
      frame.subarray(0, 8),
      Buffer.alloc(8, 0xff),
      Buffer.of(0),
      descriptor,
      frame.subarray(11),
    ]);
    other.writeUInt32BE(other.length, 0);
    other[4] = 4;
    return other;
  };
  const long = (code: number): Buffer => Buffer.of(0x80, 0, 0, 0, 0, 0, 0, 0, code);
  const named = (name: string): Buffer => Buffer.concat([Buffer.of(0xa3, name.length), Buffer.from(name)]);
  peer.raw(otherwise(rawFrame(0, open()), long(Descriptor.open)));
  peer.raw(otherwise(rawFrame(0, begin()), named('amqp:begin:list')));
  peer.raw(otherwise(rawFrame(0, attach('l', 0, false)), named('amqp:attach:list')));
  const transfer = described(Descriptor.transfer, [uint(0), uint(0), Buffer.from('t'), uint(0), null, true]);
  peer.raw(otherwise(rawFrame(0, transfer, Buffer.from('long ')), long(Descriptor.transfer)));
  const last = described(Descriptor.transfer, [uint(0)]);
  peer.raw(otherwise(rawFrame(0, last, Buffer.from('and named')), named('amqp:transfer:list')));
  await until(() => inbox.completed.length === 1, 'the message is whole');
  assert.is(inbox.text(0), 'long and named');
});

test.run();
