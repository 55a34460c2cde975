// time limit: 240 s
/** A device whose line is cut before it starts, for as long as it may be: it needs nobody for what it has once been told. */
import { existsSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fleetDocument, newClaim, newDevice, newHub, untilEnrolled } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { Line, Machine, namespacesMissing } from '../support/namespaces.ts';
import { connector, listener } from '../support/network.ts';
import { fileOf, type Shown, Skiff } from '../support/skiff.ts';
import { closeSockets, connect, echo, freePort, read, untilAccepting } from '../support/tcp.ts';

const test = suite('offline');

const missing = namespacesMissing();
const machines: Machine[] = [];
const faketime = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';

test.after.each(async () => {
  await closeSockets();
  await Skiff.stopAll();
  for (const each of machines.splice(0)) each.remove();
});

const asDesired = ({ status }: Shown): boolean => status.online === true && status.desired === status.applied;

/** A hub, and a device that serves a till of its own, on machines with one line between them. */
async function enrolled() {
  const [hubMachine, own] = [new Machine('hub'), new Machine('store')];
  machines.push(hubMachine, own);
  const line = new Line(hubMachine, own);
  const backend = await echo({ host: own.outside });
  const port = await freePort();
  const documents = [listener('till', port, 'till', own.address), connector('till', backend.port, 'till', own.outside)];
  const group = fleetDocument('DeviceGroup', 'stores', { documents });
  const hub = await newHub({ namespace: hubMachine.namespace, documents: [group] }, 'hq', line.addresses[0]);
  const device = await newDevice(await newClaim(hub, 'claim'), 'S1', { namespace: own.namespace });
  await untilEnrolled(device);
  await hub.until('Device', 'stores-1', asDesired);
  await untilAccepting(port, own.address);
  return { hub, hubMachine, device, own, line, port };
}

async function works(port: number, host: string): Promise<void> {
  await untilAccepting(port, host);
  const socket = await connect(port, host);
  socket.write('receipt');
  assert.is((await read(socket, 7)).toString(), 'receipt');
  socket.destroy();
}

if (missing) process.stdout.write(`SKIP offline: ${missing}\n`);
else {
  test('with the network cut before it starts the site is up with all that is local, and takes the newest when it is back', async () => {
    const { hub, device, own, line, port } = await enrolled();
    await device.stop();
    line.unplug();
    const { data } = device;
    const alone = await Skiff.run({ data, namespace: own.namespace });
    assert.is(alone.ready.site, 'stores-1');
    await works(port, own.address);
    assert.not.equal((await alone.get('Link', 'hq')).status.status, 'Ready');
    for (const name of ['a', 'b', 'c']) {
      const { code, stderr } = await hub.cli(
        'fleet',
        'apply',
        '-f',
        fileOf(listener(name, await freePort())),
        '--group',
        'stores',
      );
      assert.is(code, 0, stderr);
    }
    await hub.until('Device', 'stores-1', ({ status }) => status.linked === false, 60_000);
    line.plug();
    await hub.until('Device', 'stores-1', asDesired, 90_000);
    assert.is((await alone.get('Listener', 'c')).metadata.name, 'c');
    await works(port, own.address);
  });

  if (!existsSync(faketime)) process.stdout.write('SKIP offline: there is no libfaketime\n');
  else {
    test('after months in the dark, its certificate expired, it is back by itself when the line is', async () => {
      const { hub, hubMachine, device, own, line, port } = await enrolled();
      await Promise.all([device.stop(), hub.stop()]);
      line.unplug();
      const later = { LD_PRELOAD: faketime, FAKETIME: '+200d', FAKETIME_DONT_FAKE_MONOTONIC: '1' };
      const alone = await Skiff.run({ data: device.data, namespace: own.namespace, env: later });
      await works(port, own.address);
      const same = await Skiff.run({ data: hub.data, namespace: hubMachine.namespace, env: later });
      line.plug();
      await same.until('Device', 'stores-1', asDesired, 120_000);
      await alone.until('Link', 'hq', 'Ready');
      await eventually('it says so', () => alone.log.some(({ message }) => /renewed the certificate/.test(message)));
    });
  }
}

test.run();
