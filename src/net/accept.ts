/** The accepting side: a listening socket, TLS with client certificates when it has credentials. */
import net from 'node:net';
import tls from 'node:tls';
import { type ErrorFact, SkiffError } from '../errors.ts';
import { hostPort, socketFailure } from './failure.ts';
import { type PeerCertificate, peerCertificate } from './tls.ts';

export interface Accepted {
  socket: net.Socket;
  /** `host:port` of the other end. */
  from: string;
  encrypted: boolean;
  /** null on plain connections and for clients that showed none. */
  certificate: PeerCertificate | null;
  /** Why the certificate does not count; null when it does, or on a plain connection. */
  unverified: SkiffError | null;
}

export interface AcceptorOptions {
  host: string;
  port: number;
  context: tls.SecureContext | null;
  /** Time a client has for its TLS handshake, in milliseconds. */
  handshakeTimeout: number;
  /** Called with the raw or TLS socket before any octet can have been read from it. */
  onSocket: (accepted: Accepted) => void;
  /** A connection that ended before it was a connection. */
  onRefused: (cause: ErrorFact, from: string) => void;
}

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #handshakes = new Set<net.Socket>();
  #server: net.Server | null = null;

  constructor(options: AcceptorOptions) {
    this.#options = options;
  }

  /** Opens the socket and resolves with its port; rejects with a `SkiffError`. */
  listen(): Promise<number> {
    const { host, port } = this.#options;
    const server = net.createServer({ noDelay: true, allowHalfOpen: false }, (socket) => this.#accept(socket));
    this.#server = server;
    const where = `${host === '' ? '*' : host}:${port}`;
    return new Promise((resolve, reject) => {
      server.once('error', (error) => {
        this.#server = null;
        reject(socketFailure(error, where));
      });
      // Closed again before it listened; later this rejects nothing any more.
      server.once('close', () => reject(new SkiffError('closed', `${where}: closed before it listened`)));
      server.listen({ port, ...(host === '' ? {} : { host }) }, () => {
        server.removeAllListeners('error');
        server.on('error', (error) => this.#options.onRefused(socketFailure(error, 'accept').toFact(), ''));
        resolve((server.address() as net.AddressInfo).port);
      });
    });
  }

  /** For handshakes from now on. */
  set context(context: tls.SecureContext) {
    this.#options.context = context;
  }

  close(): void {
    this.#server?.close();
    this.#server = null;
    const handshakes = [...this.#handshakes];
    // Nobody is to be blamed for these.
    this.#handshakes.clear();
    for (const socket of handshakes) socket.destroy();
  }

  #accept(raw: net.Socket): void {
    const from = hostPort(raw.remoteAddress ?? '?', raw.remotePort ?? 0);
    const context = this.#options.context;
    if (!context) {
      this.#options.onSocket({ socket: raw, from, encrypted: false, certificate: null, unverified: null });
      return;
    }
    const socket = new tls.TLSSocket(raw, {
      isServer: true,
      secureContext: context,
      requestCert: true,
      rejectUnauthorized: false,
    });
    this.#handshakes.add(socket);
    const refuse = (error: SkiffError): void => {
      clearTimeout(timer);
      if (!this.#handshakes.delete(socket)) return;
      socket.destroy();
      raw.destroy();
      this.#options.onRefused(error.toFact(), from);
    };
    const timer = setTimeout(
      () => refuse(new SkiffError('timed-out', 'a client did not finish its TLS handshake')),
      this.#options.handshakeTimeout,
    );
    socket.on('error', (error) => refuse(handshakeFailure(error)));
    socket.on('close', () => refuse(new SkiffError('connection-lost', 'a client left during its TLS handshake')));
    // Node leaves errors of TLS to tls.Server, once the handshake is done; there is none here.
    socket.on('_tlsError', (error: Error) => socket.destroy(error));
    socket.once('secure', () => {
      clearTimeout(timer);
      if (!this.#handshakes.delete(socket)) return;
      const unverified = verification(socket);
      const certificate = peerCertificate(socket);
      this.#options.onSocket({ socket, from, encrypted: true, certificate, unverified });
    });
  }
}

function handshakeFailure(error: Error): SkiffError {
  return socketFailure(error, 'a client');
}

/** OpenSSL's verdict on the client's certificate; Node leaves acting on it to whoever wraps the socket. */
function verification(socket: tls.TLSSocket): SkiffError | null {
  // Asked first: without a certificate the verdict is that of one whose issuer is not known.
  if (!socket.getPeerX509Certificate()) {
    return new SkiffError('no-certificate', 'the client showed no certificate', {
      hint: 'A link needs tlsCredentials with a certificate of the CA that the access trusts',
    });
  }
  const handle = (socket as unknown as { ssl: { verifyError(): NodeJS.ErrnoException | null } }).ssl;
  const error = handle.verifyError();
  return error ? socketFailure(error, 'the client') : null;
}
