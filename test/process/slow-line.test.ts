/** A link over a line that is long and loses much, such as by satellite: it holds, and its streams with it. */
// time limit: 400 s
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sleep } from '../support/eventually.ts';
import { connector, document, edge, hub, link, listener, newNetwork } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { slowLine } from '../support/slow-line.ts';
import { closeSockets, connect, echo, freePort } from '../support/tcp.ts';

const test = suite('slow lines');
/** Two seconds there and back; with LONG two seconds each way. */
const delay = process.env.LONG ? 2_000 : 1_000;
const loss = 0.07;
/** Longer than the usual idle timeout. */
const outage = 20_000;

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

test('7 % loss, 2 s of delay and an outage: the link stays up and every stream is whole', async () => {
  const network = await newNetwork();
  const line = await slowLine(network.edgePort, { delay, loss });
  const hubSite = await Skiff.run({ documents: hub(network) });
  const [site, secret] = edge(network, 'store') as [object, object];
  const { spec } = link(network, line.relay.port) as { spec: object };
  const [server, port] = [await echo(), await freePort()];
  await hubSite.apply(connector('far', server.port));
  const store = await Skiff.run({
    documents: [
      site,
      secret,
      document('Link', 'to-hub', { ...spec, settings: { 'idle-timeout': '90s' } }),
      listener('far', port),
    ],
  });
  const patience = 120_000;
  const up = await store.until('Link', 'to-hub', 'Ready', patience);
  await store.until('Listener', 'far', 'Ready', patience);

  const kept = await connect(port);
  kept.write('before');
  assert.is((await readSlowly(kept, 6)).toString(), 'before');
  const octets = 100_000;
  const streams = Array.from({ length: 3 }, async (_, number) => {
    const socket = await connect(port);
    const sent = Buffer.alloc(octets, `stream ${number} `);
    socket.end(sent);
    assert.ok((await readSlowly(socket, octets)).equals(sent), `stream ${number}`);
  });
  await Promise.all(streams);
  line.relay.interrupt(outage);
  kept.write('after');
  await sleep(outage);
  assert.is((await readSlowly(kept, 5)).toString(), 'after');
  const { status } = await store.get('Link', 'to-hub');
  assert.is(status.status, 'Ready');
  assert.equal(status.conditions, up.status.conditions, 'it was never down');
  const { roundTripMs } = status.facts as { roundTripMs: number };
  assert.ok(roundTripMs >= 2 * delay, `a round trip of ${roundTripMs} ms`);
  assert.ok(line.stalls > 0, 'something was lost on the way');
  assert.is(line.relay.count, 1);
});

/** As `read`, with all the patience that such a line needs. */
function readSlowly(socket: Socket, octets: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let left = octets;
  return new Promise((resolve, reject) => {
    const take = (): void => {
      for (let part = socket.read(); part !== null; part = socket.read()) {
        parts.push(part);
        left -= part.length;
      }
      if (left > 0) return;
      socket.off('readable', take);
      resolve(Buffer.concat(parts));
    };
    socket.on('readable', take);
    socket.once('close', () => reject(new Error(`closed, ${left} octets before the end`)));
  });
}

test.run();
