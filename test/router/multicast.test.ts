/** Whom a message reaches that is for everybody. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Arrival } from '../../src/router/forwarding.ts';
import { Router } from '../../src/router/router.ts';
import { chunkOf, FakeConsumer, FakeSource, message, type Taken } from './consumers.ts';

function setup(mode: 'edge' | 'interior', ...consumers: FakeConsumer[]) {
  const router = new Router({ id: 'here', mode, siteId: 'x', siteName: 'here', version: '0' });
  for (const consumer of consumers) router.addresses.addConsumer('Mmc/news', consumer);
  return router;
}

function send(router: Router, change: Partial<Arrival> = {}, source = new FakeSource()): FakeSource {
  router.route(message('mc/news', change), source)?.end(false);
  return source;
}

const copies = (...consumers: FakeConsumer[]): number[] => consumers.map(({ taken }) => taken.length);

test('everybody here gets a copy, and each neighbour one for all who are behind it', () => {
  const [here, edge] = [new FakeConsumer(), new FakeConsumer({})];
  const [left, right] = [{}, {}];
  const beyond = [new FakeConsumer(left, 1), new FakeConsumer(left, 2), new FakeConsumer(right, 1)];
  const source = send(setup('interior', here, edge, ...beyond));
  assert.equal(copies(here, edge, ...beyond), [1, 1, 1, 0, 1]);
  assert.equal(source.heard, [{ outcome: 'accepted', settled: true }]);
  const taken = [here, edge, ...beyond].flatMap((consumer) => consumer.taken);
  assert.ok(taken.every(({ arrival, ended }) => arrival.complete && arrival.settled && ended === 'settled'));
});

test('a copy goes neither back, nor in circles, nor where the path of another router leads', () => {
  const way = {};
  const [client, back, seen, aside, ahead] = [
    ...[new FakeConsumer({}), new FakeConsumer(way, 1), new FakeConsumer({}, 1)],
    ...[new FakeConsumer({}, 1), new FakeConsumer({}, 1)],
  ] as [FakeConsumer, FakeConsumer, FakeConsumer, FakeConsumer, FakeConsumer];
  seen.allowed = false;
  aside.onPath = false;
  send(setup('interior', client, back, seen, aside, ahead), { via: way });
  assert.equal(copies(client, back, seen, aside, ahead), [1, 0, 0, 0, 1]);
});

test('a message that reaches nobody is given back', () => {
  const way = {};
  const heard = send(setup('interior', new FakeConsumer(way, 1)), { via: way }).heard;
  assert.equal(heard, [{ outcome: 'released', settled: true }]);
});

test('a message in parts reaches all whole, unless it is too long', () => {
  const here = new FakeConsumer();
  const router = setup('interior', here);
  const source = new FakeSource();
  const sink = router.route(message('mc/news', { complete: false }), source);
  sink?.write(chunkOf('part one, '));
  sink?.write(chunkOf('part two'));
  assert.equal(copies(here), [0]);
  sink?.end(false);
  assert.ok((here.taken[0] as Taken).octets.toString('latin1').endsWith('part one, part two'));
  const long = router.route(message('mc/news', { complete: false }), source);
  for (let part = 0; part < 17; part++) long?.write(chunkOf(Buffer.alloc(64 * 1024)));
  long?.end(false);
  assert.equal(copies(here), [1]);
  assert.equal(
    source.heard.map(({ outcome }) => outcome),
    ['accepted', 'rejected'],
  );
});

test('one that takes nothing any more gets no copies', () => {
  const [slow, quick] = [new FakeConsumer(), new FakeConsumer()];
  slow.outstanding = 1_000;
  send(setup('interior', slow, quick));
  assert.equal(copies(slow, quick), [0, 1]);
});

test('what a client at an edge sends goes up, too, where nobody else has asked about the address', () => {
  const [here, uplink] = [new FakeConsumer(), new FakeConsumer({})];
  const router = setup('edge', here);
  router.uplink = uplink;
  send(router);
  assert.equal(copies(here, uplink), [1, 1]);
  send(router, { via: uplink.via });
  assert.equal(copies(here, uplink), [2, 1], 'but what came down does not');
  router.addresses.addProducer('Mmc/news', { via: null, onConsumersChanged: () => {} });
  send(router);
  assert.equal(copies(here, uplink), [3, 1], 'the hub has been asked, and knows of nobody');
});

test.run();
