/**
 * `claim create`, `list`, `show` and `revoke`: what devices need to enrol at this hub.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from '../api/client.ts';
import { newSeed, publicKeyOf } from '../enrol/ed25519.ts';
import { SkiffError } from '../errors.ts';
import { timestamp } from '../site/conditions.ts';
import { parseSpan } from '../site/duration.ts';
import { skiff } from '../site/kinds.ts';
import type { RenderedDocument } from '../site/render.ts';
import type { JsonObject } from '../store/documents.ts';
import { columns } from './columns.ts';
import { command, documentOutputOption, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print, printDocument, printDocuments, printTable } from './output.ts';
import { withSite } from './site-access.ts';
import { documentName, timeoutOf, timeoutOption } from './words.ts';

const lookEveryMs = 100;

export const claimCreate = command({
  description: `Makes a claim and prints the EnrolmentToken that devices enrol with. This hub keeps only the public half of its
secret, so it is printed this once. All that a claim can do is ask: how often, until when, and whether somebody has to
approve is said here and can be changed later.`,
  arguments: [
    { name: 'NAME', label: 'claim name', help: 'what the claim is to be called' },
    { name: 'DIR', optional: true, completion: 'directory', help: 'for --format usb: the folder to fill' },
  ],
  incomplete: 'claim name must be configured',
  options: {
    group: { type: 'string', value: 'GROUP', completion: { kind: 'DeviceGroup' }, help: 'what devices become part of' },
    uses: { type: 'integer', value: 'N', default: 1, help: 'how many devices may enrol with it (1); 0 for any number' },
    expires: { type: 'string', value: 'TIME', help: 'how long it is good for, such as 30d (for ever if not said)' },
    serial: { type: 'string', value: 'S,…', multiple: true, help: 'the serial numbers it is for' },
    'serials-file': {
      type: 'string',
      value: 'FILE',
      completion: 'file',
      help: 'a file with the serial numbers it is for, one a line',
    },
    approve: {
      type: 'string',
      value: 'HOW',
      choices: ['auto', 'manual', 'listed'],
      default: 'auto',
      help: 'auto: devices are let in; manual: they wait; listed: who is not listed waits (auto)',
    },
    qr: { type: 'boolean', default: false, help: 'print it as a QR code' },
    format: {
      type: 'string',
      value: 'FORMAT',
      choices: ['yaml', 'json', 'usb'],
      default: 'yaml',
      help: 'yaml, json, or usb: a folder to be copied onto a stick',
    },
    timeout: timeoutOption,
  },
  examples: [
    { for: 'one store', command: 'skiff claim create store1 --group stores > claim.yaml' },
    {
      for: 'a batch of boxes that wait in a warehouse',
      command:
        'skiff claim create spring --group stores --uses 200 --expires 180d --serials-file boxes.txt > claim.yaml',
    },
    { for: 'a stick that any new box takes', command: 'skiff claim create stick --group stores stick --format usb' },
  ],
  async run(values, [name, directory]) {
    const { group, uses, expires, approve, format } = values;
    if (group === undefined) throw usageError('--group must be set', 'It names the DeviceGroup, such as stores');
    if ((format === 'usb') !== (directory !== undefined)) throw usageError('--format usb and DIR go together', '');
    const serials = serialsOf(values.serial, values['serials-file']);
    const until: JsonObject = expires === undefined ? {} : { expires: timestamp(Date.now() + spanOf(expires)) };
    const secret = newSeed();
    const spec = {
      group: documentName('group', group),
      uses,
      approve,
      ...until,
      ...(serials.length > 0 ? { serials } : {}),
      publicKey: publicKeyOf(secret),
    };
    const site = new ApiClient(dataDirectory(values.data));
    const { urls, ca } = await enrolment(site, Date.now() + timeoutOf(values.timeout));
    if ((await site.list('EnrolmentClaim', { showSecrets: false })).some(({ metadata }) => metadata.name === name)) {
      throw new SkiffError('already-exists', `There is already a claim ${name} created`, {
        hint: 'Choose another name',
      });
    }
    const metadata = { name: documentName('claim name', name) };
    const claim = { apiVersion: skiff, kind: 'EnrolmentClaim', metadata, spec };
    await site.apply([{ name: 'claim create', text: JSON.stringify(claim) }]);
    const token = {
      apiVersion: skiff,
      kind: 'EnrolmentToken',
      metadata,
      spec: { urls, ca, id: name, secret, ...until },
    };
    if (values.qr) return printQr(token);
    if (directory !== undefined) return writeStick(directory, token);
    await printDocument(token, format === 'json' ? 'json' : 'yaml');
  },
});

export const claimList = command({
  description: 'Shows the claims of this hub, how often each was used and how many devices wait for approval.',
  options: { output: outputOption },
  examples: [{ for: 'which claims there are', command: 'skiff claim list' }],
  async run({ output, data }) {
    const options = { directory: dataDirectory(data), command: 'claim list' };
    const claims = await withSite(options, (site) => site.list('EnrolmentClaim', { showSecrets: false }));
    if (output !== 'table') return printDocuments(claims, output);
    if (claims.length === 0) return print('There are no claims\n');
    printTable(columns.EnrolmentClaim, claims);
  },
});

export const claimShow = command({
  description: 'Shows a claim with its status. Its secret is with the devices alone.',
  arguments: [{ name: 'NAME', completion: { kind: 'EnrolmentClaim' }, help: 'which claim' }],
  incomplete: 'claim name must be configured',
  options: { output: documentOutputOption },
  examples: [{ for: 'all there is to know of a claim', command: 'skiff claim show spring' }],
  async run({ output, data }, [name]) {
    const options = { directory: dataDirectory(data), command: 'claim show' };
    const reference = { kind: 'EnrolmentClaim', name } as const;
    await printDocument(await withSite(options, (site) => site.get(reference, { showSecrets: false })), output);
  },
});

export const claimRevoke = command({
  description: `Revokes claims, for good: nobody enrols with them any more, and who waits for approval is turned away. Devices that
have enrolled stay; skiff fleet revoke ends those.`,
  arguments: [{ name: 'NAME', many: true, completion: { kind: 'EnrolmentClaim' }, help: 'which claims' }],
  incomplete: 'nothing to revoke',
  options: {},
  examples: [{ for: 'a stick that was lost', command: 'skiff claim revoke stick' }],
  async run({ data }, names) {
    const site = new ApiClient(dataDirectory(data));
    for (const name of names) {
      await site.revokeClaim(name);
      print(`Claim ${name} revoked\n`);
    }
  },
});

function serialsOf(given: string[], file: string | undefined): string[] {
  const listed = given.flatMap((text) => text.split(','));
  const read = file === undefined ? [] : linesOf(file);
  return [...new Set([...listed, ...read].map((serial) => serial.trim()).filter((serial) => serial !== ''))];
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n');
  } catch (error) {
    throw new SkiffError('unreadable', `${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function spanOf(text: string): number {
  const span = parseSpan(text);
  if (span) return span;
  throw usageError(`expiration time is not valid: ${text}`, 'Such as 12h or 30d');
}

/** Where devices enrol, once the server is there. */
async function enrolment(site: ApiClient, deadline: number): Promise<{ urls: string[]; ca: string }> {
  for (;;) {
    const [service] = await site.list('EnrolmentService', { showSecrets: false });
    if (!service) {
      throw new SkiffError('no-enrolment', 'this site is not enabled for enrolment', {
        hint: 'Apply an EnrolmentService, or create the site with --enable-enrolment',
      });
    }
    if (service.status?.status === 'Ready') return service.status as unknown as { urls: string[]; ca: string };
    if (service.status?.status === 'Error' || Date.now() > deadline) {
      throw new SkiffError('no-enrolment', `devices cannot enrol here: ${service.status?.message}`, {
        hint: 'skiff get enrolmentservice -o yaml tells more',
      });
    }
    await sleep(lookEveryMs);
  }
}

async function printQr(token: RenderedDocument): Promise<void> {
  const { renderUnicodeCompact } = await import('uqr');
  print(`${renderUnicodeCompact(JSON.stringify(token), { ecc: 'L' })}\n`);
}

/** As a device looks for it on a stick. */
async function writeStick(directory: string, token: RenderedDocument): Promise<void> {
  const { stringify } = await import('yaml');
  const file = join(directory, 'skiff', 'claim.yaml');
  try {
    mkdirSync(join(directory, 'skiff'), { recursive: true });
    writeFileSync(file, stringify(token, { lineWidth: 0 }));
  } catch (error) {
    throw new SkiffError('unwritable', `Could not write to ${file}: ${(error as Error).message}`, { cause: error });
  }
  print(`${file} created. Copy what is in ${directory} onto a stick\n`);
}
