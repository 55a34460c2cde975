/** Deliveries, whole and streamed, between two connections of ours. */
import crypto from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { IncomingDelivery, OutgoingDelivery } from '../../src/amqp/delivery.ts';
import { AmqpError, Condition } from '../../src/amqp/error.ts';
import { ACCEPTED, type DeliveryState, MODIFIED_FAILED, RELEASED } from '../../src/amqp/performatives.ts';
import { chunkOf, Inbox, Outcomes, openLink, openPair, settleDown, until } from './loopback.ts';

const test = suite('streams');

test('a whole delivery arrives, is accepted and is forgotten', async () => {
  await using pair = await openPair();
  const { sender, inbox } = await openLink(pair);
  inbox.onComplete = ({ delivery }) => delivery.update(ACCEPTED, true);
  const outcomes = new Outcomes();
  const delivery = sender.send(false, outcomes);
  delivery.end(false, chunkOf('hello'));
  await until(() => outcomes.final !== undefined, 'the delivery is settled');
  assert.is(inbox.text(0), 'hello');
  assert.equal(outcomes.states, [{ state: ACCEPTED, settled: true }]);
  assert.is(outcomes.finished, 1);
  assert.is(sender.outstanding, 0);
});

test('a delivery without octets arrives', async () => {
  await using pair = await openPair();
  const { sender, inbox } = await openLink(pair);
  sender.send(true, new Outcomes()).end(true);
  await until(() => inbox.completed.length === 1, 'the delivery is complete');
  assert.is(inbox.received[0]?.octets, 0);
  assert.ok(inbox.received[0]?.delivery.remoteSettled);
});

test('a stream is handed on as it comes, and ends with its last transfer', async () => {
  await using pair = await openPair();
  const { sender, inbox } = await openLink(pair);
  const outcomes = new Outcomes();
  const delivery = sender.send(false, outcomes);
  delivery.write(chunkOf('one '));
  await until(() => inbox.text(0) === 'one ', 'the first part has come');
  assert.not(inbox.received[0]?.delivery.complete);
  delivery.write(chunkOf('two '));
  await until(() => inbox.text(0) === 'one two ', 'the second part has come');
  delivery.end(true, chunkOf('three'));
  await until(() => inbox.completed.length === 1, 'the stream is complete');
  assert.is(inbox.text(0), 'one two three');
  assert.ok(inbox.received[0]?.delivery.remoteSettled);
  assert.is(sender.outstanding, 0);
  delivery.write(chunkOf('too late'));
  delivery.end(true, chunkOf('too late'));
  delivery.abort();
  await settleDown();
  assert.is(inbox.received.length, 1);
});

for (const state of [
  ACCEPTED,
  RELEASED,
  MODIFIED_FAILED,
  { outcome: 'modified', deliveryFailed: false, undeliverableHere: true },
  { outcome: 'rejected', error: { condition: 'amqp:not-found', description: 'nobody there' } },
  { outcome: 'rejected', error: null },
] as DeliveryState[]) {
  test(`the outcome ${JSON.stringify(state)} reaches the sender`, async () => {
    await using pair = await openPair();
    const { sender, inbox } = await openLink(pair);
    const outcomes = new Outcomes();
    sender.send(false, outcomes).end(false, chunkOf('x'));
    await until(() => inbox.completed.length === 1, 'the delivery has come');
    inbox.received[0]?.delivery.update(state, true);
    await until(() => outcomes.final !== undefined, 'the delivery is settled');
    assert.equal(outcomes.states, [{ state, settled: true }]);
  });
}

