/** Desired state between a hub and devices that are linked to it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AmqpClient, closeClients } from '../support/amqp.ts';
import { fleetDocument, newClaim, newHub } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { InProcessSite } from '../support/in-process.ts';
import { document, listener, normalAccess } from '../support/network.ts';
import { fileOf, Skiff } from '../support/skiff.ts';
import { freePort } from '../support/tcp.ts';

const test = suite('desired-state');
const devices: InProcessSite[] = [];
const stores = fleetDocument('DeviceGroup', 'stores', {});

test.after.each(async () => {
  await closeClients();
  for (const device of devices.splice(0)) await device.stop();
  await Skiff.stopAll();
});

async function newDevice(hub: Skiff, serial = 'S1'): Promise<InProcessSite> {
  const device = new InProcessSite({ claim: (await newClaim(hub, 'claim')).file, serial });
  devices.push(device);
  await device.start();
  device.enrol();
  return device;
}

const asDesired = ({ status }: { status: object }): boolean => {
  const { desired, applied, online } = status as { desired?: number; applied?: number; online?: boolean };
  return online === true && desired !== undefined && desired === applied;
};

async function ok(hub: Skiff, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await hub.cli(...args);
  assert.is(code, 0, stderr);
  return stdout;
}

test('documents of a group come to its devices, and what the hub shows of them is so', async () => {
  const hub = await newHub({ documents: [stores] });
  const device = await newDevice(hub);
  await hub.until('Device', 'stores-1', asDesired);
  const said = await ok(
    hub,
    'fleet',
    'apply',
    '-f',
    fileOf(listener('erp', 18999, '{{name}}.erp')),
    '--group',
    'stores',
  );
  assert.is(said, 'DeviceGroup stores changed\n');
  await eventually('the listener', () => device.site.get({ kind: 'Listener', name: 'erp' }, { showSecrets: false }));
  await hub.until('Device', 'stores-1', asDesired);
  const shown = JSON.parse(await ok(hub, 'fleet', 'show', 'stores-1', '-o', 'json'));
  assert.equal(shown.difference, []);
  assert.is(shown.reported.applied, shown.desired.generation);
  assert.ok(shown.history.some(({ event }: { event: string }) => event === 'desired-applied'));
  assert.match(await ok(hub, 'fleet', 'show', 'stores-1'), /^Name +\t: stores-1\n[\s\S]*Online +\t: yes\n/);
  assert.match(await ok(hub, 'fleet', 'devices'), /DESIRED +APPLIED +ONLINE/);
  const bad = await hub.cli('fleet', 'apply', '-f', fileOf(listener('mail', 1, '{{var.none}}')), '--group', 'stores');
  assert.is(bad.code, 2, bad.stderr);
  assert.match(bad.stderr, /stores-1: nothing is known for \{\{var.none\}\}/);
});

test('a device that is cut off by what it gets takes it back within a minute', async () => {
  const hub = await newHub({ documents: [stores] });
  const device = await newDevice(hub);
  await hub.until('Device', 'stores-1', asDesired);
  const link = device.site.list('Link', { showSecrets: false })[0];
  const endpoints = [{ name: 'edge', host: '127.0.0.1', port: '1' }];
  const wrong = document('Link', link.metadata.name, { endpoints, tlsCredentials: 'hq' });
  await ok(hub, 'fleet', 'apply', '-f', fileOf(wrong, listener('erp', 18998)), '--group', 'stores');
  const begun = Date.now();
  await eventually('it is tried', () => device.site.get({ kind: 'Listener', name: 'erp' }, { showSecrets: false }));
  await hub.until('Device', 'stores-1', ({ status }) => /rolled back/.test(String(status.lastError)), 70_000);
  assert.ok(Date.now() - begun < 60_000, 'within a minute');
  assert.is(device.site.get({ kind: 'Listener', name: 'erp' }, { showSecrets: false }), undefined);
});

test('who is neither the device nor its controller says nothing that counts', async () => {
  const port = await freePort();
  const hub = await newHub({ documents: [stores, normalAccess(port)] });
  const device = await newDevice(hub);
  const { status } = await hub.until('Device', 'stores-1', asDesired);
  const { reported } = JSON.parse(await ok(hub, 'fleet', 'show', 'stores-1', '-o', 'json'));
  const id = `stores-1-${(status.site as { id: string }).id.slice(0, 8)}`;
  const client = await AmqpClient.connect(port);
  const sender = await client.sender(null);
  await sender.untilCredit();
  const say = async (to: string, subject: string, body: unknown): Promise<void> => {
    assert.is((await sender.send({ to, subject, body: JSON.stringify(body) })).outcome, 'accepted');
  };
  await say('skiff.fleet', 'heartbeat', { ...reported, seq: 1_000_000, applied: 77 });
  await say('skiff.fleet', 'heartbeat', ['nonsense']);
  const { generation } = JSON.parse(await ok(hub, 'fleet', 'show', 'stores-1', '-o', 'json')).desired;
  await say(`skiff.device.${id}`, 'desired', { generation: generation + 1, documents: [], signature: 'AAAA' });
  await say(`skiff.device.${id}`, 'order', { id: 'x', verb: 'renew', expires: Date.now() + 60_000, signature: 'AAAA' });
  await ok(hub, 'fleet', 'apply', '-f', fileOf(listener('later', 18997)), '--group', 'stores');
  // It takes messages in order: what was said before it is done with.
  await eventually('the listener', () => device.site.get({ kind: 'Listener', name: 'later' }, { showSecrets: false }));
  const shown = await hub.until('Device', 'stores-1', asDesired);
  assert.is(shown.status.applied, generation + 1);
  await client.close();
});

test('what is ordered while a device is away waits for it, and shows that it does', async () => {
  const hub = await newHub({ documents: [stores] });
  const device = await newDevice(hub);
  await hub.until('Device', 'stores-1', asDesired);
  await device.stop();
  devices.length = 0;
  assert.match(await ok(hub, 'fleet', 'order', 'stores-1', 'renew', '--expires', '1h'), /^Order \S+ is waiting\n$/);
  assert.match(await ok(hub, 'fleet', 'show', 'stores-1'), /\nrenew +waiting/);
});

test.run();
