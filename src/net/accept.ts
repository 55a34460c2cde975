/** The accepting side: a listening socket, TLS with client certificates when it has credentials. */
import net from 'node:net';
import type tls from 'node:tls';
import { type ErrorFact, SkiffError } from '../errors.ts';
import { hostPort, socketFailure } from './failure.ts';
import { handshake, verification } from './handshake.ts';
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
  /** The ways to give up those that are under way. */
  readonly #handshakes = new Set<() => void>();
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
    for (const giveUp of this.#handshakes) giveUp();
    this.#handshakes.clear();
  }

  #accept(raw: net.Socket): void {
    const from = hostPort(raw.remoteAddress ?? '?', raw.remotePort ?? 0);
    const context = this.#options.context;
    if (!context) {
      this.#options.onSocket({ socket: raw, from, encrypted: false, certificate: null, unverified: null });
      return;
    }
    const giveUp = handshake(
      raw,
      { context, clientCertificate: 'optional', timeout: this.#options.handshakeTimeout },
      (socket) => {
        this.#handshakes.delete(giveUp);
        const unverified = verification(socket, 'A link needs tlsCredentials with a certificate the access trusts');
        const certificate = peerCertificate(socket);
        this.#options.onSocket({ socket, from, encrypted: true, certificate, unverified });
      },
      (error) => {
        this.#handshakes.delete(giveUp);
        this.#options.onRefused(error.toFact(), from);
      },
    );
    this.#handshakes.add(giveUp);
  }
}