test('how far a receiver is reaches the sender, past 2^32 octets too', async () => {
  await using pair = await openPair();
  const { sender, inbox } = await openLink(pair);
  const outcomes = new Outcomes();
  const delivery = sender.send(false, outcomes);
  delivery.write(chunkOf('x'));
  await until(() => inbox.received.length === 1, 'the stream has begun');
  const offsets = [1, 524_288, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 5, 2 ** 52];
  for (const sectionOffset of offsets) {
    inbox.received[0]?.delivery.update({ outcome: 'received', sectionNumber: 0, sectionOffset }, false);
  }
  await until(() => outcomes.states.length === offsets.length, 'all have come');
  assert.equal(
    outcomes.states,
    offsets.map((sectionOffset) => ({
      state: { outcome: 'received', sectionNumber: 0, sectionOffset },
      settled: false,
    })),
  );
  assert.is(sender.outstanding, 1);
  delivery.end(true);
  assert.is(sender.outstanding, 0);
});

test('an outcome without settling is settled by the sender, and both forget the delivery', async () => {
  await using pair = await openPair();
  const { sender, inbox } = await openLink(pair, { credit: 1 });
  const outcomes = new Outcomes();
  const delivery = sender.send(false, outcomes);
  delivery.end(false, chunkOf('x'));
  await until(() => inbox.completed.length === 1, 'the delivery has come');
  inbox.received[0]?.delivery.update(MODIFIED_FAILED, false);
  await until(() => outcomes.states.length === 1, 'the outcome has come');
  assert.is(sender.outstanding, 1);
  assert.is(sender.credit, 0, 'the receiver still has it in hand');
  delivery.settle();
  assert.is(sender.outstanding, 0);
  await until(() => inbox.settledBySender.length === 1, 'the receiver hears of it');
  await until(() => sender.credit === 1, 'the receiver has forgotten it');
});

test('an aborted stream is complete and aborted, and its credit comes back', async () => {
  await using pair = await openPair();
  const { sender, inbox } = await openLink(pair, { credit: 1 });
  const outcomes = new Outcomes();
  const delivery = sender.send(false, outcomes);
  delivery.write(chunkOf('half a '));
  await until(() => inbox.received.length === 1, 'the stream has begun');
  delivery.abort();
  assert.is(outcomes.finished, 1);
  assert.ok(delivery.settled, 'an aborted delivery is settled (2.7.5)');
  assert.is(sender.outstanding, 0);
  await until(() => inbox.received[0]?.delivery.complete === true, 'the abort has come');
  assert.ok(inbox.received[0]?.delivery.aborted);
  inbox.received[0]?.delivery.update(ACCEPTED, true);
  await until(() => sender.credit === 1, 'the credit is back');
  sender.send(true, new Outcomes()).end(true, chunkOf('next'));
  await until(() => inbox.text(1) === 'next', 'the next one comes');
  assert.equal(outcomes.states, []);
});

test('an aborted delivery that never began is only forgotten, and the next in line goes', async () => {
  await using pair = await openPair();
  const { sender, receiver, inbox } = await openLink(pair, { credit: 1 });
  receiver.setCapacity(0);
  await until(() => sender.credit === 0, 'the credit is taken back');
  const first = sender.send(true, new Outcomes());
  first.end(true, chunkOf('first'));
  const second = sender.send(true, new Outcomes());
  second.end(true, chunkOf('second'));
  receiver.setCapacity(1);
  // The credit comes between: the first has its turn, and gives it up before it is called.
  await until(() => sender.credit === 1 || inbox.received.length > 0, 'there is credit');
  first.abort();
  await until(() => inbox.completed.length >= 1, 'one has come');
  await settleDown();
  assert.is(sender.outstanding, 0);
});

test('the next in line goes when the first gives up while it waits for the window', async () => {
  await using pair = await openPair({ server: { sessionWindow: 1 } });
  const blocking = await openLink(pair);
  blocking.inbox.holding = true;
  const link = await openLink(pair, { session: blocking.session });
  blocking.sender.send(true, new Outcomes()).write(chunkOf('takes the window'));
  await until(() => blocking.inbox.received.length === 1, 'the window is used up');
  const first = link.sender.send(true, new Outcomes());
  first.end(true, chunkOf('first'));
  link.sender.send(true, new Outcomes()).end(true, chunkOf('second'));
  first.abort();
  blocking.inbox.letGo();
  await until(() => link.inbox.completed.length === 1, 'the second has come');
  assert.is(link.inbox.text(0), 'second');
});

