/**
 * Many devices in one process: `herd-devices.ts CLAIM DIRECTORY FIRST COUNT`. Each is a site with a store, an agent and
 * a router of its own. On stdin, `enrol` has them all
 * come at once, `beat MS` has each tell its controller how it is every so often, `end` ends them all.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setLogSink } from '../../src/log.ts';
import { InProcessSite } from './in-process.ts';

const [claim, directory, first, count] = process.argv.slice(2);
setLogSink(() => {});
const devices: InProcessSite[] = [];
const timers: NodeJS.Timeout[] = [];

for (let index = Number(first); index < Number(first) + Number(count); index++) {
  const device = new InProcessSite({ data: join(directory, `device-${index}`), claim, serial: `herd-${index}` });
  devices.push(device);
  await device.start();
}
process.stdout.write('started\n');

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, every] = line.split(' ');
  if (verb === 'end') break;
  if (verb === 'enrol') for (const device of devices) device.enrol();
  if (verb !== 'beat') continue;
  for (const device of devices) {
    // Each at a time of its own.
    setTimeout(
      () => timers.push(setInterval(() => device.fleet.report(), Number(every))),
      Math.random() * Number(every),
    );
  }
}
for (const timer of timers) clearInterval(timer);
await Promise.all(devices.map((device) => device.stop()));
process.exit();
