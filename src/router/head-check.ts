/** What the head of a message may not say: some of it nobody's, some of it only that of a router which is entitled to it. */
import { AmqpError, Condition } from '../amqp/error.ts';
import type { MessageHead, RouterAnnotations } from '../amqp/message.ts';
import { stripScheme } from './addresses.ts';
import { MAX_ADDRESS } from './protocol.ts';

/** Routers that a message may have passed. A path between two routers that has more of them is none that anybody built. */
const MAX_TRACE = 1_024;

/** Who says it. */
export interface Speaker {
  readonly isRouter: boolean;
  /** Speaks for others, too, and takes part in the routing protocol. */
  readonly isInterior: boolean;
}

/** Throws `AmqpError` when this speaker may not say so. Its words are the same for all that do the same. */
export function checkHead({ annotations, to, replyTo }: MessageHead, speaker: Speaker): void {
  if (annotations) checkAnnotations(annotations, speaker);
  for (const address of [annotations?.toOverride, to, replyTo]) {
    if (typeof address === 'string') checkAddress(address, speaker);
  }
}

function checkAnnotations({ ingress, trace }: RouterAnnotations, { isRouter, isInterior }: Speaker): void {
  if (!isRouter) throw new AmqpError(Condition.notAllowed, 'router annotations in a message from a client');
  if (!isInterior && (ingress !== null || trace.length > 0)) {
    throw new AmqpError(Condition.notAllowed, 'an edge router says where a message has been before it');
  }
  if (trace.length > MAX_TRACE) {
    throw new AmqpError(Condition.notAllowed, `a message says that it has passed more than ${MAX_TRACE} routers`);
  }
}

/** The same for the address of a link. */
export function checkAddress(address: string, { isInterior }: Speaker): void {
  if (address.length > MAX_ADDRESS) {
    throw new AmqpError(Condition.invalidField, `an address is longer than ${MAX_ADDRESS} characters`);
  }
  if (!isInterior && ROUTING_PROTOCOL.test(stripScheme(address))) {
    throw new AmqpError(Condition.unauthorizedAccess, 'only interior routers speak the routing protocol');
  }
}

/** Where routers tell each other of the network. */
const ROUTING_PROTOCOL = /^(?:_local|_topo\/[^/]*\/[^/]*)\/qd(?:hello|router(?:\.ma)?)$/;