test('deliveries of one link do not mix, whatever order their parts are written in', async () => {
  await using pair = await openPair();
  const { sender, inbox } = await openLink(pair);
  const deliveries = Array.from({ length: 5 }, () => sender.send(true, new Outcomes()));
  for (let part = 0; part < 20; part++) {
    for (const [index, delivery] of deliveries.entries()) delivery.write(chunkOf(String(index)));
  }
  for (const delivery of deliveries) delivery.end(true);
  await until(() => inbox.completed.length === 5, 'all are complete');
  assert.equal(
    inbox.received.map((_, index) => inbox.text(index)),
    ['0', '1', '2', '3', '4'].map((digit) => digit.repeat(20)),
  );
});

test('streams of several sessions, both ways, take turns', async () => {
  await using pair = await openPair();
  const links = [];
  for (let index = 0; index < 8; index++) links.push(await openLink(pair, { from: index % 2 ? 'server' : 'client' }));
  const deliveries = links.map(({ sender }) => sender.send(true, new Outcomes()));
  const sent = links.map(() => crypto.createHash('sha256'));
  for (let part = 0; part < 100; part++) {
    for (const [index, delivery] of deliveries.entries()) {
      const octets = crypto.randomBytes(1 + ((part * 977 + index * 131) % 9000));
      sent[index]?.update(octets);
      delivery.write(chunkOf(octets));
    }
    if (part % 10 === 0) await settleDown();
  }
  for (const delivery of deliveries) delivery.end(true);
  for (const [index, { inbox }] of links.entries()) {
    await until(() => inbox.completed.length === 1, `stream ${index} is complete`);
    const hash = crypto.createHash('sha256').update(Buffer.concat(inbox.received[0]?.parts ?? []));
    assert.is(hash.digest('hex'), sent[index]?.digest('hex'));
  }
});

test('a receiver that holds its chunks stops the sender at the window, and no other stream', async () => {
  await using pair = await openPair({ server: { sessionWindow: 16 } });
  const stalled = await openLink(pair);
  const other = await openLink(pair);
  stalled.inbox.holding = true;
  const delivery = stalled.sender.send(true, new Outcomes());
  const frame = stalled.sender.maxPayload;
  for (let index = 0; index < 50; index++) delivery.write(chunkOf(Buffer.alloc(frame, index)));
  await until(() => stalled.inbox.received[0]?.held.length === 16, 'the window is full');
  const flowing = other.sender.send(true, new Outcomes());
  for (let index = 0; index < 50; index++) flowing.write(chunkOf(Buffer.alloc(frame, index)));
  flowing.end(true);
  await until(() => other.inbox.completed.length === 1, 'the other stream has gone through');
  assert.is(stalled.inbox.received[0]?.held.length, 16);
  assert.ok(delivery.blocked);
  assert.is(delivery.waitingOctets, 34 * frame);
  stalled.inbox.letGo();
  delivery.end(true);
  await until(() => stalled.inbox.completed.length === 1, 'the stalled stream goes on');
  const octets = Buffer.concat(stalled.inbox.received[0]?.parts ?? []);
  assert.is(octets.length, 50 * frame);
  for (let index = 0; index < 50; index++) {
    assert.ok(octets.subarray(index * frame, (index + 1) * frame).every((octet) => octet === index));
  }
});

test('a window of one frame moves on, frame by frame', async () => {
  await using pair = await openPair({ server: { sessionWindow: 1 } });
  const { sender, inbox } = await openLink(pair);
  const delivery = sender.send(true, new Outcomes());
  for (let index = 0; index < 40; index++) delivery.write(chunkOf(String(index % 10)));
  delivery.end(true);
  await until(() => inbox.completed.length === 1, 'the stream is complete');
  assert.is(inbox.text(0), '0123456789'.repeat(4));
});

