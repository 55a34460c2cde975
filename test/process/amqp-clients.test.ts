/** Applications that speak AMQP 1.0 themselves, on `normal` accesses of three hubs in a line and of edges at its ends. */
import { createHash, randomBytes } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { IncomingDelivery } from '../../src/amqp/delivery.ts';
import { RELEASED, terminus } from '../../src/amqp/performatives.ts';
import type { Chunk } from '../../src/net/chunk.ts';
import { AmqpClient, closeClients, type Outcome, type Receiver, type Sender } from '../support/amqp.ts';
import { eventually, sleep } from '../support/eventually.ts';
import {
  connector,
  edge,
  hub,
  listener,
  type Network,
  neighbour,
  newNetwork,
  normalAccess,
} from '../support/network.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Shown, Skiff } from '../support/skiff.ts';
import { closeSockets, connect, freePort, greeter, read, readToEnd } from '../support/tcp.ts';

const test = suite('amqp-clients');

type Place = 'hub' | 'store1' | 'store2' | 'farHub' | 'farStore';

let hubSite: Skiff;
let store1: Skiff;
let farStore: Skiff;
const ports = {} as Record<Place, number>;

test.before(async () => {
  const network = await newNetwork();
  const middle = await newNetwork(network.host, network.ca);
  const far = await newNetwork(network.host, network.ca);
  [ports.hub, ports.farHub] = [network.normalPort, far.normalPort];
  hubSite = await Skiff.run({ documents: hub(network) });
  await Skiff.run({ documents: [...hub(middle, [], 'middle'), ...neighbour(network, 'hub')] });
  const farHub = await Skiff.run({ documents: [...hub(far, [], 'far-hub'), ...neighbour(middle, 'middle')] });
  await farHub.until('Link', 'middle', 'Ready');
  const start = async (place: 'store1' | 'store2' | 'farStore', at: Network): Promise<Skiff> => {
    ports[place] = await freePort();
    const site = await Skiff.run({ documents: [...edge(at, place.toLowerCase()), normalAccess(ports[place])] });
    await site.until('Link', 'to-hub', 'Ready');
    return site;
  };
  store1 = await start('store1', network);
  await start('store2', network);
  farStore = await start('farStore', far);
});

test.after(async () => {
  await closeClients();
  await closeSockets();
  await Skiff.stopAll();
});

/** For what takes many round trips. */
const PATIENT = { withinMs: 60_000 };

/** Nobody asks what becomes of its messages. */
const SETTLED = { snd_settle_mode: 1 };

/** Every way a message may go: within a site, up, down, from edge to edge, and over the hubs between. */
const WAYS: [Place, Place][] = [
  ['hub', 'hub'],
  ['store1', 'store1'],
  ['store1', 'hub'],
  ['hub', 'store1'],
  ['store1', 'store2'],
  ['farHub', 'hub'],
  ['store1', 'farHub'],
  ['farStore', 'store1'],
];

async function linked(
  from: Place,
  to: Place,
  address: string,
  options: object = {},
): Promise<{ sender: Sender; receiver: Receiver; far: AmqpClient; close(): Promise<void> }> {
  const [near, far] = [await AmqpClient.connect(ports[from]), await AmqpClient.connect(ports[to])];
  const receiver = await far.receiver(address);
  const sender = await near.sender(address, options);
  await sender.untilCredit();
  return {
    sender,
    receiver,
    far,
    close: async () => {
      await near.close();
      await far.close();
    },
  };
}

