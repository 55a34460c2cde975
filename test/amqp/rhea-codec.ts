/** rhea's codec, as much as tests need of it: an independent opinion on what octets mean. */
import { createRequire } from 'node:module';
import { Described, type Value } from '../../src/amqp/codec.ts';

/** A value with its type. The value of a list or map is an array of typed values, that of an array one of plain ones. */
export interface RheaTyped {
  type: { name: string; typecode: number };
  value: unknown;
  descriptor?: RheaTyped;
  array_constructor?: { typecode: number; descriptor?: RheaTyped };
}

interface RheaReader {
  read(): RheaTyped;
  remaining(): number;
}

interface RheaWriter {
  write(value: RheaTyped): void;
  toBuffer(): Buffer;
}

type Create = (value?: unknown, code?: number, descriptor?: RheaTyped) => RheaTyped;

export interface RheaTypes {
  [name: string]: Create;
}

/** The fields of a performative by their names, with underscores. */
export type RheaFields = Record<string, unknown>;

interface RheaFrames {
  read_frame(buffer: Buffer): { channel: number; type: number; performative: RheaFields; payload?: Buffer };
  write_frame(frame: { channel: number; type: number; performative: unknown; payload?: Buffer }): Buffer;
}

/** A function for each performative. */
type MakePerformative = Record<string, (fields: RheaFields) => unknown>;

const require = createRequire(import.meta.url);
const types = require('rhea/lib/types.js') as RheaTypes;
const { Reader, Writer } = types as unknown as {
  Reader: new (buffer: Buffer) => RheaReader;
  Writer: new () => RheaWriter;
};
export const rheaTypes = types;
export const rheaFrames = require('rhea/lib/frames.js') as RheaFrames;
export const rheaPerformatives = rheaFrames as unknown as MakePerformative;
export const rheaTerminus = require('rhea/lib/terminus.js') as {
  source: (fields: object) => { described(): RheaTyped };
  target: (fields: object) => { described(): RheaTyped };
};
export const rheaMessage = require('rhea/lib/message.js') as {
  encode(message: object): Buffer;
  decode(octets: Buffer): RheaFields;
};
/** A function for each outcome. */
export const rheaOutcomes = rheaMessage as unknown as Record<string, (fields?: object) => { described(): RheaTyped }>;

export function rheaEncode(value: RheaTyped): Buffer {
  const writer = new Writer();
  writer.write(value);
  return Buffer.from(writer.toBuffer());
}

/** Values one after the other, with their types. */
export function rheaSequence(octets: Buffer): RheaTyped[] {
  const reader = new Reader(octets);
  const values: RheaTyped[] = [];
  while (reader.remaining() > 0) values.push(reader.read());
  return values;
}

/** What rhea reads, in the terms of our own codec. */
export function rheaDecode(octets: Buffer): Value {
  const reader = new Reader(octets);
  const typed = reader.read();
  if (reader.remaining() > 0) throw new Error('rhea has not read everything');
  return plain(typed);
}

function plain(typed: RheaTyped): Value {
  const value = simple(typed);
  return typed.descriptor === undefined ? value : new Described(plain(typed.descriptor), value);
}

function simple({ type, value, array_constructor: element }: RheaTyped): Value {
  const items = (): Value[] => (value as RheaTyped[]).map(plain);
  switch (type.name) {
    case 'Boolean':
      return value !== 0;
    case 'Ulong':
      return Buffer.isBuffer(value) ? value.readBigUInt64BE() : (value as number);
    case 'Long':
      return Buffer.isBuffer(value) ? value.readBigInt64BE() : (value as number);
    case 'Timestamp':
      return (value as Date).getTime();
    case 'CharUTF32':
      return String.fromCodePoint(value as number);
    case 'List0':
      return [];
    case 'List8':
    case 'List32':
      return items();
    case 'Map8':
    case 'Map32': {
      const flat = items();
      return new Map(flat.flatMap((key, index) => (index % 2 === 0 ? [[key, flat[index + 1] as Value] as const] : [])));
    }
    case 'Array8':
    case 'Array32': {
      const descriptor = element?.descriptor;
      return items().map((item) => (descriptor === undefined ? item : new Described(plain(descriptor), item)));
    }
    default:
      return value as Value;
  }
}
