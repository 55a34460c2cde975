/**
 * Flow records (vanflow): what routers tell about themselves, their links and their services. A record travels as a map
 * from attribute codes to values; an update carries type, identity and what has changed. The tables below are the
 * protocol (`include/qpid/dispatch/vanflow.h` of skupper-router), as far as statuses need it.
 */
import { uint, ulong, type Value, type Writable } from '../../amqp/codec.ts';

/** Codes of the records that we send and take. */
const TYPES = { SITE: 0, ROUTER: 1, LINK: 2, LISTENER: 4, CONNECTOR: 5, ROUTER_ACCESS: 15 } as const;

export type RecordType = keyof typeof TYPES;

/** Times are microseconds since the epoch; ports are text. */
const ATTRIBUTES = {
  /** The record that this one belongs to: a router's site, a link's router. */
  parent: { code: 2, type: 'text' },
  startTime: { code: 3, type: 'number' },
  /** Set when the thing is gone: the last word on a record. */
  endTime: { code: 4, type: 'number' },
  /** A link's: the router access at its other end. */
  peer: { code: 6, type: 'text' },
  platform: { code: 11, type: 'text' },
  namespace: { code: 12, type: 'text' },
  mode: { code: 13, type: 'text' },
  destHost: { code: 15, type: 'text' },
  protocol: { code: 16, type: 'text' },
  destPort: { code: 18, type: 'text' },
  /** The routing key. */
  address: { code: 19, type: 'text' },
  name: { code: 30, type: 'text' },
  version: { code: 32, type: 'text' },
  cost: { code: 33, type: 'number' },
  /** Connections since the start. */
  flowCount: { code: 40, type: 'number' },
  /** Links that an access has at present. */
  linkCount: { code: 52, type: 'number' },
  /** `up` or `down`. */
  status: { code: 53, type: 'text' },
  role: { code: 54, type: 'text' },
  upTime: { code: 55, type: 'number' },
  downTime: { code: 56, type: 'number' },
  downCount: { code: 57, type: 'number' },
  /** Whether the link goes through an HTTP proxy: `yes` or `no`. */
  httpProxy: { code: 67, type: 'text' },
} as const;

type AttributeName = keyof typeof ATTRIBUTES;
type AttributeTypes = { text: string; number: number };

/** Attributes of a record, whatever its type. */
export type Attributes = { -readonly [Name in AttributeName]?: AttributeTypes[(typeof ATTRIBUTES)[Name]['type']] };

export interface FlowRecord extends Attributes {
  type: RecordType;
  /** `xxxxx:N` of the router that tells it; a site's is its UUID. */
  identity: string;
}

const TYPE = 0;
const IDENTITY = 1;
/** Characters of an identity or another text. What is longer is no name of anything. */
const MAX_TEXT = 1024;

const typesByCode = new Map(Object.entries(TYPES).map(([name, code]) => [code as number, name as RecordType]));
const attributesByCode = new Map(
  Object.entries(ATTRIBUTES).map(([name, { code, type }]) => [code as number, { name: name as AttributeName, type }]),
);

/** A record as it travels. skupper-router's own collectors drop a whole message for one value of another type. */
export function encodeRecord({ type, identity, ...attributes }: FlowRecord): Writable {
  const map = new Map<Writable, Writable>([
    [uint(TYPE), uint(TYPES[type])],
    [uint(IDENTITY), identity],
  ]);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined) continue;
    const { code } = ATTRIBUTES[name as AttributeName];
    map.set(uint(code), typeof value === 'number' ? ulong(value) : value);
  }
  return map;
}

/** The records of a list; what is none, of another type or of no use is passed over, attribute by attribute. */
export function decodeRecords(body: Value): FlowRecord[] {
  if (!Array.isArray(body)) return [];
  return body.flatMap((each) => decodeRecord(each) ?? []);
}

function decodeRecord(value: Value): FlowRecord | null {
  if (!(value instanceof Map)) return null;
  const type = typesByCode.get(value.get(TYPE) as number);
  const identity = value.get(IDENTITY);
  if (type === undefined || !isText(identity) || identity === '') return null;
  const record: FlowRecord = { type, identity };
  for (const [code, attribute] of value) {
    const known = attributesByCode.get(code as number);
    if (!known) continue;
    const fits = known.type === 'text' ? isText(attribute) : isCount(attribute);
    if (fits) Object.assign(record, { [known.name]: attribute });
  }
  return record;
}

function isText(value: Value | undefined): value is string {
  return typeof value === 'string' && value.length <= MAX_TEXT;
}

function isCount(value: Value): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