test('chunks given back after the session has ended do no harm', async () => {
  await using pair = await openPair();
  const { session, sender, inbox } = await openLink(pair);
  inbox.holding = true;
  const outcomes = new Outcomes();
  const delivery = sender.send(false, outcomes);
  delivery.write(chunkOf('held'));
  await until(() => inbox.received[0]?.held.length === 1, 'a chunk is held');
  session.end();
  assert.is(outcomes.lost, 1);
  await until(() => inbox.detached !== undefined, 'the other side hears of it');
  assert.ok(inbox.received[0]?.delivery.aborted, 'a stream that was cut counts as aborted');
  inbox.letGo();
  assert.is(inbox.text(0), 'held');
});

test('credit: no more deliveries are under way than the receiver takes, and it is topped up as they are settled', async () => {
  await using pair = await openPair();
  const { sender, inbox } = await openLink(pair, { credit: 4 });
  const all = Array.from({ length: 20 }, () => new Outcomes());
  for (const [index, outcomes] of all.entries()) sender.send(false, outcomes).end(false, chunkOf(`${index}`));
  await until(() => inbox.completed.length === 4, 'four have come');
  await settleDown();
  assert.is(inbox.completed.length, 4);
  inbox.received[2]?.delivery.update(ACCEPTED, true);
  await until(() => inbox.completed.length === 5, 'settling one lets one more come');
  await settleDown();
  assert.is(inbox.completed.length, 5);
  inbox.onComplete = ({ delivery }) => delivery.update(RELEASED, true);
  for (const { delivery } of [...inbox.received]) delivery.update(RELEASED, true);
  await until(() => all.every(({ final }) => final !== undefined), 'all are settled');
  assert.is(inbox.completed.length, 20);
  assert.is(sender.outstanding, 0);
  await until(() => sender.credit === 4, 'the credit is whole again');
});

test('a capacity set before the peer has answered is granted when it has', async () => {
  await using pair = await openPair();
  const inbox = new Inbox();
  const credits: number[] = [];
  pair.serverEvents.attach = (session, attach) => {
    const sender = session.acceptSender(attach, attach, {
      onDetached: () => {},
      onCredit: () => {
        credits.push(sender.credit);
        sender.send(true, new Outcomes()).end(true, chunkOf('at last'));
      },
    });
  };
  const session = pair.client.openSession();
  const receiver = session.openReceiver({ name: 'r', source: null, target: null }, inbox);
  receiver.setCapacity(7);
  await until(() => inbox.completed.length === 1, 'a delivery comes');
  assert.equal(credits, [7]);
});

test('credit that is taken back may be used by deliveries already under way', async () => {
  await using pair = await openPair();
  const { sender, receiver, inbox, senderDetached } = await openLink(pair, { credit: 10 });
  for (let index = 0; index < 10; index++) sender.send(true, new Outcomes()).end(true, chunkOf(`${index}`));
  receiver.setCapacity(0);
  await until(() => inbox.completed.length === 10, 'all ten have come');
  await settleDown();
  assert.equal(senderDetached, []);
  receiver.setCapacity(2);
  await until(() => sender.credit === 2, 'two more are allowed');
  receiver.setCapacity(1);
  await until(() => sender.credit === 1, 'a lower capacity takes credit back');
});

test('a session whose link has no credit does not hold up its other links', async () => {
  await using pair = await openPair();
  const first = await openLink(pair, { credit: 1 });
  first.receiver.setCapacity(0);
  await until(() => first.sender.credit === 0, 'the credit is taken back');
  const second = await openLink(pair, { session: first.session });
  first.sender.send(true, new Outcomes()).end(true, chunkOf('waits'));
  second.sender.send(true, new Outcomes()).end(true, chunkOf('goes'));
  await until(() => second.inbox.completed.length === 1, 'the second link goes on');
  assert.is(first.inbox.received.length, 0);
  first.receiver.setCapacity(1);
  await until(() => first.inbox.completed.length === 1, 'the first goes on with credit');
});

