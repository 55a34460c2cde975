/** Clients of AMQP at the ends of a line of interior routers of both kinds. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AmqpClient, closeClients } from '../support/amqp.ts';
import { type Ca, makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { TestRouter } from '../support/router.ts';
import { freePort } from '../support/tcp.ts';
import { testAmqp } from './amqp.ts';
import { available, SkupperRouter } from './skupper-router.ts';

const HOST = '127.0.0.1';

interface Router {
  normalPort: number;
  interRouterPort: number;
  stop(): Promise<void>;
}

type Start = (id: string, ca: Ca, before: Router | undefined) => Promise<Router>;

const ours: Start = async (id, ca, before) => {
  const router = new TestRouter(id);
  const tls = ca.issue({ commonName: id, hosts: [HOST] });
  const normalPort = await router.access('normal');
  await router.put({ kind: 'access', name: 'neighbours', role: 'inter-router', host: HOST, port: 0, tls });
  if (before) {
    const endpoints = [{ host: HOST, port: before.interRouterPort }];
    await router.put({
      kind: 'link',
      name: 'before',
      role: 'inter-router',
      endpoints,
      cost: 1,
      tls,
      dataConnections: 2,
    });
  }
  const interRouterPort = router.state('access', 'neighbours')?.port ?? 0;
  return { normalPort, interRouterPort, stop: () => router.parts.stop(500) };
};

const theirs: Start = async (id, ca, before) => {
  const ports = { normalPort: await freePort(), interRouterPort: await freePort() };
  const credentials = ca.issue({ commonName: id, hosts: [HOST] });
  const neighbours = before ? [{ port: before.interRouterPort }] : [];
  const router = new SkupperRouter({ id, mode: 'interior', credentials, neighbours, ...ports });
  await router.start();
  return { ...ports, stop: () => router.kill() };
};

/** While they get to know each other, one may know an address before those on the way to it do. */
async function untilThrough(from: number, to: number): Promise<void> {
  const [near, far] = [await AmqpClient.connect(from), await AmqpClient.connect(to)];
  await far.receiver(`from-${from}`, { autoaccept: true });
  const sender = await near.sender(null);
  await sender.untilCredit();
  const send = async () => (await sender.send({ to: `from-${from}`, body: 'x' })).outcome === 'accepted';
  await eventually('messages go all the way', send, { withinMs: 60_000 });
  await near.close();
  await far.close();
}

/** Each has dialled the one before. */
async function line(...starts: [Start, Start, Start]) {
  const ca = makeCa('interop');
  const routers: Router[] = [];
  for (const [index, start] of starts.entries()) routers.push(await start(`router${index}`, ca, routers.at(-1)));
  const [first, , last] = routers as [Router, Router, Router];
  await untilThrough(first.normalPort, last.normalPort);
  await untilThrough(last.normalPort, first.normalPort);
  return {
    normalPorts: { first: first.normalPort, last: last.normalPort },
    stop: async () => {
      for (const router of routers) await router.stop();
    },
  };
}

/** Whom the first router gives what is in nobody's hands yet, here or at the last router, two links away. */
function testBalance(title: string, starts: [Start, Start, Start]): void {
  const test = suite(title);

  test('as many messages are in hand here as the way costs before others go that way', async () => {
    const { normalPorts, stop } = await line(...starts);
    const [here, there] = [await AmqpClient.connect(normalPorts.first), await AmqpClient.connect(normalPorts.last)];
    const far = await there.receiver('balanced');
    const sender = await here.sender('balanced');
    await sender.untilCredit();
    const near = await here.receiver('balanced');
    const gone: string[] = [];
    for (let count = 1; count <= 9; count++) {
      sender.link.send({ body: count });
      await eventually('it is there', () => near.all.length + far.all.length === count);
      gone.push(near.all.at(-1)?.message.body === count ? 'here' : 'there');
    }
    assert.equal(gone, ['here', 'here', 'here', 'there', 'here', 'there', 'here', 'there', 'here']);
    await closeClients();
    await stop();
  });

  test.run();
}

if (available()) {
  testBalance('balanced by a router of theirs', [theirs, ours, ours]);
  testBalance('balanced by a router of ours', [ours, theirs, theirs]);
  testAmqp('AMQP clients, ours between two of theirs', ['first', 'last'], () => line(theirs, ours, theirs));
  testAmqp('AMQP clients, theirs between two of ours', ['first', 'last'], () => line(ours, theirs, ours));
}
