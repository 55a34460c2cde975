/** Routers that tell each other of themselves, each with the other as its only peer, and the feed of a hub. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Sender } from '../../../src/amqp/link.ts';
import { readBody } from '../../../src/amqp/message.ts';
import { Chunk } from '../../../src/net/chunk.ts';
import { type Arrival, type Consumer, DISCARD, type Sink } from '../../../src/router/forwarding.ts';
import { post } from '../../../src/router/post.ts';
import type { NetworkChange } from '../../../src/router/protocol.ts';
import { Collected } from '../../../src/router/records/collected.ts';
import { decodeRecords, type FlowRecord } from '../../../src/router/records/encoding.ts';
import { Feed, FeedReader } from '../../../src/router/records/feed.ts';
import { beacon, flush, records } from '../../../src/router/records/messages.ts';
import { Router } from '../../../src/router/router.ts';
import { eventually, sleep } from '../../support/eventually.ts';

const test = suite('flow records of a router');
const routers: Router[] = [];

function start(mode: 'edge' | 'interior' = 'interior'): { router: Router; changes: NetworkChange[] } {
  const router = new Router({ id: 'here-1', mode, siteId: 'site-1', siteName: 'here', version: '1' });
  const changes: NetworkChange[] = [];
  router.records.onChange = (change) => changes.push(change);
  router.records.start();
  routers.push(router);
  return { router, changes };
}

test.after.each(() => {
  for (const router of routers.splice(0)) router.records.stop();
});

/** A collector elsewhere, as far as a router can tell. */
class Listening implements Consumer {
  readonly cost = 0;
  readonly via = {};
  outstanding = 0;
  readonly heard: { subject: string; records: FlowRecord[] }[] = [];

  deliver({ head, first }: Arrival): Sink {
    const { body } = readBody(Buffer.from(first.view()));
    this.heard.push({ subject: head.subject ?? '', records: decodeRecords(body) });
    return DISCARD;
  }

  subjects(): string[] {
    return this.heard.map(({ subject }) => subject);
  }
}

const idOf = (router: Router): string => `${router.recordPrefix}:0`;

test('nothing is said while nobody listens', async () => {
  const { router } = start();
  let routed = 0;
  const { route } = router;
  router.route = (...args) => {
    routed++;
    return route.apply(router, args);
  };
  const record = router.records.add('LISTENER', { name: 'a', address: 'a' });
  record.set({ address: 'b' });
  record.count({ flowCount: 1 });
  record.end();
  await sleep(2_500);
  assert.is(routed, 0);
});

test('who begins to listen is greeted, and hears all when it asks', async () => {
  const { router } = start();
  const listening = new Listening();
  router.addresses.addConsumer('Mmc/sfe.all', listening);
  await eventually('the beacon', () => listening.subjects().includes('BEACON'));
  router.addresses.addConsumer(`Mmc/sfe.${idOf(router)}`, listening);
  await eventually('the heartbeat', () => listening.subjects().includes('HEARTBEAT'));
  assert.not.ok(listening.subjects().includes('RECORD'), 'records are for those who ask');
  // Asked for many times at once, all is said once.
  for (let times = 0; times < 50; times++)
    post(
      router,
      flush(idOf(router), () => 0),
      {},
    );
  await eventually('the records', () => listening.subjects().includes('RECORD'));
  await sleep(600);
  assert.is(listening.subjects().filter((subject) => subject === 'RECORD').length, 1);
  const types = listening.heard.flatMap(({ records: list }) => list.map(({ type }) => type));
  assert.equal(types, ['SITE', 'ROUTER']);

  // From then on, only what is new.
  listening.heard.length = 0;
  const record = router.records.add('LISTENER', { name: 'a', address: 'a' });
  const news = () => listening.heard.flatMap(({ records: list }) => list);
  await eventually('the new one', () => news().length === 1);
  assert.equal([news()[0]?.parent, news()[0]?.address], [idOf(router), 'a']);
  record.set({ address: 'b' });
  const change = { type: 'LISTENER', identity: record.identity, address: 'b' };
  await eventually('the change', () => news().length === 2);
  assert.equal(news()[1], change);
  record.end();
  await eventually('the end', () => news().length === 3);
  assert.ok(news()[2]?.endTime);

  router.records.stop();
  assert.equal(
    news()
      .slice(3)
      .map(({ type, endTime }) => [type, endTime !== undefined]),
    [
      ['SITE', true],
      ['ROUTER', true],
    ],
  );
});

test('what ended while nobody could hear it is told to who comes back', async () => {
  const { router } = start();
  const listening = new Listening();
  const key = `Mmc/sfe.${idOf(router)}`;
  const record = router.records.add('LISTENER', { name: 'a', address: 'a' });
  router.addresses.addConsumer(key, listening);
  await eventually('a heartbeat', () => listening.subjects().includes('HEARTBEAT'));
  router.addresses.removeConsumer(key, listening);
  record.end();
  router.records.add('LISTENER', { name: 'b', address: 'b' });
  router.addresses.addConsumer(key, listening);
  const told = () => listening.heard.flatMap(({ records: list }) => list);
  await eventually('the end', () => told().some(({ identity, endTime }) => identity === record.identity && endTime));
  assert.ok(told().some(({ address }) => address === 'b'));
});

