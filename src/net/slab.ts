/**
 * Read slabs: large blocks of memory that sockets read into and writes leave from without a copy in between.
 * A slab is counted by reference; whoever holds a slice of one keeps it from being used again.
 */

/** Sockets that are quiet read into small slabs, so that ten thousand idle ones cost little. */
export const SMALL_SLAB = 16 * 1024;
/** Sockets in full flow read into large ones, so that a frame seldom crosses from one slab to the next. */
export const LARGE_SLAB = 256 * 1024;

/** Octets that pools may keep for later, for each size. What exceeds it goes to the garbage collector. */
const KEEP_OCTETS = 8 * 1024 * 1024;

export class Slab {
  readonly buffer: Buffer;
  readonly #pool: SlabPool;
  #references = 1;

  constructor(pool: SlabPool, size: number) {
    this.#pool = pool;
    this.buffer = Buffer.allocUnsafeSlow(size);
  }

  get size(): number {
    return this.buffer.length;
  }

  /** True when nobody but the caller holds it, so that it may be written from its start again. */
  get unshared(): boolean {
    return this.#references === 1;
  }

  retain(): void {
    if (this.#references === 0) throw new Error('a slab was retained after its release');
    this.#references++;
  }

  release(): void {
    // Two owners of one slab would mix up the octets of strangers: better to stop than to do that.
    if (this.#references === 0) throw new Error('a slab was released once too often');
    if (--this.#references === 0) this.#pool.put(this);
  }

  /** Called by the pool only: counts from one again. */
  revive(): void {
    this.#references = 1;
  }
}

let inUse = 0;

/** Slabs that somebody holds. It comes back to where it was when every holder is gone. */
export function slabsInUse(): number {
  return inUse;
}

export class SlabPool {
  readonly size: number;
  /** Slabs that were ever made, and those that somebody holds. */
  made = 0;
  inUse = 0;
  readonly #free: Slab[] = [];

  constructor(size: number) {
    this.size = size;
  }

  /** Slabs that wait to be used again. */
  get kept(): number {
    return this.#free.length;
  }

  take(): Slab {
    inUse++;
    this.inUse++;
    const slab = this.#free.pop();
    if (!slab) {
      this.made++;
      return new Slab(this, this.size);
    }
    slab.revive();
    return slab;
  }

  put(slab: Slab): void {
    inUse--;
    this.inUse--;
    if ((this.#free.length + 1) * this.size <= KEEP_OCTETS) this.#free.push(slab);
  }
}

const small = new SlabPool(SMALL_SLAB);
const large = new SlabPool(LARGE_SLAB);

export const SLAB_POOLS: readonly SlabPool[] = [small, large];

/** A slab of at least `octets`, small where that is enough. */
export function takeSlab(octets: number): Slab {
  if (octets <= SMALL_SLAB) return small.take();
  if (octets <= LARGE_SLAB) return large.take();
  return new SlabPool(octets).take();
}
