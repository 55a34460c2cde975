/** Servers and clients of TCP for tests. Everything that is opened here is closed by `closeSockets`. */
import { createHash, type Hash, randomBytes } from 'node:crypto';
import net, { type Server, type Socket } from 'node:net';
import { eventually, within } from './eventually.ts';

const servers = new Set<Server>();
const sockets = new Set<Socket>();

export async function closeSockets(): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await Promise.all([...servers].map((server) => new Promise((resolve) => server.close(resolve))));
  servers.clear();
}

/** `closeSockets` closes it. */
export function track(socket: Socket): Socket {
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket));
  return socket;
}

/** Below the ports that the kernel gives to outgoing connections, so that none of these takes it meanwhile. */
const LOWEST_PORT = 20_000;
const HIGHEST_PORT = 32_000;
const given = new Set<number>();

/** A port that is free on every address, and given once only. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
    if (given.has(port)) continue;
    given.add(port);
    const server = net.createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

export interface TcpServer {
  port: number;
  /** Every connection there has been, in order. */
  connections: Socket[];
  close(): Promise<void>;
}

/** A server that hands each connection to `serve`. Its sockets may be half open. */
export async function serve(
  take: (socket: Socket) => void,
  { host = '127.0.0.1', port = 0 }: { host?: string; port?: number } = {},
): Promise<TcpServer> {
  const connections: Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    track(socket).on('error', () => {});
    connections.push(socket);
    take(socket);
  });
  servers.add(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // Not one the kernel gives: the same port may be asked for again after a while.
    void (port === 0 ? freePort() : Promise.resolve(port)).then((chosen) =>
      server.listen({ port: chosen, host, backlog: 511 }, resolve),
    );
  });
  const close = async (): Promise<void> => {
    servers.delete(server);
    for (const socket of connections) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { port: (server.address() as net.AddressInfo).port, connections, close };
}

/** Sends back what it gets, to the end. */
export function echo(options: { host?: string; port?: number } = {}): Promise<TcpServer> {
  return serve((socket) => void socket.pipe(socket), options);
}

/** Says `name` to everyone, and ends when the client ends. */
export function greeter(name: string): Promise<TcpServer> {
  return serve((socket) => {
    socket.write(name);
    socket.resume().on('end', () => socket.end());
  });
}

/** A connection. Its errors are its own affair: `closedBy` tells of them. */
export async function connect(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = track(net.connect({ port, host, allowHalfOpen: true, noDelay: true }));
  await within(
    `a connection to ${host}:${port}`,
    new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    }),
  );
  socket.removeAllListeners('error');
  socket.on('error', () => {});
  return socket;
}

/** Whether something accepts connections there. */
export async function accepts(port: number, host = '127.0.0.1'): Promise<boolean> {
  try {
    (await connect(port, host)).resetAndDestroy();
    return true;
  } catch {
    return false;
  }
}

export function untilAccepting(port: number, host?: string): Promise<boolean> {
  return eventually(`port ${port} accepts connections`, () => accepts(port, host));
}

/** Waits until exactly `octets` more have come, and no more are waiting. */
export async function read(socket: Socket, octets: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  const whole = new Promise<void>((resolve, reject) => {
    const take = (): void => {
      while (length < octets) {
        const part = socket.read(Math.min(octets - length, socket.readableLength)) as Buffer | null;
        if (part === null) break;
        parts.push(part);
        length += part.length;
      }
      if (length < octets) return;
      finish();
      resolve();
    };
    const fail = (): void => {
      finish();
      reject(
        new Error(`ended after ${length} of ${octets} octets: ${Buffer.concat(parts).toString('latin1', 0, 200)}`),
      );
    };
    const finish = (): void => {
      socket.off('readable', take).off('end', fail).off('close', fail);
    };
    socket.on('readable', take).on('end', fail).on('close', fail);
    if (socket.readableEnded || socket.closed) fail();
    else take();
  });
  await within(`${octets} octets`, whole);
  return Buffer.concat(parts);
}

/** Everything until the other side ends. */
export async function readToEnd(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  const whole = new Promise<void>((resolve, reject) => {
    socket.on('data', (part: Buffer) => parts.push(part));
    socket.once('end', resolve);
    socket.once('close', () => reject(new Error('closed before its end')));
  });
  await within('the end of the stream', whole);
  return Buffer.concat(parts);
}

/** One exchange on a connection of its own: sends, half-closes, and reads to the end. */
export async function exchange(port: number, text: string, host?: string): Promise<string> {
  const socket = await connect(port, host);
  try {
    socket.end(text);
    return (await readToEnd(socket)).toString('utf8');
  } finally {
    socket.destroy();
  }
}

/** Sends a few words and waits for them to come back, from an echo. */
export async function say(socket: Socket, text: string): Promise<void> {
  const back = new Promise<string>((resolve) => socket.once('data', (octets) => resolve(octets.toString())));
  socket.write(text);
  const words = await within(`${text} comes back`, back);
  if (words !== text) throw new Error(`${words} came back, not ${text}`);
}

/** How the connection ends: in order by both sides, or reset. */
export function ending(socket: Socket): Promise<'end' | 'reset'> {
  const ended = new Promise<'end' | 'reset'>((resolve) => {
    if (socket.closed) resolve(socket.errored ? 'reset' : 'end');
    socket.once('error', () => resolve('reset'));
    socket.once('close', (failed) => resolve(failed ? 'reset' : 'end'));
  });
  return within('the end of the connection', ended);
}

/** Milliseconds without an octet in either direction after which a bulk stream is taken to be stuck. */
const STUCK = 30_000;

/**
 * Sends `octets` of random data and its end, and counts and hashes what comes, to its end. Resolves when both
 * directions are done, rejects when the stream is stuck.
 */
export async function bulk(socket: Socket, octets: number): Promise<{ sent: string; received: string; count: number }> {
  socket.setTimeout(STUCK, () => socket.destroy(new Error(`stuck for ${STUCK} ms`)));
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  const [count] = await Promise.all([hashAll(socket, received), sendRandom(socket, octets, sent)]);
  socket.setTimeout(0);
  return { count, sent: sent.digest('hex'), received: received.digest('hex') };
}

/** Resolves with the count of octets at the end of what comes. The socket stays open for the other direction. */
export function hashAll(socket: Socket, hash: Hash): Promise<number> {
  let count = 0;
  return new Promise((resolve, reject) => {
    socket.on('data', (part: Buffer) => {
      hash.update(part);
      count += part.length;
    });
    socket.once('end', () => resolve(count));
    socket.once('close', () => {
      const why = socket.errored ? ` (${socket.errored.message})` : '';
      reject(new Error(`closed after ${count} octets, before its end${why}`));
    });
  });
}

/** One block, sent over and over at offsets that differ, so that a piece out of place is noticed. */
const BLOCK = randomBytes(1024 * 1024 + 7);

export async function sendRandom(socket: Socket, octets: number, hash: Hash): Promise<void> {
  for (let left = octets; left > 0; ) {
    const part = BLOCK.subarray(0, Math.min(left, BLOCK.length));
    left -= part.length;
    hash.update(part);
    if (!socket.write(part) && left > 0) await drained(socket);
  }
  socket.end();
}

export async function drained(socket: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const finish = (error?: Error): void => {
      socket.off('drain', finish).off('close', closed);
      if (error) reject(error);
      else resolve();
    };
    const closed = (): void => finish(new Error('closed before everything was written'));
    socket.once('drain', finish).once('close', closed);
    if (socket.closed) closed();
  });
}