test('a message arrives as it was sent, and its outcome comes back', async () => {
  for (const [from, to] of WAYS) {
    const { sender, receiver, close } = await linked(from, to, 'orders');
    const message = {
      message_id: 'id-1',
      subject: 'a subject',
      correlation_id: 'c-1',
      content_type: 'text/plain',
      durable: true,
      application_properties: { count: 3, name: 'Käse' },
      body: `from ${from} to ${to}`,
    };
    const ends: [(index: number) => void, Partial<Outcome>][] = [
      [(index) => receiver.all[index].delivery.accept(), { outcome: 'accepted' }],
      [
        (index) => receiver.all[index].delivery.reject({ condition: 'shop:closed', description: 'come tomorrow' }),
        { outcome: 'rejected', error: { condition: 'shop:closed', description: 'come tomorrow' } },
      ],
      [(index) => receiver.all[index].delivery.release(), { outcome: 'released' }],
      [
        (index) => receiver.all[index].delivery.modified({ delivery_failed: true, undeliverable_here: true }),
        { outcome: 'modified' },
      ],
    ];
    for (const [index, [end, expected]] of ends.entries()) {
      const outcome = sender.send(message);
      const { message: received } = await receiver.next();
      assert.equal({ ...message, ...received }, { ...received, ...message }, `from ${from} to ${to}`);
      end(index);
      const { outcome: actual, error, state } = await outcome;
      assert.is(actual, expected.outcome, `from ${from} to ${to}`);
      if (expected.error) {
        assert.is(error?.condition, expected.error.condition);
        assert.is(error?.description, expected.error.description);
      }
      if (actual === 'modified')
        assert.equal([state.delivery_failed, state.undeliverable_here], [true, true], `from ${from} to ${to}`);
    }
    await close();
  }
});

test('messages that nobody asks about arrive too, in their order', async () => {
  for (const [from, to] of WAYS) {
    const { sender, receiver, close } = await linked(from, to, 'events', SETTLED);
    for (let index = 0; index < 200; index++) {
      await sender.untilCredit();
      sender.link.send({ body: index });
      if (index % 50 === 49) receiver.link.add_credit(50);
    }
    await eventually('all are there', () => receiver.all.length === 200, { explain: () => receiver.all.length });
    assert.equal(
      receiver.all.map(({ message }) => message.body),
      Array.from({ length: 200 }, (_, index) => index),
    );
    assert.ok(
      receiver.all.every(({ delivery }) => (delivery as unknown as { remote_settled: boolean }).remote_settled),
    );
    await close();
  }
});

test('requests are answered to an address that the network gives', async () => {
  for (const [from, to] of [...WAYS, ['store2', 'store1'], ['store1', 'farStore']] as [Place, Place][]) {
    const [asking, answering] = [await AmqpClient.connect(ports[from]), await AmqpClient.connect(ports[to])];
    const requests = await answering.receiver('prices', { autoaccept: true });
    const replies = await asking.receiver({ address: '', dynamic: true }, { autoaccept: true });
    assert.match(replies.address, /^amqp:\/_(edge|topo\/0)\/.+\/temp\./);
    const question = await asking.sender('prices');
    await question.untilCredit();
    const answer = await answering.sender(null);
    await answer.untilCredit();
    for (let index = 0; index < 5; index++) {
      const sent = question.send({ reply_to: replies.address, correlation_id: index, body: `price of ${index}?` });
      const { message } = await requests.next();
      assert.is((await sent).outcome, 'accepted');
      const replied = await answer.send({
        to: message.reply_to,
        correlation_id: message.correlation_id,
        body: `${index} €`,
      });
      assert.is(replied.outcome, 'accepted', `from ${from} to ${to}`);
      const { message: reply } = await replies.next();
      assert.equal([reply.correlation_id, reply.body], [index, `${index} €`]);
    }
    await asking.close();
    await answering.close();
  }
});

test('there is credit only while somebody consumes', async () => {
  for (const [from, to] of WAYS) {
    const near = await AmqpClient.connect(ports[from]);
    const address = `quiet-${from}-${to}`;
    const sender = await near.sender(address);
    await sleep(300);
    assert.is(sender.credit, 0, `from ${from} to ${to}`);
    const far = await AmqpClient.connect(ports[to]);
    const receiver = await far.receiver(address, { autoaccept: true });
    await sender.untilCredit();
    assert.is((await sender.send({ body: 'x' })).outcome, 'accepted');
    await receiver.next();
    await far.close();
    await sender.untilCredit(false);
    await near.close();
  }
});

