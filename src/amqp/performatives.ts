/**
 * The performatives of AMQP 1.0 (2.7) and SASL (5.3.3), termini and outcomes (3.4, 3.5), as tables: for every composite
 * its fields in order. Transfer, flow and disposition are written and read by hand in `hot.ts`, too.
 */
import {
  type Described,
  described,
  type Reader,
  SymbolArray,
  symbol,
  type Typed,
  ubyte,
  uint,
  ulong,
  ushort,
  type Value,
  type ValueMap,
  type Writable,
  type WritableDescribed,
  type WritableMap,
} from './codec.ts';
import { AmqpError, Condition } from './error.ts';

export const Descriptor = {
  open: 0x10,
  begin: 0x11,
  attach: 0x12,
  flow: 0x13,
  transfer: 0x14,
  disposition: 0x15,
  detach: 0x16,
  end: 0x17,
  close: 0x18,
  error: 0x1d,
  received: 0x23,
  accepted: 0x24,
  rejected: 0x25,
  released: 0x26,
  modified: 0x27,
  source: 0x28,
  target: 0x29,
  coordinator: 0x30,
  saslMechanisms: 0x40,
  saslInit: 0x41,
  saslChallenge: 0x42,
  saslResponse: 0x43,
  saslOutcome: 0x44,
} as const;

export interface Open {
  containerId: string;
  hostname?: string | null;
  maxFrameSize?: number | null;
  channelMax?: number | null;
  idleTimeOut?: number | null;
  offeredCapabilities?: string[] | null;
  desiredCapabilities?: string[] | null;
  properties?: ValueMap | null;
}

export interface Begin {
  remoteChannel?: number | null;
  nextOutgoingId: number;
  incomingWindow: number;
  outgoingWindow: number;
  handleMax?: number | null;
}

/** A source or target; only the fields a router acts on. */
export interface Terminus {
  address: string | null;
  dynamic: boolean;
  capabilities: string[];
  /** A transaction coordinator instead of a target. */
  coordinator: boolean;
  expiryPolicy: string | null;
}

export interface Attach {
  name: string;
  handle: number;
  /** false: the peer that sends this attach is the sender; true: the receiver. */
  role: boolean;
  sndSettleMode?: number | null;
  rcvSettleMode?: number | null;
  source: Terminus | null;
  target: Terminus | null;
  initialDeliveryCount?: number | null;
  maxMessageSize?: number | bigint | null;
}

export interface ErrorValue {
  condition: string;
  description: string | null;
}

export interface Detach {
  handle: number;
  closed: boolean;
  error: ErrorValue | null;
}

/** What became of a delivery, so far or in the end. */
export type DeliveryState =
  | { outcome: 'received'; sectionNumber: number; sectionOffset: number }
  | { outcome: 'accepted' }
  | { outcome: 'rejected'; error: ErrorValue | null }
  | { outcome: 'released' }
  | { outcome: 'modified'; deliveryFailed: boolean; undeliverableHere: boolean };

export const ACCEPTED: DeliveryState = { outcome: 'accepted' };
export const RELEASED: DeliveryState = { outcome: 'released' };
export const MODIFIED_FAILED: DeliveryState = { outcome: 'modified', deliveryFailed: true, undeliverableHere: false };

export function isTerminal(state: DeliveryState | null): boolean {
  return state !== null && state.outcome !== 'received';
}

type FieldType =
  | 'string'
  | 'symbol'
  | 'boolean'
  | 'ubyte'
  | 'ushort'
  | 'uint'
  | 'ulong'
  | 'symbols'
  | 'map'
  | 'error'
  | 'binary'
  | 'any';
type Fields = readonly (readonly [name: string, type: FieldType, mandatory?: true])[];

const OPEN: Fields = [
  ['containerId', 'string', true],
  ['hostname', 'string'],
  ['maxFrameSize', 'uint'],
  ['channelMax', 'ushort'],
  ['idleTimeOut', 'uint'],
  ['outgoingLocales', 'symbols'],
  ['incomingLocales', 'symbols'],
  ['offeredCapabilities', 'symbols'],
  ['desiredCapabilities', 'symbols'],
  ['properties', 'map'],
];

