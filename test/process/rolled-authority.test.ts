/** A hub that gets new CAs while a part of its fleet is switched off: nobody is lost, and claims stay good. */
import { X509Certificate } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { newClaim, newDevice, newHub, untilEnrolled } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { Skiff } from '../support/skiff.ts';

const test = suite('rolled authorities');

test.after.each(() => Skiff.stopAll());

/** The issuer of a device's own certificate and the CAs that it believes, by their keys' fingerprints. */
async function chainOf(device: Skiff): Promise<{ certificate: X509Certificate; believed: X509Certificate[] }> {
  const secret = await device.api.get({ kind: 'Secret', name: 'hq' }, { showSecrets: true });
  const data = secret.data as Record<string, string>;
  const text = (file: string) => Buffer.from(data[file] ?? '', 'base64').toString();
  const believed = text('ca.crt').match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? [];
  return {
    certificate: new X509Certificate(text('tls.crt')),
    believed: believed.map((each) => new X509Certificate(each)),
  };
}

test('devices that were off meanwhile come back with what they knew, and learn of the new CA', async () => {
  const hub = await newHub();
  const claim = await newClaim(hub, 'batch', '--uses', '3');
  const awake = await newDevice(claim, 'A1');
  let asleep = await newDevice(claim, 'B1');
  const names = [await untilEnrolled(awake), await untilEnrolled(asleep)];
  const old = (await chainOf(asleep)).believed[0] as X509Certificate;
  await asleep.stop();

  for (const ca of ['skupper-site-ca', 'skupper-grant-server-ca']) {
    const { code, stderr } = await hub.cli('certificate', 'roll', ca);
    assert.is(code, 0, stderr);
  }
  asleep = await Skiff.run({ data: asleep.data });
  await asleep.until('Link', 'hq', 'Ready');
  // The claim was made before, and names the CA that was.
  const late = await newDevice(claim, 'C1');
  names.push(await untilEnrolled(late));

  const devices = [awake, asleep, late];
  for (const name of names) assert.is((await hub.cli('fleet', 'order', name, 'renew', '--expires', '1h')).code, 0);
  for (const device of devices) {
    await eventually('a certificate of the new CA, which alone it needs', async () => {
      const { certificate, believed } = await chainOf(device);
      return believed.some((ca) => ca.fingerprint256 !== old.fingerprint256 && certificate.verify(ca.publicKey));
    });
  }
  assert.is((await hub.cli('certificate', 'roll', 'skupper-site-ca', '--finish')).code, 0);
  for (const device of devices) {
    await device.stop();
    const again = await Skiff.run({ data: device.data });
    await again.until('Link', 'hq', 'Ready');
  }
});

test.run();
