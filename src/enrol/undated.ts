/**
 * A connection to a server whose certificate is good but for its dates, as this machine's clock has it.
 */
import { isIP } from 'node:net';
import { checkServerIdentity, connect, type TLSSocket } from 'node:tls';
import { isAboutDates, isTrusted } from '../chain.ts';

/** `name`: as which the server must be known. `at`: when its dates must be right; null: they are not looked at. */
export async function connectUndated(
  url: URL,
  ca: string,
  name: string,
  at: number | null,
  options: object,
): Promise<TLSSocket> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const socket = connect({
    ...options,
    host,
    port: Number(url.port || 443),
    ca,
    ...(isIP(name) ? {} : { servername: name }),
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
  });
  const secure = Promise.withResolvers<void>();
  socket.once('secureConnect', secure.resolve).once('error', secure.reject);
  await secure.promise;
  const wrong = checkServerIdentity(name, socket.getPeerCertificate());
  const good = !socket.authorizationError || isAboutDates(socket.authorizationError);
  if (!wrong && good && isTrusted(socket, ca, at)) return socket;
  socket.destroy();
  throw wrong ?? Object.assign(new Error('its certificate is not to be believed'), { code: socket.authorizationError });
}
