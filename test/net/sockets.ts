/** Two connected sockets, for tests. */
import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import { secureContext } from '../../src/net/tls.ts';
import { makeCa } from '../support/certificates.ts';

export interface Sockets extends AsyncDisposable {
  near: Socket;
  far: Socket;
}

/**
 * Connects two sockets over loopback. Each is handed to its `on…` function in the event that brings it, before an octet
 * can have been read.
 */
export async function connectSockets(
  encrypted = false,
  onNear: (socket: Socket) => void = () => {},
  onFar: (socket: Socket) => void = () => {},
): Promise<Sockets> {
  const accepted = Promise.withResolvers<Socket>();
  const context = encrypted ? testContext() : null;
  const server = net.createServer({ noDelay: true }, (raw) => {
    const socket = context ? new tls.TLSSocket(raw, { isServer: true, secureContext: context }) : raw;
    const ready = (): void => {
      onFar(socket);
      accepted.resolve(socket);
    };
    if (context) socket.once('secure', ready);
    else ready();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  const connected = Promise.withResolvers<Socket>();
  const near = context
    ? tls.connect({ host: '127.0.0.1', port, secureContext: context, rejectUnauthorized: false })
    : net.connect({ host: '127.0.0.1', port, noDelay: true });
  near.once(context ? 'secureConnect' : 'connect', () => {
    onNear(near);
    connected.resolve(near);
  });
  const [, far] = await Promise.all([connected.promise, accepted.promise]);
  server.close();
  for (const socket of [near, far]) socket.on('error', () => {});
  const dispose = async (): Promise<void> => {
    const closed = [near, far].map(
      (socket) => new Promise((resolve) => (socket.closed ? resolve(null) : socket.once('close', resolve))),
    );
    near.destroy();
    far.destroy();
    await Promise.all(closed);
  };
  return { near, far, [Symbol.asyncDispose]: dispose };
}

let shared: tls.SecureContext | null = null;

export function testContext(): tls.SecureContext {
  shared ??= secureContext(makeCa('test').issue({ commonName: 'localhost', hosts: ['127.0.0.1'] }), 'test');
  return shared;
}
