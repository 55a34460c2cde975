/** The connecting side: TCP or TLS to a host, with a time limit. */
import net from 'node:net';
import tls from 'node:tls';
import { isAboutDates, isMachineWrong, isTrusted } from '../chain.ts';
import { SkiffError } from '../errors.ts';
import { hostPort, socketFailure } from './failure.ts';
import { type HttpProxy, openTunnel } from './proxy.ts';
import { checkHost } from './tls.ts';

export interface DialOptions {
  host: string;
  port: number;
  /** null: plain TCP. */
  context: tls.SecureContext | null;
  /** Milliseconds until the connection, TLS and a proxy's tunnel included, must stand. */
  timeout: number;
  /** PEM: whom to believe, and what time it is, where the machine's clock may be wrong. */
  ca?: string;
  now?: () => number;
  /** Absent: the host is reached directly. */
  proxy?: HttpProxy;
}

/**
 * Connects; `onConnect` is called once, in the very event of the connection, so that the caller can install its way
 * of reading before an octet is read. `onFailure` is called once instead when it fails. Returns a way to give up.
 */
export function dial(
  options: DialOptions,
  onConnect: (socket: net.Socket) => void,
  onFailure: (error: SkiffError) => void,
): () => void {
  const { host, port, context, proxy, ca = '', now = Date.now } = options;
  const clockIsWrong = isMachineWrong(now);
  const where = hostPort(host, port);
  let given = false;
  const giveUp = (): void => {
    given = true;
    clearTimeout(timer);
    for (const socket of sockets) socket.on('error', () => {}).destroy();
  };
  const fail = (error: SkiffError): void => {
    if (given) return;
    giveUp();
    onFailure(error);
  };
  const timer = setTimeout(
    () => fail(new SkiffError('timed-out', `${where}: no connection within ${options.timeout} ms`)),
    options.timeout,
  );
  /** The socket, and the one of TCP below it where that was there first. */
  const sockets: net.Socket[] = [];
  /** Watches over a socket until the event that says it stands. */
  const watch = (socket: net.Socket, name: string, event: string, then: () => void): void => {
    sockets.push(socket);
    const failed = (error: Error): void => fail(socketFailure(error, name));
    const closed = (): void => fail(new SkiffError('connection-lost', `${name}: closed while connecting`));
    socket.on('error', failed);
    socket.on('close', closed);
    socket.once(event, () => {
      if (given) return;
      socket.off('error', failed);
      socket.off('close', closed);
      then();
    });
  };
  const succeed = (socket: net.Socket): void => {
    const objection = clockIsWrong && socket instanceof tls.TLSSocket ? objectionTo(socket, host, ca, now()) : null;
    if (objection) {
      fail(socketFailure(objection, where));
      return;
    }
    given = true;
    clearTimeout(timer);
    onConnect(socket);
  };
  const direct = { host, port, noDelay: true };
  if (!proxy) {
    const socket = context ? connectTls(direct, host, context, !clockIsWrong) : net.connect(direct);
    watch(socket, where, context ? 'secureConnect' : 'connect', () => succeed(socket));
    return giveUp;
  }
  const raw = net.connect({ host: proxy.host, port: proxy.port, noDelay: true });
  watch(raw, `the proxy ${hostPort(proxy.host, proxy.port)}`, 'tunnel', () => {
    if (!context) {
      succeed(raw);
      raw.resume();
      return;
    }
    // From here on its errors are reported by the socket of TLS.
    raw.on('error', () => {});
    const socket = connectTls({ socket: raw }, host, context, !clockIsWrong);
    watch(socket, where, 'secureConnect', () => succeed(socket));
  });
  raw.once('connect', () => openTunnel(raw, options, proxy, () => raw.emit('tunnel'), fail));
  return giveUp;
}

/** What is wrong with the other end's certificate when dates are judged by another clock than the machine's. */
function objectionTo(socket: tls.TLSSocket, host: string, ca: string, at: number): Error | null {
  const verdict = socket.authorizationError as Error | string | undefined;
  const code = verdict instanceof Error ? (verdict as NodeJS.ErrnoException).code : verdict;
  if (!code) return null;
  if (!isAboutDates(code)) return Object.assign(new Error(String(verdict)), { code });
  const wrongHost = checkHost(host, socket.getPeerCertificate());
  if (wrongHost) return wrongHost;
  return isTrusted(socket, ca, at) ? null : Object.assign(new Error('its dates are wrong'), { code });
}

function connectTls(
  way: { socket: net.Socket } | { host: string; port: number; noDelay: boolean },
  host: string,
  context: tls.SecureContext,
  byMachineClock: boolean,
): tls.TLSSocket {
  return tls.connect({
    ...way,
    secureContext: context,
    ...(net.isIP(host) ? {} : { servername: host }),
    checkServerIdentity: (_name, certificate) => checkHost(host, certificate),
    rejectUnauthorized: byMachineClock,
    minVersion: 'TLSv1.2',
  } as tls.ConnectionOptions);
}
