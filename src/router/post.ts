/** Messages that begin at this router. */
import type { Value } from '../amqp/codec.ts';
import { USUAL_PRIORITY } from '../amqp/message.ts';
import { Chunk } from '../net/chunk.ts';
import { type Arrival, DEAF, type Source, type Way } from './forwarding.ts';
import type { Router } from './router.ts';

/** A message in one piece, and what routers look at in it. */
export interface Whole {
  to: string;
  subject?: string | null;
  replyTo?: string;
  correlationId?: Value;
  octets: Buffer;
}

/** Sends a message, settled, to whoever takes it; `via` is not sent what comes from there. */
export function post(router: Router, message: Whole, via: Way | null): void {
  const arrival = arrivalOf(message, { settled: true, via });
  router.route(arrival, DEAF)?.end(true);
}

/** Sends a message of which `source` hears what becomes; false when nobody takes it. */
export function originate(router: Router, message: Whole, source: Source): boolean {
  const sink = router.route(arrivalOf(message, { settled: false, via: null }), source);
  sink?.end(false);
  return sink !== null;
}

function arrivalOf(message: Whole, how: { settled: boolean; via: Way | null }): Arrival {
  const { to, subject = null, replyTo = null, correlationId = null, octets } = message;
  const head = {
    ...{ annotations: null, bareStart: 0, bodyStart: octets.length },
    ...{ priority: USUAL_PRIORITY, to, subject, replyTo, correlationId, contentType: null },
  };
  const first = new Chunk(octets, 0, octets.length);
  return { ...{ head, first, bodyOffset: octets.length, complete: true }, ...how, address: to, byLink: false };
}
