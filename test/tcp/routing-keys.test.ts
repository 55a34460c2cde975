/** Which routing key a connection goes to, as keys come and go. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Consumer } from '../../src/router/forwarding.ts';
import type { Strategy } from '../../src/router/protocol.ts';
import { Router } from '../../src/router/router.ts';
import { RoutingKeys } from '../../src/tcp/routing-keys.ts';

const server = { via: null, outstanding: 0, cost: 0 } as unknown as Consumer;

function setup(strategy: Strategy) {
  const router = new Router({ id: 'hub', mode: 'interior', siteId: 'x', siteName: 'hub', version: '0' });
  let changes = 0;
  const keys = new RoutingKeys(strategy, router, {}, () => changes++);
  return {
    router,
    keys,
    come: (key: string) => router.addresses.addConsumer(`M${key}`, server),
    go: (key: string) => router.addresses.removeConsumer(`M${key}`, server),
    changes: () => changes,
  };
}

function shares(keys: RoutingKeys, connections: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let count = 0; count < connections; count++) {
    const key = keys.next() ?? 'none';
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

test('by priority, the first that is reachable takes all', () => {
  const { keys, come, go, changes } = setup({ priority: ['a', 'b', 'c'] });
  assert.is(keys.next(), null);
  assert.not.ok(keys.anyReachable);
  come('c');
  assert.equal(shares(keys, 3), { c: 3 });
  come('a');
  assert.equal(shares(keys, 3), { a: 3 });
  assert.equal(keys.reachable, ['a', 'c']);
  go('a');
  assert.is(keys.next(), 'c');
  come('unrelated');
  assert.is(changes(), 3);
});

test('by weight, each gets its share of those that are reachable, in turn', () => {
  const { keys, come, go } = setup({ weighted: { a: 5, b: 1, c: 1 } });
  come('a');
  come('b');
  come('c');
  assert.equal(shares(keys, 70), { a: 50, b: 10, c: 10 });
  const order = Array.from({ length: 7 }, () => keys.next()).join('');
  assert.is(order, 'aabacaa', 'a light key is not kept waiting for a heavy one to have all its turns');
  go('a');
  assert.equal(shares(keys, 10), { b: 5, c: 5 });
  come('a');
  assert.equal(shares(keys, 7), { a: 5, b: 1, c: 1 });
  go('a');
  go('b');
  go('c');
  assert.is(keys.next(), null);
});

test('nothing is left in the address table', () => {
  const { keys, router } = setup({ weighted: { a: 1, b: 1 } });
  assert.is([...router.addresses.all()].length, 2);
  keys.close();
  assert.is([...router.addresses.all()].length, 0);
});

test.run();
