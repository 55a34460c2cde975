/** Two boxes with one disk: the hub sees both, and does with them what the group says. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fleetDocument, newClaim, newDevice, newHub, untilEnrolled } from '../support/enrolment.ts';
import { newDirectory, Skiff } from '../support/skiff.ts';

const test = suite('clones');

test.after.each(() => Skiff.stopAll());

async function twins(spec: object) {
  const hub = await newHub({ documents: [fleetDocument('DeviceGroup', 'stores', spec)] });
  const first = await newDevice(await newClaim(hub, 'batch'), 'A1');
  const name = await untilEnrolled(first);
  await first.stop();
  const copy = join(newDirectory(), 'copy');
  cpSync(first.data, copy, { recursive: true });
  const original = await Skiff.run({ data: first.data });
  await original.until('Link', 'hq', 'Ready');
  return { hub, name, original, clone: await Skiff.run({ data: copy }) };
}

test('both are shown, and the one that is there stays', async () => {
  const { hub, name, original, clone } = await twins({});
  const refused = await clone.until('Link', 'hq', 'Error');
  assert.match(refused.status.message, /in use by a live connection/);
  const { status } = await hub.until('Device', name, ({ status: each }) => Array.isArray(each.clones));
  assert.equal(status.clones, ['127.0.0.1']);
  const unique = status.conditions.find(({ type }) => type === 'Unique');
  assert.match(unique?.message ?? '', /device-cloned/);
  assert.is(status.state, 'enrolled');
  assert.is((await original.get('Link', 'hq')).status.status, 'Ready');
  assert.match((await hub.cli('fleet', 'show', name, '-o', 'json')).stdout, /device-cloned/);
});

test('where the group says so, the device is revoked, whichever box has it', async () => {
  const { hub, name, original } = await twins({ clones: 'revoke' });
  await hub.until('Device', name, ({ status }) => status.state === 'revoked');
  await original.until('Link', 'hq', 'Error');
});

test.run();
