// time limit: 400 s
/** Devices whose clock is wrong, and such as were away until long after their certificate had expired: libfaketime moves their time. */
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { newClaim, newDevice, newHub, untilEnrolled } from '../support/enrolment.ts';
import { Skiff } from '../support/skiff.ts';

const test = suite('clocks');
test.after.each(() => Skiff.stopAll());

const library = [`${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`]
  .map((triple) => `/usr/lib/${triple}/faketime/libfaketimeMT.so.1`)
  .find(existsSync);

/** The environment of a process for which it is another time. Timers go on as they do. */
const at = (time: string) => ({ LD_PRELOAD: library ?? '', FAKETIME: time, FAKETIME_DONT_FAKE_MONOTONIC: '1' });

async function certificateOf(device: Skiff): Promise<X509Certificate> {
  const { data } = await device.api.get({ kind: 'Secret', name: 'hq' }, { showSecrets: true });
  return new X509Certificate(atob((data as Record<string, string>)['tls.crt']));
}

if (library) {
  for (const time of ['@1970-01-02 00:00:00', '@2045-01-01 00:00:00']) {
    test(`a blank device that thinks it is ${time} enrols and links`, async () => {
      const hub = await newHub();
      const device = await newDevice(await newClaim(hub, 'spring'), 'A1', { env: at(time) });
      await untilEnrolled(device);
      await hub.until('Device', 'stores-1', 'Ready');
    });
  }

  for (const time of ['@1970-01-02 00:00:00', '@2028-01-01 00:00:00']) {
    test(`a hub that thinks it is ${time} lets a device in whose clock is right`, async () => {
      const hub = await newHub({ env: at(time) });
      const device = await newDevice(await newClaim(hub, 'spring'), 'A1');
      await untilEnrolled(device);
      await hub.until('Device', 'stores-1', 'Ready');
    });
  }

  test('a device whose clock has lost its battery finds back to its hub', async () => {
    const hub = await newHub();
    const device = await newDevice(await newClaim(hub, 'spring'), 'A1');
    await untilEnrolled(device);
    await device.stop('SIGKILL');
    for (const time of ['@1970-01-02 00:00:00', '@2045-01-01 00:00:00']) {
      const again = await Skiff.run({ data: device.data, env: at(time) });
      await again.until('Link', 'hq', 'Ready');
      await again.stop('SIGKILL');
    }
  });

  test('a device that was away until its certificate had expired gets the next one by itself', async () => {
    const hub = await newHub();
    const device = await newDevice(await newClaim(hub, 'spring'), 'A1');
    await untilEnrolled(device);
    const before = await certificateOf(device);
    await device.stop('SIGKILL');
    await hub.stop('SIGKILL');
    // Nobody answers yet: it runs without.
    const later = at('+200d');
    const again = await Skiff.run({ data: device.data, env: later });
    assert.is(again.ready.site, 'stores-1');
    await again.until('Link', 'hq', ({ status }) => status.error);
    const back = await Skiff.run({ data: hub.data, env: later });
    await again.until('Link', 'hq', 'Ready', 60_000);
    const after = await certificateOf(again);
    assert.is.not(after.fingerprint256, before.fingerprint256);
    assert.ok(after.validToDate.getTime() > before.validToDate.getTime() + 100 * 24 * 3_600_000);
    await back.until('Device', 'stores-1', 'Ready');
  });

  test('a device that was away for longer than its group allows waits for approval, and then goes on', async () => {
    const hub = await newHub();
    const device = await newDevice(await newClaim(hub, 'spring'), 'A1');
    await untilEnrolled(device);
    await device.stop('SIGKILL');
    await hub.stop('SIGKILL');
    const muchLater = at('+500d');
    const back = await Skiff.run({ data: hub.data, env: muchLater });
    const again = await Skiff.run({ data: device.data, env: muchLater });
    await back.until(
      'Device',
      'stores-1',
      ({ status }) => status.state === 'pending' && status.reason === 'long-dark',
      60_000,
    );
    assert.is((await back.cli('fleet', 'approve', 'stores-1')).code, 0);
    await again.until('Link', 'hq', 'Ready', 120_000);
    // It was let in with the first certificate that it showed.
    assert.not.ok(back.log.some(({ code }) => code === 'device-expelled'));
  });
}

test.run();
