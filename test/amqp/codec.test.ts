/** The codec: what it writes it reads, rhea's codec agrees, and no octets make it do anything but return or refuse. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  Described,
  decode,
  described,
  encode,
  Reader,
  SymbolArray,
  Typed,
  type TypeName,
  uint,
  ulong,
  type Value,
  type Writable,
} from '../../src/amqp/codec.ts';
import { AmqpError } from '../../src/amqp/error.ts';
import { isRefusal, mutated } from './fuzz.ts';
import { type RheaTyped, rheaDecode, rheaEncode, rheaTypes } from './rhea-codec.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);
const test = suite('codec');

/** A value in all its forms: as we write it, as rhea writes it, and as it is read. */
interface Sample {
  /** Absent for types that we only read. */
  ours?: Writable;
  rhea: RheaTyped;
  value: Value;
}

const make = (name: string, value?: unknown): RheaTyped => (rheaTypes[name] as (typeof rheaTypes)[string])(value);
const typed = (type: TypeName, value: number | bigint | string): Writable => new Typed(type, value);

function wide(value: bigint, signed: boolean): Sample {
  const octets = Buffer.alloc(8);
  if (signed) octets.writeBigInt64BE(value);
  else octets.writeBigUInt64BE(value);
  const small = value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
  return {
    ours: typed(signed ? 'long' : 'ulong', value),
    rhea: make(signed ? 'Long' : 'Ulong', octets),
    value: small ? Number(value) : value,
  };
}

const utf8 = fc.string({ unit: 'binary', maxLength: 300 }).filter((text) => text.isWellFormed());
const ascii = fc.string({ unit: 'binary-ascii', maxLength: 300 });
const binary = fc.uint8Array({ maxLength: 300 }).map((octets) => Buffer.from(octets));
const sized = (octets: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: octets, maxLength: octets }).map((each) => Buffer.from(each));

const simple: fc.Arbitrary<Sample> = fc.oneof(
  fc.constantFrom<Sample>(
    { ours: null, rhea: make('Null'), value: null },
    { ours: true, rhea: make('True'), value: true },
    { ours: false, rhea: make('False'), value: false },
    { ours: true, rhea: make('Boolean', 1), value: true },
    { ours: false, rhea: make('Boolean', 0), value: false },
    { ours: uint(0), rhea: make('Uint0'), value: 0 },
    { ours: ulong(0), rhea: make('Ulong0'), value: 0 },
    { ours: [], rhea: make('List0'), value: [] },
  ),
  fc.nat(255).map((value): Sample => ({ ours: typed('ubyte', value), rhea: make('Ubyte', value), value })),
  fc.nat(255).map((value): Sample => ({ ours: uint(value), rhea: make('SmallUint', value), value })),
  fc.nat(255).map((value): Sample => ({ ours: ulong(value), rhea: make('SmallUlong', value), value })),
  fc
    .integer({ min: -128, max: 127 })
    .map((value): Sample => ({ ours: typed('byte', value), rhea: make('Byte', value), value })),
  fc
    .integer({ min: -128, max: 127 })
    .map((value): Sample => ({ ours: typed('int', value), rhea: make('SmallInt', value), value })),
  fc
    .integer({ min: -128, max: 127 })
    .map((value): Sample => ({ ours: typed('long', value), rhea: make('SmallLong', value), value })),
  fc.nat(0xffff).map((value): Sample => ({ ours: typed('ushort', value), rhea: make('Ushort', value), value })),
  fc
    .integer({ min: -32768, max: 32767 })
    .map((value): Sample => ({ ours: typed('short', value), rhea: make('Short', value), value })),
  fc.nat(0xffffffff).map((value): Sample => ({ ours: uint(value), rhea: make('Uint', value), value })),
  fc.integer().map((value): Sample => ({ ours: typed('int', value), rhea: make('Int', value), value })),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => wide(value, false)),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => wide(value, true)),
  fc.nat(0xffffffff).map((value) => wide(BigInt(value), false)),
  fc
    .float({ noNaN: true })
    .map((value): Sample => ({ ours: typed('float', value), rhea: make('Float', value), value })),
  fc
    .double({ noNaN: true })
    .map((value): Sample => ({ ours: typed('double', value), rhea: make('Double', value), value })),
  fc
    .integer({ min: 0, max: 8.64e15 })
    .map((value): Sample => ({ ours: typed('timestamp', value), rhea: make('Timestamp', value), value })),
  utf8.map((value): Sample => ({ ours: value, rhea: rheaTypes.wrap_string!(value), value })),
  utf8.map((value): Sample => ({ ours: value, rhea: make('Str32', value), value })),
  ascii.map((value): Sample => ({ ours: typed('symbol', value), rhea: rheaTypes.wrap_symbol!(value), value })),
  ascii.map((value): Sample => ({ ours: typed('symbol', value), rhea: make('Sym32', value), value })),
  binary.map((value): Sample => ({ ours: value, rhea: rheaTypes.wrap_binary!(value), value })),
  binary.map((value): Sample => ({ ours: value, rhea: make('Vbin32', value), value })),
  // These we never write.
  fc.nat(0x10ffff).map((value): Sample => ({ rhea: make('CharUTF32', value), value: String.fromCodePoint(value) })),
  sized(4).map((value): Sample => ({ rhea: make('Decimal32', value), value })),
  sized(8).map((value): Sample => ({ rhea: make('Decimal64', value), value })),
  sized(16).map((value): Sample => ({ rhea: make('Decimal128', value), value })),
  sized(16).map((value): Sample => ({ rhea: make('Uuid', value), value })),
);

