/**
 * `fleet apply`, `show`, `order` and `replace`: what devices are to be, and how far they are.
 */
import { ApiClient } from '../api/client.ts';
import type { ShownDevice } from '../fleet/controller.ts';
import { timestamp } from '../site/conditions.ts';
import { parseSpan } from '../site/duration.ts';
import { filenameOption, printChanges, readFiles } from './apply.ts';
import { command, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { type Column, print, printDocument, printTable } from './output.ts';

export const fleetApply = command({
  description: `Gives documents to all devices of a group, or to one in place of its group's: Listeners, Connectors,
MultiKeyListeners, Links and Secrets, with {{name}}, {{serial}}, {{group}}, {{site.id}} and {{var.x}} in their texts. If one
device could not take what comes out, nothing is changed. Devices that are away get the newest when they are back.`,
  options: {
    filename: filenameOption,
    group: {
      type: 'string',
      value: 'GROUP',
      completion: { kind: 'DeviceGroup' },
      help: 'for the devices of this group',
    },
    device: { type: 'string', value: 'DEVICE', completion: { kind: 'Device' }, help: 'for this device alone' },
    prune: { type: 'boolean', default: false, help: 'take away what is not among them' },
    output: outputOption,
  },
  examples: [
    { for: 'a service in every store', command: 'skiff fleet apply -f erp.yaml --group stores' },
    { for: 'exactly what a directory says', command: 'skiff fleet apply -f stores/ --group stores --prune' },
  ],
  async run({ filename, group, device, prune, output, data }) {
    if (filename.length === 0) throw usageError('nothing to apply', 'Name files with -f');
    if ((group === undefined) === (device === undefined)) throw usageError('--group or --device must be set', '');
    const whom = group === undefined ? { device: String(device) } : { group };
    const request = { sources: await readFiles(filename), ...whom, prune };
    await printChanges(await new ApiClient(dataDirectory(data)).give(request), output);
  },
});

export const fleetShow = command({
  description: `Shows one device: what it is to be, what it says it is, where the two differ, when it was last heard, what was ordered
and what has happened to it.`,
  arguments: [{ name: 'DEVICE', completion: { kind: 'Device' }, help: 'which device' }],
  incomplete: 'device name must be configured',
  options: { output: outputOption },
  examples: [{ for: 'a store that is not as it should be', command: 'skiff fleet show stores-17' }],
  async run({ output, data }, [name]) {
    const shown = await new ApiClient(dataDirectory(data)).showDevice(name);
    if (output === 'table') printShown(shown);
    else await printDocument(shown, output);
  },
});

export const fleetOrder = command({
  description: `Has something done at a device once: at once when it is there, else when it comes back before the order expires.`,
  arguments: [
    { name: 'DEVICE', completion: { kind: 'Device' }, help: 'which device' },
    { name: 'VERB', help: 'what is to be done, such as renew' },
  ],
  incomplete: 'device name and verb must be configured',
  options: { expires: { type: 'string', value: 'TIME', default: '7d', help: 'how long the order waits (7d)' } },
  examples: [{ for: 'another certificate', command: 'skiff fleet order stores-17 renew' }],
  async run({ expires, data }, [name, verb]) {
    const span = parseSpan(expires);
    if (!span) throw usageError(`expiration time is not valid: ${expires}`, 'Such as 12h or 7d');
    const { id, state } = await new ApiClient(dataDirectory(data)).order(name, verb, span);
    print(`Order ${id} is ${state}\n`);
  },
});

export const fleetReplace = command({
  description: `Puts another box in the place of a device: the one with that serial number gets its name and configuration when it
enrols (or at once, when it waits for approval). From then on the key of the old one is good no more.`,
  arguments: [
    { name: 'OLD', completion: { kind: 'Device' }, help: 'the device to be replaced' },
    { name: 'NEW-SERIAL', help: 'the serial number of the new box' },
  ],
  incomplete: 'device name and serial number must be configured',
  options: {},
  examples: [{ for: 'a box that broke', command: 'skiff fleet replace stores-17 5CD1234XYZ' }],
  async run({ data }, [old, serial]) {
    const { done } = await new ApiClient(dataDirectory(data)).replace(old, serial);
    const when = done ? 'is in the place of' : 'will take the place of';
    print(`The box with serial ${serial} ${when} ${old}${done ? '' : ' when it enrols'}\n`);
  },
});

const differences: Column<ShownDevice['difference'][number]>[] = [
  { header: 'DOCUMENT', value: ({ document }) => document },
  { header: 'IS', value: ({ is }) => is },
];

const orders: Column<ShownDevice['orders'][number]>[] = [
  { header: 'ORDER', value: ({ verb }) => verb },
  { header: 'STATE', value: ({ state }) => state },
  { header: 'EXPIRES', value: ({ expiresAt }) => timestamp(expiresAt) },
  { header: 'RESULT', value: ({ result }) => result ?? '' },
];

const history: Column<ShownDevice['history'][number]>[] = [
  { header: 'TIME', value: ({ at }) => timestamp(at) },
  { header: 'EVENT', value: ({ event }) => event },
  { header: 'DETAIL', value: ({ detail }) => detail ?? '' },
];

function printShown({ device, desired, news, difference, ...rest }: ShownDevice): void {
  const facts = {
    Name: device.name,
    Group: device.group,
    State: device.state,
    Online: news.online ? 'yes' : 'no',
    'Last seen': news.seenAt === null ? 'never' : timestamp(news.seenAt),
    Desired: `generation ${desired.generation ?? 'none'}`,
    Applied: `generation ${news.applied ?? 'unknown'}${news.trying === null ? '' : ' (not yet acknowledged)'}`,
    'Last error': news.error ?? 'none',
  };
  print(
    Object.entries(facts)
      .map(([name, value]) => `${name.padEnd(10)}\t: ${value}\n`)
      .join(''),
  );
  if (difference.length > 0) section(differences, difference);
  if (rest.orders.length > 0) section(orders, rest.orders);
  if (rest.history.length > 0) section(history, rest.history);
}

function section<T>(columns: Column<T>[], rows: T[]): void {
  print('\n');
  printTable(columns, rows);
}
