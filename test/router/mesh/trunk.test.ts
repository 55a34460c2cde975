/** Streams spread over the data connections of a trunk, and are lost with the one that carries them alone. */
import net, { type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../../support/eventually.ts';
import { TestRouter } from '../../support/router.ts';
import {
  closeSockets,
  connect,
  echo,
  freePort,
  read,
  serve,
  type TcpServer,
  untilAccepting,
} from '../../support/tcp.ts';

const test = suite('trunk');

const DATA_CONNECTIONS = 2;
let near: TestRouter;
let far: TestRouter;
/** Stands between the two, so that single connections can be cut. */
let line: TcpServer;
let port: number;

test.before(async () => {
  near = new TestRouter('near');
  far = new TestRouter('far');
  const farPort = await far.access('inter-router');
  line = await serve((socket) => {
    const onwards = net.connect({ port: farPort, host: '127.0.0.1' });
    socket.pipe(onwards).pipe(socket);
    for (const each of [socket, onwards]) {
      each.on('error', () => {});
      each.once('close', () => {
        socket.destroy();
        onwards.destroy();
      });
    }
  });
  await near.link('to-far', line.port, { dataConnections: DATA_CONNECTIONS });
  await far.connector('echo', (await echo()).port);
  port = await freePort();
  await near.listener('echo', port);
  await untilAccepting(port);
  await untilWhole();
});

test.after(async () => {
  await Promise.all([near, far].map((router) => router.parts.stop(500)));
  await closeSockets();
});

const open = (): Socket[] => line.connections.filter(({ destroyed }) => !destroyed);

function untilWhole(): Promise<true> {
  return eventually('the control connection and the data connections', () => {
    const wanted = 1 + DATA_CONNECTIONS;
    return open().length === wanted && near.parts.load.connections === wanted && far.parts.load.connections === wanted;
  });
}

/** A connection that has been answered. */
async function stream(): Promise<Socket> {
  const socket = await connect(port);
  await answers(socket);
  return socket;
}

async function answers(socket: Socket): Promise<void> {
  socket.write('x');
  assert.is((await read(socket, 1)).toString(), 'x');
}

test('a trunk shows as one peer', () => {
  assert.equal(
    far.state('access', 'inter-router')?.peers.map(({ id }) => id),
    ['near'],
  );
});

test('streams go by data connections, as many by each', async () => {
  const before = open().map(({ bytesRead }) => bytesRead);
  const size = 300_000;
  const sockets = await Promise.all(Array.from({ length: 2 * DATA_CONNECTIONS }, stream));
  for (const socket of sockets) socket.write(Buffer.alloc(size));
  await Promise.all(sockets.map((socket) => read(socket, size)));
  const carried = open().map(({ bytesRead }, index) => bytesRead - (before[index] ?? 0));
  assert.ok((carried[0] as number) < size, `the control connection has carried ${carried[0]} octets`);
  for (const octets of carried.slice(1)) assert.ok(octets > size, `one has carried ${carried}`);
  for (const socket of sockets) socket.destroy();
});

test('with a data connection that is lost its streams end, and no other', async () => {
  const sockets = await Promise.all(Array.from({ length: 2 * DATA_CONNECTIONS }, stream));
  const ended = new Set<Socket>();
  for (const socket of sockets) socket.once('close', () => ended.add(socket));
  open()[1]?.destroy();
  await eventually('its streams have ended', () => ended.size === 2);
  for (const socket of sockets) if (!ended.has(socket)) await answers(socket);
  await untilWhole();
  await Promise.all(Array.from({ length: 2 * DATA_CONNECTIONS }, stream));
});

test('without any data connection streams go by the control connection', async () => {
  const plain = new TestRouter('plain');
  await plain.link('to-far', line.port);
  const listening = await freePort();
  await plain.listener('echo', listening);
  await untilAccepting(listening);
  const socket = await connect(listening);
  await answers(socket);
  assert.is(plain.parts.load.connections, 1);
  await plain.parts.stop(500);
});

test('a link that is taken away takes all its connections with it', async () => {
  await near.remove('link', 'to-far');
  await eventually('no connection is left', () => open().length === 0);
  assert.is(far.parts.load.connections, 0);
});

test.run();