const BEGIN: Fields = [
  ['remoteChannel', 'ushort'],
  ['nextOutgoingId', 'uint', true],
  ['incomingWindow', 'uint', true],
  ['outgoingWindow', 'uint', true],
  ['handleMax', 'uint'],
];

const ATTACH: Fields = [
  ['name', 'string', true],
  ['handle', 'uint', true],
  ['role', 'boolean', true],
  ['sndSettleMode', 'ubyte'],
  ['rcvSettleMode', 'ubyte'],
  ['source', 'any'],
  ['target', 'any'],
  ['unsettled', 'any'],
  ['incompleteUnsettled', 'boolean'],
  ['initialDeliveryCount', 'uint'],
  ['maxMessageSize', 'ulong'],
];

const DETACH: Fields = [
  ['handle', 'uint', true],
  ['closed', 'boolean'],
  ['error', 'error'],
];

const ERROR_ONLY: Fields = [['error', 'error']];

const ERROR: Fields = [
  ['condition', 'symbol', true],
  ['description', 'string'],
];

const TERMINUS_HEAD: Fields = [
  ['address', 'any'],
  ['durable', 'uint'],
  ['expiryPolicy', 'symbol'],
  ['timeout', 'uint'],
  ['dynamic', 'boolean'],
  ['dynamicNodeProperties', 'map'],
];

const SOURCE: Fields = [
  ...TERMINUS_HEAD,
  ['distributionMode', 'symbol'],
  ['filter', 'map'],
  ['defaultOutcome', 'any'],
  ['outcomes', 'symbols'],
  ['capabilities', 'symbols'],
];

const TARGET: Fields = [...TERMINUS_HEAD, ['capabilities', 'symbols']];

const SASL_MECHANISMS: Fields = [['mechanisms', 'symbols', true]];

const SASL_INIT: Fields = [
  ['mechanism', 'symbol', true],
  ['initialResponse', 'binary'],
  ['hostname', 'string'],
];

const SASL_OUTCOME: Fields = [['code', 'ubyte', true]];

export interface SaslInit {
  mechanism: string;
  initialResponse: Buffer | null;
}

/** A performative off the hot path, read. */
export type Performative =
  | { type: 'open'; body: Open }
  | { type: 'begin'; body: Begin }
  | { type: 'attach'; body: Attach }
  | { type: 'detach'; body: Detach }
  | { type: 'end'; body: { error: ErrorValue | null } }
  | { type: 'close'; body: { error: ErrorValue | null } };

export type SaslFrame =
  | { type: 'mechanisms'; mechanisms: string[] }
  | { type: 'init'; body: SaslInit }
  | { type: 'outcome'; code: number };

/** Reads the performative at the reader. Throws `AmqpError` when it is none, or is malformed. */
export function readPerformative(reader: Reader): Performative {
  const { descriptor, value } = readDescribed(reader);
  switch (descriptor) {
    case Descriptor.open:
      return { type: 'open', body: readFields(OPEN, value, 'open') as unknown as Open };
    case Descriptor.begin:
      return { type: 'begin', body: readFields(BEGIN, value, 'begin') as unknown as Begin };
    case Descriptor.attach:
      return { type: 'attach', body: readAttach(value) };
    case Descriptor.detach: {
      const body = readFields(DETACH, value, 'detach') as unknown as Detach;
      return { type: 'detach', body: { ...body, closed: body.closed === true } };
    }
    case Descriptor.end:
      return { type: 'end', body: readFields(ERROR_ONLY, value, 'end') as unknown as { error: ErrorValue | null } };
    case Descriptor.close:
      return { type: 'close', body: readFields(ERROR_ONLY, value, 'close') as unknown as { error: ErrorValue | null } };
    default:
      throw new AmqpError(Condition.decodeError, `no performative has the descriptor ${named(descriptor)}`);
  }
}

