/**
 * Enrolment with the device, or the hub, killed at one write to the disk after the other: nobody is lost or doubled. At
 * some of the writes in the usual run, at each of them with SKIFF_LONG, as `npm run test:long` has it.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Claim, newClaim, newDevice, newHub } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { type Shown, Skiff } from '../support/skiff.ts';
import { canKillAtWrites, dieAt } from '../support/sudden-death.ts';

const test = suite('enrolment faults');
test.after.each(() => Skiff.stopAll());

type Call = Parameters<typeof dieAt>[1];

const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);
const [commits, writes] = process.env.SKIFF_LONG ? [upTo(8), upTo(60)] : [upTo(3), [1, 2, 5, 12, 25]];

/** When to die: at the commits, and at the writes between. */
const moments: [Call, number][] = [
  ...commits.map((nth): [Call, number] => ['fdatasync', nth]),
  ...writes.map((nth): [Call, number] => ['pwrite64', nth]),
];

async function oneOf(hub: Skiff, serial: string): Promise<Shown> {
  const devices = (await hub.api.list('Device', { showSecrets: false })) as Shown[];
  const found = devices.filter(({ status }) => (status.identity as { serial: string }).serial === serial);
  assert.is(found.length, 1, serial);
  return found[0];
}

/** Says how many of the moments came. */
async function deathsOf(each: (call: Call, nth: number, serial: string) => Promise<boolean>): Promise<number> {
  let deaths = 0;
  for (const [call, nth] of moments) if (await each(call, nth, `${call}-${nth}`)) deaths++;
  return deaths;
}

if (canKillAtWrites()) {
  test('a device that dies at a write is one device all the same', async () => {
    const hub = await newHub();
    const claim = await newClaim(hub, 'mortal', '--uses', '0');
    const deaths = await deathsOf((call, nth, serial) => deviceDies(hub, claim, call, nth, serial));
    assert.ok(deaths >= 4, `${deaths} deaths`);
    assert.is((await hub.get('EnrolmentClaim', 'mortal')).status.used, moments.length);
  });

  test('a device is let in once by a hub that dies at a write', async () => {
    let hub = await newHub();
    const claim = await newClaim(hub, 'mortal', '--uses', '0');
    const deaths = await deathsOf(async (call, nth, serial) => {
      const callOff = await dieAt(hub, call, nth);
      const device = await newDevice(claim, serial);
      const died = await diesFirst(hub, device);
      await callOff();
      if (died) {
        hub = await Skiff.run({ data: hub.data });
        await device.until('Link', 'hq', 'Ready');
      }
      await oneOf(hub, serial);
      await device.stop('SIGKILL');
      return died;
    });
    assert.ok(deaths >= 4, `${deaths} deaths`);
    assert.is((await hub.get('EnrolmentClaim', 'mortal')).status.used, moments.length);
  });
}

/** Whether `mortal` dies, or the device is linked before it can. */
async function diesFirst(mortal: Skiff, device: Skiff): Promise<boolean> {
  let dead = false;
  void mortal.ended.then(() => {
    dead = true;
  });
  const isUp = async () => (await device.get('Link', 'hq')).status.status === 'Ready';
  const outcome = await eventually('a death, or a link', async () => (dead || (await isUp()) ? { died: dead } : null));
  return outcome.died;
}

async function deviceDies(hub: Skiff, claim: Claim, call: Call, nth: number, serial: string): Promise<boolean> {
  const device = await newDevice(null, serial);
  const callOff = await dieAt(device, call, nth);
  // The site that is asked may be gone before it answers.
  await device.apply(claim.document).catch(() => {});
  const died = await diesFirst(device, device);
  await callOff();
  const survivor = died ? await newDevice(claim, serial, { data: device.data }) : device;
  await survivor.until('Link', 'hq', 'Ready');
  await oneOf(hub, serial);
  await survivor.stop('SIGKILL');
  return died;
}

test.run();
