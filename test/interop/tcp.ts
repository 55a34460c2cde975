/** What TCP connections through a pair see, whichever of the two is ours. */
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../support/eventually.ts';
import {
  accepts,
  bulk,
  closeSockets,
  connect,
  echo,
  ending,
  exchange,
  freePort,
  greeter,
  read,
  readToEnd,
  serve,
  type TcpServer,
  untilAccepting,
} from '../support/tcp.ts';
import { otherPlace, Pair, PLACES, type Place } from './pair.ts';
import { SkupperRouter } from './skupper-router.ts';

export function testTcp(ours: Place): void {
  const test = suite(`TCP, our ${ours}`);
  let pair: Pair;
  /** In front of the listener at each place: an echo at the other. */
  const echoes = {} as Record<Place, number>;
  let count = 0;

  /** Offers a server at the other place; returns the port of a listener for it at `place`. */
  async function offer(place: Place, server: { port: number }): Promise<number> {
    const name = `service-${++count}`;
    const port = await freePort();
    await pair.connector(otherPlace(place), name, server.port);
    await pair.listener(place, name, port);
    // Asked of ours where it is ours: a connection on trial would be the server's first.
    if (place === ours)
      await eventually('the listener is open', () => {
        const state = pair.state('listener', name);
        return state?.kind === 'listener' && state.status === 'open';
      });
    else await untilAccepting(port);
    return port;
  }

  /** The connection ends from the other side: reset by ours, and in order by skupper-router, as if all were said. */
  async function turnedAway(client: Socket): Promise<void> {
    client.resume().once('end', () => client.end());
    await ending(client);
  }

  test.before(async () => {
    pair = await Pair.start(ours);
    for (const place of PLACES) echoes[place] = await offer(place, await echo());
  });

  test.after(async () => {
    await closeSockets();
    await pair?.stop();
    await SkupperRouter.stopAll();
  });

  for (const place of PLACES) {
    const from = `from the ${place}`;

    test(`${from}: octets come back as they were sent, and each half is closed for itself`, async () => {
      const socket = await connect(echoes[place]);
      socket.write('hello');
      assert.is((await read(socket, 5)).toString(), 'hello');
      const large = Buffer.alloc(200_000, 'abcdefg');
      socket.write(large);
      assert.ok((await read(socket, large.length)).equals(large));
      socket.end('the end');
      assert.is((await readToEnd(socket)).toString(), 'the end');
    });

    test(`${from}: 100 MB each way arrive intact`, async () => {
      const octets = 100_000_000;
      const { sent, received, count } = await bulk(await connect(echoes[place]), octets);
      assert.is(count, octets);
      assert.is(received, sent);
    });

    test(`${from}: 200 connections at once, three times over`, async () => {
      const size = 50_000;
      for (let round = 0; round < 3; round++) {
        const exchanges = Array.from({ length: 200 }, async () => {
          const { sent, received } = await bulk(await connect(echoes[place]), size);
          return sent === received;
        });
        assert.is((await Promise.all(exchanges)).filter(Boolean).length, 200, `round ${round}`);
      }
    });

    test(`${from}: a client that sends much and its end, before its server takes it, loses nothing`, async () => {
      const server = await serve((socket) => {
        socket.pause();
        setTimeout(() => socket.pipe(socket), 300);
      });
      const { sent, received } = await bulk(await connect(await offer(place, server)), 600_000);
      assert.is(received, sent);
    });

    test(`${from}: a server may speak first`, async () => {
      const port = await offer(place, await greeter('good morning'));
      assert.is(await exchange(port, ''), 'good morning');
    });

    test(`${from}: a client that resets is gone for its server`, async () => {
      const server = await echo();
      const client = await connect(await offer(place, server));
      client.write('x');
      await read(client, 1);
      const end = ending(server.connections.at(-1)!);
      client.resetAndDestroy();
      await end;
    });

    test(`${from}: a server that resets, after some octets or at once, is gone for its client`, async () => {
      for (const answer of ['some', '']) {
        const server = await serve((socket) =>
          socket.once('data', () => socket.write(answer, () => socket.resetAndDestroy())),
        );
        const client = await connect(await offer(place, server));
        client.write('question');
        await turnedAway(client);
      }
    });

    test(`${from}: where no server is the client is turned away, and served once there is one`, async () => {
      const server = await echo();
      const port = await offer(place, server);
      await server.close();
      for (let tries = 0; tries < 2; tries++) {
        const client = await connect(port);
        client.write('anybody?');
        await turnedAway(client);
      }
      await echo({ port: server.port });
      assert.is(await exchange(port, 'and now?'), 'and now?');
    });

    test(`${from}: an address that is withdrawn closes the listener, and opens it when it returns`, async () => {
      const server: TcpServer = await echo();
      const name = `passing-${place}`;
      const port = await freePort();
      await pair.listener(place, name, port);
      assert.not.ok(await accepts(port));
      for (let round = 0; round < 2; round++) {
        await pair.connector(otherPlace(place), name, server.port);
        await untilAccepting(port);
        assert.is(await exchange(port, 'here'), 'here');
        await pair.untilNoStreams();
        await pair.withdraw(otherPlace(place), 'connector', name);
        await eventually('the port is closed', async () => !(await accepts(port)));
      }
    });
  }

  test('nothing is left of all these streams', async () => {
    await pair.untilNoStreams();
  });

  test.run();
}
