/** Reading into memory of our own, through fields of Node's sockets that are private. */
import crypto from 'node:crypto';
import net, { type Socket } from 'node:net';
import v8 from 'node:v8';
import vm from 'node:vm';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Chunk } from '../../src/net/chunk.ts';
import { discard, letGo, PayloadSlab, ReadSlab, readInto } from '../../src/net/reading.ts';
import { LARGE_SLAB, SMALL_SLAB, slabsInUse } from '../../src/net/slab.ts';
import { until } from '../amqp/loopback.ts';
import { connectSockets } from './sockets.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);
const test = suite('reading');

/** Reads a socket through a ReadSlab, as frames of no structure: whatever has come is one chunk. */
class Consumer {
  readonly slab = new ReadSlab();
  readonly held: Chunk[] = [];
  octets = 0;
  reads = 0;
  holding = false;
  paused = false;
  hash = crypto.createHash('sha256');

  attach(socket: Socket): void {
    readInto(
      socket,
      () => this.slab.next(),
      (octets) => {
        this.reads++;
        this.slab.filled(octets);
        const { buffer, start, end } = this.slab;
        const chunk = new Chunk(buffer, start, end, 0, this.slab.slab);
        this.slab.start = end;
        this.octets += octets;
        if (this.holding) this.held.push(chunk);
        else {
          this.hash.update(chunk.view());
          chunk.release();
        }
        return !this.paused;
      },
    );
  }

  letGo(): void {
    for (const chunk of this.held) {
      this.hash.update(chunk.view());
      chunk.release();
    }
    this.held.length = 0;
  }
}

