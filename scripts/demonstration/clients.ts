/** What the demo's users do: fetch over HTTP, talk over TCP, and find a port closed. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Place } from './documents.ts';
import { Fatal } from './processes.ts';

/** Proxies are for other networks: these addresses are all on this machine. */
const withoutProxies = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(http|https|all)_proxy$/i.test(name)),
);

export const hasCurl = spawnSync('curl', ['--version']).status === 0;

/** The command that does what `download` does. */
export function command(url: string): string {
  return hasCurl ? `curl ${url}` : `fetch ${url}`;
}

/** The body of a good answer. */
async function* download(url: string): AsyncGenerator<Uint8Array> {
  if (!hasCurl) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    yield* response.body ?? [];
    return;
  }
  const child = spawn('curl', ['-sS', '--fail', '--max-time', '120', url], { env: withoutProxies });
  const closed = once(child, 'close');
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    complaint += text;
  });
  yield* child.stdout;
  const [exitCode] = await closed;
  if (exitCode !== 0) throw new Error(complaint.trim() || `curl ended with ${exitCode}`);
}

export async function fetchText(url: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of download(url)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

export async function fetchHash(url: string): Promise<{ octets: number; hash: string }> {
  const hash = createHash('sha256');
  let octets = 0;
  for await (const chunk of download(url)) {
    hash.update(chunk);
    octets += chunk.length;
  }
  return { octets, hash: hash.digest('hex') };
}

/** Sends a text, ends its direction, and resolves with all that came back. */
export async function talk(port: number, text: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  return answer;
}

/** Whether a connection to the port is refused, in contrast to accepted or accepted and then cut. */
export function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const settle = (refused: boolean) => {
      resolve(refused);
      socket.destroy();
    };
    socket.on('connect', () => settle(false));
    socket.on('error', (error: NodeJS.ErrnoException) => settle(error.code === 'ECONNREFUSED'));
  });
}

/** Why the place cannot be connected to; null when it can. */
export function connectFailure(place: Place): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ ...place, timeout: 5_000 });
    const settle = (failure: string | null) => {
      resolve(failure);
      socket.destroy();
    };
    socket.on('connect', () => settle(null));
    socket.on('error', (error) => settle(error.message));
    socket.on('timeout', () => settle('no answer within 5 s'));
  });
}

/** How long a service of the user's has to say something. */
const BANNER_MS = 1_500;
const ANSWER_MS = 5_000;

/**
 * What a service of any kind says: by itself to whoever connects, or else to an HTTP request. `virtualHost` is the name
 * that an HTTP server expects to be called by.
 */
export async function sound(place: Place, virtualHost: string): Promise<{ said: string; http: boolean }> {
  const banner = await listenTo(place, null, BANNER_MS);
  if (banner.octets.length > 0) return { said: `it says ${printable(banner.octets)}`, http: false };
  const request = `GET / HTTP/1.1\r\nHost: ${virtualHost}\r\nUser-Agent: skiff-demo\r\nConnection: close\r\n\r\n`;
  const { octets, ended } = await listenTo(place, request, ANSWER_MS);
  const text = octets.toString('latin1');
  if (text.startsWith('HTTP/')) {
    const status = text.slice(0, text.indexOf('\r\n'));
    return { said: `it answers "${status}", ${octets.length} octets${ended ? '' : ' so far'}`, http: true };
  }
  if (octets.length > 0) return { said: `it answers an HTTP request with ${printable(octets)}`, http: false };
  const said = ended ? 'it closed on an HTTP request' : 'it takes connections, and says nothing';
  return { said, http: false };
}

async function listenTo(place: Place, request: string | null, ms: number): Promise<{ octets: Buffer; ended: boolean }> {
  const socket: Socket = connect(place);
  await once(socket, 'connect');
  if (request !== null) socket.write(request);
  const chunks: Buffer[] = [];
  let ended = false;
  const timer = setTimeout(() => socket.destroy(), ms);
  try {
    for await (const chunk of socket) {
      chunks.push(chunk);
      // A banner has been heard; an answer is heard to its end.
      if (request === null) break;
    }
    ended = true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
  return { octets: Buffer.concat(chunks), ended };
}

function printable(octets: Buffer): string {
  const shown = JSON.stringify(octets.subarray(0, 60).toString('latin1'));
  return `${shown}${octets.length > 60 ? ` … (${octets.length} octets)` : ''}`;
}

/**
 * Free ports, below those that the kernel gives to outgoing connections: whoever dials a port of its own kind while
 * nobody listens there may end up connected to itself.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, ReturnType<typeof createServer>>();
  for (let attempt = 0; held.size < count; attempt++) {
    if (attempt > 1_000) throw new Fatal('found no free ports');
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (held.has(port)) continue;
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (free) held.set(port, server);
  }
  await Promise.all([...held.values()].map((server) => new Promise((resolve) => server.close(resolve))));
  return [...held.keys()];
}
