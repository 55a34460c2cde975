/** Records and messages against those of a real router, and against what is none. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decode, encode, type Value } from '../../../src/amqp/codec.ts';
import { readBody, readHead } from '../../../src/amqp/message.ts';
import { decodeRecords, encodeRecord, type FlowRecord } from '../../../src/router/records/encoding.ts';
import {
  beacon,
  flush,
  heartbeat,
  type Outgoing,
  readBeacon,
  readMessage,
  records,
} from '../../../src/router/records/messages.ts';
import { mutated } from '../../amqp/fuzz.ts';
import { type RheaTyped, rheaSequence } from '../../amqp/rhea-codec.ts';
import { readCapture } from '../../golden/capture.ts';
import { type DeliverySeen, Dialogue, sectionsOf } from '../../golden/dialogue.ts';

const test = suite('flow records on the wire');
const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);

/** Messages of the recorded edge and of the recorded collector, the edge's source being `id`. */
function recorded(subject: string): DeliverySeen[] {
  const dialogue = new Dialogue();
  for (const { side, frame } of readCapture('vanflow.0').frames) dialogue.take(side, frame);
  const said = [...dialogue.deliveries.values()].filter((each) => each.complete && each.head?.subject === subject);
  assert.ok(said.length > 0, `there is a ${subject}`);
  return said;
}

/** Sections with the types of all values in them, whatever the width they are written in. */
const typed = (octets: Buffer): unknown[] => rheaSequence(octets).map(plain);

function plain({ type, value, descriptor }: RheaTyped): unknown {
  const name = type.name.replace(/^Small|\d+$/g, '');
  return { ...(descriptor ? { descriptor: Number(descriptor.value) } : {}), [name]: inner(value) };
}

function inner(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((each) => plain(each as RheaTyped));
  return Buffer.isBuffer(value) && value.length === 8 ? Number(value.readBigUInt64BE()) : value;
}

/** The message-id, and times, are of their moment. */
const anonymous = (octets: Buffer): string =>
  JSON.stringify(typed(octets), (_, value) => (typeof value === 'number' && value > 1e15 ? 'a time' : value)).replace(
    /\{"Long":\d+\}/,
    '{"Long":"an id"}',
  );

const ids = (): number => 7;

function same({ octets }: Outgoing, real: DeliverySeen, what: string): void {
  assert.is(anonymous(octets), anonymous(sectionsOf(real)), what);
}

const [source] = recorded('BEACON').map((each) => readBody(sectionsOf(each)).applicationProperties.get('id') as string);

test('a beacon and a heartbeat are as those of the real router', () => {
  same(beacon(source as string, ids), recorded('BEACON')[0] as DeliverySeen, 'beacon');
  same(heartbeat(source as string, Date.now(), ids), recorded('HEARTBEAT')[0] as DeliverySeen, 'heartbeat');
});

test('a flush says what that of Skupper’s collector says', () => {
  const real = recorded('FLUSH')[0] as DeliverySeen;
  const { octets } = flush(source as string, ids);
  const ours = readHead(octets, 0, octets.length, true);
  assert.equal([ours?.to, ours?.subject], [real.head?.to, real.head?.subject]);
});

test('records of the real router are read, and written again as it writes them', () => {
  let compared = 0;
  for (const real of recorded('RECORD')) {
    const list = readBody(sectionsOf(real)).body as Map<Value, Value>[];
    const known = list.filter((each) => ![16].includes(each.get(0) as number));
    const decoded = decodeRecords(list);
    assert.is(decoded.length, known.length);
    // What statuses have no use for is not read, nor written: octets that were carried, and flows.
    for (const each of known) for (const code of [23, 58]) each.delete(code);
    if (known.length < list.length) continue;
    const again = readBody(records(source as string, decoded, ids).octets).body;
    assert.equal(again, list);
    compared += decoded.length;
  }
  assert.ok(compared > 10);
});

