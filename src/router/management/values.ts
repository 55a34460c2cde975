/** What attributes of managed things are, in JavaScript and on the wire. */
import { Described, Typed, type Value, type Writable } from '../../amqp/codec.ts';

/** What survives being JSON. */
export type AttributeValue =
  | null
  | boolean
  | number
  | string
  | readonly AttributeValue[]
  | { readonly [name: string]: AttributeValue };

/** Whole numbers are longs, as those of skupper-router's agent are. */
export function toWire(value: AttributeValue): Writable {
  if (typeof value === 'number') return Number.isInteger(value) ? new Typed('long', value) : new Typed('double', value);
  if (value === null || typeof value !== 'object') return value;
  if (isList(value)) return value.map(toWire);
  return new Map(Object.entries(value).map(([name, each]) => [name, toWire(each)]));
}

export function fromWire(value: Value): AttributeValue {
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string')
    return value;
  if (typeof value === 'bigint') return Number(value);
  if (Buffer.isBuffer(value)) return value.toString('hex');
  if (Array.isArray(value)) return value.map(fromWire);
  if (value instanceof Described) return fromWire(value.value);
  return Object.fromEntries([...value].map(([name, each]) => [String(name), fromWire(each)]));
}

function isList(value: object): value is readonly AttributeValue[] {
  return Array.isArray(value);
}
