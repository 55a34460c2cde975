/** The connecting side: TCP or TLS to a host, with a time limit. */
import net from 'node:net';
import tls from 'node:tls';
import { SkiffError } from '../errors.ts';
import { hostPort, socketFailure } from './failure.ts';
import { checkHost } from './tls.ts';

export interface DialOptions {
  host: string;
  port: number;
  /** null: plain TCP. */
  context: tls.SecureContext | null;
  /** Milliseconds until the connection, TLS included, must stand. */
  timeout: number;
}

/**
 * Connects; `onConnect` is called once, in the very event of the connection, so that the caller can install its way
 * of reading before an octet is read. `onFailure` is called once instead when it fails. Returns a way to give up.
 */
export function dial(
  options: DialOptions,
  onConnect: (socket: net.Socket) => void,
  onFailure: (error: SkiffError) => void,
): () => void {
  const { host, port, context } = options;
  const where = hostPort(host, port);
  const socket = context ? connectTls(host, port, context) : net.connect({ host, port, noDelay: true });
  const finish = (): void => {
    clearTimeout(timer);
    socket.off('error', failed);
    socket.off('close', closed);
  };
  const fail = (error: SkiffError): void => {
    finish();
    socket.on('error', () => {});
    socket.destroy();
    onFailure(error);
  };
  const failed = (error: Error): void => fail(socketFailure(error, where));
  const closed = (): void => fail(new SkiffError('connection-lost', `${where}: closed while connecting`));
  const timer = setTimeout(
    () => fail(new SkiffError('timed-out', `${where}: no connection within ${options.timeout} ms`)),
    options.timeout,
  );
  socket.on('error', failed);
  socket.on('close', closed);
  socket.once(context ? 'secureConnect' : 'connect', () => {
    finish();
    onConnect(socket);
  });
  return () => {
    finish();
    socket.on('error', () => {});
    socket.destroy();
  };
}

function connectTls(host: string, port: number, context: tls.SecureContext): tls.TLSSocket {
  return tls.connect({
    host,
    port,
    secureContext: context,
    ...(net.isIP(host) ? {} : { servername: host }),
    checkServerIdentity: (_name, certificate) => checkHost(host, certificate),
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    noDelay: true,
  } as tls.ConnectionOptions);
}
