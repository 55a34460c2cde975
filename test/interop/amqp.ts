/** What clients of AMQP at two places of a network see, whichever of its routers are ours. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AmqpClient, closeClients, type Receiver, type Sender } from '../support/amqp.ts';
import { eventually } from '../support/eventually.ts';
import { Pair, type Place } from './pair.ts';
import { SkupperRouter } from './skupper-router.ts';

/** An edge and its hub. */
export function testAmqpOfPair(ours: Place): void {
  testAmqp(`AMQP clients, our ${ours}`, ['edge', 'hub'], () => Pair.start(ours));
}

export function testAmqp<Name extends string>(
  title: string,
  places: [Name, Name],
  start: () => Promise<{ normalPorts: Record<Name, number>; stop(): Promise<void> }>,
): void {
  const test = suite(title);
  let network: Awaited<ReturnType<typeof start>>;

  test.before(async () => {
    network = await start();
  });

  test.after(async () => {
    await closeClients();
    await network?.stop();
    await SkupperRouter.stopAll();
  });

  const otherPlace = (place: Name): Name => (place === places[0] ? places[1] : places[0]);
  const client = (place: Name): Promise<AmqpClient> => AmqpClient.connect(network.normalPorts[place]);

  async function linked(place: Name, address: string, options: object = {}): Promise<[Sender, Receiver]> {
    const [near, far] = [await client(place), await client(otherPlace(place))];
    const receiver = await far.receiver(address);
    const sender = await near.sender(address, options);
    await sender.untilCredit();
    return [sender, receiver];
  }

  for (const place of places) {
    const from = `from the ${place}`;

    test(`${from}: a message comes as it was sent, and each outcome goes back`, async () => {
      const [sender, receiver] = await linked(place, `orders-${place}`);
      const message = { message_id: 'm-1', subject: 's', application_properties: { n: 3 }, body: 'Käse' };
      const problem = { condition: 'shop:closed', description: 'come tomorrow' };
      for (const settle of ['accepted', 'rejected', 'released', 'modified'] as const) {
        const told = sender.send(message);
        const { message: received, delivery } = await receiver.next();
        assert.equal([received.message_id, received.subject, received.body], ['m-1', 's', 'Käse']);
        assert.equal(received.application_properties, { n: 3 });
        if (settle === 'accepted') delivery.accept();
        else if (settle === 'rejected') delivery.reject(problem);
        else if (settle === 'released') delivery.release();
        else delivery.modified({ delivery_failed: true, undeliverable_here: true });
        const { outcome, error, state } = await told;
        assert.is(outcome, settle);
        if (settle === 'rejected') assert.equal([error?.condition, error?.description], Object.values(problem));
        if (settle === 'modified') assert.equal([state.delivery_failed, state.undeliverable_here], [true, true]);
      }
    });

    test(`${from}: settled messages come in their order`, async () => {
      const [sender, receiver] = await linked(place, `events-${place}`, { snd_settle_mode: 1 });
      for (let index = 0; index < 100; index++) {
        await sender.untilCredit();
        sender.link.send({ body: index });
      }
      await eventually('all are there', () => receiver.all.length === 100, { explain: () => receiver.all.length });
      assert.equal(
        receiver.all.map(({ message }) => message.body),
        Array.from({ length: 100 }, (_, index) => index),
      );
      assert.ok(receiver.all.every(({ delivery }) => (delivery as { remote_settled?: boolean }).remote_settled));
    });

    test(`${from}: a request is answered to a dynamic address`, async () => {
      const [asking, answering] = [await client(place), await client(otherPlace(place))];
      const requests = await answering.receiver(`prices-${place}`, { autoaccept: true });
      const replies = await asking.receiver({ address: '', dynamic: true }, { autoaccept: true });
      const question = await asking.sender(`prices-${place}`);
      await question.untilCredit();
      const answer = await answering.sender(null);
      await answer.untilCredit();
      for (let index = 0; index < 3; index++) {
        const asked = question.send({ reply_to: replies.address, correlation_id: index, body: '?' });
        const { message } = await requests.next();
        assert.is((await asked).outcome, 'accepted');
        const { reply_to: to, correlation_id } = message;
        assert.is((await answer.send({ to, correlation_id, body: '!' })).outcome, 'accepted');
        assert.is((await replies.next()).message.correlation_id, index);
      }
    });

    test(`${from}: large messages come whole`, async () => {
      const [sender, receiver] = await linked(place, `large-${place}`);
      for (const size of [16_000, 70_000, 3_000_000]) {
        const body = Buffer.alloc(size, 'abcdefghijk');
        const told = sender.send({ body });
        const { message, delivery } = await receiver.next();
        assert.ok(body.equals(message.body), `${size} octets`);
        delivery.accept();
        assert.is((await told).outcome, 'accepted');
      }
    });

    test(`${from}: mc/ addresses reach everybody, once`, async () => {
      const address = `mc/news-${place}`;
      const receivers: Receiver[] = [];
      for (const each of places) receivers.push(await (await client(each)).receiver(address, { autoaccept: true }));
      const sender = await (await client(place)).sender(address);
      await sender.untilCredit();
      const bodies = () => receivers.map(({ all }) => all.map(({ message }) => message.body));
      await eventually('all are reached', async () => {
        await sender.send({ body: 'hello?' });
        return bodies().every((heard) => heard.length > 0);
      });
      for (const body of ['news', 'end']) await sender.send({ body });
      await eventually('all have heard the end', () => bodies().every((heard) => heard.includes('end')));
      for (const heard of bodies()) assert.equal(heard.slice(heard.indexOf('news')), ['news', 'end']);
    });

    test(`${from}: nobody there is no credit, and released for an anonymous message`, async () => {
      const near = await client(place);
      const anonymous = await near.sender(null);
      await anonymous.untilCredit();
      assert.is((await anonymous.send({ to: 'nobody', body: 'x' })).outcome, 'released');
      const [sender, receiver] = await linked(place, `quiet-${place}`);
      receiver.link.detach();
      // skupper-router leaves the credit it gave, and releases what comes.
      await eventually(
        'nothing is taken any more',
        async () => sender.credit === 0 || (await sender.send({ body: 'x' })).outcome === 'released',
      );
    });
  }

  test.run();
}
