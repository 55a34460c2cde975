import type { Slab } from './slab.ts';

/** Who must be told when the octets of a chunk have left our hands: a session that counts its incoming window. */
export interface ChunkOwner {
  chunkReleased(): void;
}

/** Payload up to this size is copied rather than allowed to pin a slab. */
export const COPY_LIMIT = 4096;

/**
 * A run of payload octets inside a buffer, on its way from one socket to another. Whoever takes a chunk must release
 * it once, after the octets were written or dropped. `headroom` octets in front of `start` belong to the chunk too,
 * and may be overwritten: a frame's header is put there, so that header and payload leave as one contiguous run.
 */
export class Chunk {
  buffer: Buffer;
  start: number;
  end: number;
  headroom: number;
  slab: Slab | null;
  owner: ChunkOwner | null;

  constructor(
    buffer: Buffer,
    start: number,
    end: number,
    headroom = 0,
    slab: Slab | null = null,
    owner: ChunkOwner | null = null,
  ) {
    this.buffer = buffer;
    this.start = start;
    this.end = end;
    this.headroom = headroom;
    this.slab = slab;
    this.owner = owner;
    slab?.retain();
  }

  get length(): number {
    return this.end - this.start;
  }

  view(): Buffer {
    return this.buffer.subarray(this.start, this.end);
  }

  /** Moves the octets to memory of their own size, when they are to wait: a slow stream must not pin whole slabs. */
  compact(): void {
    const slab = this.slab;
    if (!slab) return;
    const copy = Buffer.allocUnsafeSlow(this.length);
    this.buffer.copy(copy, 0, this.start, this.end);
    this.buffer = copy;
    this.end = copy.length;
    this.start = 0;
    this.headroom = 0;
    this.slab = null;
    slab.release();
  }

  /** Splits off the first `octets` as a chunk of their own; the owner stays with the rest. */
  splitOff(octets: number): Chunk {
    const head = new Chunk(this.buffer, this.start, this.start + octets, this.headroom, this.slab);
    this.start += octets;
    this.headroom = 0;
    return head;
  }

  /** The octets have reached a place that bounds them itself; the window they took is free again. */
  disown(): void {
    const owner = this.owner;
    this.owner = null;
    owner?.chunkReleased();
  }

  release(): void {
    const slab = this.slab;
    this.slab = null;
    slab?.release();
    this.disown();
  }
}
