/** Bags against what a Set does. */
import fc from 'fast-check';
import { suite } from 'uvu';
import { Bag, type BagItem } from '../../src/net/bag.ts';

const test = suite('bag');
const RUNS = Number(process.env.FUZZ_RUNS ?? 300);

test('holds what was added and not taken out, whatever the order', () => {
  const step = fc.record({ kind: fc.constantFrom('add', 'add', 'delete', 'empty'), which: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const items: BagItem[] = Array.from({ length: 10 }, () => ({ place: -1 }));
      const bag = new Bag<BagItem>();
      const set = new Set<BagItem>();
      let good = true;
      for (const { kind, which } of steps) {
        const item = items[which] as BagItem;
        if (kind === 'delete') good &&= bag.delete(item) === set.delete(item);
        else if (kind === 'empty') {
          good &&= same(bag.empty(), set);
          set.clear();
        } else if (!set.has(item)) {
          bag.add(item);
          set.add(item);
        }
        good &&= bag.size === set.size && same(bag, set);
        good &&= items.every((each) => set.has(each) === (each.place !== -1));
      }
      return good;
    }),
    { numRuns: RUNS },
  );
});

function same(some: Iterable<BagItem>, others: Set<BagItem>): boolean {
  const all = [...some];
  return all.length === others.size && all.every((each) => others.has(each));
}

test.run();