test('a producer that stops when it is blocked is told to go on', async () => {
  await using pair = await openPair({ server: { sessionWindow: 4096 } });
  const { sender, inbox } = await openLink(pair);
  const outcomes = new Outcomes();
  const delivery = sender.send(true, outcomes);
  const total = 400;
  let sent = 0;
  let blockedOften = 0;
  const produce = (): void => {
    while (sent < total) {
      delivery.write(chunkOf(Buffer.alloc(16_000, sent++)));
      if (delivery.blocked) {
        blockedOften++;
        return;
      }
    }
    if (sent++ === total) delivery.end(true);
  };
  outcomes.onWritable = produce;
  produce();
  await until(() => inbox.completed.length === 1, 'the stream is complete');
  assert.is(inbox.received[0]?.octets, total * 16_000);
  assert.ok(blockedOften > 0, 'the socket had enough at least once');
});

test('a message larger than the socket takes at once goes out bit by bit', async () => {
  await using pair = await openPair({ server: { sessionWindow: 8192 } });
  const { sender, inbox } = await openLink(pair);
  const octets = crypto.randomBytes(24 * 1024 * 1024);
  const outcomes = new Outcomes();
  sender.send(true, outcomes).end(true, chunkOf(octets));
  assert.is(outcomes.finished, 0);
  await until(() => inbox.completed.length === 1, 'the message is complete');
  assert.is(outcomes.finished, 1);
  assert.ok(Buffer.concat(inbox.received[0]?.parts ?? []).equals(octets));
  assert.not(pair.client.closed);
});

test('a delivery settled by the receiver before its end lives until its sender ends it', async () => {
  await using pair = await openPair();
  const { sender, inbox } = await openLink(pair, { credit: 1 });
  const outcomes = new Outcomes();
  const delivery = sender.send(false, outcomes);
  delivery.write(chunkOf('begun'));
  await until(() => inbox.received.length === 1, 'the stream has begun');
  inbox.received[0]?.delivery.update(MODIFIED_FAILED, true);
  await until(() => outcomes.final === 'modified', 'the sender hears of it');
  assert.is(sender.outstanding, 1);
  delivery.end(true);
  assert.is(sender.outstanding, 0);
  await until(() => inbox.received[0]?.delivery.complete === true, 'its end has come');
  await until(() => sender.credit === 1, 'the receiver has forgotten it');
});

test('a delivery settled by the receiver before its end is lost with its link, chunks and all', async () => {
  await using pair = await openPair({ server: { sessionWindow: 1 } });
  const { sender, inbox } = await openLink(pair);
  inbox.holding = true;
  const outcomes = new Outcomes();
  const delivery = sender.send(false, outcomes);
  delivery.write(chunkOf('begun'));
  await until(() => inbox.received.length === 1, 'the stream has begun');
  let released = 0;
  const waiting = chunkOf('waits for the window');
  waiting.owner = { chunkReleased: () => released++ };
  inbox.received[0]?.delivery.update(ACCEPTED, true);
  await until(() => outcomes.final === 'accepted', 'the sender hears of it');
  delivery.write(waiting);
  assert.is(released, 0);
  sender.detach();
  assert.is(released, 1);
  assert.is(outcomes.lost, 1);
  inbox.letGo();
});

test('a message that comes in and goes out on one connection is not mixed up with the flow that it causes', async () => {
  await using pair = await openPair({ server: { sessionWindow: 4 } });
  const inward = await openLink(pair);
  const outward = await openLink(pair, { from: 'server' });
  // A relay on the server: whatever comes goes back, and giving a chunk back writes a flow to the same outbox.
  const back = outward.sender.send(true, new Outcomes());
  inward.inbox.onTransfer = (delivery, chunk) => {
    if (chunk) back.write(chunk);
    if (delivery.complete) back.end(true);
  };
  const there = inward.sender.send(true, new Outcomes());
  const parts = Array.from({ length: 200 }, (_, index) => Buffer.alloc(100 + index, index));
  for (const part of parts) there.write(chunkOf(part));
  there.end(true);
  await until(() => outward.inbox.completed.length === 1, 'everything is back');
  assert.ok(Buffer.concat(outward.inbox.received[0]?.parts ?? []).equals(Buffer.concat(parts)));
});

