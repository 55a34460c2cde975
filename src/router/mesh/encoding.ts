/** Routing messages as octets, and octets as routing messages or as what is wrong with them. */
import { int, long, symbol, type Value, type ValueMap, type Writable } from '../../amqp/codec.ts';
import { AmqpError } from '../../amqp/error.ts';
import { readBody, writeMessage } from '../../amqp/message.ts';
import type { Treatment } from '../addresses.ts';
import { MAX_COST, MAX_ID, MAX_KEY, MAX_PEERS } from './limits.ts';
import { type Destination, type RoutingMessage, type ServedAddress, wireAddress } from './messages.ts';

/** The version of the link-state messages, and that of the messages about mobile addresses. */
const LINK_STATE_VERSION = 1;
const MOBILE_VERSION = 2;
/** There is one area; routers say so all the same. */
const AREA = '0';

/** As skupper-router numbers them: its first, a flood, is for itself. What comes after them is spread like most. */
const TREATMENTS: Treatment[] = ['multicast', 'multicast', 'closest', 'balanced'];

/** A message that cannot be used. */
export interface UnreadableMessage {
  opcode: 'unreadable';
  /** The router that it names as its sender, when it names one. */
  id: string | null;
  code: 'malformed-routing-message' | 'incompatible-version';
  message: string;
}

/** A whole message but for its router annotations. */
export function writeRouting(message: RoutingMessage, to: Destination): Buffer {
  // skupper-router's two halves differ in this: names are strings in the one, symbols in the other.
  const mobile = message.opcode === 'MAR' || message.opcode === 'MAU';
  const name = mobile ? symbol : (text: string): Writable => text;
  const applicationProperties = new Map<Writable, Writable>([[name('opcode'), message.opcode]]);
  const body = new Map<Writable, Writable>([
    [name('id'), message.id],
    [name('pv'), mobile ? long(MOBILE_VERSION) : int(LINK_STATE_VERSION)],
    [name('area'), AREA],
  ]);
  for (const [key, value] of fieldsOf(message)) body.set(name(key), value);
  return writeMessage({ durable: false, to: wireAddress(message, to), applicationProperties }, body);
}

function fieldsOf(message: RoutingMessage): [string, Writable][] {
  switch (message.opcode) {
    case 'HELLO':
      return [
        ['instance', integer(message.instance)],
        ['seen', message.seen],
      ];
    case 'RA':
      return [
        ['instance', integer(message.instance)],
        ['ls_seq', integer(message.linkSequence)],
        ['mobile_seq', integer(message.mobileSequence)],
      ];
    case 'LSR':
      return [];
    case 'LSU': {
      const sequence = integer(message.linkSequence);
      const linkState = new Map<Writable, Writable>([
        ['id', message.id],
        ['area', AREA],
        ['ls_seq', sequence],
        ['peers', new Map<Writable, Writable>([...message.peers].map(([id, cost]) => [id, int(cost)]))],
      ]);
      return [
        ['instance', integer(message.instance)],
        ['ls_seq', sequence],
        ['ls', linkState],
      ];
    }
    case 'MAR':
      return [['have_seq', long(message.haveSequence)]];
    case 'MAU': {
      const { change } = message;
      const sequence: [string, Writable] = ['mobile_seq', long(message.mobileSequence)];
      if ('exist' in change) return [sequence, ['exist', change.exist.map(descriptorOf)]];
      return [sequence, ['add', change.add.map(descriptorOf)], ['del', change.del.map((key) => [key])]];
    }
  }
}

/** As Python's numbers go: the smallest of the two that holds it. */
function integer(value: number): Writable {
  return value > 0x7fffffff ? long(value) : int(value);
}

/** Key, treatment and how many send to it here, which nobody reads. */
function descriptorOf({ key, treatment }: ServedAddress): Writable {
  return [key, int(TREATMENTS.lastIndexOf(treatment)), int(0)];
}

/** Reads a message, with or without router annotations in front. */
export function readRouting(octets: Buffer): RoutingMessage | UnreadableMessage {
  let id: string | null = null;
  try {
    const { body, applicationProperties } = readBody(octets);
    if (!(body instanceof Map)) throw new Unusable('its body is not a map');
    const fields = new Fields(body);
    id = fields.id('id');
    const opcode = applicationProperties.get('opcode');
    const version = body.has('pv') ? fields.number('pv', 0) : 0;
    const newest = opcode === 'MAR' || opcode === 'MAU' ? MOBILE_VERSION : LINK_STATE_VERSION;
    if (version > newest) {
      const message = `${opcode} of version ${version}; this router speaks version ${newest}`;
      return { opcode: 'unreadable', id, code: 'incompatible-version', message };
    }
    return readFields(opcode, id, fields);
  } catch (error) {
    if (!(error instanceof Unusable || error instanceof AmqpError)) throw error;
    return { opcode: 'unreadable', id, code: 'malformed-routing-message', message: error.message };
  }
}

