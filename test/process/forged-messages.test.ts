/** Messages that say what their senders may not say: refused in words, shown at the hub, and nobody else notices. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AmqpClient, closeClients } from '../support/amqp.ts';
import { closeHostileEdges, HostileEdge } from '../support/hostile-edge.ts';
import { hub, type Network, newNetwork } from '../support/network.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Shown, Skiff } from '../support/skiff.ts';

const test = suite('forged messages');

let network: Network;
let hubSite: Skiff;

test.before(async () => {
  network = await newNetwork();
  hubSite = await Skiff.run({ documents: hub(network) });
});

test.after(async () => {
  await closeHostileEdges();
  await closeClients();
  await Skiff.stopAll();
});

/** Once a cause in the log, and in the status of the access, however often it happens. */
async function untilShown(access: string, message: RegExp): Promise<void> {
  await hubSite.until('RouterAccess', access, ({ status }: Shown) =>
    (status.refusals as { cause: { code: string; message: string } }[]).some(
      ({ cause }) => cause.code === 'not-accepted' && message.test(cause.message),
    ),
  );
  await hubSite.untilLogged(({ message: said }) => message.test(said));
  assert.is(hubSite.log.filter(({ level, message: said }) => level === 'warn' && message.test(said)).length, 1);
}

const long = 'x'.repeat(10_000);

test('a client', async () => {
  const honest = await AmqpClient.connect(network.normalPort);
  const taken = await honest.receiver('orders', { autoaccept: true });
  const forger = await RawClient.connect(network.normalPort);
  const forge = async (to: string, annotations: Parameters<RawClient['send']>[1]): Promise<string | undefined> => {
    const state = await forger.send(to, annotations);
    return state.outcome === 'rejected' ? state.error?.condition : state.outcome;
  };
  for (let count = 0; count < 20; count++) {
    assert.is(await forge('orders', { trace: ['0/other'] }), 'amqp:not-allowed');
    assert.is(await forge('harmless', { toOverride: 'orders' }), 'amqp:not-allowed');
  }
  assert.is(await forge(long, null), 'amqp:invalid-field');
  assert.is(await forge(`amqp:/_topo/0/hub/qdrouter`, null), 'amqp:unauthorized-access');
  for (const address of [long, '_local/qdhello']) {
    for (const link of [honest.sender(address), honest.receiver(address)]) {
      const answer = await link.then(
        () => 'granted',
        (error: Error) => error.message,
      );
      assert.match(answer, /^amqp:(invalid-field|unauthorized-access): /);
    }
  }
  await untilShown('clients', /router annotations in a message from a client/);
  await untilShown('clients', /an address is longer than/);
  await untilShown('clients', /only interior routers speak/);
  assert.is(await forge('orders', null), 'accepted', 'the connection goes on');
  assert.is((await taken.next()).message.body, 'x');
  assert.is(taken.all.length, 1, 'and nothing of the rest has arrived');
  forger.close();
  await honest.close();
});

test('an edge', async () => {
  const honest = await AmqpClient.connect(network.normalPort);
  const taken = await honest.receiver('orders', { autoaccept: true });
  const edge = await HostileEdge.connect(network.edgePort, network.ca.issue({ commonName: 'forger' }), 'forger');
  const forged = { to: 'orders', ingress: '0/other' };
  for (let count = 0; count < 20; count++) assert.is(await edge.send(forged), 'amqp:not-allowed');
  assert.is(await edge.send({ to: 'orders', trace: ['0/hub'] }), 'amqp:not-allowed');
  const everywhere = Array.from({ length: 10_000 }, (_, index) => `0/r${index}`);
  assert.is(await edge.send({ to: 'orders', trace: everywhere }), 'amqp:not-allowed');
  assert.is(await edge.send({ to: 'orders', override: long }), 'amqp:invalid-field');
  assert.is(await edge.send({ to: '_topo/0/hub/qdrouter.ma' }), 'amqp:unauthorized-access');
  assert.is((await edge.sender(long)).answer, 'amqp:invalid-field');
  await untilShown('uplinks', /an edge router says where a message has been/);
  assert.is(await edge.send({ to: 'orders' }), 'accepted');
  await taken.next();
  assert.is(taken.all.length, 1);
  await honest.close();
});

test.run();
