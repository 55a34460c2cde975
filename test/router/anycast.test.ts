/** Which consumer a message goes to, and to whom next when that one gives it back. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ACCEPTED, MODIFIED_FAILED, RELEASED } from '../../src/amqp/performatives.ts';
import { type Address, AddressTable } from '../../src/router/addresses.ts';
import { difference, forwardToOne, standings } from '../../src/router/anycast.ts';
import type { Arrival, Sink } from '../../src/router/forwarding.ts';
import { chunkOf, FakeConsumer, FakeSource, message, resendable, stream, type Taken } from './consumers.ts';

function served(key: string, ...consumers: FakeConsumer[]): Address {
  const table = new AddressTable();
  for (const consumer of consumers) table.addConsumer(key, consumer);
  return table.get(key) as Address;
}

/** Sends so many, each of which stays with its consumer; returns how many each consumer has. */
function send(address: Address, count: number, make: (to: string) => Arrival = stream): number[] {
  for (let sent = 0; sent < count; sent++) forwardToOne(address, make(address.name), new FakeSource());
  return address.consumers.map((consumer) => (consumer as FakeConsumer).taken.length);
}

test('a balanced address is served here until as many are in hand as another way costs', () => {
  const [here, there] = [new FakeConsumer(), new FakeConsumer({}, 5)];
  const address = served('Mshop', here, there);
  assert.equal(send(address, 6), [6, 0], 'the cost is not exceeded: this site is first among equals');
  assert.equal(send(address, 1), [6, 1]);
  assert.equal(send(address, 20), [16, 11], 'from there on each gets every second one');
});

test('what a device tells its fleet stays with the hub it is linked to, however busy that is', () => {
  const [here, there] = [new FakeConsumer(), new FakeConsumer({}, 1)];
  here.outstanding = 1_000;
  assert.equal(send(served('Mskiff.fleet', here, there), 3), [3, 0]);
});

test('messages in hand elsewhere count for their own address, and until they are over', () => {
  const way = {};
  const [here, there] = [new FakeConsumer(), new FakeConsumer(way, 1)];
  [here.outstanding, there.outstanding] = [2, 100];
  const address = served('Mshop', here, there);
  const ends: ((taken: Taken, sink: Sink | null) => void)[] = [
    (taken) => taken.say(ACCEPTED),
    (taken) => taken.say(MODIFIED_FAILED, false),
    (_taken, sink) => sink?.end(true),
    (_taken, sink) => sink?.abort(),
  ];
  for (const end of ends) {
    const sink = forwardToOne(address, stream('shop'), new FakeSource());
    assert.is(address.sentBy(way), 1);
    end(there.taken.at(-1) as Taken, sink);
    assert.is(address.sentBy(way), 0);
  }
  assert.is(there.taken.length, ends.length);
});

test("what is said of everybody's chances comes true", () => {
  const consumer = fc.record({
    cost: fc.integer({ min: 0, max: 4 }),
    inHand: fc.integer({ min: 0, max: 300 }),
    here: fc.boolean(),
  });
  const key = fc.constantFrom('Mshop', 'Hstore');
  const property = fc.property(key, fc.array(consumer, { minLength: 1, maxLength: 6 }), (key, all) => {
    const consumers = all.map(({ cost, inHand, here }) =>
      Object.assign(new FakeConsumer(here && cost === 0 ? null : {}, cost), { outstanding: inHand }),
    );
    const address = served(key, ...consumers);
    const [best, ...rest] = standings(address, stream('shop'));
    forwardToOne(address, stream('shop'), new FakeSource());
    const taken = consumers.find((each) => each.taken.length > 0);
    const chosen = [best, ...rest].find((each) => each?.consumer === taken);
    if (best && chosen) assert.is(difference(best, chosen), null, 'the first, or one equal to it');
    else assert.unreachable('whoever takes it was not among them');
    assert.is(rest.length + 1, consumers.length);
  });
  fc.assert(property);
});

test('the nearest is taken of any other address, however busy', () => {
  const [near, far, farther] = [new FakeConsumer({}, 2), new FakeConsumer({}, 2), new FakeConsumer({}, 7)];
  assert.equal(send(served('Hstore', farther, near, far), 600), [0, 300, 300]);
  const here = new FakeConsumer();
  assert.equal(send(served('Hstore', new FakeConsumer({}, 1), here), 600), [0, 600]);
});

test('equals take turns, and this site comes before its edges', () => {
  const sites = [new FakeConsumer({}), new FakeConsumer({}), new FakeConsumer({})];
  assert.equal(send(served('Mshop', ...sites), 30), [10, 10, 10]);
  assert.equal(send(served('Mshop', new FakeConsumer({}), new FakeConsumer()), 1), [0, 1]);
});

test('one that has 250 in hand gets more only when all have', () => {
  const [here, there] = [new FakeConsumer(), new FakeConsumer({}, 1_000)];
  assert.equal(send(served('Mshop', here, there), 300), [250, 50]);
  const alone = served('Mshop', new FakeConsumer());
  assert.equal(send(alone, 300), [300]);
});

