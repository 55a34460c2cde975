/** How far a client's octets may run ahead of the answer to its stream, and what becomes of ends that come late or in doubt. */
import type { Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { IncomingDelivery } from '../../src/amqp/delivery.ts';
import { ACCEPTED, MODIFIED_FAILED } from '../../src/amqp/performatives.ts';
import { Chunk } from '../../src/net/chunk.ts';
import type { Arrival, Consumer, Sink, Source } from '../../src/router/forwarding.ts';
import { InboundLink } from '../../src/router/inbound.ts';
import type { Peer } from '../../src/router/peer.ts';
import type { ListenerState, PartState } from '../../src/router/protocol.ts';
import { Router } from '../../src/router/router.ts';
import { openingOf } from '../../src/tcp/encapsulation.ts';
import { Listener } from '../../src/tcp/listener.ts';
import { eventually, sleep } from '../support/eventually.ts';
import { closeSockets, connect, ending } from '../support/tcp.ts';

test.after(closeSockets);

function newRouter(): Router {
  return new Router({ id: 'hub', mode: 'interior', siteId: 'x', siteName: 'hub', version: '0' });
}

/** Takes whatever is sent to an address, and counts. */
class Taker implements Consumer, Sink {
  readonly cost = 0;
  readonly via = null;
  readonly outstanding = 0;
  readonly blocked = false;
  arrival: Arrival | null = null;
  source: Source | null = null;
  octets = 0;
  ended = false;
  aborted = false;

  deliver(arrival: Arrival, source: Source): Sink {
    this.arrival = arrival;
    this.source = source;
    arrival.first.release();
    return this;
  }

  write(chunk: Chunk): void {
    this.octets += chunk.length;
    chunk.release();
  }

  end(): void {
    this.ended = true;
  }

  abort(): void {
    this.aborted = true;
  }
}

/** A client of a listener, whose streams come to `far`. */
async function clientOf(router: Router, far: Taker): Promise<{ client: Socket; listener: Listener }> {
  router.addresses.addConsumer('Mecho', far);
  let state: PartState | null = null;
  const config = { kind: 'listener', name: 'echo', routingKey: 'echo', host: '127.0.0.1', port: 0 } as const;
  const listener = new Listener(config, router, (look) => {
    state = look();
  });
  await listener.settled;
  return { client: await connect((state as unknown as ListenerState).port as number), listener };
}

test('one read of a client goes ahead of the answer, and its end does not', async () => {
  const router = newRouter();
  const far = new Taker();
  const { client, listener } = await clientOf(router, far);
  const octets = 300_000;
  client.end(Buffer.alloc(octets));
  await eventually('the first octets have come', () => far.octets > 0);
  await sleep(200);
  // Little enough for a router on the way to keep.
  assert.ok(far.octets <= 16 * 1024, `${far.octets} octets`);
  assert.not.ok(far.ended);

  const answer: Source = { onOutcome() {}, onWritable() {} };
  const sink = router.route(openingOf(far.arrival?.head.replyTo as string, null), answer);
  await eventually('the rest has come', () => far.ended);
  assert.is(far.octets, octets);
  sink?.end(false);
  far.source?.onOutcome({ outcome: 'accepted' }, true);
  client.resume();
  await eventually('the stream is over', () => listener.connectionsOpen === 0);
  listener.close(true);
});

test('an answer whose end may mean that it was given up waits for word on what the client said', async () => {
  for (const [outcome, how] of [
    [ACCEPTED, 'end'],
    [MODIFIED_FAILED, 'reset'],
  ] as const) {
    const router = newRouter();
    const far = new Taker();
    const { client, listener } = await clientOf(router, far);
    client.end('a question');
    await eventually('it has come', () => far.octets > 0);
    const answer: Source = { onOutcome() {}, onWritable() {} };
    const sink = router.route(openingOf(far.arrival?.head.replyTo as string, null), answer);
    await eventually('its end has come', () => far.ended);
    sink?.write(new Chunk(Buffer.from('half an ans'), 0, 11));
    sink?.end(true);
    const ended = ending(client);
    client.resume();
    far.source?.onOutcome(outcome, true);
    assert.is(await ended, how);
    await eventually('the stream is over', () => listener.connectionsOpen === 0);
    listener.close(true);
  }
});

test('a stream that has come whole is not taken back by its sender', () => {
  for (const complete of [false, true]) {
    const router = newRouter();
    const far = new Taker();
    router.addresses.addConsumer('Mecho', far);
    const link = new InboundLink({ router, isRouter: true, onArrival() {} } as unknown as Peer, null);
    const delivery = { complete: false, aborted: false, remoteSettled: false, context: null, update() {} };
    const take = (chunk: Chunk | null): void => link.onTransfer(delivery as unknown as IncomingDelivery, chunk);
    const { first } = openingOf('echo', null);
    take(first);
    take(new Chunk(Buffer.from('octets'), 0, 6));
    delivery.complete = complete;
    if (complete) take(null);
    link.onSettled(delivery as unknown as IncomingDelivery, MODIFIED_FAILED);
    assert.equal([far.octets, far.ended, far.aborted], [6, complete, !complete]);
  }
});

test.run();
