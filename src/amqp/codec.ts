/**
 * The AMQP 1.0 type system (part 1): values in and out of octets.
 *
 * Reading yields plain JavaScript: integers become numbers (bigint past 2^53), symbols become strings. Nothing that is
 * relayed is ever decoded and encoded again, so the loss of the exact type costs nothing. For writing, the type
 * must be said where JavaScript does not tell it: `uint(5)`, `symbol('x')`.
 */
import { AmqpError, Condition } from './error.ts';

export type Value = null | boolean | number | bigint | string | Buffer | Value[] | ValueMap | Described;
export type ValueMap = Map<Value, Value>;

/** A value with a descriptor: a performative, a terminus, an outcome, a section. */
export class Described {
  readonly descriptor: Value;
  readonly value: Value;

  constructor(descriptor: Value, value: Value) {
    this.descriptor = descriptor;
    this.value = value;
  }
}

/** Deeper nesting than this is an attack, not a message. */
const MAX_DEPTH = 32;
/** Most elements that take no octets, in all arrays together, so that a few octets cannot ask for gigabytes. */
const MAX_EMPTY_ELEMENTS = 4096;

function malformed(what: string): never {
  throw new AmqpError(Condition.decodeError, what);
}

/** Reads values from `buffer`, between `offset` and `end`. Throws `AmqpError` amqp:decode-error. */
export class Reader {
  readonly buffer: Buffer;
  /** Within a compound, its end. */
  end: number;
  offset: number;
  #depth = 0;
  #emptyElements = MAX_EMPTY_ELEMENTS;

  constructor(buffer: Buffer, offset = 0, end = buffer.length) {
    this.buffer = buffer;
    this.offset = offset;
    this.end = end;
  }

  get done(): boolean {
    return this.offset >= this.end;
  }

  value(): Value {
    const code = this.octet();
    if (code !== 0) return this.#primitive(code);
    this.#deeper();
    const described = new Described(this.value(), this.value());
    this.#depth--;
    return described;
  }

  octet(): number {
    if (this.offset >= this.end) malformed('the value is cut short');
    return this.buffer[this.offset++] as number;
  }

  /** Moves past one value without building it. */
  skip(): void {
    const code = this.octet();
    if (code === 0) {
      this.#deeper();
      this.skip();
      this.skip();
      this.#depth--;
      return;
    }
    this.#take(this.#width(code));
  }

  #deeper(): void {
    if (++this.#depth > MAX_DEPTH) malformed('values are nested too deeply');
  }