test('a client may consume what it sends itself', async () => {
  for (const place of ['hub', 'store1'] as const) {
    const client = await AmqpClient.connect(ports[place]);
    const receiver = await client.receiver('notes', { autoaccept: true });
    const sender = await client.sender('notes');
    await sender.untilCredit();
    assert.is((await sender.send({ body: 'to myself' })).outcome, 'accepted', place);
    assert.is((await receiver.next()).message.body, 'to myself');
    const multicast = await client.receiver('mc/notes', { autoaccept: true });
    await (await client.sender('mc/notes')).send({ body: 'to all' });
    assert.is((await multicast.next()).message.body, 'to all');
    await client.close();
  }
});

test('a message to nobody comes back released', async () => {
  for (const place of ['hub', 'store1'] as const) {
    const client = await AmqpClient.connect(ports[place]);
    const anonymous = await client.sender(null);
    await anonymous.untilCredit();
    assert.is((await anonymous.send({ to: 'nobody-is-here', body: 'x' })).outcome, 'released', place);
    const unaddressed = await anonymous.send({ body: 'x' });
    assert.is(unaddressed.outcome, 'rejected');
    assert.match(unaddressed.error?.description ?? '', /no address/);
    await client.close();
  }
});

test('a consumer that leaves with a message in hand leaves its outcome open: modified', async () => {
  for (const [from, to] of WAYS) {
    const { sender, receiver, far, close } = await linked(from, to, 'lost');
    const outcome = sender.send({ body: 'x' });
    await receiver.next();
    await far.cut();
    const { outcome: actual, state } = await outcome;
    assert.is(actual, 'modified', `from ${from} to ${to}`);
    assert.is(state.delivery_failed, true);
    await close();
  }
});

test('large messages arrive whole', async () => {
  const body = randomBytes(5 * 1024 * 1024);
  const digest = (octets: Buffer): string => createHash('sha256').update(octets).digest('hex');
  for (const [from, to] of WAYS) {
    const { sender, receiver, close } = await linked(from, to, 'pictures');
    const outcomes = Array.from({ length: 4 }, () => sender.send({ body }));
    for (let index = 0; index < 4; index++) {
      const { message, delivery } = await receiver.next();
      assert.is(digest(message.body), digest(body), `from ${from} to ${to}`);
      delivery.accept();
    }
    assert.equal(
      (await Promise.all(outcomes)).map(({ outcome }) => outcome),
      Array(4).fill('accepted'),
    );
    await close();
  }
});

test('a consumer that gives little credit gets everything, at its own pace', async () => {
  const [near, far] = [await AmqpClient.connect(ports.store1), await AmqpClient.connect(ports.store2)];
  const receiver = await far.receiver('slow', { credit: 10 });
  const sender = await near.sender('slow');
  await sender.untilCredit();
  const outcomes: Promise<Outcome>[] = [];
  for (let index = 0; index < 400; index++) {
    if (sender.credit === 0) {
      // Some have to be taken first.
      for (const { delivery } of receiver.all.splice(0)) {
        delivery.accept();
        receiver.link.add_credit(1);
      }
      await sender.untilCredit();
    }
    outcomes.push(sender.send({ body: index }));
  }
  const seen: unknown[] = [];
  await eventually('all are accepted', () => {
    for (const { delivery, message } of receiver.all.splice(0)) {
      delivery.accept();
      receiver.link.add_credit(1);
      seen.push(message.body);
    }
    return seen.at(-1) === 399;
  });
  const results = await Promise.all(outcomes);
  assert.ok(results.every(({ outcome }) => outcome === 'accepted'));
  await near.close();
  await far.close();
});

