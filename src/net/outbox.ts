/**
 * Everything a connection has to write: small frames are gathered in a slab, large payloads stay where they were read.
 * Small output of a poll leaves together, from `setImmediate`; large output as soon as it is there.
 */
import type { Socket } from 'node:net';
import { type Chunk, COPY_LIMIT } from './chunk.ts';
import { type Slab, SMALL_SLAB, takeSlab } from './slab.ts';
import { SocketWriter } from './writing.ts';

/** What is private about a socket's handle; a TLS socket's has the TCP socket's as its parent. */
interface WriteHandle {
  bytesWritten: number;
  writeQueueSize: number;
  _parent?: WriteHandle;
}

interface Piece {
  slab: Slab | null;
  buffer: Buffer;
  start: number;
  end: number;
}

/** Octets waiting for the kernel above which producers are asked to wait. */
const HIGH_WATER = 1024 * 1024;
/** Octets that do not wait for the turn's end: what was just read is still in the processor's cache. */
const FLUSH_AT = 60 * 1024;
/** Octets up to which pieces are written together, which for TLS copies them. */
const JOIN_LIMIT = 64 * 1024;
/** Octets above which the peer is taken not to read at all: what may not wait has piled up this far. */
const OVERFLOW = 16 * 1024 * 1024;

export class Outbox {
  /** Called when output may go on after `congested` was true. */
  onDrain: () => void = () => {};
  /** When octets last went to the socket, for idle timeouts (milliseconds, `performance.now`). */
  lastWrite = performance.now();
  readonly #socket: Socket;
  readonly #writer: SocketWriter;
  #pieces: Piece[] = [];
  #queued = 0;
  /** What the writer has. */
  #underWay: Piece[] = [];
  #inFlight = 0;
  #ending = false;
  #slab: Slab = takeSlab(SMALL_SLAB);
  #position = 0;
  #scheduled: NodeJS.Immediate | null = null;
  #congested = false;
  /** When the kernel was last seen to take something, and how much it had taken then. */
  #progress = 0;
  #taken = 0;
  /** After `close`: where frames go that come too late to be sent. */
  #sink: Buffer | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#writer = new SocketWriter(socket, () => this.#onWritten());
  }

  /** Whether producers of payload should wait for `onDrain`. Control frames are written regardless. */
  get congested(): boolean {
    return this.#congested;
  }

  /** Where the next small frame of at most `octets` is to be written; `commit` tells how long it became. */
  reserve(octets: number): number {
    if (this.#sink) {
      if (this.#sink.length < octets) this.#sink = Buffer.allocUnsafe(octets);
      return 0;
    }
    if (this.#slab.unshared) this.#position = 0;
    if (this.#slab.size - this.#position < octets) {
      this.#slab.release();
      this.#slab = takeSlab(Math.max(octets, SMALL_SLAB));
      this.#position = 0;
    }
    return this.#position;
  }

  get buffer(): Buffer {
    return this.#sink ?? this.#slab.buffer;
  }

  /** Whether far more waits than a peer that reads would let wait. */
  get overflowing(): boolean {
    return this.#queued + this.#inFlight > OVERFLOW;
  }

  /** Takes the octets from the reserved position to `end` as output. */
  commit(end: number): void {
    if (this.#sink) return;
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
    if (this.#sink) {
      chunk.release();
      return;
    }
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

  /** Writes what is gathered, as soon as what was written before it is with the kernel. */
  flush(): void {
    if (this.#scheduled) {
      clearImmediate(this.#scheduled);
      this.#scheduled = null;
    }
    while (this.#pieces.length > 0 && !this.#writer.busy) this.#writeNext();
  }

  /**
   * For how many milliseconds the kernel has taken nothing of what waits for it; 0 while nothing waits. To be asked now
   * and then: a long write that moves slowly is seen to move only by asking.
   */
  stalledFor(now: number): number {
    if (this.#inFlight === 0) return 0;
    const handle = (this.#socket as unknown as { _handle: WriteHandle | null })._handle;
    const tcp = handle?._parent ?? handle;
    const taken = tcp ? tcp.bytesWritten - tcp.writeQueueSize : 0;
    if (taken !== this.#taken) {
      this.#taken = taken;
      this.#progress = now;
    }
    return now - this.#progress;
  }

  /** Writes what is gathered, and takes nothing more: what comes now is dropped. */
  close(): void {
    if (this.#sink) return;
    this.flush();
    this.#sink = Buffer.alloc(0);
    this.#slab.release();
  }

  /** Closes, and ends the socket behind the last octet. */
  end(): void {
    this.close();
    this.#ending = true;
    this.#endWhenEmpty();
  }

  /** Gives the writer the next piece, with those behind it if they are small. */
  #writeNext(): void {
    const pieces = this.#pieces;
    let count = 0;
    let octets = 0;
    do {
      const { start, end } = pieces[count++] as Piece;
      octets += end - start;
    } while (count < pieces.length && octets + lengthOf(pieces[count] as Piece) <= JOIN_LIMIT);
    const taken = pieces.splice(0, count);
    this.#queued -= octets;
    this.lastWrite = performance.now();
    this.#progress = this.lastWrite;
    this.#inFlight = octets;
    this.#underWay = taken;
    if (this.#writer.write(count === 1 ? viewOf(taken[0] as Piece) : taken.map(viewOf))) this.#settle();
  }

  #onWritten(): void {
    this.#settle();
    this.flush();
    this.#endWhenEmpty();
  }

  /** What was under way is with the kernel, or lost with the socket. */
  #settle(): void {
    for (const { slab } of this.#underWay) slab?.release();
    this.#underWay = [];
    this.#inFlight = 0;
    this.#drained();
  }

  #endWhenEmpty(): void {
    if (this.#ending && this.#pieces.length === 0 && this.#inFlight === 0) this.#writer.end();
  }

  #account(octets: number): void {
    this.#queued += octets;
    if (this.#queued + this.#inFlight > HIGH_WATER) this.#congested = true;
    if (this.#queued >= FLUSH_AT) {
      this.flush();
      return;
    }
    this.#scheduled ??= setImmediate(flushScheduled, this);
  }

  #drained(): void {
    if (!this.#congested || this.#queued + this.#inFlight > HIGH_WATER / 2) return;
    this.#congested = false;
    this.onDrain();
  }
}

/** One function for every outbox and every turn. */
function flushScheduled(outbox: Outbox): void {
  outbox.flush();
}

function lengthOf({ start, end }: Piece): number {
  return end - start;
}

function viewOf({ buffer, start, end }: Piece): Buffer {
  return buffer.subarray(start, end);
}
