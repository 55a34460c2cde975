import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { reset } from '../../src/net/reset.ts';
import { makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { closeSockets, connect, ending, serve } from '../support/tcp.ts';

test.after(closeSockets);

async function pair(): Promise<{ near: Socket; far: Socket }> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const server = await serve(resolve);
  const far = await connect(server.port);
  return { near: await promise, far };
}

const openSockets = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;

test('the peer of a socket that is reset sees a reset', async () => {
  const { near, far } = await pair();
  far.resume();
  reset(near);
  assert.is(await ending(far), 'reset');
});

test('a socket that has just been ended is closed by a reset, and nothing of it is left', async () => {
  const { near, far } = await pair();
  const before = openSockets();
  const errors: Error[] = [];
  near.on('error', (error) => errors.push(error));
  near.resume();
  near.end();
  reset(near);
  far.resume();
  far.end();
  await eventually('both ends are closed', () => near.closed && far.closed);
  await eventually('no handle is left', () => openSockets() === before - 2);
  assert.equal(errors, []);
});

test('a socket with output that is not read is reset at once', async () => {
  const { near, far } = await pair();
  near.write(Buffer.alloc(32 * 1024 * 1024));
  near.end();
  reset(near);
  await eventually('it is closed', () => near.closed);
  far.resume();
  assert.is(await ending(far), 'reset');
});

test('a connection that does not stand yet is given up', async () => {
  const { near } = await pair();
  Object.defineProperty(near, 'connecting', { value: true });
  reset(near);
  await eventually('it is closed', () => near.closed);
});

test('a connection that stands, of which this end has not heard yet, is reset', async () => {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const { port } = await serve(resolve);
  const near = net.connect(port, '127.0.0.1');
  near.on('error', () => {});
  // The kernel has made the connection by then; Node says so in a later turn.
  process.nextTick(() => reset(near));
  const far = await promise;
  far.resume();
  assert.is(await ending(far), 'reset');
  await eventually('it is closed', () => near.closed);
});

test('a socket of TLS is reset, be it in the event that its handshake is done', async () => {
  const { certificate, key } = makeCa('reset').issue({ commonName: 'reset', hosts: ['127.0.0.1'] });
  const secureContext = tls.createSecureContext({ cert: certificate, key });
  for (const when of ['secure', 'data'] as const) {
    const server = await serve((raw) => {
      const socket = new tls.TLSSocket(raw, { isServer: true, secureContext });
      socket.on('error', () => {});
      socket.once(when, () => reset(socket));
    });
    const clients = Array.from({ length: 10 }, async () => {
      const raw = await connect(server.port);
      const socket = tls.connect({ socket: raw, rejectUnauthorized: false });
      socket.on('error', () => {});
      socket.write(Buffer.alloc(100_000));
      return ending(socket);
    });
    assert.equal([...new Set(await Promise.all(clients))], ['reset']);
    await eventually('all are closed', () => server.connections.every((each) => each.closed));
  }
});

test.run();
