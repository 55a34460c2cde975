// time limit: 240 s
/** Desired state with the device, or the hub, killed at one write after the other: neither half of it, nor none at all. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fleetDocument, newClaim, newDevice, newHub, untilEnrolled } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { listener } from '../support/network.ts';
import { fileOf, type Shown, Skiff } from '../support/skiff.ts';
import { canKillAtWrites, dieAt } from '../support/sudden-death.ts';
import { freePort } from '../support/tcp.ts';

const test = suite('desired faults');
test.after.each(() => Skiff.stopAll());

const moments: [Parameters<typeof dieAt>[1], number][] = [
  ['fdatasync', 1],
  ['fdatasync', 2],
  ['pwrite64', 1],
  ['pwrite64', 2],
  ['pwrite64', 4],
];

const asDesired = ({ status }: Shown): boolean =>
  status.online === true && status.desired === status.applied && status.lastError === undefined;

async function fleet() {
  const hub = await newHub({ documents: [fleetDocument('DeviceGroup', 'stores', {})] });
  const device = await newDevice(await newClaim(hub, 'claim'), 'S1');
  await untilEnrolled(device);
  await hub.until('Device', 'stores-1', asDesired);
  return { hub, device };
}

/** The names of the device's listeners. */
async function listenersOf(device: Skiff): Promise<string> {
  const listeners = (await device.api.list('Listener', { showSecrets: false })) as Shown[];
  return listeners
    .map(({ metadata }) => metadata.name)
    .sort()
    .join();
}

async function give(hub: Skiff, ...names: string[]): Promise<void> {
  const documents = await Promise.all(names.map(async (name) => listener(name, await freePort())));
  // The hub may die of it.
  await hub.cli('fleet', 'apply', '-f', fileOf(...documents), '--group', 'stores', '--prune');
}

/** Waits until it is dead, or has got through it; whether it died. */
async function outcomeOf(mortal: Skiff, done: () => Promise<boolean>): Promise<boolean> {
  let dead = false;
  void mortal.ended.then(() => {
    dead = true;
  });
  const outcome = await eventually('a death, or the end of it', async () =>
    dead || (await done().catch(() => false)) ? { dead } : null,
  );
  return outcome.dead;
}

if (canKillAtWrites()) {
  test('a device that dies while it applies has all of it or nothing, and all of it in the end', async () => {
    const { hub, device } = await fleet();
    let alive = device;
    let deaths = 0;
    let before = '';
    for (const [nth, moment] of moments.entries()) {
      const names = [`a${nth}`, `b${nth}`, `c${nth}`];
      const callOff = await dieAt(alive, ...moment);
      await give(hub, ...names);
      const mortal = alive;
      const died = await outcomeOf(mortal, async () => (await listenersOf(mortal)) === names.join());
      await callOff();
      if (died) {
        deaths++;
        alive = await Skiff.run({ data: device.data });
        assert.ok([before, names.join()].includes(await listenersOf(alive)), 'all of it or nothing');
      }
      await eventually('all of it', async () => (await listenersOf(alive)) === names.join());
      await hub.until('Device', 'stores-1', asDesired, 60_000);
      before = names.join();
    }
    assert.ok(deaths >= 2, `${deaths} deaths`);
  });

  test('a hub that dies while it is told what devices are to be has been told all of it or nothing', async () => {
    const { hub, device } = await fleet();
    let alive = hub;
    let deaths = 0;
    for (const [nth, moment] of moments.entries()) {
      const name = `service-${nth}`;
      const callOff = await dieAt(alive, ...moment);
      await give(alive, name);
      const mortal = alive;
      const died = await outcomeOf(mortal, async () => (await listenersOf(device)) === name);
      await callOff();
      if (died) {
        deaths++;
        alive = await Skiff.run({ data: hub.data });
      }
      await give(alive, name);
      await eventually('it', async () => (await listenersOf(device)) === name, { withinMs: 60_000 });
      await alive.until('Device', 'stores-1', asDesired, 90_000);
    }
    assert.ok(deaths >= 2, `${deaths} deaths`);
  });
}

test.run();