export function readSasl(reader: Reader): SaslFrame {
  const { descriptor, value } = readDescribed(reader);
  switch (descriptor) {
    case Descriptor.saslMechanisms:
      return {
        type: 'mechanisms',
        mechanisms: readFields(SASL_MECHANISMS, value, 'sasl-mechanisms').mechanisms as string[],
      };
    case Descriptor.saslInit:
      return { type: 'init', body: readFields(SASL_INIT, value, 'sasl-init') as unknown as SaslInit };
    case Descriptor.saslOutcome:
      return { type: 'outcome', code: readFields(SASL_OUTCOME, value, 'sasl-outcome').code as number };
    default:
      throw new AmqpError(Condition.decodeError, `no SASL frame has the descriptor ${named(descriptor)}`);
  }
}

const DESCRIPTOR_NAMES = new Map<Value, number>([
  ['amqp:open:list', Descriptor.open],
  ['amqp:begin:list', Descriptor.begin],
  ['amqp:attach:list', Descriptor.attach],
  ['amqp:flow:list', Descriptor.flow],
  ['amqp:transfer:list', Descriptor.transfer],
  ['amqp:disposition:list', Descriptor.disposition],
  ['amqp:detach:list', Descriptor.detach],
  ['amqp:end:list', Descriptor.end],
  ['amqp:close:list', Descriptor.close],
  ['amqp:sasl-mechanisms:list', Descriptor.saslMechanisms],
  ['amqp:sasl-init:list', Descriptor.saslInit],
  ['amqp:sasl-challenge:list', Descriptor.saslChallenge],
  ['amqp:sasl-response:list', Descriptor.saslResponse],
  ['amqp:sasl-outcome:list', Descriptor.saslOutcome],
]);

/** The numeric code of a descriptor, which may be written as a symbol too. */
function descriptorCode(descriptor: Value): Value {
  return DESCRIPTOR_NAMES.get(descriptor) ?? descriptor;
}

/** Reads past a performative's descriptor, however it is written, and returns its code; -1 when there is none. */
export function readDescriptor(reader: Reader): number {
  if (reader.octet() !== 0) return -1;
  const code = descriptorCode(reader.value());
  return typeof code === 'number' ? code : -1;
}

/** A descriptor as a message may name it. */
function named(descriptor: Value): string {
  const simple = typeof descriptor === 'number' || typeof descriptor === 'bigint' || typeof descriptor === 'string';
  return simple ? String(descriptor).slice(0, 40) : 'of a strange type';
}

function readDescribed(reader: Reader): { descriptor: Value; value: Value[] } {
  const start = reader.value();
  if (!isDescribed(start) || !Array.isArray(start.value)) {
    throw new AmqpError(Condition.decodeError, 'a frame does not begin with a performative');
  }
  return { descriptor: descriptorCode(start.descriptor), value: start.value };
}

function isDescribed(value: Value): value is Described {
  return typeof value === 'object' && value !== null && 'descriptor' in value;
}

function readFields(fields: Fields, values: Value[], what: string): Record<string, unknown> {
  if (values.length > fields.length + 8) throw new AmqpError(Condition.decodeError, `${what} has too many fields`);
  const result: Record<string, unknown> = {};
  fields.forEach(([name, type, mandatory], index) => {
    const value = values[index] ?? null;
    if (value === null) {
      if (mandatory) throw new AmqpError(Condition.decodeError, `${what} lacks its mandatory field ${name}`);
      result[name] = null;
    } else {
      result[name] = readField(type, value, `${what}.${name}`);
    }
  });
  return result;
}

function readField(type: FieldType, value: Value, what: string): unknown {
  const wrong = (): never => {
    throw new AmqpError(Condition.decodeError, `${what} has the wrong type`);
  };
  switch (type) {
    case 'string':
    case 'symbol':
      return typeof value === 'string' ? value : wrong();
    case 'boolean':
      return typeof value === 'boolean' ? value : wrong();
    case 'ubyte':
    case 'ushort':
    case 'uint':
      return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff
        ? value
        : wrong();
    case 'ulong':
      return (typeof value === 'bigint' || Number.isInteger(value)) && (value as number | bigint) >= 0
        ? value
        : wrong();
    case 'symbols':
      return typeof value === 'string'
        ? [value]
        : Array.isArray(value)
          ? value.filter((each) => typeof each === 'string')
          : wrong();
    case 'map':
      return value instanceof Map ? value : wrong();
    case 'binary':
      return Buffer.isBuffer(value) ? value : wrong();
    case 'error':
      return isDescribed(value) && Array.isArray(value.value) ? readFields(ERROR, value.value, 'error') : wrong();
    case 'any':
      return value;
  }
}

