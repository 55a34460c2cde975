/**
 * `device status`, `identity`, `reset` and `relink`: this machine as a device of a fleet.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { ApiClient } from '../api/client.ts';
import type { DeviceAnswer } from '../api/messages.ts';
import { SkiffError } from '../errors.ts';
import { command, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print, printDocument } from './output.ts';

const inWords: Record<DeviceAnswer['state'], string> = {
  unclaimed: 'waits for a claim',
  asking: 'asks its hub to be let in',
  pending: 'waits for somebody to approve it at its hub',
  refused: 'was refused by its hub',
  enrolled: 'is enrolled',
  revoked: 'was enrolled, and its hub has revoked it for good',
  'by-hand': 'is a site that nobody enrolled',
};

export const deviceStatus = command({
  description: `Shows whether this device belongs to a fleet and, if not, where it looked for a claim and what its hub said. The words
are those of its key: the hub shows the same beside a device that waits for approval.`,
  options: { output: outputOption },
  examples: [{ for: 'why a new box does not join', command: 'skiff device status' }],
  async run({ output, data }) {
    const device = await new ApiClient(dataDirectory(data)).device();
    if (output !== 'table') return printDocument(device, output);
    const { state, words, claim, hub, error, nextAttemptTime, tried } = device;
    const lines: [string, string | null | undefined][] = [
      ['Device', inWords[state]],
      ['Name', device.device?.name],
      ['Group', device.device?.group],
      ['Words', words],
      ['Claim', claim],
      ['Hub', hub.join(', ') || null],
      ['Controller last heard', device.controller?.heardAt ? new Date(device.controller.heardAt).toISOString() : null],
      ['Trouble', error && `${error.message} [${error.code}]${error.hint ? `. ${error.hint}` : ''}`],
      ['Next try', nextAttemptTime],
      ...tried.map(({ place, outcome }): [string, string] => [`Looked for a claim: ${place}`, outcome]),
    ];
    const known = lines.filter(([, value]) => value);
    const width = Math.max(...known.map(([name]) => name.length));
    print(known.map(([name, value]) => `${name.padEnd(width)} : ${value}\n`).join(''));
  },
});

export const deviceIdentity = command({
  description:
    'Shows what this machine says of itself when it enrols, as JSON; run --identity takes such a file in its place.',
  options: { output: { ...outputOption, choices: ['json', 'yaml'], default: 'json' } },
  examples: [{ for: 'the serial number, for a claim', command: 'skiff device identity' }],
  async run({ output, data }) {
    const identity = await machineIdentity(dataDirectory(data));
    await printDocument(identity, output === 'yaml' ? 'yaml' : 'json');
  },
});

export const deviceReset = command({
  description: `Wipes everything this device keeps, its keys among it, and ends it: at its next start it is nobody, and looks for a
claim. Its hub does not know; skiff fleet revoke there ends what the old key may do.`,
  options: { yes: { type: 'boolean', short: 'y', default: false, help: 'do not ask' } },
  examples: [{ for: 'a box that goes back to the warehouse', command: 'skiff device reset --yes' }],
  async run({ yes, data }) {
    const directory = dataDirectory(data);
    if (!yes && !(await confirmed(`Wipe everything in ${directory}?`))) return print('Nothing was changed\n');
    const site = new ApiClient(directory);
    try {
      await site.reset();
    } catch (error) {
      if (!(error instanceof SkiffError) || error.code !== 'not-running') throw error;
      await wipeStopped(directory);
    }
    print('The device has been reset\n');
  },
});

export const deviceRelink = command({
  description: `Leaves the hub that this device belongs to for that of another claim, such as when the old one is gone for good.
Nothing changes unless the new hub takes it. What was configured here by hand stays.`,
  options: {
    claim: { type: 'string', value: 'FILE', completion: 'file', help: 'the EnrolmentToken of the new hub' },
  },
  examples: [{ for: 'another hub', command: 'skiff device relink --claim claim.yaml' }],
  async run({ claim, data }) {
    if (claim === undefined) throw usageError('--claim must be set', 'It names a file that skiff claim create printed');
    const { device, hub } = await new ApiClient(dataDirectory(data)).relink(textOf(claim));
    print(`This device is ${device?.name} of group ${device?.group} now, at ${hub.join(', ')}\n`);
  },
});

async function machineIdentity(directory: string): Promise<object> {
  try {
    return await new ApiClient(directory).identity();
  } catch (error) {
    if (!(error instanceof SkiffError) || error.code !== 'not-running') throw error;
    const { hardwareIdentity } = await import('../health/identity.ts');
    return hardwareIdentity();
  }
}

async function wipeStopped(directory: string): Promise<void> {
  const { Store } = await import('../store/store.ts');
  if (!Store.exists(directory)) throw new SkiffError('not-running', `there is no site (${directory})`);
  const store = Store.open(directory, { command: 'device reset', waitMs: 0 });
  try {
    store.wipe();
  } finally {
    store.close();
  }
}

async function confirmed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw usageError('there is nobody to ask', 'Give --yes');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${question} [y/N] `);
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new SkiffError('unreadable', `${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
