import type { Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { reset } from '../../src/net/reset.ts';
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

test.run();
