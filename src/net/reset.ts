/** Ending a TCP connection at once, so that the peer sees it was cut. */
import type { Socket } from 'node:net';
import { discard } from './reading.ts';

/**
 * Resets a socket. One whose end is on its way to the kernel is reset as soon as it is there: Node would otherwise lose
 * the handle (libuv refuses a reset during a shutdown), with its descriptor, and could not end the thread any more.
 */
export function reset(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.connecting) {
    socket.destroy();
    return;
  }
  if (!socket.writableEnded || socket.writableFinished || socket.writableLength > 0) {
    socket.resetAndDestroy();
    return;
  }
  discard(socket);
  socket.once('finish', () => socket.resetAndDestroy());
  socket.once('error', () => socket.destroy());
}
