/** Slabs and the chunks cut from them: who holds one keeps it, and nobody gets what another holds. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Chunk } from '../../src/net/chunk.ts';
import { LARGE_SLAB, type Slab, SMALL_SLAB, slabsInUse, takeSlab } from '../../src/net/slab.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);
const test = suite('slab');

test('a slab has room for what was asked', () => {
  for (const octets of [0, 1, SMALL_SLAB, SMALL_SLAB + 1, LARGE_SLAB, LARGE_SLAB + 1, 1024 * 1024]) {
    const slab = takeSlab(octets);
    assert.ok(slab.size >= octets);
    slab.release();
  }
  assert.is(slabsInUse(), 0);
});

test('a slab is used again once nobody holds it, and not before', () => {
  const first = takeSlab(SMALL_SLAB);
  first.retain();
  assert.not(first.unshared);
  first.release();
  assert.ok(first.unshared);
  const second = takeSlab(SMALL_SLAB);
  assert.is.not(second, first);
  first.release();
  const third = takeSlab(SMALL_SLAB);
  assert.is(third, first);
  second.release();
  third.release();
  assert.is(slabsInUse(), 0);
});

test('one release too many is a bug that must not go unnoticed', () => {
  const slab = takeSlab(SMALL_SLAB);
  slab.release();
  assert.throws(() => slab.release(), /released once too often/);
  assert.throws(() => slab.retain(), /retained after its release/);
  assert.is(slabsInUse(), 0);
});

test('pools keep a bounded number of slabs', () => {
  const many = Array.from({ length: 200 }, () => takeSlab(LARGE_SLAB));
  for (const slab of many) slab.release();
  const again = Array.from({ length: 200 }, () => takeSlab(LARGE_SLAB));
  assert.is(again.filter((slab) => many.includes(slab)).length, (8 * 1024 * 1024) / LARGE_SLAB);
  for (const slab of again) slab.release();
});

test('a chunk holds its slab until it is released, once', () => {
  let released = 0;
  const slab = takeSlab(SMALL_SLAB);
  const chunk = new Chunk(slab.buffer, 10, 20, 10, slab, { chunkReleased: () => released++ });
  slab.release();
  assert.is(slabsInUse(), 1);
  assert.is(chunk.length, 10);
  chunk.release();
  chunk.release();
  assert.is(released, 1);
  assert.is(slabsInUse(), 0);
});

test('a chunk that was disowned still holds its slab', () => {
  let released = 0;
  const slab = takeSlab(SMALL_SLAB);
  const chunk = new Chunk(slab.buffer, 0, 20, 0, slab, { chunkReleased: () => released++ });
  slab.release();
  chunk.disown();
  assert.is(released, 1);
  assert.is(slabsInUse(), 1);
  chunk.release();
  assert.is(released, 1);
  assert.is(slabsInUse(), 0);
});

test('a chunk that was compacted holds no slab, and still its owner', () => {
  let released = 0;
  const slab = takeSlab(SMALL_SLAB);
  slab.buffer.write('the octets', 100);
  const chunk = new Chunk(slab.buffer, 104, 110, 20, slab, { chunkReleased: () => released++ });
  slab.release();
  chunk.compact();
  chunk.compact();
  assert.is(slabsInUse(), 0);
  assert.is(chunk.view().toString(), 'octets');
  assert.is(chunk.headroom, 0);
  chunk.release();
  assert.is(released, 1);
});

/** A step with one of the chunks there are. */
type Step = { kind: 'take' | 'split' | 'compact' | 'release'; which: number; octets: number };

test('whatever is done with chunks, octets stay whole and slabs come back', () => {
  const step: fc.Arbitrary<Step> = fc.record({
    kind: fc.constantFrom('take', 'split', 'compact', 'release'),
    which: fc.nat(),
    octets: fc.nat(300),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let slab: Slab = takeSlab(SMALL_SLAB);
      let position = 0;
      let mark = 0;
      const chunks: { chunk: Chunk; expected: Buffer }[] = [];
      for (const { kind, which, octets } of steps) {
        const entry = chunks[which % Math.max(chunks.length, 1)];
        if (kind === 'take') {
          if (slab.size - position < octets) {
            slab.release();
            slab = takeSlab(SMALL_SLAB);
            position = 0;
          }
          const expected = Buffer.alloc(octets, ++mark);
          expected.copy(slab.buffer, position);
          chunks.push({ chunk: new Chunk(slab.buffer, position, position + octets, 0, slab), expected });
          position += octets;
        } else if (entry && kind === 'split') {
          const cut = Math.min(octets, entry.chunk.length);
          const chunk = entry.chunk.splitOff(cut);
          chunks.push({ chunk, expected: entry.expected.subarray(0, cut) });
          entry.expected = entry.expected.subarray(cut);
        } else if (entry && kind === 'compact') {
          entry.chunk.compact();
        } else if (entry) {
          entry.chunk.release();
          chunks.splice(chunks.indexOf(entry), 1);
        }
        for (const { chunk, expected } of chunks) if (!chunk.view().equals(expected)) return false;
      }
      for (const { chunk } of chunks) chunk.release();
      slab.release();
      return slabsInUse() === 0;
    }),
    { numRuns: Math.min(RUNS, 20_000) },
  );
});

test.run();