/** What a compound of samples is as we write it; undefined when we cannot. */
function gathered(samples: Sample[]): Writable[] | undefined {
  const ours = samples.map((sample) => sample.ours);
  return ours.includes(undefined) ? undefined : (ours as Writable[]);
}

const array = fc.oneof(
  fc.array(ascii, { minLength: 1, maxLength: 5 }).map(
    (values): Sample => ({
      ours: new SymbolArray(values),
      rhea: rheaTypes.Array32!(values, 0xb3),
      value: values,
    }),
  ),
  fc
    .array(fc.nat(0xffffffff), { maxLength: 20 })
    .map((values): Sample => ({ rhea: rheaTypes.Array32!(values, 0x70), value: values })),
  fc
    .array(fc.nat(255), { maxLength: 20 })
    .map((values): Sample => ({ rhea: rheaTypes.Array8!(values, 0x52), value: values })),
  fc.array(utf8, { maxLength: 5 }).map((values): Sample => ({ rhea: rheaTypes.Array32!(values, 0xb1), value: values })),
  fc.array(fc.integer(), { maxLength: 5 }).map(
    (values): Sample => ({
      rhea: rheaTypes.Array32!(values, 0x71, make('SmallUlong', 7)),
      value: values.map((each) => new Described(7, each)),
    }),
  ),
);

const { sample } = fc.letrec<{ sample: Sample; described: Sample }>((tie) => ({
  sample: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    { weight: 6, arbitrary: simple },
    { weight: 1, arbitrary: array },
    {
      weight: 2,
      arbitrary: fc.array(tie('sample'), { maxLength: 8 }).map(
        (items): Sample => ({
          ours: gathered(items),
          rhea: make(
            'List32',
            items.map(({ rhea }) => rhea),
          ),
          value: items.map(({ value }) => value),
        }),
      ),
    },
    {
      weight: 1,
      arbitrary: fc
        .uniqueArray(fc.tuple(ascii, tie('sample')), { maxLength: 5, selector: ([key]) => key })
        .map((entries): Sample => {
          const values = gathered(entries.map(([, each]) => each));
          return {
            ours: values && new Map(entries.map(([key], index) => [typed('symbol', key), values[index]])),
            rhea: make(
              'Map32',
              entries.flatMap(([key, each]) => [rheaTypes.wrap_symbol!(key), each.rhea]),
            ),
            value: new Map(entries.map(([key, { value }]) => [key, value])),
          };
        }),
    },
    { weight: 1, arbitrary: tie('described') },
  ),
  described: fc.tuple(fc.nat(0xffffffff), tie('sample')).map(([descriptor, { ours, rhea, value }]): Sample => {
    // rhea keeps one descriptor on the value itself.
    const bare = value instanceof Described ? null : { ours, rhea, value };
    const inner = bare ?? { ours: null, rhea: make('Null'), value: null };
    return {
      ours: inner.ours === undefined ? undefined : described(descriptor, inner.ours),
      rhea: Object.assign(Object.create(Object.getPrototypeOf(inner.rhea) as object) as RheaTyped, inner.rhea, {
        descriptor: rheaTypes.wrap_ulong!(descriptor),
      }),
      value: new Described(descriptor, inner.value),
    };
  }),
}));

test('what we write we read, and so does rhea', () => {
  fc.assert(
    fc.property(sample, ({ ours, value }) => {
      if (ours === undefined) return;
      const octets = encode(ours);
      assert.equal(decode(octets), value);
      assert.equal(rheaDecode(octets), value);
    }),
    { numRuns: RUNS },
  );
});