/** Why a message cannot be used. Does not leave this file. */
class Unusable extends Error {}

function readFields(opcode: Value | undefined, id: string, fields: Fields): RoutingMessage {
  switch (opcode) {
    case 'HELLO':
      return { opcode, id, instance: fields.instance(), seen: fields.list('seen', MAX_PEERS).map(toId) };
    case 'RA':
      return {
        opcode,
        id,
        instance: fields.instance(),
        linkSequence: fields.number('ls_seq', 0),
        mobileSequence: fields.number('mobile_seq', 0),
      };
    case 'LSR':
      return { opcode, id };
    case 'LSU': {
      const linkState = fields.map('ls');
      if (linkState.id('id') !== id) throw new Unusable('it holds the link state of another router');
      return {
        opcode,
        id,
        instance: fields.instance(),
        linkSequence: linkState.number('ls_seq', 0),
        peers: linkState.costs('peers'),
      };
    }
    case 'MAR':
      return { opcode, id, haveSequence: fields.number('have_seq', 0) };
    case 'MAU':
      return { opcode, id, mobileSequence: fields.number('mobile_seq', 0), change: fields.change() };
    default:
      throw new Unusable('its opcode means nothing here');
  }
}

class Fields {
  readonly #map: ValueMap;

  constructor(map: ValueMap) {
    this.#map = map;
  }

  id(name: string): string {
    return toId(this.#map.get(name));
  }

  number(name: string, least: number): number {
    return toNumber(this.#map.get(name), name, least);
  }

  /** Routers of long ago do not say it. */
  instance(): number {
    return this.#map.has('instance') ? this.number('instance', 0) : 0;
  }

  list(name: string, most: number): Value[] {
    const value = this.#map.get(name);
    if (!Array.isArray(value)) throw new Unusable(`${name} is not a list`);
    if (value.length > most) throw new Unusable(`${name} has ${value.length} entries, more than ${most}`);
    return value;
  }

  map(name: string): Fields {
    const value = this.#map.get(name);
    if (!(value instanceof Map)) throw new Unusable(`${name} is not a map`);
    return new Fields(value);
  }

  costs(name: string): Map<string, number> {
    const value = this.#map.get(name);
    if (!(value instanceof Map)) throw new Unusable(`${name} is not a map`);
    if (value.size > MAX_PEERS) throw new Unusable(`${name} has ${value.size} entries, more than ${MAX_PEERS}`);
    const costs = new Map<string, number>();
    for (const [id, cost] of value) costs.set(toId(id), Math.min(toNumber(cost, 'a cost', 1), MAX_COST));
    return costs;
  }

  /** Either all that there is, or what came and what went. */
  change(): { exist: ServedAddress[] } | { add: ServedAddress[]; del: string[] } {
    const [exist, add, del] = ['exist', 'add', 'del'].map((name) => this.#map.has(name));
    if (exist === add || exist === del) throw new Unusable('it has to have either exist, or add and del');
    if (exist) return { exist: this.list('exist', Number.POSITIVE_INFINITY).map(toServed) };
    return {
      add: this.list('add', Number.POSITIVE_INFINITY).map(toServed),
      del: this.list('del', Number.POSITIVE_INFINITY).map((each) => toServed(each).key),
    };
  }
}

function toId(value: Value | undefined): string {
  if (typeof value !== 'string' || value === '') throw new Unusable('a router id is missing, or no text');
  if (value.length > MAX_ID) throw new Unusable(`a router id has ${value.length} characters, more than ${MAX_ID}`);
  return value;
}

function toNumber(value: Value | undefined, what: string, least: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < least) throw new Unusable(`${what} is no number of its kind`);
  return value as number;
}

/** The classes of addresses that routers tell each other: mobile ones, those of edges, and those of networks. */
const CLASSES = new Set(['M', 'H', 'N']);

function toServed(value: Value): ServedAddress {
  const [key, treatment] = Array.isArray(value) ? value : [];
  if (typeof key !== 'string' || !CLASSES.has(key[0])) throw new Unusable('an address has no class that is shared');
  if (key.length > MAX_KEY) throw new Unusable(`an address has ${key.length} characters, more than ${MAX_KEY}`);
  return { key, treatment: TREATMENTS[treatment as number] ?? 'balanced' };
}
