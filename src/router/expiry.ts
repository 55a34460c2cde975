/** The moments at which certificates end, by a clock that may be set meanwhile. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { SkiffError } from '../errors.ts';

/** How often the clock is looked at, at least, in milliseconds: it may have been set, and timers do not hear of that. */
const LOOK_EVERY = 60_000;

/**
 * Before the other end's certificate ends, it is looked whether that end has another one by now: this long before, or a
 * tenth of what the certificate had left when the connection was made.
 */
const LOOK_BEFORE_END = 24 * 60 * 60 * 1_000;

/** Does the work once that moment has come; hands back a way to give that up. */
export function atMoment(moment: number, work: () => void, now: () => number): () => void {
  let timer: NodeJS.Timeout;
  const look = (): void => {
    const left = moment - now();
    if (left <= 0) work();
    else timer = setTimeout(look, Math.min(left, LOOK_EVERY));
  };
  timer = setTimeout(look, Math.min(Math.max(0, moment - now()), LOOK_EVERY));
  return () => clearTimeout(timer);
}

/** When the certificate that the other end showed is good no more: epoch, ms; null when it showed none. */
export function expirationOfPeer(socket: Socket): number | null {
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  return certificate?.validToDate.getTime() ?? null;
}

export function expired(whose: string): SkiffError {
  return new SkiffError('certificate-expired', `the certificate of ${whose} has expired`, {
    hint: 'Make a new one; check the clock',
  });
}

/** Tells when the certificate of a connection's other end ends, and a while before that; hands back a way to give it up. */
export function heedExpiration(
  socket: Socket,
  now: () => number,
  on: { soon(): void; now(error: SkiffError): void },
): () => void {
  const expires = expirationOfPeer(socket);
  if (expires === null) return () => {};
  const lead = Math.min(LOOK_BEFORE_END, (expires - now()) / 10);
  const forget = [
    atMoment(expires - lead, on.soon, now),
    atMoment(expires, () => on.now(expired('the other end')), now),
  ];
  return () => {
    for (const each of forget) each();
  };
}
