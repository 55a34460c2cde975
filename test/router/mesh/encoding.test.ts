/** Routing messages survive the way over the wire, and what is no routing message is refused in words. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { int, type Writable } from '../../../src/amqp/codec.ts';
import { writeMessage } from '../../../src/amqp/message.ts';
import type { Treatment } from '../../../src/router/addresses.ts';
import { readRouting, writeRouting } from '../../../src/router/mesh/encoding.ts';
import { MAX_COST, MAX_PEERS } from '../../../src/router/mesh/limits.ts';
import type { RoutingMessage, ServedAddress } from '../../../src/router/mesh/messages.ts';
import { mutated } from '../../amqp/fuzz.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 500);
const test = suite('routing messages');

/** Objects as the program makes them; fast-check's own have no prototype now and then. */
function record<T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(model, { noNullPrototype: true });
}
const id = fc.string({ minLength: 1, maxLength: 40 });
const sequence = fc.oneof(fc.nat(300), fc.nat(2 ** 31), fc.maxSafeNat());
const key = fc.tuple(fc.constantFrom('M', 'H'), fc.string({ maxLength: 60 })).map(([letter, name]) => letter + name);
const served: fc.Arbitrary<ServedAddress> = record({
  key,
  treatment: fc.constantFrom<Treatment>('multicast', 'closest', 'balanced'),
});
const message: fc.Arbitrary<RoutingMessage> = fc.oneof(
  record({ opcode: fc.constant('HELLO' as const), id, instance: sequence, seen: fc.array(id) }),
  record({
    opcode: fc.constant('RA' as const),
    id,
    instance: sequence,
    linkSequence: sequence,
    mobileSequence: sequence,
  }),
  record({ opcode: fc.constant('LSR' as const), id }),
  record({
    opcode: fc.constant('LSU' as const),
    id,
    instance: sequence,
    linkSequence: sequence,
    peers: fc.array(fc.tuple(id, fc.integer({ min: 1, max: MAX_COST }))).map((each) => new Map(each)),
  }),
  record({ opcode: fc.constant('MAR' as const), id, haveSequence: sequence }),
  record({
    opcode: fc.constant('MAU' as const),
    id,
    mobileSequence: sequence,
    change: fc.oneof(record({ exist: fc.array(served) }), record({ add: fc.array(served), del: fc.array(key) })),
  }),
);

test('what is written is read', () => {
  fc.assert(
    fc.property(message, (each) => assert.equal(readRouting(writeRouting(each, 'all')), each)),
    { numRuns: RUNS },
  );
});

test('no octets do more than be refused', () => {
  const spoilt = mutated(message.map((each) => writeRouting(each, 'all')));
  fc.assert(
    fc.property(spoilt, (octets) => assert.type(readRouting(octets).opcode, 'string')),
    { numRuns: RUNS },
  );
});

function unreadable(opcode: string, fields: Record<string, Writable>): { code: string; message: string } {
  const octets = writeMessage(
    { applicationProperties: new Map([['opcode', opcode]]) },
    new Map<Writable, Writable>(Object.entries(fields)),
  );
  const read = readRouting(octets);
  if (read.opcode !== 'unreadable') throw new Error(`${opcode} was read`);
  return { code: read.code, message: read.message };
}

test('what cannot be used says why', () => {
  const linkState = (peers: Writable): Writable =>
    new Map<Writable, Writable>([
      ['id', 'a'],
      ['ls_seq', int(1)],
      ['peers', peers],
    ]);
  const cases: [string, Record<string, Writable>, RegExp][] = [
    ['LSR', {}, /router id is missing/],
    ['LSR', { id: 'x'.repeat(10_000) }, /10000 characters, more than 512/],
    ['HELLO', { id: 'a' }, /seen is not a list/],
    ['HELLO', { id: 'a', instance: int(-1), seen: [] }, /instance is no number of its kind/],
    ['RA', { id: 'a', ls_seq: 'one', mobile_seq: int(0) }, /ls_seq is no number/],
    ['LSU', { id: 'b', ls: linkState(new Map()) }, /link state of another router/],
    ['LSU', { id: 'a', ls: linkState(new Map([['b', int(0)]])) }, /a cost is no number/],
    [
      'LSU',
      { id: 'a', ls: linkState(new Map(Array.from({ length: MAX_PEERS + 1 }, (_, index) => [`r${index}`, int(1)]))) },
      /10001 entries, more than 10000/,
    ],
    ['MAU', { id: 'a', mobile_seq: int(1) }, /either exist, or add and del/],
    ['MAU', { id: 'a', mobile_seq: int(1), add: [] }, /either exist, or add and del/],
    ['MAU', { id: 'a', mobile_seq: int(1), exist: [['Lsecret']] }, /no class that is shared/],
    ['MAU', { id: 'a', mobile_seq: int(1), exist: [[`M${'x'.repeat(10_000)}`]] }, /10001 characters, more than 2048/],
    ['BYE', { id: 'a' }, /opcode means nothing/],
  ];
  for (const [opcode, fields, why] of cases) {
    const { code, message: words } = unreadable(opcode, fields);
    assert.is(code, 'malformed-routing-message');
    assert.match(words, why);
  }
  const newer = unreadable('RA', { id: 'a', pv: int(2) });
  assert.is(newer.code, 'incompatible-version');
  assert.match(newer.message, /version 2; this router speaks version 1/);
});

test('an address whose treatment is not known is balanced', () => {
  const octets = writeMessage(
    { applicationProperties: new Map([['opcode', 'MAU']]) },
    new Map<Writable, Writable>([
      ['id', 'a'],
      ['mobile_seq', int(1)],
      ['exist', [['Mx', int(77)], ['My']]],
    ]),
  );
  const read = readRouting(octets);
  assert.equal(read.opcode === 'MAU' && 'exist' in read.change && read.change.exist.map((each) => each.treatment), [
    'balanced',
    'balanced',
  ]);
});

test.run();