  /** Reserves the next `octets` and returns where they start. */
  #take(octets: number): number {
    const start = this.offset;
    if (octets > this.end - start) malformed('the value is longer than what holds it');
    this.offset = start + octets;
    return start;
  }

  /** Octets of the value that follows a constructor; moves past its size field. */
  #width(code: number): number {
    switch (code >> 4) {
      case 0x4:
        return 0;
      case 0x5:
        return 1;
      case 0x6:
        return 2;
      case 0x7:
        return 4;
      case 0x8:
        return 8;
      case 0x9:
        return 16;
      case 0xa:
      case 0xc:
      case 0xe:
        return this.octet();
      case 0xb:
      case 0xd:
      case 0xf:
        return this.buffer.readUInt32BE(this.#take(4));
      default:
        return malformed(`no type has the constructor 0x${code.toString(16)}`);
    }
  }

  #primitive(code: number): Value {
    const buffer = this.buffer;
    switch (code) {
      case 0x40:
        return null;
      case 0x41:
        return true;
      case 0x42:
        return false;
      case 0x43:
      case 0x44:
        return 0;
      case 0x45:
        return [];
      case 0x50:
      case 0x52:
      case 0x53:
        return this.octet();
      case 0x51:
      case 0x54:
      case 0x55:
        return buffer.readInt8(this.#take(1));
      case 0x56:
        return this.octet() !== 0;
      case 0x60:
        return buffer.readUInt16BE(this.#take(2));
      case 0x61:
        return buffer.readInt16BE(this.#take(2));
      case 0x70:
        return buffer.readUInt32BE(this.#take(4));
      case 0x71:
        return buffer.readInt32BE(this.#take(4));
      case 0x72:
        return buffer.readFloatBE(this.#take(4));
      case 0x73:
        return character(buffer.readUInt32BE(this.#take(4)));
      case 0x80:
        return plain(buffer.readBigUInt64BE(this.#take(8)));
      case 0x81:
      case 0x83:
        return plain(buffer.readBigInt64BE(this.#take(8)));
      case 0x82:
        return buffer.readDoubleBE(this.#take(8));
      case 0x74:
      case 0x84:
      case 0x94:
      case 0x98:
        return this.#octets(this.#width(code));
      case 0xa0:
      case 0xb0:
        return this.#octets(this.#width(code));
      case 0xa1:
      case 0xb1:
        return this.#text('utf8', this.#width(code));
      case 0xa3:
      case 0xb3:
        return this.#text('latin1', this.#width(code));
      case 0xc0:
      case 0xd0:
        return this.#list(code);
      case 0xc1:
      case 0xd1:
        return this.#map(code);
      case 0xe0:
      case 0xf0:
        return this.#array(code);
      default:
        return malformed(`no type has the constructor 0x${code.toString(16)}`);
    }
  }

  #octets(length: number): Buffer {
    const start = this.#take(length);
    // A copy: the octets lie in a slab that is used again.
    return Buffer.from(this.buffer.subarray(start, start + length));
  }

  #text(encoding: 'utf8' | 'latin1', length: number): string {
    const start = this.#take(length);
    return this.buffer.toString(encoding, start, start + length);
  }

  /** Goes into a compound, which cannot be read beyond until it is left again; returns how many elements it has. */
  #enter(code: number): number {
    const size = this.#width(code);
    const start = this.#take(size);
    this.offset = start;
    this.end = start + size;
    this.#deeper();
    const small = code >> 4 === 0xc || code >> 4 === 0xe;
    return small ? this.octet() : this.buffer.readUInt32BE(this.#take(4));
  }

  /** `end`: that of what holds the compound. */
  #leave(end: number): void {
    this.end = end;
    this.#depth--;
  }

  #list(code: number): Value[] {
    const { end } = this;
    const count = this.#enter(code);
    if (count > this.end - this.offset) malformed('a list claims more elements than it has octets');
    const list: Value[] = [];
    for (let index = 0; index < count; index++) list.push(this.value());
    if (!this.done) malformed('a list is longer than its elements');
    this.#leave(end);
    return list;
  }

  #map(code: number): ValueMap {
    const { end } = this;
    const count = this.#enter(code);
    if (count > this.end - this.offset) malformed('a map claims more elements than it has octets');
    if (count % 2 !== 0) malformed('a map has a key without a value');
    const map: ValueMap = new Map();
    for (let index = 0; index < count; index += 2) {
      const key = this.value();
      map.set(key, this.value());
    }
    if (!this.done) malformed('a map is longer than its elements');
    this.#leave(end);
    return map;
  }

  #array(code: number): Value[] {
    const { end } = this;
    const count = this.#enter(code);
    let elementCode = this.octet();
    let descriptor: Value | undefined;
    if (elementCode === 0) {
      descriptor = this.value();
      elementCode = this.octet();
    }
    if (elementCode >> 4 === 0x4) {
      this.#emptyElements -= count;
      if (this.#emptyElements < 0) malformed('arrays claim too many elements that take no octets');
    } else if (count > this.end - this.offset) {
      malformed('an array claims more elements than it has octets');
    }
    const list: Value[] = [];
    for (let index = 0; index < count; index++) {
      const element = this.#primitive(elementCode);
      list.push(descriptor === undefined ? element : new Described(descriptor, element));
    }
    if (!this.done) malformed('an array is longer than its elements');
    this.#leave(end);
    return list;
  }
}

function plain(value: bigint): number | bigint {
  return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER ? Number(value) : value;
}

function character(code: number): string {
  if (code > 0x10ffff) malformed('a character past the end of Unicode');
  return String.fromCodePoint(code);
}

/** Types that a JavaScript value alone does not tell. */
export type TypeName =
  | 'ubyte'
  | 'ushort'
  | 'uint'
  | 'ulong'
  | 'byte'
  | 'short'
  | 'int'
  | 'long'
  | 'float'
  | 'double'
  | 'timestamp'
  | 'symbol';

export class Typed {
  readonly type: TypeName;
  readonly value: number | bigint | string;

  constructor(type: TypeName, value: number | bigint | string) {
    this.type = type;
    this.value = value;
  }
}

/** What can be written. A bare number is not: its type must be said. */
export type Writable =
  | null
  | undefined
  | boolean
  | string
  | Uint8Array
  | Typed
  | SymbolArray
  | Encoded
  | WritableDescribed
  | Writable[]
  | WritableMap;
export type WritableMap = Map<Writable, Writable>;

export class WritableDescribed {
  readonly descriptor: number;
  readonly value: Writable;

  constructor(descriptor: number, value: Writable) {
    this.descriptor = descriptor;
    this.value = value;
  }
}

/** A value that has been written before: a long one is made piece by piece, with other work in between. */
export class Encoded {
  readonly octets: Uint8Array;

  constructor(octets: Uint8Array) {
    this.octets = octets;
  }
}

/** An array of symbols: the only array the router's own frames hold (capabilities, SASL mechanisms). */
export class SymbolArray {
  readonly values: readonly string[];

  constructor(values: readonly string[]) {
    this.values = values;
  }
}

export const ubyte = (value: number): Typed => new Typed('ubyte', value);
export const ushort = (value: number): Typed => new Typed('ushort', value);
export const uint = (value: number): Typed => new Typed('uint', value);
export const ulong = (value: number | bigint): Typed => new Typed('ulong', value);
export const int = (value: number): Typed => new Typed('int', value);
export const long = (value: number | bigint): Typed => new Typed('long', value);
export const symbol = (value: string): Typed => new Typed('symbol', value);
export const described = (descriptor: number, value: Writable): WritableDescribed =>
  new WritableDescribed(descriptor, value);

/** Characters of a text that is written octet by octet. */
const MAX_BY_OCTET = 128;

/** Writes values into a buffer that grows. */
export class Writer {
  buffer: Buffer;
  offset = 0;

  constructor(size = 512) {
    this.buffer = Buffer.allocUnsafe(size);
  }

  /** What was written. The memory is the writer's: copy it, or leave the writer alone. */
  written(): Buffer {
    return this.buffer.subarray(0, this.offset);
  }

  write(value: Writable): void {
    if (value === null || value === undefined) this.#octet(0x40);
    else if (value === true) this.#octet(0x41);
    else if (value === false) this.#octet(0x42);
    else if (typeof value === 'string') this.#text(0xa1, value, 'utf8');
    else if (value instanceof Typed) this.#typed(value);
    else if (value instanceof Uint8Array) this.#variable(0xa0, value);
    else if (Array.isArray(value)) this.#list(value);
    else if (value instanceof Map) this.#map(value);
    else if (value instanceof SymbolArray) this.#symbols(value.values);
    else if (value instanceof Encoded) this.raw(value.octets);
    else {
      this.#octet(0);
      this.#ulong(value.descriptor);
      this.write(value.value);
    }
  }

  raw(octets: Uint8Array): void {
    this.#ensure(octets.length);
    this.buffer.set(octets, this.offset);
    this.offset += octets.length;
  }

  #ensure(octets: number): void {
    if (this.buffer.length - this.offset >= octets) return;
    const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.offset + octets));
    this.buffer.copy(grown, 0, 0, this.offset);
    this.buffer = grown;
  }

  #octet(value: number): void {
    this.#ensure(1);
    this.buffer[this.offset++] = value;
  }

  #typed({ type, value }: Typed): void {
    this.#ensure(9);
    if (type === 'symbol') {
      this.#text(0xa3, value as string, 'latin1');
      return;
    }
    const { buffer } = this;
    const small = typeof value === 'number' && value >= 0 && value <= 255;
    const fitsOctet = typeof value === 'number' && value >= -128 && value <= 127;
    switch (type) {
      case 'ubyte':
        this.#octet(0x50);
        this.offset = buffer.writeUInt8(value as number, this.offset);
        return;
      case 'byte':
        this.#octet(0x51);
        this.offset = buffer.writeInt8(value as number, this.offset);
        return;
      case 'ushort':
        this.#octet(0x60);
        this.offset = buffer.writeUInt16BE(value as number, this.offset);
        return;
      case 'short':
        this.#octet(0x61);
        this.offset = buffer.writeInt16BE(value as number, this.offset);
        return;
      case 'uint':
        if (value === 0) {
          this.#octet(0x43);
          return;
        }
        this.#octet(small ? 0x52 : 0x70);
        this.offset = small
          ? buffer.writeUInt8(value, this.offset)
          : buffer.writeUInt32BE(value as number, this.offset);
        return;
      case 'ulong':
        this.#ulong(value as number | bigint);
        return;
      case 'int':
        this.#octet(fitsOctet ? 0x54 : 0x71);
        this.offset = fitsOctet
          ? buffer.writeInt8(value, this.offset)
          : buffer.writeInt32BE(value as number, this.offset);
        return;
      case 'long':
        this.#octet(fitsOctet ? 0x55 : 0x81);
        this.offset = fitsOctet
          ? buffer.writeInt8(value, this.offset)
          : buffer.writeBigInt64BE(BigInt(value), this.offset);
        return;
      case 'timestamp':
        this.#octet(0x83);
        this.offset = buffer.writeBigInt64BE(BigInt(value), this.offset);
        return;
      case 'float':
        this.#octet(0x72);
        this.offset = buffer.writeFloatBE(value as number, this.offset);
        return;
      case 'double':
        this.#octet(0x82);
        this.offset = buffer.writeDoubleBE(value as number, this.offset);
        return;
    }
  }

  #ulong(value: number | bigint): void {
    this.#ensure(9);
    if (value === 0) {
      this.#octet(0x44);
    } else if (typeof value === 'number' && value > 0 && value <= 255) {
      this.#octet(0x53);
      this.#octet(value);
    } else {
      this.#octet(0x80);
      this.offset = this.buffer.writeBigUInt64BE(BigInt(value), this.offset);
    }
  }

  /** A string or symbol. Nearly all are short and of ASCII: these are written octet by octet, which needs no buffer. */
  #text(shortCode: number, value: string, encoding: 'utf8' | 'latin1'): void {
    const { length } = value;
    if (length <= MAX_BY_OCTET) {
      this.#ensure(2 + length);
      const { buffer } = this;
      const start = this.offset + 2;
      let index = 0;
      for (let octet: number; index < length; index++) {
        octet = value.charCodeAt(index);
        if (octet > 0x7f) break;
        buffer[start + index] = octet;
      }
      if (index === length) {
        buffer[start - 2] = shortCode;
        buffer[start - 1] = length;
        this.offset = start + length;
        return;
      }
    }
    this.#variable(shortCode, Buffer.from(value, encoding));
  }

  /** Strings, symbols and binaries: the short form where it fits. */
  #variable(shortCode: number, octets: Uint8Array): void {
    this.#ensure(5 + octets.length);
    if (octets.length < 256) {
      this.#octet(shortCode);
      this.#octet(octets.length);
    } else {
      this.#octet(shortCode + 0x10);
      this.offset = this.buffer.writeUInt32BE(octets.length, this.offset);
    }
    this.raw(octets);
  }

  #list(values: readonly Writable[]): void {
    if (values.length === 0) {
      this.#octet(0x45);
      return;
    }
    const start = this.#begin();
    for (const each of values) this.write(each);
    this.#finish(start, 0xc0, values.length);
  }

  #map(values: WritableMap): void {
    const start = this.#begin();
    for (const [key, each] of values) {
      this.write(key);
      this.write(each);
    }
    this.#finish(start, 0xc1, values.size * 2);
  }

  /** Leaves room for what is in front of a compound's elements in the short form; returns where that is to be. */
  #begin(): number {
    this.#ensure(3);
    const start = this.offset;
    this.offset += 3;
    return start;
  }

  /** The elements are written: what is in front of them is filled in, and more room made for it when they are many. */
  #finish(start: number, shortCode: number, count: number): void {
    const size = this.offset - start - 3;
    if (size < 255 && count < 256) {
      const { buffer } = this;
      buffer[start] = shortCode;
      buffer[start + 1] = size + 1;
      buffer[start + 2] = count;
      return;
    }
    this.#ensure(6);
    const { buffer } = this;
    buffer.copyWithin(start + 9, start + 3, this.offset);
    this.offset += 6;
    buffer[start] = shortCode + 0x10;
    buffer.writeUInt32BE(size + 4, start + 1);
    buffer.writeUInt32BE(count, start + 5);
  }

  #symbols(values: readonly string[]): void {
    const size = values.reduce((sum, value) => sum + 4 + value.length, 0);
    this.#ensure(10 + size);
    this.#octet(0xf0);
    this.offset = this.buffer.writeUInt32BE(size + 5, this.offset);
    this.offset = this.buffer.writeUInt32BE(values.length, this.offset);
    this.#octet(0xb3);
    for (const value of values) {
      this.offset = this.buffer.writeUInt32BE(value.length, this.offset);
      this.offset += this.buffer.write(value, this.offset, 'latin1');
    }
  }
}

export function encode(value: Writable): Buffer {
  const writer = new Writer();
  writer.write(value);
  return writer.written();
}

export function decode(octets: Buffer): Value {
  const reader = new Reader(octets);
  const value = reader.value();
  if (!reader.done) malformed('octets follow the value');
  return value;
}
