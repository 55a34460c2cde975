/**
 * Everything a connection has to write: small frames are gathered in a slab, large payloads stay where they were read.
 * All of a poll's output leaves together, in one writev, from `setImmediate`.
 */
import type { Socket } from 'node:net';
import { type Chunk, COPY_LIMIT } from './chunk.ts';
import { type Slab, SMALL_SLAB, takeSlab } from './slab.ts';

interface Piece {
  slab: Slab | null;
  buffer: Buffer;
  start: number;
  end: number;
}

/** Octets waiting for the kernel above which producers are asked to wait. */
const HIGH_WATER = 512 * 1024;
/** Octets above which the peer is taken not to read at all: what may not wait has piled up this far. */
const OVERFLOW = 16 * 1024 * 1024;

export class Outbox {
  /** Called when output may go on after `congested` was true. */
  onDrain: () => void = () => {};
  /** When octets last went to the socket, for idle timeouts (milliseconds, `performance.now`). */
  lastWrite = performance.now();
  /** Since when the kernel has taken nothing of what waits for it; null while nothing waits. */
  stalledSince: number | null = null;
  #socket: Socket;
  #pieces: Piece[] = [];
  #queued = 0;
  #inFlight = 0;
  #slab: Slab = takeSlab(SMALL_SLAB);
  #position = 0;
  #scheduled: NodeJS.Immediate | null = null;
  #congested = false;
  #closed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Whether producers of payload should wait for `onDrain`. Control frames are written regardless. */
  get congested(): boolean {
    return this.#congested;
  }

  /** Where the next small frame of at most `octets` is to be written; `commit` tells how long it became. */
  reserve(octets: number): number {
    if (this.#slab.unshared) this.#position = 0;
    if (this.#slab.size - this.#position < octets) {
      this.#slab.release();
      this.#slab = takeSlab(Math.max(octets, SMALL_SLAB));
      this.#position = 0;
    }
    return this.#position;
  }

  get buffer(): Buffer {
    return this.#slab.buffer;
  }

  /** Whether far more waits than a peer that reads would let wait. */
  get overflowing(): boolean {
    return this.#queued + this.#inFlight > OVERFLOW;
  }

  /** Takes the octets from the reserved position to `end` as output. */
  commit(end: number): void {
    const start = this.#position;
    this.#position = end;
    const last = this.#pieces.at(-1);
    if (last && last.slab === this.#slab && last.end === start) {
      last.end = end;
    } else {
      this.#slab.retain();
      this.#pieces.push({ slab: this.#slab, buffer: this.#slab.buffer, start, end });
    }
    this.#account(end - start);
  }

  /** Whether a chunk of this length should be copied behind its header rather than referred to. */
  copies(chunk: Chunk): boolean {
    return chunk.length < COPY_LIMIT;
  }

  /** Takes a chunk as it lies in its buffer, from `start`, which may reach into its headroom. */
  append(chunk: Chunk, start: number): void {
    const last = this.#pieces.at(-1);
    const { slab, buffer, end } = chunk;
    if (last && last.buffer === buffer && last.end === start) {
      last.end = end;
    } else {
      slab?.retain();
      this.#pieces.push({ slab, buffer, start, end });
    }
    chunk.release();
    this.#account(end - start);
  }

  /** Writes what is gathered, at once. */
  flush(): void {
    if (this.#scheduled) {
      clearImmediate(this.#scheduled);
      this.#scheduled = null;
    }
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    this.#pieces = [];
    const octets = this.#queued;
    this.#queued = 0;
    if (this.#closed || this.#socket.destroyed) {
      release(pieces);
      return;
    }
    this.#inFlight += octets;
    this.lastWrite = performance.now();
    this.stalledSince ??= this.lastWrite;
    const written = (): void => {
      release(pieces);
      this.#inFlight -= octets;
      this.stalledSince = this.#inFlight > 0 ? performance.now() : null;
      this.#drained();
    };
    if (pieces.length > 1) this.#socket.cork();
    for (let index = 0; index < pieces.length; index++) {
      const { buffer, start, end } = pieces[index] as Piece;
      const view = buffer.subarray(start, end);
      if (index === pieces.length - 1) this.#socket.write(view, written);
      else this.#socket.write(view);
    }
    if (pieces.length > 1) this.#socket.uncork();
  }

  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    this.#slab.release();
  }

  #account(octets: number): void {
    this.#queued += octets;
    if (this.#queued + this.#inFlight > HIGH_WATER) this.#congested = true;
    if (this.#closed) this.flush();
    else
      this.#scheduled ??= setImmediate(() => {
        this.#scheduled = null;
        this.flush();
      });
  }

  #drained(): void {
    if (!this.#congested || this.#queued + this.#inFlight > HIGH_WATER / 2) return;
    this.#congested = false;
    this.onDrain();
  }
}

function release(pieces: Piece[]): void {
  for (const piece of pieces) piece.slab?.release();
}