test('a source is asked once it is heard, and its words are reported together', async () => {
  const { router, changes } = start();
  await eventually('its own', () => changes.length > 0);
  const remote = { id: 'other:0', via: {} };
  const asked = new Listening();
  router.addresses.addConsumer(`Msfe.${remote.id}`, asked);
  post(
    router,
    beacon(remote.id, () => 0),
    remote.via,
  );
  assert.equal(asked.subjects(), []);
  const before = changes.length;
  for (let index = 0; index < 100; index++) {
    const record = { type: 'LISTENER', identity: `other:${index + 1}`, startTime: 1, address: 'a' } as const;
    post(
      router,
      records(remote.id, [record], () => 0),
      remote.via,
    );
  }
  assert.equal(asked.subjects(), ['FLUSH']);
  await eventually('the report', () => changes.length > before);
  assert.is(changes.at(-1)?.put.find(({ source }) => source === remote.id)?.records.length, 100);
  assert.is(changes.length, before + 1);
  // A change of what never began makes it ask again, but not at once each time.
  const odd = { type: 'LISTENER', identity: 'other:999', address: 'a' } as const;
  post(
    router,
    records(remote.id, [odd], () => 0),
    remote.via,
  );
  assert.is(asked.heard.length, 1);
});

test('copies do not pile up for a consumer that takes none', () => {
  const { router } = start();
  const stuck = new Listening();
  router.addresses.addConsumer('Mmc/news', stuck);
  const say = () => post(router, { to: 'mc/news', subject: 'x', octets: records('a:0', [], () => 0).octets }, {});
  say();
  stuck.outstanding = 1_000;
  say();
  assert.is(stuck.heard.length, 1);
});

/** The hub's end of a link to an edge, which reads when it is told to. */
class FeedLink {
  readonly messages: Buffer[] = [];
  #handler: { onState(state: unknown, settled: boolean): void } | null = null;

  readonly sender = {
    send: (_settled: boolean, handler: { onState(state: unknown, settled: boolean): void }) => {
      this.#handler = handler;
      const end = (_done: boolean, chunk: Chunk): void => {
        this.messages.push(Buffer.from(chunk.view()));
      };
      return { end, settle: () => {} };
    },
  } as unknown as Sender;

  /** The edge reads a message. */
  read(reader: FeedReader): void {
    const message = this.messages.shift() as Buffer;
    const delivery = { complete: true, aborted: false, update: () => {} };
    reader.onTransfer(delivery as never, new Chunk(message, 0, message.length));
    this.#handler?.onState(null, true);
  }
}

function known(...sources: string[]): Collected {
  const collected = new Collected(() => {});
  for (const source of sources) tell(collected, source, 'a');
  return collected;
}

function tell(collected: Collected, source: string, name: string): void {
  collected.believe(source, 1);
  collected.merge(source, [{ type: 'SITE', identity: `site-${source}`, startTime: 1, name }]);
}

test('an edge that is fed knows what its hub knows, and nothing else', () => {
  const hub = known('a', 'b', 'own');
  const feed = new Feed(hub, 'own');
  const edge = known('own', 'old');
  const reader = new FeedReader(edge, 'own');
  const link = new FeedLink();
  const end = feed.serve(link.sender);
  assert.ok(edge.has('old'));
  link.read(reader);
  assert.equal(edge.ids().sort(), ['a', 'b', 'own']);
  assert.equal(edge.recordsOf('a'), hub.recordsOf('a'));

  // While the edge is slow, changes wait and are told once.
  tell(hub, 'a', 'first');
  feed.publish(['a']);
  tell(hub, 'a', 'second');
  feed.publish(['a']);
  tell(hub, 'a', 'third');
  hub.forget('b');
  feed.publish(['a', 'b']);
  assert.is(link.messages.length, 1);
  link.read(reader);
  link.read(reader);
  assert.is(link.messages.length, 0);
  assert.is(edge.recordsOf('a')?.[0]?.name, 'third');
  assert.not.ok(edge.has('b'));

  // With the feed gone it is believed for a while.
  end();
  feed.publish(['a']);
  assert.is(link.messages.length, 0);
  reader.close();
  assert.equal(edge.sweep(performance.now() + 10_000), ['own']);
  assert.equal(edge.sweep(performance.now() + 40_000), ['a']);
});

test('a large network comes in many messages, and is complete with the last', () => {
  const hub = known(...Array.from({ length: 2_000 }, (_, index) => `source-${index}`));
  const edge = known('old');
  const reader = new FeedReader(edge, 'own');
  const link = new FeedLink();
  const end = new Feed(hub, 'own').serve(link.sender);
  let count = 0;
  while (link.messages.length > 0) {
    assert.ok((link.messages[0]?.length ?? 0) < 20_000);
    assert.ok(edge.has('old'), 'until all is told');
    link.read(reader);
    count++;
  }
  assert.ok(count > 3, `${count}`);
  assert.not.ok(edge.has('old'));
  assert.is(edge.ids().length, 2_000);
  end();
});

test.run();
