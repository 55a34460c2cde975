/** A way through an HTTP proxy: the CONNECT method (RFC 9110, 9.3.6) with Basic credentials, as skupper-router asks. */
import type { Socket } from 'node:net';
import { SkiffError } from '../errors.ts';
import { hostPort } from './failure.ts';

export interface HttpProxy {
  host: string;
  port: number;
  /** Absent: the proxy asks for no credentials. */
  username?: string;
  password?: string;
}

/** Octets of a proxy's answer, of which only the status matters. */
const ANSWER_MAX = 16 * 1024;

/**
 * Asks the proxy at the other end of a connected socket for a connection to `host:port`. One of the two is called, once;
 * after `onOpen` the socket is paused and carries what its new other end says. Errors of the socket are the caller's.
 */
export function openTunnel(
  socket: Socket,
  { host, port }: { host: string; port: number },
  proxy: HttpProxy,
  onOpen: () => void,
  onFailure: (error: SkiffError) => void,
): void {
  const target = hostPort(host, port);
  let answer = '';
  const take = (octets: Buffer): void => {
    answer += octets.toString('latin1');
    const end = answer.indexOf('\r\n\r\n');
    if (end < 0 && answer.length <= ANSWER_MAX) return;
    socket.off('data', take);
    socket.pause();
    const error = judge(answer, end, target, hostPort(proxy.host, proxy.port));
    if (error) onFailure(error);
    else onOpen();
  };
  socket.on('data', take);
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization(proxy)}\r\n`);
}

function authorization({ username, password = '' }: HttpProxy): string {
  if (username === undefined) return '';
  return `Proxy-Authorization: Basic ${Buffer.from(`${username}:${password}`).toString('base64')}\r\n`;
}

/** null: the tunnel is open. */
function judge(answer: string, end: number, target: string, where: string): SkiffError | null {
  const line = /^HTTP\/1\.[01] (\d{3})(?: ([^\r\n]*))?\r\n/.exec(answer);
  if (end < 0 || !line) {
    return new SkiffError('proxy-failed', `the proxy ${where} does not answer in HTTP`, {
      hint: 'Check host and port in the Secret that proxy-configuration names',
    });
  }
  const status = Number(line[1]);
  const words = `${status} ${line[2] ?? ''}`.trim();
  if (status === 407) {
    return new SkiffError('proxy-authentication', `the proxy ${where} does not accept the credentials (${words})`, {
      hint: 'Check username and password in the Secret that proxy-configuration names',
    });
  }
  if (status >= 400 && status < 500) {
    return new SkiffError(
      'proxy-refused',
      `the proxy ${where} does not let this site through to ${target} (${words})`,
      {
        hint: 'Ask whoever runs the proxy to allow it',
      },
    );
  }
  if (status < 200 || status > 299) {
    return new SkiffError('proxy-failed', `the proxy ${where} cannot reach ${target} (${words})`);
  }
  // The other end does not speak first: what is more is not from there.
  if (answer.length === end + 4) return null;
  return new SkiffError('proxy-failed', `the proxy ${where} says more than it was asked`);
}
