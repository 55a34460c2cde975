/** A disk without room, at either end of an enrolment: nothing is half done, it is said, and it goes on once there is room. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fleetDocument, newClaim, newDevice, newHub, untilEnrolled } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { newDirectory, type Shown, Skiff } from '../support/skiff.ts';

const test = suite('full disk');
const disks: string[] = [];

test.after.each(async () => {
  await Skiff.stopAll();
  for (const disk of disks.splice(0)) spawnSync('umount', [disk]);
});

/** A file system of its own, so small that it can be filled; null where this user may not mount any. */
function smallDisk(): string | null {
  const directory = newDirectory();
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', directory]);
  if (status !== 0) return null;
  disks.push(directory);
  return directory;
}

/** Takes all the room that is left; returns how it is given back. */
function fill(disk: string): () => void {
  const path = join(disk, 'ballast');
  const file = openSync(path, 'w');
  try {
    for (let octets = 1 << 20; octets >= 1; octets = octets >> 1) {
      try {
        while (writeSync(file, Buffer.alloc(octets)) === octets);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
  } finally {
    closeSync(file);
  }
  return () => rmSync(path);
}

const group = fleetDocument('DeviceGroup', 'stores', {});

test('a hub without room lets nobody in, revokes nobody, and has each device once when there is room', async () => {
  const disk = smallDisk();
  if (!disk) return console.log('SKIP full disk: nothing may be mounted here');
  const hub = await newHub({ data: join(disk, 'hub'), documents: [group] });
  const claim = await newClaim(hub, 'batch', '--uses', '2');
  const before = await newDevice(claim, 'A1');
  const name = await untilEnrolled(before);
  const free = fill(disk);
  const device = await newDevice(claim, 'A2');
  await eventually('it has been turned away for now', async () => {
    const { state, attempts, error } = await device.api.device();
    return state === 'asking' && attempts > 0 && error !== null;
  });
  const refused = await hub.cli('fleet', 'revoke', name);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /disk/);
  assert.is((await before.get('Link', 'hq')).status.status, 'Ready');
  free();
  await untilEnrolled(device);
  assert.is(((await hub.api.list('Device', { showSecrets: false })) as Shown[]).length, 2);
  assert.is((await hub.cli('fleet', 'revoke', name)).code, 0);
  await before.until('Link', 'hq', 'Error');
});

test('a device without room says so, and enrols once there is', async () => {
  const disk = smallDisk();
  if (!disk) return console.log('SKIP full disk: nothing may be mounted here');
  const hub = await newHub({ documents: [group] });
  const claim = await newClaim(hub, 'batch');
  const late = join(newDirectory(), 'claim.yaml');
  const device = await newDevice(null, 'B1', { data: join(disk, 'device'), args: ['--claim', late] });
  const free = fill(disk);
  writeFileSync(late, JSON.stringify(claim.document));
  const facts = await eventually('it says so', async () => {
    const known = await device.api.device();
    return known.error && known;
  });
  assert.is(facts.error?.code, 'disk-full');
  free();
  await untilEnrolled(device);
});

test.run();
