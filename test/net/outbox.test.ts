/** The outbox: what is gathered leaves in few writes, whole and in order, and the peer that reads slowly is noticed. */
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Chunk, COPY_LIMIT } from '../../src/net/chunk.ts';
import { Outbox } from '../../src/net/outbox.ts';
import { LARGE_SLAB, slabsInUse, takeSlab } from '../../src/net/slab.ts';
import { until } from '../amqp/loopback.ts';
import { connectSockets } from './sockets.ts';

const test = suite('outbox');

interface Handle {
  writeBuffer(request: object, octets: Uint8Array): number;
  writev(request: object, octets: Uint8Array[], allBuffers: true): number;
}

/** Notes the sizes of the pieces of each write. */
function spyOn(socket: Socket): number[][] {
  const sizes: number[][] = [];
  const handle = (socket as unknown as { _handle: Handle })._handle;
  const { writeBuffer, writev } = handle;
  handle.writeBuffer = (request, octets) => {
    sizes.push([octets.length]);
    return writeBuffer.call(handle, request, octets);
  };
  handle.writev = (request, octets, allBuffers) => {
    sizes.push(octets.map(({ length }) => length));
    return writev.call(handle, request, octets, allBuffers);
  };
  return sizes;
}

function gather(socket: Socket): { octets: () => Buffer } {
  const parts: Buffer[] = [];
  socket.on('data', (data) => parts.push(data));
  return { octets: () => Buffer.concat(parts) };
}

function put(outbox: Outbox, octets: Uint8Array): void {
  const start = outbox.reserve(octets.length);
  outbox.buffer.set(octets, start);
  outbox.commit(start + octets.length);
}

test('small frames of one turn leave as one piece', async () => {
  await using sockets = await connectSockets();
  const far = gather(sockets.far);
  const sizes = spyOn(sockets.near);
  const outbox = new Outbox(sockets.near);
  for (let index = 0; index < 100; index++) put(outbox, Buffer.from(`frame ${index} `));
  assert.equal(sizes, []);
  await until(() => far.octets().toString().endsWith('frame 99 '), 'all have come');
  assert.is(sizes.length, 1);
  outbox.close();
  await until(() => slabsInUse() === 0, 'all slabs are free');
});

test('a chunk with its header in front is one piece, and so are chunks that follow each other', async () => {
  await using sockets = await connectSockets();
  const far = gather(sockets.far);
  const sizes = spyOn(sockets.near);
  const outbox = new Outbox(sockets.near);
  const slab = takeSlab(LARGE_SLAB);
  slab.buffer.fill('.');
  // Two frames as they came in, each with 10 octets of header, go out with headers of 10 octets.
  for (const start of [10, 5020]) {
    const chunk = new Chunk(slab.buffer, start, start + 5000, 10, slab);
    slab.buffer.write('HEADER HEA', start - 10);
    outbox.append(chunk, start - 10);
  }
  slab.release();
  await until(() => far.octets().length === 10_020, 'all has come');
  assert.equal(sizes, [[10_020]]);
  outbox.close();
  await until(() => slabsInUse() === 0, 'all slabs are free');
});

test('what is written keeps its slab until the kernel has it', async () => {
  await using sockets = await connectSockets();
  sockets.far.pause();
  const outbox = new Outbox(sockets.near);
  const before = slabsInUse();
  const total = 64;
  for (let index = 0; index < total; index++) {
    const slab = takeSlab(LARGE_SLAB);
    slab.buffer.fill(index);
    outbox.append(new Chunk(slab.buffer, 0, slab.size, 0, slab), 0);
    slab.release();
  }
  outbox.flush();
  assert.ok(slabsInUse() > before);
  assert.ok(outbox.congested);
  // Whoever takes slabs meanwhile gets others.
  const others = Array.from({ length: 10 }, () => takeSlab(LARGE_SLAB));
  for (const slab of others) slab.buffer.fill(0xff);
  const far = gather(sockets.far);
  sockets.far.resume();
  await until(() => far.octets().length === total * LARGE_SLAB, 'all has come');
  const octets = far.octets();
  for (let index = 0; index < total; index++) {
    assert.ok(octets.subarray(index * LARGE_SLAB, (index + 1) * LARGE_SLAB).every((octet) => octet === index));
  }
  for (const slab of others) slab.release();
  outbox.close();
  await until(() => slabsInUse() === 0, 'all slabs are free');
});

test('producers are asked to wait, and told when they may go on', async () => {
  await using sockets = await connectSockets();
  sockets.far.pause();
  const outbox = new Outbox(sockets.near);
  let drained = 0;
  outbox.onDrain = () => drained++;
  const frame = Buffer.alloc(16_000);
  let written = 0;
  while (!outbox.congested || written < 32 * 1024 * 1024) {
    put(outbox, frame);
    written += frame.length;
  }
  assert.ok(outbox.overflowing);
  const far = gather(sockets.far);
  sockets.far.resume();
  await until(() => drained === 1 && far.octets().length === written, 'it has drained');
  assert.not(outbox.congested);
  assert.not(outbox.overflowing);
  outbox.close();
  await until(() => slabsInUse() === 0, 'all slabs are free');
});