test('whatever becomes of deliveries, neither side remembers them for ever', async () => {
  await using pair = await openPair({ server: { sessionWindow: 16 } });
  const { session, sender, receiver, inbox } = await openLink(pair, { credit: 20 });
  const fates: ((delivery: OutgoingDelivery, incoming: () => IncomingDelivery | undefined) => Promise<void> | void)[] =
    [
      (delivery) => delivery.end(true),
      (delivery) => delivery.abort(),
      async (delivery, incoming) => {
        delivery.end(false);
        await until(() => incoming()?.complete === true, 'it has come');
        incoming()?.update(ACCEPTED, true);
      },
      async (delivery, incoming) => {
        await until(() => incoming() !== undefined, 'it has begun');
        incoming()?.update(MODIFIED_FAILED, true);
        await until(() => delivery.settled, 'the sender knows');
        delivery.end(true);
      },
      async (delivery, incoming) => {
        await until(() => incoming() !== undefined, 'it has begun');
        incoming()?.update(RELEASED, true);
        delivery.abort();
      },
      async (delivery, incoming) => {
        delivery.end(false);
        await until(() => incoming()?.complete === true, 'it has come');
        incoming()?.update(MODIFIED_FAILED, false);
        await until(() => !delivery.settled, 'the sender may settle');
        delivery.settle();
      },
      async (delivery, incoming) => {
        await until(() => incoming() !== undefined, 'it has begun');
        delivery.settle();
        delivery.end(true);
      },
    ];
  const far = receiver.session;
  for (const [index, fate] of fates.entries()) {
    const delivery = sender.send(false, new Outcomes());
    delivery.write(chunkOf('begun'));
    await fate(delivery, () => inbox.received[index]?.delivery);
    await until(() => session.deliveryCount === 0 && far.deliveryCount === 0, `both have forgotten (${index})`);
    assert.is(sender.outstanding, 0);
  }
  await until(() => sender.credit >= 15, 'credit is topped up');
  const last = sender.send(false, new Outcomes());
  last.end(false, chunkOf('never settled'));
  await until(() => far.deliveryCount === 1, 'it has come');
  sender.detach();
  await until(() => session.deliveryCount === 0 && far.deliveryCount === 0, 'a link takes its deliveries along');
});

test('sequence numbers wrap at 2^32', async () => {
  const firstSequence = 2 ** 32 - 10;
  await using pair = await openPair({ client: { firstSequence }, server: { firstSequence, sessionWindow: 8 } });
  const { sender, inbox } = await openLink(pair, { credit: 5 });
  inbox.onComplete = ({ delivery }) => delivery.update(ACCEPTED, true);
  const all = Array.from({ length: 50 }, () => new Outcomes());
  for (const [index, outcomes] of all.entries()) {
    const delivery = sender.send(false, outcomes);
    delivery.write(chunkOf(`${index}`));
    delivery.end(false);
  }
  await until(() => all.every(({ final }) => final === 'accepted'), 'all are accepted');
  assert.equal(
    inbox.received.map(({ delivery }) => delivery.id),
    all.map((_, index) => (firstSequence + index) % 2 ** 32),
  );
  assert.equal(
    inbox.received.map((_, index) => inbox.text(index)),
    all.map((_, index) => `${index}`),
  );
  await until(() => sender.credit === 5, 'credit is whole again');
});

test('what a link handler throws as an AMQP error detaches its link alone', async () => {
  await using pair = await openPair();
  const { sender, inbox, senderDetached } = await openLink(pair);
  const other = await openLink(pair);
  inbox.onTransfer = (_, chunk) => {
    chunk?.release();
    throw new AmqpError(Condition.decodeError, 'this is no message');
  };
  sender.send(true, new Outcomes()).end(true, chunkOf('x'));
  await until(() => senderDetached.length === 1, 'the link is detached');
  assert.equal(senderDetached, [{ condition: 'amqp:decode-error', description: 'this is no message' }]);
  other.sender.send(true, new Outcomes()).end(true, chunkOf('x'));
  await until(() => other.inbox.completed.length === 1, 'the other link goes on');
});

test.run();
