/**
 * What tells one machine from another, as far as its firmware says: nothing of it is proven, and makers leave fields
 * empty or fill them with the same text everywhere.
 */
import { readFileSync } from 'node:fs';
import { SkiffError } from '../errors.ts';

export interface HardwareIdentity {
  serial: string | null;
  uuid: string | null;
  macs: string[];
  model: string | null;
  /** Serial numbers of its disks. */
  disks: string[];
}

const longestText = 200;
const mostOfAKind = 32;

/** Of this machine. */
export async function hardwareIdentity(): Promise<HardwareIdentity> {
  // It is large, and asked once in a device's life.
  const { default: information } = await import('systeminformation');
  const [system, disks, interfaces] = await Promise.all([
    information.system(),
    information.diskLayout(),
    information.networkInterfaces(),
  ]);
  const all = Array.isArray(interfaces) ? interfaces : [interfaces];
  return {
    serial: text(system.serial),
    uuid: text(system.uuid),
    macs: texts(all.filter(({ internal, virtual }) => !internal && !virtual).map(({ mac }) => mac)),
    model: text([system.manufacturer, system.model].filter((part) => text(part) !== null).join(' ')),
    disks: texts(disks.map(({ serialNum }) => serialNum)),
  };
}

/** Of a file with `serial`, `uuid`, `macs`, `model`, `disks`, each if it is to be known. */
export function readIdentity(file: string): HardwareIdentity {
  try {
    const value = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof value !== 'object' || value === null) throw new Error('it must be an object');
    const { serial = '', uuid = '', macs = [], model = '', disks = [] } = value;
    for (const [name, each] of Object.entries({ serial, uuid, model })) {
      if (typeof each !== 'string' && each !== null) throw new Error(`${name} must be a text`);
    }
    for (const [name, each] of Object.entries({ macs, disks })) {
      if (!Array.isArray(each) || each.some((item) => typeof item !== 'string')) {
        throw new Error(`${name} must be a list of texts`);
      }
    }
    return { serial: text(serial), uuid: text(uuid), macs: texts(macs), model: text(model), disks: texts(disks) };
  } catch (error) {
    throw new SkiffError('bad-identity', `${file} is no identity: ${(error as Error).message}`, {
      hint: 'It is JSON such as {"serial":"A1","uuid":"…","macs":["…"],"model":"…"}',
      cause: error,
    });
  }
}

/** Systeminformation writes "-" for what it does not know. */
function text(value: unknown): string | null {
  const trimmed = typeof value === 'string' ? value.trim().slice(0, longestText) : '';
  return trimmed === '' || trimmed === '-' ? null : trimmed;
}

function texts(values: unknown[]): string[] {
  return [...new Set(values.map(text))].filter((each) => each !== null).slice(0, mostOfAKind);
}