test('types are those without which Skupper drops a whole message', () => {
  const [full] = recorded('RECORD')
    .map((each) => sectionsOf(each))
    .filter((octets) => decodeRecords(readBody(octets).body).some(({ cost }) => cost === 1));
  const list = decodeRecords(readBody(full as Buffer).body);
  const ours = JSON.stringify(typed(records(source as string, list, ids).octets).at(-1));
  const theirs = typed(full as Buffer).at(-1) as { List: { Map: object[] }[] };
  const unread = (key: object): boolean => ['{"Uint":23}', '{"Uint":58}'].includes(JSON.stringify(key));
  for (const each of theirs.List)
    each.Map = each.Map.filter((_, index) => !unread(each.Map[index - (index % 2)] as object));
  assert.is(ours, JSON.stringify(theirs));
});

const text = fc.string({ maxLength: 40, unit: 'grapheme' });
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const flowRecord: fc.Arbitrary<FlowRecord> = fc.record(
  {
    type: fc.constantFrom('SITE', 'ROUTER', 'LINK', 'LISTENER', 'CONNECTOR', 'ROUTER_ACCESS'),
    identity: fc.string({ minLength: 1, maxLength: 40 }),
    ...{ parent: text, peer: text, name: text, address: text, destHost: text, destPort: text, status: text },
    ...{ startTime: count, endTime: count, cost: count, flowCount: count },
  },
  { requiredKeys: ['type', 'identity'] },
) as fc.Arbitrary<FlowRecord>;

test('every record comes as it went', () => {
  fc.assert(
    fc.property(fc.array(flowRecord, { maxLength: 8 }), (list) => {
      const plainly = list.map((each) => ({ ...each }));
      assert.equal(decodeRecords(decode(encode(list.map(encodeRecord)))), plainly);
    }),
    { numRuns: RUNS },
  );
});

const octetsOfRecords = fc
  .array(flowRecord, { minLength: 1, maxLength: 4 })
  .map((list) => Buffer.from(records('abcde:0', list, ids).octets));

test('octets that are no message, or no records, are passed over', () => {
  const values = { text: 0, number: 0 };
  fc.assert(
    fc.property(mutated(octetsOfRecords), (octets) => {
      for (const record of decodeRecords(readMessage(octets)?.body ?? null)) {
        for (const value of Object.values(record)) {
          if (typeof value === 'number') values.number++;
          else values.text++;
          assert.ok(typeof value === 'number' ? Number.isSafeInteger(value) && value >= 0 : typeof value === 'string');
          assert.ok(String(value).length <= 1024);
        }
      }
    }),
    { numRuns: RUNS },
  );
  assert.ok(values.text > 0 && values.number > 0, 'some are read all the same');
});

test('a value of another type is passed over, and the others are taken', () => {
  const list = [
    new Map<Value, Value>([
      ...([
        [0, 4],
        [1, 'abcde:1'],
        [19, 'erp'],
        [15, 7],
        [3, 'soon'],
        [30, 'x'.repeat(1025)],
        [99, 'new'],
      ] as const),
    ]),
    new Map<Value, Value>([
      [0, 99],
      [1, 'abcde:2'],
    ]),
    new Map<Value, Value>([[0, 4]]),
    'no record',
  ];
  assert.equal(decodeRecords(list), [{ type: 'LISTENER', identity: 'abcde:1', address: 'erp' }]);
  assert.equal(decodeRecords('no list'), []);
});

test('a beacon may name any source that a router of the network can be', () => {
  for (const id of ['87+Ys:0', '_Ab9+:0', '00000000-0000-4000-8000-000000000001']) {
    const properties = readBody(beacon(id, ids).octets).applicationProperties;
    assert.is(readBeacon(properties)?.id, id);
  }
});

test('a beacon that names any address but those of a source is none', () => {
  const properties = readBody(beacon('abcde:0', ids).octets).applicationProperties;
  assert.equal(readBeacon(properties), { id: 'abcde:0', controller: false });
  for (const [name, value] of [
    ['address', 'erp'],
    ['direct', 'erp'],
    ['id', 'fghij:0'],
    ['id', 7],
    ['id', null],
  ] as const) {
    assert.is(readBeacon(new Map([...properties, [name, value]])), null, `${name} ${value}`);
  }
  const odd = 'a/b';
  const forged = new Map<Value, Value>([
    ['id', odd],
    ['address', `mc/sfe.${odd}`],
    ['direct', `sfe.${odd}`],
  ]);
  assert.is(readBeacon(forged), null);
});

test.run();
