/** Deliveries by their ids, against what a Map does. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Deliveries } from '../../src/amqp/deliveries.ts';

const test = suite('deliveries');
const RUNS = Number(process.env.FUZZ_RUNS ?? 300);

interface Delivery {
  readonly id: number;
}

test('those with ids that count up, past 2^32 too, are found, one by one and by ranges', () => {
  const step = fc.record({ add: fc.boolean(), which: fc.nat(30), count: fc.integer({ min: 1, max: 20 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.constantFrom(0, 0x7fffffe0, 0xffffffe0), (steps, from) => {
      const deliveries = new Deliveries<Delivery>();
      const known = new Map<number, Delivery>();
      let next = from;
      let good = true;
      for (const { add, which, count } of steps) {
        const id = (from + which) >>> 0;
        if (add) {
          const delivery = { id: next };
          next = (next + 1) >>> 0;
          deliveries.add(delivery);
          known.set(delivery.id, delivery);
        } else if (known.has(id)) {
          deliveries.delete(known.get(id) as Delivery);
          known.delete(id);
        }
        good &&= deliveries.size === known.size && deliveries.get(id) === known.get(id);
        const wanted = Array.from({ length: count }, (_, index) => known.get((id + index) >>> 0)).filter(Boolean);
        good &&= JSON.stringify(deliveries.range(id, count)) === JSON.stringify(wanted);
      }
      return good;
    }),
    { numRuns: RUNS },
  );
});

test('what a peer numbers as it likes is forgotten all the same', () => {
  const ids = fc.uniqueArray(fc.integer({ min: 0, max: 0xffffffff }), { maxLength: 40 });
  fc.assert(
    fc.property(ids, (all) => {
      const deliveries = new Deliveries<Delivery>();
      const added = all.map((id) => ({ id }));
      for (const delivery of added) deliveries.add(delivery);
      for (const delivery of added) deliveries.delete(delivery);
      return deliveries.size === 0;
    }),
    { numRuns: RUNS },
  );
});

test('what is not there is neither found nor forgotten', () => {
  const deliveries = new Deliveries<Delivery>();
  deliveries.add({ id: 1 });
  deliveries.delete({ id: 1 });
  assert.is(deliveries.size, 1);
  assert.is(deliveries.get(2), undefined);
});

test.run();
