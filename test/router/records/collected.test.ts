/** What is kept of the network, and that it stays within its limits whatever is said. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Collected, type Limits } from '../../../src/router/records/collected.ts';
import type { FlowRecord } from '../../../src/router/records/encoding.ts';

const test = suite('collected records');
const RUNS = Number(process.env.FUZZ_RUNS ?? 2000) / 10;

const listener = (identity: string, rest: Partial<FlowRecord> = {}): FlowRecord => ({
  ...{ type: 'LISTENER', identity, startTime: 1, address: 'erp' },
  ...rest,
});

function collect(limits?: Limits): { collected: Collected; changes: string[] } {
  const changes: string[] = [];
  return { collected: new Collected((source) => changes.push(source), limits), changes };
}

test('an update changes what it names, and a counter changes nothing', () => {
  const { collected, changes } = collect();
  collected.believe('a', 10);
  assert.is(collected.merge('a', [listener('a:1', { name: 'one', flowCount: 1 })]), false);
  assert.equal(collected.recordsOf('a'), [{ type: 'LISTENER', identity: 'a:1', address: 'erp', name: 'one' }]);
  const before = changes.length;
  collected.merge('a', [{ type: 'LISTENER', identity: 'a:1', flowCount: 2 }]);
  assert.is(changes.length, before);
  collected.merge('a', [{ type: 'LISTENER', identity: 'a:1', address: 'crm' }]);
  assert.is(changes.length, before + 1);
  assert.equal(collected.recordsOf('a')?.[0]?.address, 'crm');
});

test('a record that has ended is gone; a change of one that never began is amiss', () => {
  const { collected } = collect();
  collected.believe('a', 10);
  collected.merge('a', [listener('a:1')]);
  assert.is(collected.merge('a', [{ type: 'LISTENER', identity: 'a:1', endTime: 5 }]), false);
  assert.equal(collected.recordsOf('a'), []);
  assert.is(collected.merge('a', [{ type: 'LISTENER', identity: 'a:2', address: 'crm' }]), true);
  assert.is(collected.merge('a', [{ type: 'LISTENER', identity: 'a:2', name: 'two' }]), false);
});

test('what one source says does not touch what another has said', () => {
  const { collected } = collect();
  collected.believe('a', 10);
  collected.believe('b', 10);
  collected.merge('a', [listener('a:1')]);
  collected.merge('b', [{ type: 'LISTENER', identity: 'a:1', endTime: 5 }]);
  assert.is(collected.recordsOf('a')?.length, 1);
});

test('a source is believed until its time, with everything it said', () => {
  const { collected, changes } = collect();
  collected.believe('a', 10);
  collected.believe('b', 10);
  collected.believe('b', 20);
  assert.equal(collected.sweep(10), []);
  assert.equal(collected.sweep(15), ['a']);
  assert.is(collected.recordsOf('a'), null);
  assert.ok(collected.has('b'));
  assert.is(changes.at(-1), 'a');
  // Words of a source that is not believed are not kept.
  collected.merge('a', [listener('a:1')]);
  assert.is(collected.recordsOf('a'), null);
});

test('all of a source replaces what was known of it', () => {
  const { collected } = collect();
  collected.believe('a', 10);
  collected.merge('a', [listener('a:1'), listener('a:2')]);
  collected.replace('a', [listener('a:2', { address: 'crm' }), listener('a:3')]);
  assert.equal(
    collected.recordsOf('a')?.map(({ identity, address }) => [identity, address]),
    [
      ['a:2', 'crm'],
      ['a:3', 'erp'],
    ],
  );
});

test('nothing grows past its limits, and what is ended or forgotten makes room', () => {
  const limits = { sources: 3, octets: 3_000, octetsOfOne: 1_500 };
  const source = fc.constantFrom('a', 'b', 'c', 'd', 'e');
  const record = fc.record(
    {
      type: fc.constantFrom('LISTENER', 'SITE', 'LINK'),
      identity: fc.nat(20).map(String),
      name: fc.string({ maxLength: 1000 }),
      address: fc.string({ maxLength: 300 }),
      startTime: fc.constant(1),
      endTime: fc.constant(2),
    },
    { requiredKeys: ['type', 'identity'] },
  ) as fc.Arbitrary<FlowRecord>;
  const step = fc.oneof(
    fc.record({ source, records: fc.array(record, { maxLength: 4 }) }),
    fc.record({ source, all: fc.array(record, { maxLength: 4 }) }),
    fc.record({ source, forget: fc.constant(true) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { collected } = collect(limits);
      for (const each of steps) {
        if ('forget' in each) collected.forget(each.source);
        else if (collected.believe(each.source, 1)) {
          if ('all' in each) collected.replace(each.source, each.all);
          else collected.merge(each.source, each.records);
        }
        const sizes = collected.ids().map((id) => sizeOf(collected.recordsOf(id) ?? []));
        assert.ok(sizes.length <= limits.sources);
        assert.ok(sizes.every((size) => size <= limits.octetsOfOne));
        assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= limits.octets);
      }
      for (const id of collected.ids()) collected.forget(id);
      collected.believe('z', 1);
      collected.merge('z', [listener('z:1', { name: 'x'.repeat(900) })]);
      assert.is(collected.recordsOf('z')?.length, 1, 'all of the room is free again');
    }),
    { numRuns: RUNS },
  );
});

const sizeOf = (records: FlowRecord[]): number =>
  records.reduce((sum, { name = '', address = '' }) => sum + 200 + name.length + address.length, 0);

test.run();
