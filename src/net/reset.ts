/** Ending a TCP connection at once, so that the peer sees it was cut. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { discard } from './reading.ts';

/** How long a connection that is to be reset may take to come to stand, in milliseconds. */
const STANDS_WITHIN = 1_000;

/**
 * Resets a socket. One whose end is on its way to the kernel is reset as soon as it is there: Node would otherwise lose
 * the handle (libuv refuses a reset during a shutdown), with its descriptor, and could not end the thread any more.
 */
export function reset(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.connecting) {
    giveUp(socket);
    return;
  }
  if (!socket.writableEnded || socket.writableFinished || socket.writableLength > 0) {
    cut(socket);
    return;
  }
  discard(socket);
  socket.once('finish', () => cut(socket));
  socket.once('error', () => socket.destroy());
}

/** The other end may have the connection already, and word of that be on its way: closed now, it would see an end. */
function giveUp(socket: Socket): void {
  if (socket instanceof TLSSocket) {
    parentOf(socket)?.destroy();
    socket.destroy();
    return;
  }
  socket.resetAndDestroy();
  const timer = setTimeout(() => socket.destroy(), STANDS_WITHIN);
  socket.once('close', () => clearTimeout(timer));
}

function cut(socket: Socket): void {
  const parent = parentOf(socket);
  if (!parent) {
    socket.resetAndDestroy();
    return;
  }
  // Not within an event of TLS itself: Node would go on with what is no more, and the process with it.
  discard(socket);
  setImmediate(() => {
    parent.resetAndDestroy();
    socket.destroy();
  });
}

/** The TCP socket below one of TLS: only that can be reset. */
function parentOf(socket: Socket): Socket | null {
  return socket instanceof TLSSocket ? ((socket as unknown as { _parent?: Socket })._parent ?? null) : null;
}