for (const encrypted of [false, true]) {
  const over = encrypted ? 'TLS' : 'TCP';

  for (const end of ['the connecting', 'the accepting'] as const) {
    test(`${end} end of ${over} reads into our memory, whole and in order`, async () => {
      const consumer = new Consumer();
      const attach = (socket: Socket): void => consumer.attach(socket);
      const connecting = end === 'the connecting';
      await using sockets = await connectSockets(
        encrypted,
        connecting ? attach : undefined,
        connecting ? undefined : attach,
      );
      const reader = connecting ? sockets.near : sockets.far;
      const writer = connecting ? sockets.far : sockets.near;
      reader.on('data', () => assert.unreachable('Node read it into memory of its own'));
      // Chunks are held for a while, so that reads in between must go elsewhere.
      consumer.holding = true;
      const sent = crypto.createHash('sha256');
      let total = 0;
      for (let index = 0; index < 300; index++) {
        const octets = crypto.randomBytes(crypto.randomInt(1, 60_000));
        sent.update(octets);
        total += octets.length;
        writer.write(octets);
        if (index % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
        if (index % 50 === 0) consumer.letGo();
      }
      await until(() => consumer.octets === total, 'all has come');
      consumer.letGo();
      assert.is(consumer.hash.digest('hex'), sent.digest('hex'));
      reader.destroy();
      consumer.slab.release();
      await until(() => slabsInUse() === 0, 'all slabs are free');
    });
  }

  test(`${over}: reading pauses and goes on`, async () => {
    const consumer = new Consumer();
    await using sockets = await connectSockets(encrypted, (socket) => consumer.attach(socket));
    consumer.paused = true;
    let total = 0;
    for (let index = 0; index < 100; index++) {
      sockets.far.write(Buffer.alloc(100_000));
      total += 100_000;
    }
    await until(() => consumer.reads > 0, 'something was read');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const soFar = consumer.octets;
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.is(consumer.octets, soFar);
    assert.ok(soFar < total);
    consumer.paused = false;
    sockets.near.resume();
    await until(() => consumer.octets === total, 'all has come');
    sockets.near.destroy();
    consumer.slab.release();
  });

  test(`${over}: the end of the other side is told, and octets before it are not lost`, async () => {
    const consumer = new Consumer();
    await using sockets = await connectSockets(encrypted, (socket) => consumer.attach(socket));
    let ended = false;
    sockets.near.on('end', () => {
      ended = true;
    });
    sockets.far.end(Buffer.alloc(500_000));
    await until(() => ended, 'the end is told');
    assert.is(consumer.octets, 500_000);
    await until(() => sockets.near.destroyed, 'the socket is done');
    consumer.slab.release();
  });

  test(`${over}: a reader that is done may release its slab, whatever still comes`, async () => {
    const consumer = new Consumer();
    await using sockets = await connectSockets(encrypted, (socket) => consumer.attach(socket));
    sockets.far.write('hello');
    await until(() => consumer.octets === 5, 'the first has come');
    discard(sockets.near);
    const { slab } = consumer.slab;
    consumer.slab.release();
    // The slab's next holder finds its own octets in it, and nobody else's.
    slab.buffer.fill('y');
    let ended = false;
    sockets.near.on('end', () => {
      ended = true;
    });
    for (let index = 0; index < 50; index++) sockets.far.write(Buffer.alloc(50_000, 'x'));
    sockets.far.end();
    await until(() => ended, 'the end is told');
    assert.is(consumer.octets, 5);
    assert.ok(slab.buffer.every((octet) => octet === 'y'.charCodeAt(0)));
    assert.is(slabsInUse(), 0);
  });

  test(`${over}: a reader may be done within its own call, even while it pauses`, async () => {
    const slab = new ReadSlab();
    let calls = 0;
    const attach = (socket: Socket): void =>
      readInto(
        socket,
        () => slab.next(),
        () => {
          calls++;
          discard(socket);
          slab.release();
          return false;
        },
      );
    await using sockets = await connectSockets(encrypted, attach);
    const buffer = slab.buffer;
    for (let index = 0; index < 20; index++) sockets.far.write(Buffer.alloc(50_000, 'x'));
    await until(() => calls === 1, 'it was called');
    buffer.fill('y');
    let ended = false;
    sockets.near.on('end', () => {
      ended = true;
    });
    sockets.near.resume();
    sockets.far.end();
    await until(() => ended, 'the end is told');
    assert.is(calls, 1);
    assert.ok(buffer.every((octet) => octet === 'y'.charCodeAt(0)));
    assert.is(slabsInUse(), 0);
  });
}

test('a socket with very much to read rests, so that others have their turn', async () => {
  const buffer = new Uint8Array(64 * 1024);
  const total = 32 * 1024 * 1024;
  let octets = 0;
  let inTurn = 0;
  let most = 0;
  const attach = (socket: Socket): void =>
    readInto(
      socket,
      () => buffer,
      (count) => {
        octets += count;
        if (inTurn === 0) setImmediate(() => (inTurn = 0));
        inTurn += count;
        most = Math.max(most, inTurn);
        return true;
      },
    );
  await using sockets = await connectSockets(false, undefined, attach);
  sockets.near.write(Buffer.alloc(total));
  await until(() => octets === total, 'all has come');
  assert.ok(most <= 256 * 1024, `${most} octets in one turn`);
});

test('the fields of sockets that are private are there, and Node sets them the same way', async () => {
  const own = new net.Socket({ onread: { buffer: new Uint8Array(1), callback: () => true } });
  const names = Object.getOwnPropertySymbols(own).map(({ description }) => description);
  for (const name of ['kBuffer', 'kBufferCb', 'kBufferGen']) assert.ok(names.includes(name), name);
  own.destroy();
  await using sockets = await connectSockets(true);
  for (const socket of [sockets.near, sockets.far]) {
    const handle = (socket as unknown as { _handle: Record<string, unknown> })._handle;
    assert.type(handle.useUserBuffer, 'function');
    const tcp = handle._parent as Record<string, unknown>;
    assert.type(tcp.writeQueueSize, 'number');
    assert.ok((tcp.bytesWritten as number) > 1000, 'the handshake was written');
  }
});

test('a slab grows with the traffic, and is small again when it is quiet', () => {
  const slab = new ReadSlab();
  const read = (octets: number): void => {
    assert.ok(slab.next().length >= octets);
    slab.filled(octets);
    slab.start = slab.end;
  };
  read(100);
  assert.is(slab.slab.size, SMALL_SLAB);
  read(16_384);
  read(16_384);
  assert.is(slab.slab.size, LARGE_SLAB);
  read(100);
  slab.next();
  assert.is(slab.slab.size, SMALL_SLAB);
  slab.release();
  assert.is(slabsInUse(), 0);
});

test('a frame larger than any slab finds room', () => {
  const slab = new ReadSlab();
  slab.next();
  slab.filled(100);
  slab.want(1_000_000);
  let missing = 1_000_000 - 100;
  while (missing > 0) {
    const room = slab.next();
    const octets = Math.min(room.length, missing, 70_000);
    missing -= octets;
    slab.filled(octets);
  }
  assert.is(slab.end - slab.start, 1_000_000);
  slab.release();
  assert.is(slabsInUse(), 0);
});

/** A stand-in for a peer: octets that tell their place in the stream. */
function fill(target: Uint8Array, offset: number): void {
  for (let index = 0; index < target.length; index++) target[index] = (offset + index) * 31 + ((offset + index) >> 8);
}

function isRun(octets: Uint8Array, offset: number): boolean {
  const expected = new Uint8Array(octets.length);
  fill(expected, offset);
  return Buffer.compare(octets, expected) === 0;
}

test('ReadSlab: frames are whole in memory, and what is held stays as it came', () => {
  const read = fc.record({ octets: fc.integer({ min: 1, max: 70_000 }), hold: fc.boolean(), letGo: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(read, { maxLength: 30 }),
      fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 8 }),
      (reads, sizes) => {
        const slab = new ReadSlab();
        const held: { chunk: Chunk; offset: number }[] = [];
        let received = 0;
        let consumed = 0;
        let frames = 0;
        let good = true;
        for (const { octets, hold, letGo } of reads) {
          const room = slab.next();
          const count = Math.min(octets, room.length);
          fill(room.subarray(0, count), received);
          received += count;
          slab.filled(count);
          for (;;) {
            const size = sizes[frames % sizes.length] as number;
            if (slab.end - slab.start < size) {
              slab.want(size);
              break;
            }
            slab.want(0);
            const chunk = new Chunk(slab.buffer, slab.start, slab.start + size, 0, slab.slab);
            good &&= isRun(chunk.view(), consumed);
            if (hold) held.push({ chunk, offset: consumed });
            else chunk.release();
            slab.start += size;
            consumed += size;
            frames++;
          }
          good &&= held.every(({ chunk, offset }) => isRun(chunk.view(), offset));
          if (letGo) for (const { chunk } of held.splice(0)) chunk.release();
        }
        for (const { chunk } of held) chunk.release();
        slab.release();
        return good && slabsInUse() === 0;
      },
    ),
    { numRuns: Math.min(RUNS, 300) },
  );
});