test('one that takes nothing, or settles nothing, holds up nobody but those who send to it', async () => {
  const clients = await Promise.all(
    (['farStore', 'farStore', 'store1', 'store1', 'store1'] as const).map((place) => AmqpClient.connect(ports[place])),
  );
  const [silent, far, near, flooding, other] = clients as [AmqpClient, AmqpClient, AmqpClient, AmqpClient, AmqpClient];
  const undecided = await silent.receiver('undecided', { credit: 1_000 });
  const closed = await silent.receiver('closed', { credit: 0 });
  const open = await far.receiver('open', { autoaccept: true });
  const [toOpen, toAny, settling] = [
    await other.sender(null),
    await near.sender(null),
    await flooding.sender('closed', SETTLED),
  ];
  const reachesOpen = async (): Promise<void> => {
    await toOpen.untilCredit();
    assert.is((await toOpen.send({ to: 'open', body: 'x' })).outcome, 'accepted');
    await open.next();
  };
  await toAny.untilCredit();
  // Credit that came back from messages sent before the address was known is given again a quarter at a time.
  await eventually('about as many are in its hands as one link may have under way', () => {
    for (let left = toAny.credit; left > 0; left--) toAny.link.send({ to: 'undecided', body: 'x' });
    return undecided.all.length > (250 * 3) / 4;
  });
  await reachesOpen();
  let sent = 0;
  await eventually(
    'far more has been sent than anybody keeps',
    async () => {
      await settling.untilCredit();
      for (let left = settling.credit; left > 0; left--) settling.link.send({ body: ++sent });
      return sent > 5_000;
    },
    PATIENT,
  );
  await reachesOpen();
  closed.link.add_credit(10_000);
  await eventually('what was kept has come', () => closed.all.length >= 250);
  const bodies = closed.all.map(({ message: { body } }) => body);
  assert.equal(
    bodies,
    bodies.toSorted((a, b) => a - b),
    'in order',
  );
  assert.ok(bodies.length < sent, 'what nobody could keep was dropped');
  for (const client of clients) await client.close();
});

test('consumers at several sites share the messages of one address', async () => {
  const clients = await Promise.all(
    (['hub', 'store1', 'store2', 'farHub', 'farStore'] as const).map((place) => AmqpClient.connect(ports[place])),
  );
  const receivers = await Promise.all(clients.map((client) => client.receiver('shared')));
  const near = await AmqpClient.connect(ports.hub);
  const sender = await near.sender('shared');
  await sender.untilCredit();
  // What is in hand at the near ones makes it worth going farther.
  const outcomes: Promise<Outcome>[] = [];
  await eventually('each gets some', () => {
    outcomes.push(sender.send({ body: 'x' }));
    return receivers.every(({ all }) => all.length > 0);
  });
  for (const { all, link } of receivers) {
    link.on('message', ({ delivery }) => delivery?.accept());
    for (const { delivery } of all) delivery.accept();
  }
  assert.ok((await Promise.all(outcomes)).every(({ outcome }) => outcome === 'accepted'));
  for (const client of [near, ...clients]) await client.close();
});

test('a message that one consumer gives back goes to another where its sender asks for that', async () => {
  const [near, unwilling, willing] = (await Promise.all(
    (['store1', 'store1', 'farStore'] as const).map((place) => AmqpClient.connect(ports[place])),
  )) as [AmqpClient, AmqpClient, AmqpClient];
  const refused = await unwilling.receiver('resent');
  refused.link.on('message', ({ delivery }) => delivery?.release());
  const taken = await willing.receiver('resent', { autoaccept: true });
  const plain = await near.sender('resent');
  await plain.untilCredit();
  // Until the far consumer is known here, there is nobody else to give it to.
  await eventually('one is released', async () => (await plain.send({ body: 'x' })).outcome === 'released');
  await eventually('one is accepted', async () => (await plain.send({ body: 'x' })).outcome === 'accepted');
  const asked = refused.all.length;
  const sender = await near.sender('resent', { target: { address: 'resent', capabilities: ['qd.resend-released'] } });
  await sender.untilCredit();
  for (let count = 0; count < 6; count++) assert.is((await sender.send({ body: 'again' })).outcome, 'accepted');
  assert.ok(refused.all.length > asked, 'some were given back before');
  assert.is(taken.all.filter(({ message }) => message.body === 'again').length, 6);
  for (const client of [near, unwilling, willing]) await client.close();
});

