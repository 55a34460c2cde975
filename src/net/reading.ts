/**
 * Reading sockets into memory of our own, with Node's `onread` machinery. Node offers it only to sockets it connects
 * itself; accepted sockets and the server side of TLS need it too, so the same private fields that
 * `net.connect({ onread })` sets are set here. Node is pinned, and a test tells when a new one differs.
 */
import net from 'node:net';
import { Chunk } from './chunk.ts';
import { LARGE_SLAB, type Slab, SMALL_SLAB, takeSlab } from './slab.ts';

interface StreamHandle {
  useUserBuffer(buffer: Uint8Array): void;
}

type PrivateSocket = net.Socket & { _handle: StreamHandle | null } & Record<symbol, unknown>;

function findSymbols(): { buffer: symbol; callback: symbol; generator: symbol } {
  const probe = new net.Socket({ onread: { buffer: new Uint8Array(1), callback: () => true } });
  const named = new Map(Object.getOwnPropertySymbols(probe).map((symbol) => [symbol.description, symbol]));
  probe.destroy();
  const buffer = named.get('kBuffer');
  const callback = named.get('kBufferCb');
  const generator = named.get('kBufferGen');
  if (!buffer || !callback || !generator) throw new Error('this Node reads sockets in a way that is not known here');
  return { buffer, callback, generator };
}

const symbols = findSymbols();

/**
 * Makes a socket read into `next()`'s buffers: `filled(octets)` is called after each read, with the octets at the
 * start of the buffer that `next()` returned last, and says with false that reading shall pause (`socket.resume()`
 * goes on). To be called before anything could have been read: on creation, or in the `connect` event.
 */
export function readInto(socket: net.Socket, next: () => Uint8Array, filled: (octets: number) => boolean): void {
  const target = socket as unknown as PrivateSocket;
  const first = next();
  target[symbols.buffer] = first;
  target[symbols.callback] = inTurns(socket, filled);
  target[symbols.generator] = next;
  target._handle?.useUserBuffer(first);
}

/** Octets read from one socket before the others have their turn. Node reads on for up to 2 MiB of one that has more. */
const TURN = 128 * 1024;
/** Octets of a read that counts: small ones are few enough. */
const COUNTED = 8 * 1024;

/** Turns of the event loop, as far as somebody counts them. */
let turn = 0;
let counting = false;
/** Sockets that have had enough of this turn. */
let resting: (() => void)[] = [];

function nextTurn(): void {
  counting = false;
  turn++;
  const rested = resting;
  resting = [];
  for (const goOn of rested) goOn();
}

/** `filled`, and a rest until the next turn for a socket that has had enough of this one. */
function inTurns(socket: net.Socket, filled: (octets: number) => boolean): (octets: number) => boolean {
  let counted = 0;
  let last = turn;
  let wanted = true;
  const goOn = (): void => {
    if (wanted && !socket.isPaused() && !socket.destroyed) socket.resume();
  };
  return (octets) => {
    wanted = filled(octets);
    if (octets < COUNTED) return wanted;
    if (!counting) setImmediate(nextTurn);
    counting = true;
    const before = last === turn ? counted : 0;
    last = turn;
    counted = before + octets;
    if (counted < TURN) return wanted;
    if (before < TURN) resting.push(goOn);
    return false;
  };
}

const waste = new Uint8Array(64 * 1024);

/**
 * Reads on and keeps nothing, for a socket whose reader is done. What was offered to the socket to read into may be
 * released after this, or after the socket is destroyed, and not before: the kernel still writes there.
 */
export function discard(socket: net.Socket): void {
  if (socket.destroyed) return;
  readInto(
    socket,
    () => waste,
    () => true,
  );
  socket.resume();
}

/**
 * Takes from a socket that has closed everything it refers to. To be called in its `close` event, after which it tells
 * nothing more. With each socket Node makes a function that V8 puts among its old objects at once (the
 * `onwrite` of its WritableState); until those are collected, the socket and all it leads to would stay, and be moved there, too.
 */