function readAttach(values: Value[]): Attach {
  const fields = readFields(ATTACH, values, 'attach');
  return {
    ...(fields as unknown as Attach),
    source: readTerminus(fields.source as Value),
    target: readTerminus(fields.target as Value),
  };
}

function readTerminus(value: Value): Terminus | null {
  if (value === null || !isDescribed(value) || !Array.isArray(value.value)) return null;
  const descriptor = value.descriptor;
  const coordinator = descriptor === Descriptor.coordinator || descriptor === 'amqp:coordinator:list';
  if (coordinator) return { address: null, dynamic: false, capabilities: [], coordinator, expiryPolicy: null };
  const isSource = descriptor === Descriptor.source || descriptor === 'amqp:source:list';
  const fields = readFields(isSource ? SOURCE : TARGET, value.value, isSource ? 'source' : 'target');
  return {
    address: typeof fields.address === 'string' ? fields.address : null,
    dynamic: fields.dynamic === true,
    capabilities: (fields.capabilities as string[] | null) ?? [],
    coordinator: false,
    expiryPolicy: fields.expiryPolicy as string | null,
  };
}

export function terminus(
  address: string | null = null,
  options: { dynamic?: boolean; capabilities?: string[]; expiryPolicy?: string } = {},
): Terminus {
  return {
    address,
    dynamic: options.dynamic ?? false,
    capabilities: options.capabilities ?? [],
    coordinator: false,
    expiryPolicy: options.expiryPolicy ?? null,
  };
}

/** A list without the nulls at its end. */
function list(values: Writable[]): Writable[] {
  let length = values.length;
  while (length > 0 && (values[length - 1] === null || values[length - 1] === undefined)) length--;
  return values.slice(0, length);
}

const optional = (wrap: (value: number) => Typed, value: number | null | undefined): Writable =>
  value === null || value === undefined ? null : wrap(value);
const symbols = (values: string[] | null | undefined): Writable =>
  values && values.length > 0 ? new SymbolArray(values) : null;

/** Like `Open`, with properties ready to be written. */
export type OpenToWrite = Omit<Open, 'properties'> & { properties: WritableMap };

export function openFrame(open: OpenToWrite): WritableDescribed {
  return described(
    Descriptor.open,
    list([
      open.containerId,
      open.hostname ?? null,
      optional(uint, open.maxFrameSize),
      optional(ushort, open.channelMax),
      optional(uint, open.idleTimeOut),
      null,
      null,
      symbols(open.offeredCapabilities),
      symbols(open.desiredCapabilities),
      open.properties,
    ]),
  );
}

export function beginFrame(begin: Begin): WritableDescribed {
  return described(
    Descriptor.begin,
    list([
      optional(ushort, begin.remoteChannel),
      uint(begin.nextOutgoingId),
      uint(begin.incomingWindow),
      uint(begin.outgoingWindow),
      optional(uint, begin.handleMax),
    ]),
  );
}

export function attachFrame(attach: Attach): WritableDescribed {
  return described(
    Descriptor.attach,
    list([
      attach.name,
      uint(attach.handle),
      attach.role,
      optional(ubyte, attach.sndSettleMode),
      optional(ubyte, attach.rcvSettleMode),
      terminusValue(Descriptor.source, attach.source),
      terminusValue(Descriptor.target, attach.target),
      null,
      null,
      optional(uint, attach.initialDeliveryCount),
      attach.maxMessageSize ? ulong(attach.maxMessageSize) : null,
    ]),
  );
}

