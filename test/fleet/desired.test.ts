/** Desired state from the hub's documents to the device's, over everything that may come between. */
import { createPrivateKey } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { desiredText, signed } from '../../src/fleet/signing.ts';
import type { JsonObject } from '../../src/store/documents.ts';
import { connector, listener, read } from '../site/setup.ts';
import { eventually, sleep } from '../support/eventually.ts';
import { type Device, group, Hub, wayTo } from './world.ts';

const test = suite('desired');
const hubs: Hub[] = [];

test.after.each(() => {
  for (const hub of hubs.splice(0)) hub.close();
});

function newHub(): Hub {
  const hub = new Hub();
  hubs.push(hub);
  return hub;
}

const has = (device: Device, ...names: string[]): Promise<unknown> =>
  eventually(`${names.join()} at ${device.id}`, () => names.every((name) => device.names.includes(name)), {
    explain: () => ({ names: device.names, facts: device.applier.facts }),
  });

const acknowledged = (hub: Hub, name: string): Promise<unknown> =>
  eventually(`${name} is as it is to be`, () => {
    const { desired, applied, trying } = hub.controller.newsOf(name);
    return desired !== null && desired === applied && trying === null;
  });

test('a device becomes what its group is, and follows it: what goes there goes here', async () => {
  const hub = newHub();
  const device = await hub.enrol('store-1');
  hub.apply(group([listener('{{name}}-erp'), connector('printer')]));
  await has(device, 'Listener/store-1-erp', 'Connector/printer', 'Site/store-1', 'Link/hub');
  await acknowledged(hub, 'store-1');
  hub.apply(group([listener('mail')]));
  await has(device, 'Listener/mail');
  assert.equal(device.names, ['Link/hub', 'Listener/mail', 'Site/store-1']);
  await acknowledged(hub, 'store-1');
  await eventually(
    'nothing differs',
    () => (hub.controller.show('store-1') as { difference: object[] }).difference.length === 0,
  );
});

test('documents that were made at the device stay, and one that is in the way is told', async () => {
  const hub = newHub();
  const device = await hub.enrol('store-1');
  device.documents.apply(read(listener('mine', 1), listener('erp', 2)), 'local');
  hub.apply(group([listener('erp', 3), listener('mail', 4)]));
  await eventually('the hub knows', () =>
    /owned by this site itself/.test(hub.controller.newsOf('store-1').error ?? ''),
  );
  assert.not(device.names.includes('Listener/mail'), 'all or none');
  device.documents.delete([{ kind: 'Listener', name: 'erp' }], 'local');
  device.reporter.beatSoon();
  await has(device, 'Listener/erp', 'Listener/mail', 'Listener/mine');
  await eventually('the error is gone', () => hub.controller.newsOf('store-1').error === null);
});

test('a device that was away gets only the newest', async () => {
  const hub = newHub();
  const device = await hub.enrol('store-1');
  await acknowledged(hub, 'store-1');
  device.line = false;
  for (const port of [1, 2, 3, 4]) {
    hub.apply(group([listener('erp', port)]));
    const generation = hub.controller.newsOf('store-1').desired ?? 0;
    await eventually('the next generation', () => (hub.controller.newsOf('store-1').desired ?? 0) > generation);
  }
  device.line = true;
  device.reporter.beatSoon();
  await has(device, 'Listener/erp');
  assert.equal(device.documents.get({ kind: 'Listener', name: 'erp' })?.generation, 1);
  assert.equal(device.documents.get({ kind: 'Listener', name: 'erp' })?.spec, {
    routingKey: 'erp',
    host: '127.0.0.1',
    port: 4,
  });
});

test('a change that cuts the device off is taken back by the device, told, and not tried again', async () => {
  const hub = newHub();
  const device = await hub.enrol('store-1');
  await acknowledged(hub, 'store-1');
  hub.apply(group([wayTo('nowhere.example'), listener('erp')]));
  await has(device, 'Listener/erp');
  assert.not(device.linked());
  await eventually('it is back', () => device.linked() && device.applier.facts.bad.length === 1);
  assert.not(device.names.includes('Listener/erp'));
  await eventually('the hub knows', () => /^rolled back: /.test(hub.controller.newsOf('store-1').error ?? ''));
  const { bad } = device.applier.facts;
  device.reporter.beatSoon();
  await sleep(300);
  assert.equal(device.applier.facts.bad, bad);
  assert.ok(device.linked());
  // The next one is another matter.
  hub.apply(group([listener('erp')]));
  await has(device, 'Listener/erp');
  await acknowledged(hub, 'store-1');
});