test('mc/ addresses reach every consumer, once', async () => {
  const clients = await Promise.all(
    (['hub', 'store1', 'store2', 'farHub', 'farStore'] as const).map((place) => AmqpClient.connect(ports[place])),
  );
  const receivers = await Promise.all(clients.map((client) => client.receiver('mc/news', { autoaccept: true })));
  for (const place of ['hub', 'store1', 'farStore'] as const) {
    const near = await AmqpClient.connect(ports[place]);
    const sender = await near.sender('mc/news');
    await sender.untilCredit();
    await eventually(`${place} reaches all`, async () => {
      await sender.send({ body: 'hello?' });
      return receivers.every(({ all }) => all.some(({ message }) => message.body === 'hello?'));
    });
    await sleep(200);
    for (const receiver of receivers) receiver.all.length = 0;
    await sender.send({ body: 'news' });
    await eventually('everyone has it', () => receivers.every(({ all }) => all.length > 0));
    await sleep(200);
    assert.equal(
      receivers.map(({ all }) => all.map(({ message }) => message.body)),
      clients.map(() => ['news']),
      place,
    );
    for (const receiver of receivers) receiver.all.length = 0;
    await near.close();
  }
  for (const client of clients) await client.close();
});

test('clients are shown where they connect, and what they may not do is refused in words', async () => {
  const client = await AmqpClient.connect(ports.store1);
  const { id } = client.connection.container;
  const peers = ({ status }: Shown) => status.peers as { id: string; role: string }[];
  await store1.until('RouterAccess', 'clients', (access) =>
    peers(access).some((peer) => peer.id === id && peer.role === 'normal'),
  );
  for (const address of ['amqp:/_edge/other/temp.abc', `amqp:/_topo/0/hub/temp.abc`, '_local/temp.abc']) {
    let refusal = '';
    await client.receiver(address).catch((error: Error) => {
      refusal = error.message;
    });
    assert.match(refusal, /^amqp:unauthorized-access: only the router itself may receive from /);
  }
  await client.receiver('fine');
  await client.close();
  await store1.until('RouterAccess', 'clients', (access) => peers(access).length === 0);
});

/** A consumer that gives back every stream it is offered, before an octet of it. */
async function refusing(port: number, address: string): Promise<{ offered(): number; close(): void }> {
  let offered = 0;
  const client = await RawClient.connect(port, 'refusing');
  let attached = false;
  const receiver = client.session.openReceiver(
    { name: 'refusing', source: terminus(address), target: terminus() },
    {
      onAttached: () => {
        attached = true;
      },
      onTransfer: (delivery: IncomingDelivery, chunk: Chunk | null) => {
        chunk?.release();
        if (delivery.context !== null) return;
        delivery.context = true;
        offered++;
        delivery.update(RELEASED, true);
      },
      onDetached: () => {},
    },
  );
  receiver.setCapacity(10);
  await eventually('it is attached', () => attached);
  return { offered: () => offered, close: () => client.close() };
}

test('a stream that one consumer gives back goes to the next', async () => {
  const backend = await greeter('welcome');
  for (const [from, to] of [
    ['hub', 'hub'],
    ['store1', 'hub'],
    ['hub', 'store1'],
    ['store1', 'farStore'],
    ['farStore', 'hub'],
  ] as const) {
    const sites = { hub: hubSite, store1, farStore };
    const port = await freePort();
    const other = await refusing(ports[to], 'offered');
    await sites[to].apply(connector('offered', backend.port));
    await sites[from].apply(listener('offered', port));
    await sites[from].until('Listener', 'offered', 'Ready');
    // The connector has a stream in hand, so that the other has fewer and is asked first.
    const first = await connect(port);
    await read(first, 'welcome'.length);
    for (let count = 1; count <= 5; count++) {
      const client = await connect(port);
      assert.is((await read(client, 'welcome'.length)).toString(), 'welcome', `from ${from} to ${to}`);
      client.end();
      await readToEnd(client);
      assert.is(other.offered(), count);
    }
    first.destroy();
    other.close();
    await sites[to].delete('Connector', 'offered');
    await sites[from].delete('Listener', 'offered');
  }
});

test.run();