function terminusValue(descriptor: number, value: Terminus | null): Writable {
  if (!value) return null;
  const head: Writable[] = [
    value.address,
    uint(0),
    value.expiryPolicy === null ? null : symbol(value.expiryPolicy),
    uint(0),
    value.dynamic,
    null,
  ];
  const capabilities = symbols(value.capabilities);
  return described(
    descriptor,
    list(descriptor === Descriptor.source ? [...head, null, null, null, null, capabilities] : [...head, capabilities]),
  );
}

/**
 * Errors are cut so that any frame that carries one fits the smallest frame there may be (512 octets): what one peer
 * wrote at length is told to others, whose frames may be shorter.
 */
const MAX_CONDITION = 64;
const MAX_DESCRIPTION = 384;

export function errorValue(
  error: { condition: string; description?: string | null; message?: string } | null,
): Writable {
  if (!error) return null;
  const description = error.description ?? error.message ?? null;
  return described(
    Descriptor.error,
    list([symbol(error.condition.slice(0, MAX_CONDITION)), description === null ? null : shortened(description)]),
  );
}

function shortened(text: string): string {
  // No character takes more than three octets for each unit of its length.
  if (text.length * 3 <= MAX_DESCRIPTION) return text;
  const octets = Buffer.from(text);
  if (octets.length <= MAX_DESCRIPTION) return text;
  let end = MAX_DESCRIPTION;
  while (((octets[end] as number) & 0xc0) === 0x80) end--;
  return octets.toString('utf8', 0, end);
}

export function detachFrame(handle: number, closed: boolean, error: AmqpError | null): WritableDescribed {
  return described(Descriptor.detach, list([uint(handle), closed, errorValue(error)]));
}

export function endFrame(error: AmqpError | null): WritableDescribed {
  return described(Descriptor.end, list([errorValue(error)]));
}

export function closeFrame(error: AmqpError | null): WritableDescribed {
  return described(Descriptor.close, list([errorValue(error)]));
}

export const saslMechanisms = (mechanisms: string[]): WritableDescribed =>
  described(Descriptor.saslMechanisms, [new SymbolArray(mechanisms)]);
export const saslInit = (mechanism: string, initialResponse: Buffer, hostname: string | null): WritableDescribed =>
  described(Descriptor.saslInit, list([symbol(mechanism), initialResponse, hostname]));
export const saslOutcome = (code: number): WritableDescribed => described(Descriptor.saslOutcome, [ubyte(code)]);

/** Reads a delivery state; null for those a router need not know (declared, transactional). */
export function readDeliveryState(value: Value): DeliveryState | null {
  if (!isDescribed(value)) return null;
  const fields = Array.isArray(value.value) ? value.value : [];
  switch (value.descriptor) {
    case Descriptor.received:
    case 'amqp:received:list':
      return {
        outcome: 'received',
        sectionNumber: readField('uint', fields[0] ?? 0, 'received.section-number') as number,
        sectionOffset: Number(readField('ulong', fields[1] ?? 0, 'received.section-offset')),
      };
    case Descriptor.accepted:
    case 'amqp:accepted:list':
      return ACCEPTED;
    case Descriptor.rejected:
    case 'amqp:rejected:list':
      return {
        outcome: 'rejected',
        error: fields[0] ? (readField('error', fields[0], 'rejected.error') as ErrorValue) : null,
      };
    case Descriptor.released:
    case 'amqp:released:list':
      return RELEASED;
    case Descriptor.modified:
    case 'amqp:modified:list':
      return { outcome: 'modified', deliveryFailed: fields[0] === true, undeliverableHere: fields[1] === true };
    default:
      return null;
  }
}

export function deliveryStateValue(state: DeliveryState): Writable {
  switch (state.outcome) {
    case 'received':
      return described(Descriptor.received, [uint(state.sectionNumber), ulong(state.sectionOffset)]);
    case 'accepted':
      return described(Descriptor.accepted, []);
    case 'rejected':
      return described(Descriptor.rejected, list([errorValue(state.error)]));
    case 'released':
      return described(Descriptor.released, []);
    case 'modified':
      return described(Descriptor.modified, [state.deliveryFailed, state.undeliverableHere]);
  }
}
