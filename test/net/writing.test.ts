/** Writing past Node's streams, through fields of its sockets that are private. */
import crypto from 'node:crypto';
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SocketWriter } from '../../src/net/writing.ts';
import { until } from '../amqp/loopback.ts';
import { connectSockets } from './sockets.ts';

const test = suite('writing');
const LARGE = 32 * 1024 * 1024;

/** Hashes what arrives. */
function digest(socket: Socket): { octets: number; ended: boolean; hash: crypto.Hash } {
  const seen = { octets: 0, ended: false, hash: crypto.createHash('sha256') };
  socket.on('data', (data) => {
    seen.octets += data.length;
    seen.hash.update(data);
  });
  socket.on('end', () => {
    seen.ended = true;
  });
  return seen;
}

test('what the kernel takes at once is written at once, in one piece or several', async () => {
  await using sockets = await connectSockets();
  const far = digest(sockets.far);
  const writer = new SocketWriter(sockets.near, () => assert.unreachable('nothing was under way'));
  assert.ok(writer.write(Buffer.from('one ')));
  assert.ok(writer.write([Buffer.from('two '), Buffer.from('three')]));
  assert.not(writer.busy);
  await until(() => far.octets === 13, 'all has come');
  assert.is(far.hash.digest('hex'), crypto.createHash('sha256').update('one two three').digest('hex'));
});

for (const encrypted of [false, true]) {
  test(`what it does not take at once is under way, and whole before the end${encrypted ? ', over TLS' : ''}`, async () => {
    await using sockets = await connectSockets(encrypted);
    sockets.far.pause();
    const octets = crypto.randomBytes(LARGE);
    let idle = 0;
    const writer = new SocketWriter(sockets.near, () => idle++);
    assert.not(writer.write(octets));
    assert.ok(writer.busy);
    let ended = false;
    // The end waits: a TLS socket would otherwise cut off what it has not encrypted yet.
    writer.end(() => {
      ended = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.is(idle, 0);
    assert.not(ended);
    const far = digest(sockets.far);
    sockets.far.resume();
    await until(() => far.ended && ended, 'the end has come');
    assert.is(idle, 1);
    assert.is(far.octets, LARGE);
    assert.is(far.hash.digest('hex'), crypto.createHash('sha256').update(octets).digest('hex'));
  });

  test(`a socket that goes ends what is under way${encrypted ? ', over TLS' : ''}`, async () => {
    await using sockets = await connectSockets(encrypted);
    sockets.far.pause();
    let idle = 0;
    const writer = new SocketWriter(sockets.near, () => idle++);
    assert.not(writer.write(Buffer.alloc(LARGE)));
    sockets.near.destroy();
    await until(() => idle === 1, 'it is told');
    assert.not(writer.busy);
    // What is written now is lost like everything else, and holds nobody up.
    assert.ok(writer.write(Buffer.alloc(10)));
  });
}

test('a peer that resets is an error of the socket, not of who writes', async () => {
  await using sockets = await connectSockets();
  let failed = false;
  sockets.near.on('error', () => {
    failed = true;
  });
  const writer = new SocketWriter(sockets.near, () => {});
  sockets.far.resetAndDestroy();
  await until(() => {
    if (!writer.busy) writer.write(Buffer.alloc(1000));
    return failed;
  }, 'the error is told');
  assert.ok(sockets.near.destroyed);
});

test.run();
