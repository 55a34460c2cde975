/**
 * HTTP for people and monitoring: pages that are read, and one form at most. It asks for no password, so it shows no
 * secrets. A port that is taken is tried again until it is free; nothing else waits for that.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import type { HttpState } from '../api/messages.ts';
import { type ErrorFact, errorFact } from '../errors.ts';
import { log } from '../log.ts';

export interface HttpAddress {
  /** A name or an address; IPv6 without brackets. */
  host: string;
  /** 0 picks one. */
  port: number;
}

export interface Answer {
  status: number;
  /** The media type. */
  type: string;
  body: string;
  headers?: Record<string, string>;
}

export interface Page {
  show(): Answer | Promise<Answer>;
  /** What was filled into its form, as browsers send it. */
  submit?(body: string): Answer;
}

/** By path. */
export type Pages = Record<string, Page>;

/** Milliseconds. */
const requestTimeout = 10_000;
const retryEvery = 5_000;
const mostConnections = 100;
/** Octets of a form that is filled in. */
const largestForm = 128 * 1024;

export class ConsoleServer {
  readonly #address: HttpAddress;
  readonly #pages: Pages;
  readonly #server: Server;
  #retry: NodeJS.Timeout | null = null;
  #port: number | null = null;
  #error: ErrorFact | null = null;

  constructor(address: HttpAddress, pages: Pages) {
    this.#address = address;
    this.#pages = pages;
    this.#server = createServer((request, response) => void this.#respond(request, response));
    this.#server.requestTimeout = requestTimeout;
    this.#server.headersTimeout = requestTimeout;
    this.#server.maxConnections = mostConnections;
  }

  get state(): HttpState {
    const url = this.#port === null ? null : `http://${this.#where(this.#port)}`;
    return { url, error: this.#error };
  }

  /** Done when it was tried once. */
  async open(): Promise<void> {
    this.#retry = null;
    const listening = Promise.withResolvers<void>();
    this.#server.once('error', listening.reject).listen(this.#address, listening.resolve);
    try {
      await listening.promise;
    } catch (error) {
      this.#failed(error as NodeJS.ErrnoException);
      return;
    }
    this.#server.off('error', listening.reject).on('error', (error) => log.warn('http', error.message));
    this.#port = (this.#server.address() as AddressInfo).port;
    this.#error = null;
    log.info('http', 'the status page and metrics are served', { host: this.#address.host, port: this.#port });
  }

  async close(): Promise<void> {
    if (this.#retry) clearTimeout(this.#retry);
    const closed = Promise.withResolvers<void>();
    // Of one that does not listen it says so; that is closed, too.
    this.#server.close(() => closed.resolve());
    this.#server.closeAllConnections();
    await closed.promise;
  }

  #where(port: number): string {
    const { host } = this.#address;
    return `${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  #failed(error: NodeJS.ErrnoException): void {
    const taken = error.code === 'EADDRINUSE';
    const reason = taken ? 'another program holds that port' : error.message;
    const fact: ErrorFact = {
      code: taken ? 'port-taken' : (error.code ?? 'socket-failed').toLowerCase(),
      message: `there are no pages at ${this.#where(this.#address.port)}: ${reason}`,
      hint: 'Give another address with --http, or off, or stop the other program; it is tried again by itself',
    };
    if (this.#error?.message !== fact.message) log.warn('http', fact.message, { code: fact.code });
    this.#error = fact;
    this.#retry = setTimeout(() => void this.open(), retryEvery);
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, type, body, headers } = await this.#answer(request);
    response.writeHead(status, {
      'content-type': type,
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...headers,
    });
    response.end(body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { method = '', url = '', headers } = request;
    if (!this.#isMeant(headers.host)) return plain(421, 'This site is not known by that name; --http gives it one');
    const [path] = url.split('?', 1);
    const page = Object.hasOwn(this.#pages, path) ? this.#pages[path] : undefined;
    if (!page) return plain(404, 'There is no such page');
    const form = page.submit && method === 'POST';
    if (!form && method !== 'GET' && method !== 'HEAD') {
      const allow = page.submit ? 'GET, HEAD, POST' : 'GET, HEAD';
      return { ...plain(405, 'This page can only be read'), headers: { allow } };
    }
    try {
      if (!form) return await page.show();
      const body = await bodyOf(request);
      return body === null
        ? plain(413, 'That is too much for this form')
        : (page.submit as NonNullable<Page['submit']>)(body);
    } catch (error) {
      const { code, message } = errorFact(error);
      log.error('http', `${path} failed: ${message}`, { code });
      return plain(500, `${message} [${code}]`);
    }
  }

  /**
   * A web page elsewhere can have its own name point here, and then read what a browser lets it read. Such a name is
   * none of ours; an address is nobody's name, and a program that names no host is no browser.
   */
  #isMeant(host: string | undefined): boolean {
    if (host === undefined) return true;
    const name = host
      .replace(/:\d*$/, '')
      .replace(/^\[(.*)\]$/, '$1')
      .toLowerCase();
    return isIP(name) !== 0 || name === 'localhost' || name === this.#address.host.toLowerCase();
  }
}

/** null: too large. */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let octets = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    octets += chunk.length;
    if (octets > largestForm) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export const htmlType = 'text/html; charset=utf-8';

export function plain(status: number, text: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${text}\n` };
}
