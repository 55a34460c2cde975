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

/**
 * Handshakes that are under way at a time, and clients that wait for theirs. A herd that comes at once would have them all
 * begun and none done in time; who is turned away comes again, each at a time of its own.
 */
const MOST_HANDSHAKES = 64;
const MOST_WAITING = 128;
/** After this time a handshake holds up nobody else, in milliseconds: a client that is silent must not keep others out. */
const SLOW_AFTER = 2_000;

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #waiting: net.Socket[] = [];
  /** Handshakes that others wait for. */
  #begun = 0;
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
    for (const raw of this.#waiting.splice(0)) raw.destroy();
  }

  #accept(raw: net.Socket): void {
    const from = hostPort(raw.remoteAddress ?? '?', raw.remotePort ?? 0);
    const context = this.#options.context;
    if (!context) {
      this.#options.onSocket({ socket: raw, from, encrypted: false, certificate: null, unverified: null });
      return;
    }
    if (this.#begun >= MOST_HANDSHAKES) this.#queue(raw, from);
    else this.#shake(raw, from, context);
  }

  #queue(raw: net.Socket, from: string): void {
    if (this.#waiting.length >= MOST_WAITING) {
      this.#options.onRefused(
        { code: 'too-many-at-once', message: 'more clients come at once than can be let in' },
        from,
      );
      raw.destroy();
      return;
    }
    this.#waiting.push(raw);
    // Whoever goes away while it waits says so here; nobody else is to be disturbed by it.
    raw.on('error', ignore);
  }

  /** The next of those that wait, unless it has gone. */
  #next(): void {
    const { context } = this.#options;
    while (context && this.#begun < MOST_HANDSHAKES) {
      const raw = this.#waiting.shift();
      if (!raw) return;
      raw.off('error', ignore);
      if (!raw.destroyed) this.#shake(raw, hostPort(raw.remoteAddress ?? '?', raw.remotePort ?? 0), context);
    }
  }

  #shake(raw: net.Socket, from: string, context: tls.SecureContext): void {
    this.#begun++;
    let counts = true;
    const done = (): void => {
      clearTimeout(slow);
      if (!counts) return;
      counts = false;
      this.#begun--;
      this.#next();
    };
    const slow = setTimeout(done, SLOW_AFTER);
    const handshaking = handshake(
      raw,
      { context, clientCertificate: 'optional', timeout: this.#options.handshakeTimeout },
      (socket) => {
        this.#handshakes.delete(giveUp);
        done();
        const unverified = verification(socket, 'A link needs tlsCredentials with a certificate the access trusts');
        const certificate = peerCertificate(socket);
        this.#options.onSocket({ socket, from, encrypted: true, certificate, unverified });
      },
      (error) => {
        this.#handshakes.delete(giveUp);
        done();
        this.#options.onRefused(error.toFact(), from);
      },
    );
    const giveUp = (): void => {
      clearTimeout(slow);
      handshaking();
    };
    this.#handshakes.add(giveUp);
  }
}

function ignore(): void {}
