/** An HTTP proxy that knows CONNECT alone, and lets through who has the credentials. */
import { createServer } from 'node:http';
import net, { type Socket } from 'node:net';
import { freePort } from './tcp.ts';

export interface ConnectProxy {
  port: number;
  /** What was asked for, as `host:port`, let through or not. */
  asked: string[];
  /** The tunnels that are open. */
  tunnels: Set<Socket>;
  close(): Promise<void>;
}

/** `allowed`: the targets that it connects to; all if not said. */
export async function connectProxy(
  credentials: { username: string; password: string } | null,
  allowed?: string[],
): Promise<ConnectProxy> {
  const asked: string[] = [];
  const tunnels = new Set<Socket>();
  const wanted = credentials
    ? `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`
    : undefined;
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on('connect', (request, socket: Socket) => {
    socket.on('error', () => {});
    const target = request.url ?? '';
    asked.push(target);
    if (wanted && request.headers['proxy-authorization'] !== wanted) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n');
      return;
    }
    if (allowed && !allowed.includes(target)) {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const { hostname, port } = new URL(`http://${target}`);
    const far = net.connect(Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n');
      tunnels.add(socket);
      socket.pipe(far).pipe(socket);
    });
    far.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')).on('close', () => socket.destroy());
    socket.on('close', () => {
      tunnels.delete(socket);
      far.destroy();
    });
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = async (): Promise<void> => {
    for (const socket of tunnels) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { port, asked, tunnels, close };
}