for (const encrypted of [false, true]) {
  test(`a peer that reads slowly${encrypted ? ', over TLS,' : ''} is not taken for one that does not read`, async () => {
    await using sockets = await connectSockets(encrypted);
    const { near, far } = sockets;
    far.pause();
    const outbox = new Outbox(near);
    assert.is(outbox.stalledFor(performance.now()), 0);
    // One write that takes long, of which the kernel takes a bit now and then.
    put(outbox, Buffer.alloc(12 * 1024 * 1024));
    outbox.flush();
    await new Promise((resolve) => setTimeout(resolve, 30));
    outbox.stalledFor(performance.now());
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.ok(outbox.stalledFor(performance.now()) >= 25, 'nothing moves');
    let moved = false;
    let read = 0;
    far.on('data', (data) => {
      read += data.length;
      // Half of it is still to come, so the one write is under way, and has just moved.
      if (read < 6 * 1024 * 1024 && outbox.stalledFor(performance.now()) === 0) moved = true;
    });
    far.resume();
    await until(() => read > 6 * 1024 * 1024, 'half has come');
    assert.ok(moved);
    await until(() => read === 12 * 1024 * 1024, 'all has come');
    await until(() => outbox.stalledFor(performance.now()) === 0, 'nothing waits');
    outbox.close();
    await until(() => slabsInUse() === 0, 'all slabs are free');
  });
}

test('after close everything is dropped and harms nobody', async () => {
  await using sockets = await connectSockets();
  const far = gather(sockets.far);
  const outbox = new Outbox(sockets.near);
  put(outbox, Buffer.from('last words'));
  outbox.close();
  outbox.close();
  // The slab is somebody else's now.
  const other = takeSlab(1);
  other.buffer.fill('x');
  put(outbox, Buffer.from('too late'));
  put(outbox, Buffer.alloc(100_000));
  let released = 0;
  const chunk = new Chunk(Buffer.from('too late'), 0, 8, 0, null, { chunkReleased: () => released++ });
  outbox.append(chunk, 0);
  outbox.flush();
  await until(() => far.octets().length > 0, 'the last words have come');
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.is(far.octets().toString(), 'last words');
  assert.is(released, 1);
  assert.ok(other.buffer.every((octet) => octet === 'x'.charCodeAt(0)));
  other.release();
  await until(() => slabsInUse() === 0, 'all slabs are free');
});

test('a socket that is destroyed gives everything back', async () => {
  await using sockets = await connectSockets();
  sockets.far.pause();
  const outbox = new Outbox(sockets.near);
  for (let index = 0; index < 100; index++) {
    const slab = takeSlab(LARGE_SLAB);
    outbox.append(new Chunk(slab.buffer, 0, slab.size, 0, slab), 0);
    slab.release();
    if (index % 10 === 0) outbox.flush();
  }
  sockets.near.destroy();
  for (let index = 0; index < 10; index++) put(outbox, Buffer.alloc(10_000));
  outbox.close();
  await until(() => slabsInUse() === 0, 'all slabs are free');
});

test('whatever is put in comes out, in order', async () => {
  const piece = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('frame' as const), octets: fc.nat(600) }) },
    fc.record({ kind: fc.constant('chunk' as const), octets: fc.integer({ min: COPY_LIMIT, max: 40_000 }) }),
    fc.record({ kind: fc.constant('large' as const), octets: fc.integer({ min: 20_000, max: 300_000 }) }),
    fc.record({ kind: fc.constantFrom('flush' as const, 'turn' as const), octets: fc.constant(0) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 40 }), async (pieces) => {
      await using sockets = await connectSockets();
      const far = gather(sockets.far);
      const outbox = new Outbox(sockets.near);
      const expected: Buffer[] = [];
      let slab = takeSlab(LARGE_SLAB);
      let position = 0;
      for (const [index, { kind, octets }] of pieces.entries()) {
        const content = Buffer.alloc(octets, index + 1);
        expected.push(content);
        if (kind === 'flush') outbox.flush();
        else if (kind === 'turn') await new Promise((resolve) => setImmediate(resolve));
        else if (kind === 'chunk') {
          if (slab.size - position < octets) {
            slab.release();
            slab = takeSlab(LARGE_SLAB);
            position = 0;
          }
          content.copy(slab.buffer, position);
          outbox.append(new Chunk(slab.buffer, position, position + octets, 0, slab), position);
          position += octets;
        } else put(outbox, content);
      }
      slab.release();
      outbox.close();
      const all = Buffer.concat(expected);
      await until(() => far.octets().length === all.length, 'all has come');
      assert.ok(far.octets().equals(all));
      await until(() => slabsInUse() === 0, 'all slabs are free');
    }),
    { numRuns: 60 },
  );
});

test.run();