test('a hub that is away rolls back nobody, however long it is', async () => {
  const hub = newHub();
  const device = await hub.enrol('store-1');
  await acknowledged(hub, 'store-1');
  // The same way by another name: it connects, but for the hub.
  const other = wayTo('hub.example') as { spec: { endpoints: object[] } };
  const way = { ...other, spec: { ...other.spec, cost: 7 } };
  hub.endsWithDesired = true;
  hub.apply(group([way, listener('erp')]));
  await has(device, 'Listener/erp');
  await eventually('it goes back to see', () => !device.names.includes('Listener/erp'));
  await eventually('and returns to the new one', () => device.names.includes('Listener/erp'));
  hub.restart();
  await acknowledged(hub, 'store-1');
  await has(device, 'Listener/erp');
  assert.equal(device.applier.facts.bad, []);
});

test('a hub that comes back while the device sees whether the last good one connects rolls back nobody', async () => {
  const hub = newHub();
  const device = await hub.enrol('store-1');
  await acknowledged(hub, 'store-1');
  const other = wayTo('hub.example') as { spec: { endpoints: object[] } };
  hub.endsWithDesired = true;
  hub.apply(group([{ ...other, spec: { ...other.spec, cost: 7 } }, listener('erp')]));
  await has(device, 'Listener/erp');
  await eventually('it goes back to see', () => !device.names.includes('Listener/erp'));
  hub.restart();
  device.reporter.beatSoon();
  await acknowledged(hub, 'store-1');
  await has(device, 'Listener/erp');
  assert.equal(device.applier.facts.bad, []);
});

test('a change that leaves the way to the hub alone is never taken back', async () => {
  const hub = newHub();
  const device = await hub.enrol('store-1');
  await acknowledged(hub, 'store-1');
  hub.apply(group([listener('erp')]));
  await has(device, 'Listener/erp');
  device.line = false;
  await sleep(500);
  assert.ok(device.names.includes('Listener/erp'));
});

test('a device that ends in the middle of a trial goes on with it at its next start', async () => {
  const hub = newHub();
  const device = await hub.enrol('store-1');
  await acknowledged(hub, 'store-1');
  hub.apply(group([wayTo('nowhere.example'), listener('erp')]));
  await has(device, 'Listener/erp');
  device.close();
  device.start();
  await eventually('it is back', () => device.linked() && device.applier.facts.bad.length === 1);
});

test('what is unsigned, another’s or older is not taken', async () => {
  const hub = newHub();
  const [one, two] = [await hub.enrol('store-1'), await hub.enrol('store-2')];
  hub.apply(group([listener('erp')]));
  await has(one, 'Listener/erp');
  await has(two, 'Listener/erp');
  await acknowledged(hub, 'store-1');
  const before = one.names;
  const documents = [listener('evil')] as JsonObject[];
  const send = (message: object): void => {
    const address = `skiff.device.${one.id}`;
    one.receive({ address, subject: 'desired', body: JSON.stringify(message), from: null });
  };
  send({ generation: 100, documents });
  send({ generation: 100, documents, signature: 'AAAA' });
  send({ generation: 'x', documents: 7, signature: null });
  // The controller's word, for the other device.
  const key = createPrivateKey(hub.store.desired.key() ?? '');
  const signature = (device: Device) => {
    return signed(desiredText({ device: device.id, generation: 100, documents }), key);
  };
  send({ generation: 100, documents, signature: signature(two) });
  await sleep(50);
  assert.equal(one.names, before);
  hub.apply(group([listener('mail')]));
  await has(one, 'Listener/mail');
  const { generation, documents: first } = { generation: 1, documents: [] as JsonObject[] };
  send({
    generation,
    documents: first,
    signature: signed(desiredText({ device: one.id, generation, documents: first }), key),
  });
  await sleep(50);
  assert.ok(one.names.includes('Listener/mail'));
  send({ generation: 100, documents, signature: signature(one) });
  await has(one, 'Listener/evil');
});

