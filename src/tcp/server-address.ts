/** Where a connector's server is, and a connection to it: plain, or with TLS that begins here. */
import net, { type Socket } from 'node:net';
import tls, { type SecureContext } from 'node:tls';
import { SkiffError } from '../errors.ts';
import { hostPort, socketFailure } from '../net/failure.ts';
import { checkHost } from '../net/tls.ts';

export interface ServerAddress {
  host: string;
  port: number;
  tls: { context: SecureContext; verifyHostname: boolean } | null;
}

/** Milliseconds a server has for its side of the TLS handshake, once it is connected. */
const HANDSHAKE_TIMEOUT = 10_000;

/**
 * Connects; nothing is to be written to the socket before the connection stands. One of the two is called, once:
 * `onConnected` in the very event, so that the caller can install its way of reading. Neither is called when the socket
 * is destroyed before.
 */
export function connectTo(
  server: ServerAddress,
  alpn: string | null,
  onConnected: (socket: Socket) => void,
  onFailed: (error: SkiffError) => void,
): Socket {
  const { host, port } = server;
  const raw = net.connect({ host, port, allowHalfOpen: true });
  const socket = server.tls ? originate(raw, server, server.tls, alpn) : raw;
  const failed = (error: Error): void => {
    // Its errors are about a connection that nobody uses any more.
    socket.on('error', () => {});
    onFailed(error instanceof SkiffError ? error : socketFailure(error, hostPort(host, port)));
  };
  socket.once('error', failed);
  socket.once(server.tls ? 'secureConnect' : 'connect', () => {
    socket.off('error', failed);
    onConnected(socket);
  });
  return socket;
}

function originate(
  raw: Socket,
  { host, port }: ServerAddress,
  { context, verifyHostname }: NonNullable<ServerAddress['tls']>,
  alpn: string | null,
): Socket {
  const socket = tls.connect({
    socket: raw,
    secureContext: context,
    ...(net.isIP(host) ? {} : { servername: host }),
    checkServerIdentity: (_name, certificate) => (verifyHostname ? checkHost(host, certificate) : undefined),
    rejectUnauthorized: true,
    ...(alpn === null ? {} : { ALPNProtocols: [alpn] }),
  });
  // Reported by the socket of TLS, too.
  raw.on('error', () => {});
  let timer: NodeJS.Timeout | undefined;
  raw.once('connect', () => {
    const overdue = new SkiffError('timed-out', `${hostPort(host, port)}: no TLS handshake in time`);
    timer = setTimeout(() => socket.destroy(overdue), HANDSHAKE_TIMEOUT);
  });
  socket.once('secureConnect', () => clearTimeout(timer));
  socket.once('close', () => clearTimeout(timer));
  return socket;
}
