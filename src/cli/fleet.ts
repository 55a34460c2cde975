/**
 * `fleet devices`, `groups`, and what is decided of devices.
 */
import { ApiClient } from '../api/client.ts';
import type { Decision } from '../fleet/fleet.ts';
import type { RenderedDocument } from '../site/render.ts';
import { columns } from './columns.ts';
import { type Command, command, outputOption } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print, printDocuments, printTable } from './output.ts';
import { withSite } from './site-access.ts';

/** What a running hub says of a device. */
interface DeviceStatus {
  state?: string;
  online?: boolean;
  fingerprint?: string;
  identity?: { serial: string | null };
}

export const fleetDevices = command({
  description: `Shows the devices of this hub's fleet. One that waits for approval shows the same words on its own status page and in
skiff device status: compare them before you approve it.`,
  options: {
    group: { type: 'string', value: 'GROUP', completion: { kind: 'DeviceGroup' }, help: 'of this group only' },
    state: {
      type: 'string',
      value: 'STATE',
      choices: ['pending', 'enrolled', 'rejected', 'revoked'],
      help: 'in this state only',
    },
    online: { type: 'boolean', help: 'only those that are linked here now; =false: only those that are not' },
    output: outputOption,
  },
  examples: [
    { for: 'who waits for approval', command: 'skiff fleet devices --state pending' },
    { for: 'which stores are away', command: 'skiff fleet devices --group stores --online=false' },
  ],
  async run({ group, state, online, output, data }) {
    const options = { directory: dataDirectory(data), command: 'fleet devices' };
    const all = await withSite(options, (site) => site.list('Device', { showSecrets: false }));
    const devices = all.filter((device) => {
      const status = statusOf(device);
      const ofGroup = group === undefined || device.spec?.group === group;
      return ofGroup && (state ?? status.state) === status.state && (online ?? status.online) === status.online;
    });
    if (output !== 'table') return printDocuments(devices, output);
    if (devices.length === 0) return print('There are no devices\n');
    const serial = { header: 'SERIAL', value: (device: RenderedDocument) => statusOf(device).identity?.serial ?? '' };
    const words = { header: 'WORDS', value: (device: RenderedDocument) => statusOf(device).fingerprint ?? '' };
    printTable([...columns.Device, serial, words], devices);
  },
});

export const fleetGroups = command({
  description: 'Shows the groups of devices.',
  options: { output: outputOption },
  examples: [{ for: 'which groups there are', command: 'skiff fleet groups' }],
  async run({ output, data }) {
    const options = { directory: dataDirectory(data), command: 'fleet groups' };
    const groups = await withSite(options, (site) => site.list('DeviceGroup', { showSecrets: false }));
    if (output !== 'table') return printDocuments(groups, output);
    if (groups.length === 0) return print('There are no groups\n');
    printTable(columns.DeviceGroup, groups);
  },
});

export const fleetApprove = decision('approve', {
  description: `Lets devices in that wait for approval: each enrols at its next try. A device that has the serial number of another
becomes one of its own beside it.`,
  example: { for: 'a device, by its words', command: "skiff fleet approve 'otter lemon piano radar castle acorn'" },
});

export const fleetReject = decision('reject', {
  description: 'Turns devices away that wait for approval. They are told, and stop trying.',
  example: { for: 'a device, by its name', command: 'skiff fleet reject stores-17' },
});

export const fleetRevoke = decision('revoke', {
  description: `Ends what devices may do, for good: their certificates are revoked, who is linked is cut off within seconds, and none
of them can enrol again with the key it has.`,
  example: { for: 'a box that was stolen', command: 'skiff fleet revoke stores-17' },
});

function decision(name: Decision, { description, example }: { description: string; example: Command['examples'][0] }) {
  return command({
    description,
    arguments: [
      { name: 'DEVICE|WORDS', many: true, completion: { kind: 'Device' }, help: 'as skiff fleet devices shows them' },
    ],
    incomplete: `nothing to ${name}`,
    options: {},
    examples: [example],
    async run({ data }, devices) {
      const decided = await new ApiClient(dataDirectory(data)).decide(name, devices);
      print(decided.map((device) => `Device ${device.name} is ${device.state}\n`).join(''));
    },
  });
}

function statusOf({ status }: RenderedDocument): DeviceStatus {
  return (status ?? {}) as DeviceStatus;
}
