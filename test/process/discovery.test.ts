/** A device whose claim names an address that is good no more finds its hub by DNS, and believes nobody else there. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { claimFile, newClaim, newDevice, newHub, untilEnrolled } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { nameServer } from '../support/name-server.ts';
import { Machine, namespacesMissing } from '../support/namespaces.ts';
import { Skiff } from '../support/skiff.ts';
import { freePort } from '../support/tcp.ts';

const test = suite('discovery');

const missing = namespacesMissing();
const undo: (() => unknown)[] = [];

test.after.each(async () => {
  await Skiff.stopAll();
  for (const each of undo.splice(0)) await each();
});

/** A machine that was told by its network who knows names, and in which domain it is. */
function machineIn(domain: string): Machine {
  const machine = new Machine('store');
  const settings = join('/etc/netns', machine.namespace);
  mkdirSync(settings, { recursive: true });
  writeFileSync(join(settings, 'resolv.conf'), `search ${domain}\nnameserver ${machine.outside}\n`);
  undo.push(
    () => rmSync(settings, { recursive: true }),
    () => machine.remove(),
  );
  return machine;
}

if (missing) process.stdout.write(`SKIP discovery: ${missing}\n`);
else {
  test('DNS gives the address, and the claim says whom to believe there', async () => {
    const machine = machineIn('shop.example');
    const { outside, namespace } = machine;
    const [hub, stranger] = [await newHub({}, 'hq', outside), await newHub({}, 'evil', outside)];
    const claim = await newClaim(hub, 'moved');
    const [good] = claim.spec.urls.map((url) => new URL(url));
    const [bad] = (await newClaim(stranger, 'other')).spec.urls.map((url) => new URL(url));
    const service = '_skiff-enrol._tcp.shop.example';
    const names = {
      hosts: { 'box.shop.example': outside },
      services: { [service]: { host: 'box.shop.example', port: Number(bad?.port) } },
    };
    const server = await nameServer(outside, names);
    undo.push(() => server.close());
    const token = claim.document as Parameters<typeof claimFile>[0];
    const device = await newDevice(claimFile(token, [`https://${outside}:${await freePort()}`]), 'D1', { namespace });
    const fooled = await eventually('it has asked at the address of DNS', async () => {
      const { error, state } = await device.api.device();
      return error && /by DNS/.test(error.message) ? { error, state } : null;
    });
    assert.match(fooled.error.message, /certificate|trust/i);
    assert.is(fooled.state, 'asking');
    assert.match((await device.cli('device', 'status')).stdout, /^Looked for a claim: DNS +: box\.shop\.example:\d+$/m);
    assert.ok(server.asked.includes(service));

    names.services[service] = { host: 'box.shop.example', port: Number(good?.port) };
    assert.is(await untilEnrolled(device), 'stores-1');
  });
}

test.run();
