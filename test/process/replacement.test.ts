/** A box that takes the place of another. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fleetDocument, newClaim, newDevice, newHub, untilEnrolled } from '../support/enrolment.ts';
import { listener } from '../support/network.ts';
import { type Shown, Skiff } from '../support/skiff.ts';
import { freePort } from '../support/tcp.ts';

const test = suite('replacement');
test.after.each(() => Skiff.stopAll());

async function fleet(...claim: string[]) {
  const documents = [listener('{{name}}-erp', await freePort())];
  const hub = await newHub({ documents: [fleetDocument('DeviceGroup', 'stores', { documents })] });
  const token = await newClaim(hub, 'claim', '--uses', '0', ...claim);
  const old = await newDevice(token, 'OLD');
  return { hub, token, old };
}

const serialOf = ({ status }: Shown): string => (status.identity as { serial: string }).serial;

test('a new box that comes gets the name, the site and the configuration of the old one, whose key is good no more', async () => {
  const { hub, token, old } = await fleet();
  assert.is(await untilEnrolled(old), 'stores-1');
  const before = (await hub.get('Device', 'stores-1')).status.site;
  const { code, stdout, stderr } = await hub.cli('fleet', 'replace', 'stores-1', 'NEW');
  assert.is(code, 0, stderr);
  assert.is(stdout, 'The box with serial NEW will take the place of stores-1 when it enrols\n');
  assert.is((await old.get('Link', 'hq')).status.status, 'Ready', 'until then it goes on');
  const box = await newDevice(token, 'NEW');
  assert.is(await untilEnrolled(box), 'stores-1');
  await box.get('Listener', 'stores-1-erp');
  const after = await hub.until('Device', 'stores-1', (device) => device.status.online === true);
  assert.is(serialOf(after), 'NEW');
  assert.equal(after.status.site, before);
  await old.until('Link', 'hq', ({ status }) => /revoked/.test(status.message));
  const devices = (await hub.api.list('Device', { showSecrets: false })) as Shown[];
  assert.equal(
    devices.map(({ metadata }) => metadata.name),
    ['stores-1'],
  );
});

test('a box that waits for approval takes the place at once', async () => {
  const { hub, token, old } = await fleet('--approve', 'manual');
  await hub.until('Device', 'stores-1', ({ status }) => status.state === 'pending');
  await hub.cli('fleet', 'approve', 'stores-1');
  await untilEnrolled(old);
  const box = await newDevice(token, 'NEW');
  await hub.until('Device', 'stores-2', ({ status }) => status.state === 'pending');
  const { stdout, stderr } = await hub.cli('fleet', 'replace', 'stores-1', 'NEW');
  assert.is(stdout, 'The box with serial NEW is in the place of stores-1\n', stderr);
  assert.is(await untilEnrolled(box), 'stores-1');
  const devices = (await hub.api.list('Device', { showSecrets: false })) as Shown[];
  assert.equal(
    devices.map(({ metadata }) => metadata.name),
    ['stores-1'],
  );
  const twice = await hub.cli('fleet', 'replace', 'stores-1', 'NEW');
  assert.is(twice.code, 1);
  assert.match(twice.stderr, /the box with serial NEW is stores-1 already/);
});

test.run();