export function letGo(socket: net.Socket): void {
  const target = socket as unknown as PrivateSocket;
  target[symbols.buffer] = target[symbols.callback] = target[symbols.generator] = null;
  socket.removeAllListeners();
}

/**
 * The slab a socket reads into. Octets in [`start`, `end`) were read and are not yet consumed; the consumer moves
 * `start` on. Consecutive reads lie one behind the other, so a frame that comes in pieces is whole in memory.
 */
export class ReadSlab {
  slab: Slab = takeSlab(SMALL_SLAB);
  start = 0;
  end = 0;
  #offered = 0;
  /** What the consumer still needs to be whole, from `start`. */
  #wanted = 0;
  #busy = false;

  get buffer(): Buffer {
    return this.slab.buffer;
  }

  /** The consumer cannot go on before `octets` lie behind `start`. */
  want(octets: number): void {
    this.#wanted = octets;
  }

  /** The buffer for the next read, in a new slab when this one has little room left. */
  next(): Uint8Array {
    const pending = this.end - this.start;
    if (pending === 0 && this.slab.unshared) this.start = this.end = 0;
    // Quiet again: a thousand links that were busy once must not keep a large slab each.
    const quiet = pending === 0 && !this.#busy && this.slab.size > SMALL_SLAB;
    const room = this.slab.size - this.end;
    const least = this.slab.size === SMALL_SLAB ? 2048 : 16_384;
    const missing = Math.max(this.#wanted - pending, least);
    if (quiet || room < missing || (this.#busy && this.slab.size === SMALL_SLAB)) this.#move(pending, missing);
    this.#offered = this.slab.size - this.end;
    return this.slab.buffer.subarray(this.end);
  }

  /** Takes note of a read of `octets`. */
  filled(octets: number): void {
    // A read that fills the small slab, or a whole TLS record, tells that more is to come.
    this.#busy = octets === this.#offered || octets >= 8192;
    this.end += octets;
  }

  release(): void {
    this.slab.release();
  }

  #move(pending: number, missing: number): void {
    const old = this.slab;
    this.slab = takeSlab(Math.max(pending + missing, this.#busy ? LARGE_SLAB : SMALL_SLAB));
    old.buffer.copy(this.slab.buffer, 0, this.start, this.end);
    old.release();
    this.start = 0;
    this.end = pending;
  }
}

/** Octets left free in front of each payload: the header of a transfer that continues a delivery on handle 0. */
const HEADROOM = 20;

/** What a TCP socket reads into: payloads, each with room for a frame's header in front. */
export class PayloadSlab {
  readonly #limit: number;
  #slab: Slab = takeSlab(SMALL_SLAB);
  #position = 0;
  #busy = false;
  #offered = 0;

  /** `limit`: the most octets of one read. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The buffer for the next read. */
  next(): Uint8Array {
    if (this.#slab.unshared) this.#position = 0;
    const small = this.#slab.size === SMALL_SLAB;
    const room = this.#slab.size - this.#position - HEADROOM;
    if (room < (small ? 2048 : 16_384) || small === this.#busy) {
      this.#slab.release();
      this.#slab = takeSlab(this.#busy ? LARGE_SLAB : SMALL_SLAB);
      this.#position = 0;
    }
    const start = this.#position + HEADROOM;
    const end = Math.min(start + this.#limit, this.#slab.size);
    this.#offered = end - start;
    return this.#slab.buffer.subarray(start, end);
  }

  /** The octets of the last read. */
  take(octets: number): Chunk {
    this.#busy = octets === this.#offered || (this.#busy && octets >= 4096);
    const start = this.#position + HEADROOM;
    this.#position = start + octets;
    return new Chunk(this.#slab.buffer, start, start + octets, HEADROOM, this.#slab);
  }

  release(): void {
    this.#slab.release();
  }
}
