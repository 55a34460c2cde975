/** The accepting side of a TLS handshake, on a socket that was just accepted. */
import type net from 'node:net';
import tls from 'node:tls';
import { SkiffError } from '../errors.ts';
import { socketFailure } from './failure.ts';

export interface HandshakeOptions {
  context: tls.SecureContext;
  /** Whether the client is asked for a certificate. What becomes of one that does not count is the caller's to say. */
  clientCertificate: 'none' | 'optional' | 'required';
  /** Protocols that are offered, most wanted first. A client that asks for others only is turned away. */
  alpn?: string[];
  /** Milliseconds. */
  timeout: number;
}

/**
 * Calls one of the two, once: `onSecure` before any octet can have been read from the socket. Returns a way to give up,
 * after which neither is called.
 */
export function handshake(
  raw: net.Socket,
  { context, clientCertificate, alpn, timeout }: HandshakeOptions,
  onSecure: (socket: tls.TLSSocket) => void,
  onFailure: (error: SkiffError) => void,
): () => void {
  const socket = new tls.TLSSocket(raw, {
    isServer: true,
    secureContext: context,
    requestCert: clientCertificate !== 'none',
    rejectUnauthorized: clientCertificate === 'required',
    ...(alpn ? { ALPNProtocols: alpn } : {}),
  });
  let over = false;
  const giveUp = (): void => {
    clearTimeout(timer);
    over = true;
    socket.destroy();
    raw.destroy();
  };
  const fail = (error: SkiffError): void => {
    if (over) return;
    giveUp();
    onFailure(error);
  };
  const timer = setTimeout(
    () => fail(new SkiffError('timed-out', 'a client did not finish its TLS handshake')),
    timeout,
  );
  socket.on('error', (error) => fail(socketFailure(error, 'a client')));
  socket.on('close', () => fail(new SkiffError('connection-lost', 'a client left during its TLS handshake')));
  // Node leaves errors of TLS to tls.Server, once the handshake is done; there is none here.
  socket.on('_tlsError', (error: Error) => socket.destroy(error));
  socket.once('secure', () => {
    if (over) return;
    clearTimeout(timer);
    over = true;
    onSecure(socket);
  });
  return () => {
    if (!over) giveUp();
  };
}

/** OpenSSL's verdict on the client's certificate; Node leaves acting on it to whoever wraps the socket. */
export function verification(socket: tls.TLSSocket, hint: string): SkiffError | null {
  // Asked first: without a certificate the verdict is that of one whose issuer is not known.
  if (!socket.getPeerX509Certificate()) {
    return new SkiffError('no-certificate', 'the client showed no certificate', { hint });
  }
  const handle = (socket as unknown as { ssl: { verifyError(): NodeJS.ErrnoException | null } }).ssl;
  const error = handle.verifyError();
  return error ? socketFailure(error, 'the client') : null;
}
