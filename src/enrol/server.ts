/**
 * The HTTPS server at which devices enrol, tokens are redeemed and certificates renewed. It speaks HTTP; what an answer is, others know.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type ErrorFact, SkiffError } from '../errors.ts';
import { log } from '../log.ts';

/** What a redeemer's own signing request comes in, base64 of PEM. It is ours: Skupper's redeemers leave it out. */
export const requestHeader = 'skiff-signing-request';
/** Where the certificate that was answered with is to be renewed: a path at the same server. Ours, too. */
export const renewalHeader = 'skiff-renewal';

export interface EnrolRequest {
  method: string;
  path: string;
  /** Without its slashes, as Skupper looks it up. */
  key: string;
  /** null: it could not be read, or is too large. */
  body: string | null;
  /** Where it comes from. */
  address: string;
  header(name: string): string | undefined;
  /** PEM, of a client that showed a certificate; whether it is to be believed is for the handler to say. */
  certificate: string | null;
}

export interface EnrolAnswer {
  status: number;
  body: string;
  headers?: Record<string, string>;
}

export interface EnrolConfig {
  /** Empty: all addresses. */
  host: string;
  /** 0 picks one. */
  port: number;
  /** PEM. */
  certificate: string;
  key: string;
}

/** Milliseconds a request may take to come, and its answer to go; Skupper's. */
const requestTimeout = 60_000;
/** Octets of a request's body; a code has 24, and what a device says of itself a few thousand. */
const largestBody = 16 * 1024;
const mostConnections = 200;
const retryEvery = 5_000;

export class EnrolServer {
  readonly #handle: (request: EnrolRequest) => Promise<EnrolAnswer>;
  readonly #onChange: () => void;
  #config: EnrolConfig | null = null;
  #server: Server | null = null;
  #retry: NodeJS.Timeout | null = null;
  #port: number | null = null;
  #error: ErrorFact | null = null;

  constructor(handle: (request: EnrolRequest) => Promise<EnrolAnswer>, onChange: () => void) {
    this.#handle = handle;
    this.#onChange = onChange;
  }

  /** The port it listens on. */
  get port(): number | null {
    return this.#port;
  }

  /** Why it does not listen. It is tried again by itself. */
  get error(): ErrorFact | null {
    return this.#error;
  }

  /** Listens as it says, or no more; resolves when that was tried once. New credentials disturb nobody. */
  async update(config: EnrolConfig | null): Promise<void> {
    const before = this.#config;
    this.#config = config;
    if (config && before && this.#server && config.host === before.host && config.port === before.port) {
      this.#server.setSecureContext(contextOf(config));
      return;
    }
    await this.close();
    this.#config = config;
    if (config) await this.#open(config);
  }

  async close(): Promise<void> {
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = null;
    this.#config = null;
    this.#port = null;
    this.#error = null;
    const server = this.#server;
    this.#server = null;
    if (!server) return;
    const closed = Promise.withResolvers<void>();
    server.close(() => closed.resolve());
    server.closeAllConnections();
    await closed.promise;
  }

  async #open(config: EnrolConfig): Promise<void> {
    const server = createServer(
      // A client that shows a certificate asks for the next one; who does not is not turned away for that.
      { ...contextOf(config), requestCert: true, rejectUnauthorized: false },
      (request, response) => void this.#answer(request, response),
    );
    server.requestTimeout = requestTimeout;
    server.headersTimeout = requestTimeout;
    server.timeout = requestTimeout;
    server.maxConnections = mostConnections;
    const listening = Promise.withResolvers<void>();
    server.once('error', listening.reject);
    server.listen({ port: config.port, ...(config.host === '' ? {} : { host: config.host }) }, listening.resolve);
    try {
      await listening.promise;
    } catch (error) {
      this.#failed(config, error as NodeJS.ErrnoException);
      return;
    }
    server.removeAllListeners('error').on('error', (error) => log.warn('enrol', error.message));
    if (this.#config !== config) {
      server.close();
      return;
    }
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    this.#error = null;
    log.info('enrol', 'devices enrol and tokens are redeemed here', { host: config.host || '*', port: this.#port });
    this.#onChange();
  }

  #failed(config: EnrolConfig, { code, message }: NodeJS.ErrnoException): void {
    if (this.#config !== config) return;
    const where = `${config.host || '*'}:${config.port}`;
    const taken = code === 'EADDRINUSE';
    const fact: ErrorFact = {
      code: taken ? 'port-taken' : (code ?? 'socket-failed').toLowerCase(),
      message: `${where}: ${taken ? 'another program holds that port' : message}`,
      hint: 'Choose another with an EnrolmentService, or stop the other program; it is tried again by itself',
    };
    if (this.#error?.message !== fact.message) log.error('enrol', fact.message, { code: fact.code });
    this.#error = fact;
    this.#retry = setTimeout(() => void this.#open(config), retryEvery);
    this.#onChange();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#ask(request);
    response.writeHead(answer.status, {
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
      ...answer.headers,
    });
    response.end(answer.body);
  }

  async #ask(request: IncomingMessage): Promise<EnrolAnswer> {
    const certificate = (request.socket as TLSSocket).getPeerX509Certificate()?.toString() ?? null;
    try {
      const [path] = (request.url ?? '').split('?', 1);
      return await this.#handle({
        method: request.method ?? '',
        path,
        key: path.replaceAll('/', ''),
        address: request.socket.remoteAddress?.replace(/^::ffff:/, '') ?? '',
        body: await bodyOf(request),
        header: (name) => {
          const value = request.headers[name];
          return typeof value === 'string' ? value : undefined;
        },
        certificate,
      });
    } catch (error) {
      const known = error instanceof SkiffError;
      log.error('enrol', `a request failed: ${(error as Error).message}`, known ? { code: error.code } : {});
      return refuse(500, known ? error.message : 'Internal error');
    }
  }
}

export function answerJson(status: number, body: object, headers: Record<string, string> = {}): EnrolAnswer {
  return { status, body: `${JSON.stringify(body)}\n`, headers: { 'content-type': 'application/json', ...headers } };
}

/** As Go's http.Error writes it. */
export function refuse(status: number, text: string, headers: Record<string, string> = {}): EnrolAnswer {
  return { status, body: `${text}\n`, headers };
}

function contextOf({ certificate: cert, key }: EnrolConfig) {
  return { cert, key, minVersion: 'TLSv1.3' as const };
}

async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length;
      // The rest is read and dropped: who is still sending does not hear an answer.
      if (size <= largestBody) chunks.push(chunk);
    }
  } catch {
    return null;
  }
  return size > largestBody ? null : Buffer.concat(chunks).toString('utf8');
}
