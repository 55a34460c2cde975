/** Messages of flow records that begin at this router. */
import { USUAL_PRIORITY } from '../../amqp/message.ts';
import { Chunk } from '../../net/chunk.ts';
import { DEAF, type Way } from '../forwarding.ts';
import type { Router } from '../router.ts';
import type { Outgoing } from './messages.ts';

/** Sends a message, settled, to whoever takes it; `via` is not sent what comes from there. */
export function post(router: Router, { to, subject, octets }: Outgoing, via: Way | null): void {
  const head = {
    ...{ annotations: null, bareStart: 0, bodyStart: octets.length },
    ...{ priority: USUAL_PRIORITY, to, subject, replyTo: null, correlationId: null, contentType: null },
  };
  const first = new Chunk(octets, 0, octets.length);
  const arrival = {
    ...{ head, first, bodyOffset: octets.length, complete: true, settled: true },
    ...{ address: to, byLink: false, via },
  };
  router.route(arrival, DEAF)?.end(true);
}