test('only the device itself speaks for itself', async () => {
  const hub = newHub();
  const [one, two] = [await hub.enrol('store-1'), await hub.enrol('store-2')];
  await acknowledged(hub, 'store-1');
  two.close();
  const report = one.said.at(-1) as object;
  const seen = hub.controller.newsOf('store-1').seenAt;
  const send = (said: object, from: string | null): unknown =>
    hub.receive({ address: 'skiff.fleet', subject: 'heartbeat', body: JSON.stringify(said), from });
  one.close();
  send({ ...report, seq: 1_000 }, one.id);
  send({ ...report, seq: 1_000 }, two.id);
  send(report, two.id);
  send(report, null);
  // Said once before.
  send(report, one.id);
  assert.is(hub.controller.newsOf('store-1').seenAt, seen);
  for (const nonsense of ['', '[]', '{}', 'null', '{"device":7}', JSON.stringify({ ...report, key: '' })]) {
    hub.receive({ address: 'skiff.fleet', subject: 'heartbeat', body: nonsense, from: one.id });
  }
});

test('a group that cannot be for a device leaves it as it is, and says so', async () => {
  const hub = newHub();
  const device = await hub.enrol('store-1');
  hub.apply(group([listener('erp')]));
  await has(device, 'Listener/erp');
  const { desired } = hub.controller.newsOf('store-1');
  hub.apply(group([listener('{{var.missing}}')]));
  await eventually('the reason', () => /var\.missing/.test(hub.controller.newsOf('store-1').error ?? ''));
  assert.is(hub.controller.newsOf('store-1').desired, desired);
  hub.apply(group([listener('{{var.missing}}')], { missing: 'found' }));
  await has(device, 'Listener/found');
});

test('an order for a device that is away waits, is carried out once when it is back, or expires', async () => {
  const hub = newHub();
  let done = 0;
  const device = await hub.enrol('store-1', { renew: async () => `renewed ${++done}` });
  await acknowledged(hub, 'store-1');
  device.line = false;
  const orders = () =>
    (hub.controller.show('store-1') as { orders: { verb: string; state: string; result: string }[] }).orders;
  hub.controller.order('store-1', 'renew', Date.now() + 60_000);
  hub.controller.order('store-1', 'dance', Date.now() + 60_000);
  hub.controller.order('store-1', 'late', Date.now() - 1);
  assert.equal(
    orders()
      .map(({ state }) => state)
      .sort(),
    ['expired', 'waiting', 'waiting'],
  );
  device.line = true;
  device.reporter.beatSoon();
  await eventually('both are done', () => orders().filter(({ state }) => state === 'done').length === 2);
  assert.is(done, 1);
  const results = Object.fromEntries(orders().map(({ verb, result }) => [verb, result]));
  assert.equal(results, { renew: 'renewed 1', dance: 'not known to this release', late: null });
  device.close();
  device.start();
  device.reporter.beatSoon();
  await sleep(200);
  assert.is(done, 1);
});

test('a hub whose database is of last week numbers on from what its devices have', async () => {
  const hub = newHub();
  const device = await hub.enrol('store-1');
  hub.apply(group([listener('erp')]));
  await has(device, 'Listener/erp');
  await acknowledged(hub, 'store-1');
  const known = hub.store.desired.get('store-1');
  for (const name of ['a', 'b']) {
    hub.apply(group([listener(name)]));
    await has(device, `Listener/${name}`);
    await acknowledged(hub, 'store-1');
  }
  const { applied } = hub.controller.newsOf('store-1');
  hub.store.desired.put(known as never);
  hub.documents.apply(read(group([listener('erp')])), 'local');
  hub.controller.forget('store-1');
  device.reporter.beatSoon();
  await has(device, 'Listener/erp');
  await acknowledged(hub, 'store-1');
  assert.ok((hub.controller.newsOf('store-1').applied ?? 0) > (applied ?? 0));
});

test.run();