test('PayloadSlab: payloads and the room in front of them belong to nobody else', () => {
  const read = fc.record({ octets: fc.integer({ min: 1, max: 70_000 }), hold: fc.boolean(), letGo: fc.boolean() });
  fc.assert(
    fc.property(fc.array(read, { maxLength: 30 }), fc.integer({ min: 100, max: 65_000 }), (reads, limit) => {
      const slab = new PayloadSlab(limit);
      const held: { chunk: Chunk; offset: number; mark: number }[] = [];
      let received = 0;
      let good = true;
      for (const [mark, { octets, hold, letGo }] of reads.entries()) {
        const room = slab.next();
        good &&= room.length > 0 && room.length <= limit;
        const count = Math.min(octets, room.length);
        fill(room.subarray(0, count), received);
        const chunk = slab.take(count);
        good &&= chunk.headroom === 20 && chunk.start >= 20;
        // Its header is written while others are held.
        chunk.buffer.fill(mark, chunk.start - chunk.headroom, chunk.start);
        held.push({ chunk, offset: received, mark });
        received += count;
        good &&= held.every(
          (each) =>
            isRun(each.chunk.view(), each.offset) &&
            each.chunk.buffer
              .subarray(each.chunk.start - each.chunk.headroom, each.chunk.start)
              .every((octet) => octet === (each.mark & 0xff)),
        );
        if (!hold) held.pop()?.chunk.release();
        if (letGo) for (const each of held.splice(0)) each.chunk.release();
      }
      for (const { chunk } of held) chunk.release();
      slab.release();
      return good && slabsInUse() === 0;
    }),
    { numRuns: Math.min(RUNS, 300) },
  );
});

test('what closed sockets led to is not kept until old objects are collected', async () => {
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc') as (options?: { type: 'minor' }) => void;
  const oldOctets = (): number =>
    v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')!.space_used_size;
  const lead = (socket: Socket): void => {
    const mark = new Array<number>(LED_TO / 8).fill(1);
    readInto(
      socket,
      () => Buffer.alloc(mark.length),
      () => mark.length > 0,
    );
    socket.on('close', () => letGo(socket));
  };
  const churn = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      await (await connectSockets(false, lead, lead))[Symbol.asyncDispose]();
      for (let time = 0; time < 3; time++) collect({ type: 'minor' });
    }
  };
  await churn(20);
  collect();
  const before = oldOctets();
  await churn(50);
  const kept = oldOctets() - before;
  assert.ok(kept < 25 * LED_TO, `${kept} octets of ${100 * LED_TO} are kept`);
});

/** Octets that each of those sockets leads to. */
const LED_TO = 64 * 1024;

test.run();
