/**
 * The local API: HTTP and JSON on a socket that only this user can open.
 */
import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type ErrorFact, errorFact, SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { DocumentsError } from '../site/problems.ts';
import type { ErrorAnswer } from './messages.ts';
import { type ApiContext, type EventStream, type Route, routes } from './routes.ts';
import { checkSocketPath } from './socket.ts';

/** Octets of a request's body; far above any real set of documents. */
const largestBody = 32 * 1024 * 1024;

const statusCodes: Record<string, number> = {
  'bad-request': 400,
  'unknown-kind': 404,
  'not-found': 404,
  'no-site': 409,
  'no-documents': 409,
  'no-link-access': 409,
  'hostname-mismatch': 409,
  'no-such-route': 404,
  'too-large': 413,
  'invalid-documents': 422,
  'disk-full': 507,
};

export class ApiServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** The caller holds the data directory, so a socket that is already there was left by a process that is gone. */
  static async listen(path: string, context: ApiContext): Promise<ApiServer> {
    checkSocketPath(path);
    removeStale(path);
    const server = createServer((request, response) => void answer(context, request, response));
    const listening = Promise.withResolvers<void>();
    server.once('error', listening.reject);
    // The umask counts when the socket is made, which listen() does before it returns: no moment is left to slip in.
    const umask = process.umask(0o177);
    try {
      server.listen(path, listening.resolve);
    } finally {
      process.umask(umask);
    }
    try {
      await listening.promise;
    } catch (error) {
      throw new SkiffError(
        'socket-failed',
        `the control socket cannot be opened: ${(error as Error).message} (${path})`,
      );
    }
    chmodSync(path, 0o600);
    server.removeListener('error', listening.reject);
    return new ApiServer(server);
  }

  async close(): Promise<void> {
    const closed = Promise.withResolvers<void>();
    this.#server.close(() => closed.resolve());
    this.#server.closeAllConnections();
    await closed.promise;
  }
}

function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) {
    throw new SkiffError(
      'socket-failed',
      `something that is no socket is in the place of the control socket (${path})`,
      {
        hint: 'Move it away',
      },
    );
  }
  rmSync(path);
}

async function answer(context: ApiContext, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [pathname, search] = (request.url ?? '').split('?', 2);
  try {
    const [route, path] = findRoute(request.method ?? '', pathname);
    const query = new URLSearchParams(search);
    const result = await route.handle(context, { path, query, body: () => readBody(request) });
    if (isEventStream(result)) stream(result, response);
    else send(response, 200, result);
  } catch (error) {
    const body: ErrorAnswer = {
      ...errorFact(error),
      ...(error instanceof DocumentsError ? { problems: error.problems } : {}),
    };
    report(request, pathname, error, body);
    send(response, statusCodes[body.code] ?? 500, body);
  }
}

function findRoute(method: string, pathname: string): [Route, string[]] {
  for (const route of routes) {
    const match = route.method === method ? route.path.exec(pathname) : null;
    if (match) return [route, match.slice(1).map(decode)];
  }
  throw new SkiffError('no-such-route', `there is no ${method} ${pathname}`);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new SkiffError('bad-request', `the path is not well encoded: ${text}`);
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > largestBody) throw new SkiffError('too-large', `the request is larger than ${largestBody} octets`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    throw new SkiffError('bad-request', `the body is not JSON: ${(error as Error).message}`);
  }
}

/** A question that finds nothing concerns the one who asked; a refused or failed change concerns the site's log too. */
function report(request: IncomingMessage, pathname: string, error: unknown, { code, problems }: ErrorAnswer): void {
  if (request.method === 'GET' && error instanceof SkiffError) return;
  const facts: ErrorFact[] = problems ?? [errorFact(error)];
  for (const fact of facts) log.warn('api', `refused: ${fact.message}`, { code: fact.code });
  if (!(error instanceof SkiffError)) log.error('api', `${request.method} ${pathname} failed`, { code });
}

function isEventStream(result: unknown): result is EventStream {
  return typeof (result as EventStream | null)?.subscribe === 'function';
}

function stream(events: EventStream, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  const unsubscribe = events.subscribe((event) => response.write(`${JSON.stringify(event)}\n`));
  response.on('close', unsubscribe);
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}
