/** Lines that are cut and come back: a hub and two stores, each a network namespace of its own. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../support/eventually.ts';
import { Line, Machine, namespacesMissing } from '../support/namespaces.ts';
import { connector, edge, hub, listener, type Network, newNetwork } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import {
  accepts,
  closeSockets,
  connect,
  echo,
  ending,
  exchange,
  freePort,
  read,
  untilAccepting,
} from '../support/tcp.ts';

const test = suite('cut-lines');

const missing = namespacesMissing();
const machines: Machine[] = [];

function machine(name: string): Machine {
  const made = new Machine(name);
  machines.push(made);
  return made;
}

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
  for (const each of machines) each.remove();
});

/** A store, which offers a service to the hub and uses one of the hub's and one of its own. */
async function openStore(name: string, network: Network, own: Machine, hubMachine: Machine, hubSite: Skiff) {
  const [erpPort, localPort, posPort] = [await freePort(), await freePort(), await freePort()];
  const backend = await echo({ host: own.outside });
  await hubSite.apply(listener(`pos-${name}`, posPort, `pos-${name}`, hubMachine.address));
  const site = await Skiff.run({
    namespace: own.namespace,
    documents: [
      ...edge(network, name),
      listener('erp', erpPort, 'erp', own.address),
      connector('local', backend.port, `local-${name}`, own.outside),
      listener('local', localPort, `local-${name}`, own.address),
      connector('pos', backend.port, `pos-${name}`, own.outside),
    ],
  });
  return { name, own, site, erpPort, localPort, posPort };
}

type Store = Awaited<ReturnType<typeof openStore>>;

async function cutAndMend(store: Store, hubMachine: Machine, hubSite: Skiff, cut: () => void, mend: () => void) {
  const { own, site, erpPort, localPort, posPort, name } = store;
  await site.until('Link', 'to-hub', 'Ready');
  await untilAccepting(erpPort, own.address);
  await untilAccepting(posPort, hubMachine.address);
  const stream = await connect(erpPort, own.address);
  const reverse = await connect(posPort, hubMachine.address);
  const local = await connect(localPort, own.address);
  for (const socket of [stream, reverse, local]) {
    socket.write('before');
    await read(socket, 6);
  }

  cut();
  // Mid-stream: something is always under way.
  const talking = setInterval(() => {
    for (const socket of [stream, reverse]) if (!socket.destroyed) socket.write('into the void');
  }, 100);
  stream.resume();
  reverse.resume();
  const [up, down] = await Promise.all([
    eventually('the stream of the store ends', () => stream.closed, { withinMs: 30_000 }).then(() => ending(stream)),
    eventually('the stream of the hub ends', () => reverse.closed, { withinMs: 30_000 }).then(() => ending(reverse)),
  ]);
  clearInterval(talking);
  assert.equal([up, down], ['reset', 'reset']);
  const { status } = await site.until('Link', 'to-hub', (each) => each.status.error);
  assert.match(status.message, /^Not operational: 10\.213\.\d+\.\d+:\d+: /);
  await site.until('Listener', 'erp', 'Pending');
  await eventually('its port is closed', async () => !(await accepts(erpPort, own.address)));
  await hubSite.until('Listener', `pos-${name}`, 'Pending');
  await eventually('the one at the hub, too', async () => !(await accepts(posPort, hubMachine.address)));
  local.write('meanwhile');
  assert.is((await read(local, 9)).toString(), 'meanwhile');
  assert.is(await exchange(localPort, 'and a new one', own.address), 'and a new one');
  local.destroy();

  mend();
  await site.until('Link', 'to-hub', 'Ready', 60_000);
  await untilAccepting(erpPort, own.address);
  await untilAccepting(posPort, hubMachine.address);
  assert.is(await exchange(erpPort, 'restored', own.address), 'restored');
  assert.is(await exchange(posPort, 'restored', hubMachine.address), 'restored');
}

if (missing === null) {
  test('a line that is unplugged, and one that swallows everything: streams end, local services go on, links return', async () => {
    const [hubMachine, one, other] = [machine('hub'), machine('a'), machine('b')];
    const [unplugged, swallowing] = [new Line(hubMachine, one), new Line(hubMachine, other)];
    const network = await newNetwork('0.0.0.0');
    const hosts = [unplugged, swallowing].map(({ addresses }) => addresses[0]);
    const backend = await echo({ host: hubMachine.outside });
    const hubSite = await Skiff.run({
      namespace: hubMachine.namespace,
      documents: [...hub(network, hosts), connector('erp', backend.port, 'erp', hubMachine.outside)],
    });
    const first = await openStore('a', { ...network, host: hosts[0] }, one, hubMachine, hubSite);
    const second = await openStore('b', { ...network, host: hosts[1] }, other, hubMachine, hubSite);
    await Promise.all([
      cutAndMend(
        first,
        hubMachine,
        hubSite,
        () => unplugged.unplug(),
        () => unplugged.plug(),
      ),
      cutAndMend(
        second,
        hubMachine,
        hubSite,
        () => swallowing.drop(),
        () => swallowing.pass(),
      ),
    ]);
  });
} else {
  console.log(`SKIP netns: ${missing}`);
}

test.run();
