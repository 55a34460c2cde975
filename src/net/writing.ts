/**
 * Writing to sockets past Node's stream machinery, which costs more than the kernel does for a small write, and for
 * TLS joins everything that waits in one new buffer. What `socket.write` does at its end is done here: the private
 * fields it uses are checked by a test, and Node is pinned.
 */
import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';

interface WriteRequest {
  writer: SocketWriter;
  /** Keeps the memory alive until the kernel has it. */
  octets: Uint8Array | Uint8Array[];
  oncomplete: (this: WriteRequest, status: number) => void;
}

interface WriteHandle {
  writeBuffer(request: WriteRequest, octets: Uint8Array): number;
  writev(request: WriteRequest, octets: Uint8Array[], allBuffers: true): number;
}

interface StreamBinding {
  WriteWrap: new () => WriteRequest;
  streamBaseState: Int32Array;
  kLastWriteWasAsync: number;
}

const { WriteWrap, streamBaseState, kLastWriteWasAsync } = (
  process as unknown as { binding(name: 'stream_wrap'): StreamBinding }
).binding('stream_wrap');

/** One socket's writes, one at a time. Nobody else may write to the socket. */
export class SocketWriter {
  readonly #socket: Socket;
  /** Called when a write that `write` left under way is over: the kernel has it, or the socket is gone. */
  readonly #onIdle: () => void;
  /** A request that has not been used: what the kernel takes at once needs none. */
  #request: WriteRequest | null = null;
  #writing = false;
  #atEnd: (() => void) | null = null;

  constructor(socket: Socket, onIdle: () => void) {
    this.#socket = socket;
    this.#onIdle = onIdle;
  }

  /** Nothing may be written now: the socket is not connected, or the last write is under way. */
  get busy(): boolean {
    return this.#writing || this.#socket.connecting;
  }

  /**
   * Writes octets, which must stay as they are until they are written. True: they are (or the socket is gone, which its
   * events tell); false: `onIdle` will be called. Not to be called while busy.
   */
  write(octets: Uint8Array | Uint8Array[]): boolean {
    const handle = (this.#socket as unknown as { _handle: WriteHandle | null })._handle;
    if (!handle || this.#socket.destroyed) return true;
    const request = this.#request ?? newRequest(this);
    this.#request = null;
    const status = Array.isArray(octets) ? handle.writev(request, octets, true) : handle.writeBuffer(request, octets);
    if (status !== 0) {
      this.#socket.destroy(writeError(status));
      return true;
    }
    if (streamBaseState[kLastWriteWasAsync] === 0) {
      this.#request = request;
      return true;
    }
    request.octets = octets;
    this.#writing = true;
    return false;
  }

  /** Ends the socket, once the write under way is over: a TLS socket would cut it off. */
  end(ended?: () => void): void {
    this.#whenWritten(() => this.#socket.end(ended));
  }

  /** Closes the socket, once the write under way is over: what the kernel has goes out, and then the end. */
  close(closed: () => void): void {
    this.#whenWritten(() => {
      this.#socket.destroy();
      closed();
    });
  }

  #whenWritten(end: () => void): void {
    if (this.#writing) this.#atEnd = end;
    else end();
  }

  /** Called by a request that is over. */
  completed(status: number): void {
    this.#writing = false;
    if (status < 0 && !this.#socket.destroyed) this.#socket.destroy(writeError(status));
    this.#onIdle();
    if (this.#writing || !this.#atEnd) return;
    const end = this.#atEnd;
    this.#atEnd = null;
    end();
  }
}

function newRequest(writer: SocketWriter): WriteRequest {
  const request = new WriteWrap();
  request.writer = writer;
  request.oncomplete = onComplete;
  return request;
}

function onComplete(this: WriteRequest, status: number): void {
  this.octets = [];
  this.writer.completed(status);
}

function writeError(status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { errno: status, code, syscall: 'write' });
}