test('a message goes neither back nor where it has been, and leaves its path only when there is no other', () => {
  const way = {};
  const [back, seen, aside] = [new FakeConsumer(way, 1), new FakeConsumer({}, 1), new FakeConsumer({}, 1)];
  seen.allowed = false;
  aside.onPath = false;
  const ahead = new FakeConsumer({}, 50);
  const address = served('Mshop', back, seen, aside, ahead);
  const arriving = (to: string): Arrival => ({ ...stream(to), via: way });
  assert.equal(send(address, 100, arriving), [0, 0, 0, 100]);
  ahead.allowed = false;
  assert.equal(send(address, 10, arriving), [0, 0, 10, 100]);
  aside.allowed = false;
  assert.is(forwardToOne(address, arriving('shop'), new FakeSource()), null);
});

test('what is given back goes to the next, with what has come of it', () => {
  const [first, second] = [new FakeConsumer(), new FakeConsumer({}, 1)];
  const source = new FakeSource();
  const sink = forwardToOne(served('Mshop', first, second), stream('shop'), source);
  const head = Buffer.from(first.taken[0]?.octets ?? '');
  sink?.write(chunkOf('hello'));
  first.taken[0]?.say(RELEASED);
  assert.is(first.taken[0]?.ended, 'settled');
  assert.equal(second.taken[0]?.octets, Buffer.concat([head, Buffer.from('hello')]));
  sink?.write(chunkOf(' there'));
  sink?.end(false);
  assert.ok(second.taken[0]?.octets.toString('latin1').endsWith('hello there'));
  assert.is(second.taken[0]?.ended, 'unsettled');
  assert.is(first.taken[0]?.octets.length, head.length + 5, 'nothing more for the first');
  first.taken[0]?.say(ACCEPTED);
  assert.equal(source.heard, [], 'nor has it a say any more');
  second.taken[0]?.say(ACCEPTED);
  assert.equal(source.heard, [{ outcome: 'accepted', settled: true }]);
});

test('what is given back when nobody is left, or too late, goes back to where it came from', () => {
  const way = {};
  const [one, other] = [new FakeConsumer(way, 1), new FakeConsumer(way, 2)];
  const source = new FakeSource();
  forwardToOne(served('Mshop', one, other), stream('shop'), source);
  one.taken[0]?.say(RELEASED);
  assert.equal([other.taken.length, source.heard], [0, [{ outcome: 'released', settled: true }]], 'the same neighbour');

  const late = new FakeSource();
  const [here, there] = [new FakeConsumer(), new FakeConsumer({}, 1)];
  forwardToOne(served('Mshop', here, there), stream('shop'), late)?.write(chunkOf(Buffer.alloc(5_000)));
  here.taken[0]?.say(RELEASED);
  assert.equal([there.taken.length, late.heard], [0, [{ outcome: 'released', settled: true }]], 'not kept any more');
});

test('a message that is whole is given to another when it asks for that', () => {
  for (const [make, expected] of [
    [message, { second: null, heard: ['released'] }],
    [resendable, { second: 'unsettled', heard: [] }],
  ] as const) {
    const [first, second] = [new FakeConsumer(), new FakeConsumer({}, 1)];
    const source = new FakeSource();
    forwardToOne(served('Mshop', first, second), make('shop'), source)?.end(false);
    first.taken[0]?.say(RELEASED);
    const heard = source.heard.map(({ outcome }) => outcome);
    assert.equal({ second: second.taken[0]?.ended ?? null, heard }, expected);
    if (second.taken[0]) assert.equal(second.taken[0].octets, first.taken[0]?.octets);
  }
});

test('however consumers answer, each is asked once, and the source hears one last word', () => {
  const kind = fc.record({
    way: fc.constantFrom(null, 0, 1, 2),
    state: fc.constantFrom(ACCEPTED, RELEASED, RELEASED, MODIFIED_FAILED),
    atOnce: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(kind, { minLength: 1, maxLength: 6 }), fc.boolean(), (kinds, whole) => {
      const ways = [{}, {}, {}];
      const consumers = kinds.map(({ way, state, atOnce }) => {
        const consumer = way === null ? new FakeConsumer() : new FakeConsumer(ways[way], way + 1);
        if (atOnce) consumer.answer = state;
        return consumer;
      });
      const address = served('Mshop', ...consumers);
      const source = new FakeSource();
      const sink = forwardToOne(address, whole ? resendable('shop') : stream('shop'), source);
      if (whole) sink?.end(false);
      for (const _ of consumers) {
        const asked = consumers.findIndex(({ taken }, index) => taken[0]?.asked && !kinds[index]?.atOnce);
        if (asked >= 0) consumers[asked]?.taken[0]?.say(kinds[asked]?.state ?? RELEASED);
      }
      assert.is(source.heard.length, 1);
      assert.ok(consumers.every(({ taken }) => taken.length <= 1));
      for (const way of ways) {
        assert.is(address.sentBy(way), 0);
        assert.ok(consumers.filter(({ via, taken }) => via === way && taken.length > 0).length <= 1);
      }
      const took = consumers.filter(({ taken }, index) => taken.length > 0 && kinds[index]?.state !== RELEASED);
      assert.is(took.length, source.heard[0]?.outcome === 'released' ? 0 : 1);
    }),
  );
});

test.run();