test('what rhea writes we read, and can pass over', () => {
  fc.assert(
    fc.property(sample, ({ rhea, value }) => {
      const octets = rheaEncode(rhea);
      assert.equal(decode(octets), value);
      const reader = new Reader(octets);
      reader.skip();
      assert.ok(reader.done);
    }),
    { numRuns: RUNS },
  );
});

/** Reads to the end, one way or another; only a refusal may come of it. */
function readAll(octets: Buffer): void {
  const reader = new Reader(octets);
  const skipping = new Reader(octets);
  try {
    while (!reader.done) {
      reader.value();
      skipping.skip();
      assert.is(skipping.offset, reader.offset, 'skipping ends where reading does');
    }
  } catch (error) {
    if (!isRefusal(error)) throw error;
  }
}

test('no octets do any harm', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => readAll(Buffer.from(octets))),
    { numRuns: RUNS },
  );
});

test('no octets that were good once do any harm', () => {
  fc.assert(
    fc.property(mutated(sample.map(({ rhea }) => rheaEncode(rhea))), (octets) => readAll(octets)),
    { numRuns: RUNS },
  );
});

test('a reader keeps within its bounds', () => {
  fc.assert(
    fc.property(sample, fc.nat(400), ({ rhea }, cut) => {
      const octets = rheaEncode(rhea);
      const end = Math.min(cut, octets.length);
      const reader = new Reader(octets, 0, end);
      try {
        reader.value();
        assert.is(end, octets.length);
      } catch (error) {
        if (!isRefusal(error) || end === octets.length) throw error;
      }
    }),
    { numRuns: RUNS },
  );
});

test('a few octets cannot ask for gigabytes', () => {
  const manyNulls = Buffer.from('f0000000050000100040', 'hex');
  assert.is((decode(manyNulls) as Value[]).length, 4096);
  const tooMany = Buffer.from('f0000000050000100140', 'hex');
  assert.throws(() => decode(tooMany), isRefusal);
  // Each array is modest, a hundred thousand of them are not.
  const body = Buffer.concat(Array.from({ length: 100_000 }, () => manyNulls));
  const list = Buffer.alloc(9);
  list[0] = 0xd0;
  list.writeUInt32BE(body.length + 4, 1);
  list.writeUInt32BE(100_000, 5);
  assert.throws(() => decode(Buffer.concat([list, body])), isRefusal);
  for (const claim of [
    'd0ffffffffffffffff',
    'd000000004ffffffff',
    'd100000004fffffffe',
    'f000000005ffffffff70',
    'b0ffffffff',
    'b1ffffffff',
    'c0ffff',
    'e0ffff40',
  ]) {
    assert.throws(() => decode(Buffer.from(claim, 'hex')), isRefusal, claim);
  }
});

test('nesting has its limit, in every way of nesting', () => {
  const lists = (depth: number): Buffer => {
    let octets = Buffer.from([0x45]);
    for (let level = 0; level < depth; level++)
      octets = Buffer.concat([Buffer.from([0xc0, octets.length + 1, 1]), octets]);
    return octets;
  };
  assert.is(JSON.stringify(decode(lists(30))).length, 62);
  assert.throws(() => decode(lists(40)), isRefusal);
  assert.throws(() => decode(Buffer.alloc(100_000)), isRefusal);
  assert.throws(() => new Reader(Buffer.alloc(100_000)).skip(), isRefusal);
  // A descriptor that is described, and so on.
  assert.throws(() => decode(Buffer.concat([Buffer.alloc(60), Buffer.alloc(61, 0x40)])), isRefusal);
});

test('what is refused', () => {
  for (const octets of [
    '',
    '00',
    '0040',
    '3f',
    '46',
    '57',
    '7373000000',
    '73ffffffff',
    'c00140',
    'c003014040',
    'c1020140',
    'c103014040',
    'e0020170',
    'a105',
  ]) {
    assert.throws(
      () => decode(Buffer.from(octets, 'hex')),
      (error: Error) => error instanceof AmqpError,
      octets,
    );
  }
});

test('long values take the long forms', () => {
  for (const length of [0, 1, 255, 256, 70_000]) {
    const text = 'x'.repeat(length);
    assert.is(decode(encode(text)), text);
    assert.is(decode(encode(new Typed('symbol', text))), text);
    assert.equal(decode(encode(Buffer.alloc(length, 1))), Buffer.alloc(length, 1));
  }
  for (const count of [0, 1, 83, 84, 254, 255, 256, 5000]) {
    const list = Array.from({ length: count }, (_, index) => uint(index));
    assert.is((decode(encode(list)) as Value[]).length, count);
    const map = new Map(list.map((key) => [key, null] as const));
    assert.is((decode(encode(map)) as Map<Value, Value>).size, count);
  }
});

test.run();
