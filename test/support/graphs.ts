/** Networks made at random, for property tests: routers by number, and lines between them. */
import fc from 'fast-check';

export interface Graph {
  routers: string[];
  lines: { one: string; other: string; cost: number }[];
}

/** Names whose order is not that in which they are made. */
const NAMES = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { minLength: 2, maxLength: 10 });

/** At most one line between two routers; not all need be reachable. */
export const graph: fc.Arbitrary<Graph> = NAMES.chain((routers) => {
  const pairs = routers.flatMap((one, index) => routers.slice(index + 1).map((other) => ({ one, other })));
  return fc
    .array(fc.option(fc.integer({ min: 1, max: 4 }), { freq: 1 }), { minLength: pairs.length, maxLength: pairs.length })
    .map((costs) => ({
      routers,
      lines: pairs.flatMap((pair, index) => {
        const cost = costs[index];
        return typeof cost === 'number' ? [{ ...pair, cost }] : [];
      }),
    }));
});

/** The cost of the best path between any two routers, by Floyd and Warshall; infinity where there is none. */
export function costs({ routers, lines }: Graph): Map<string, Map<string, number>> {
  const table = new Map(
    routers.map((one) => [one, new Map(routers.map((other) => [other, Number.POSITIVE_INFINITY]))]),
  );
  const at = (one: string, other: string): number => table.get(one)?.get(other) as number;
  for (const router of routers) table.get(router)?.set(router, 0);
  for (const { one, other, cost } of lines) {
    table.get(one)?.set(other, cost);
    table.get(other)?.set(one, cost);
  }
  for (const middle of routers) {
    for (const one of routers) {
      for (const other of routers) {
        const sum = at(one, middle) + at(middle, other);
        if (sum < at(one, other)) table.get(one)?.set(other, sum);
      }
    }
  }
  return table;
}
