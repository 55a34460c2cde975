// time limit: 300 s
/**
 * Very many devices that come at once, lose their hub together, and talk all the time. 50 of them; 1,000 with
 * SKIFF_LONG, as `npm run test:long` has it. What it took is printed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fleetDocument, newClaim, newHub } from '../support/enrolment.ts';
import { eventually, sleep } from '../support/eventually.ts';
import { newDirectory, type Shown, Skiff } from '../support/skiff.ts';

const long = process.env.SKIFF_LONG !== undefined;
const count = long ? 1_000 : 50;
const processes = long ? 4 : 2;
const patience = long ? 600_000 : 90_000;
const beatsAMinute = 10_000;
const beatFor = long ? 60_000 : 10_000;

const test = suite('herd');
const children: ChildProcess[] = [];

test.after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await Skiff.stopAll();
});

/** Seconds of CPU that a process has used. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function tell(what: string, begun: number, hub: Skiff): void {
  const status = readFileSync(`/proc/${hub.pid}/status`, 'utf8');
  const most = Math.round(Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) / 1024);
  const now = Math.round(hub.memory() / 1024 / 1024);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  process.stdout.write(
    `${count} devices ${what}: ${seconds} s, hub ${now} MB (at most ${most} MB), ${cpuOf(hub.pid).toFixed(1)} s of CPU\n`,
  );
}

const devicesOf = (hub: Skiff): Promise<Shown[]> => hub.api.list('Device', { showSecrets: false }) as Promise<Shown[]>;

/** Waits until all are there, each once, as they are to be. */
function untilAllAreThere(hub: Skiff): Promise<Shown[]> {
  let last: Shown[] = [];
  const there = ({ status }: Shown): boolean =>
    status.online === true && status.linked === true && status.desired === status.applied;
  return eventually(
    `${count} devices are there`,
    async () => {
      await sleep(long ? 3_000 : 500);
      last = await devicesOf(hub);
      return last.filter(there).length === count ? last : null;
    },
    { withinMs: patience, explain: () => `${last.filter(there).length} of ${last.length}` },
  );
}

test('all enrol at once and all come back after the hub was killed: none is lost, none is there twice', async () => {
  const data = newDirectory();
  let hub = await newHub({ data, documents: [fleetDocument('DeviceGroup', 'stores', {})] });
  const { file: claim } = await newClaim(hub, 'herd', '--uses', String(count));
  const directory = newDirectory();
  const script = join(import.meta.dirname, '../support/herd-devices.ts');
  for (let index = 0; index < processes; index++) {
    const share = count / processes;
    const words = [script, claim, directory, String(index * share), String(share)];
    children.push(spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] }));
  }
  await Promise.all(children.map(({ stdout }) => stdout && once(stdout, 'data')));
  let begun = performance.now();
  for (const child of children) child.stdin?.write('enrol\n');
  const first = await untilAllAreThere(hub);
  tell('enrolled, linked and heard', begun, hub);
  const serials = new Set(first.map(({ status }) => (status.identity as { serial: string }).serial));
  assert.is(serials.size, count);
  assert.is(first.length, count);
  const ids = first.map(({ status }) => (status.site as { id: string }).id).sort();

  await hub.stop('SIGKILL');
  hub = await Skiff.run({ data });
  begun = performance.now();
  const second = await untilAllAreThere(hub);
  tell('back after the hub was killed', begun, hub);
  assert.equal(second.map(({ status }) => (status.site as { id: string }).id).sort(), ids);

  begun = performance.now();
  const before = cpuOf(hub.pid);
  for (const child of children) child.stdin?.write(`beat ${Math.round((count * 60_000) / beatsAMinute)}\n`);
  await sleep(beatFor);
  const seconds = (performance.now() - begun) / 1000;
  const share = ((cpuOf(hub.pid) - before) / seconds) * 100;
  tell(`saying ${beatsAMinute} heartbeats a minute (${share.toFixed(0)} % of a CPU)`, begun, hub);
  const last = await devicesOf(hub);
  assert.ok(last.every(({ status }) => status.online === true));
  const seen = last.map(({ status }) => Date.parse(String(status.lastSeen)));
  assert.ok(Math.min(...seen) > Date.now() - 30_000, 'each was heard lately');
});

test.run();
