import { log } from '../log.ts';

/** An AMQP error as it travels in close, end, detach and rejected: a condition and a description (AMQP 1.0, 2.8.14). */
export class AmqpError extends Error {
  override readonly name = 'AmqpError';
  readonly condition: string;

  constructor(condition: string, description: string) {
    super(description);
    this.condition = condition;
  }
}

/** Conditions the specification names (2.8.15 to 2.8.18), and the router's own. */
export const Condition = {
  internalError: 'amqp:internal-error',
  notFound: 'amqp:not-found',
  unauthorizedAccess: 'amqp:unauthorized-access',
  decodeError: 'amqp:decode-error',
  notAllowed: 'amqp:not-allowed',
  invalidField: 'amqp:invalid-field',
  notImplemented: 'amqp:not-implemented',
  resourceLimit: 'amqp:resource-limit-exceeded',
  illegalState: 'amqp:illegal-state',
  frameSizeTooSmall: 'amqp:frame-size-too-small',
  connectionForced: 'amqp:connection:forced',
  framingError: 'amqp:connection:framing-error',
  windowViolation: 'amqp:session:window-violation',
  errantLink: 'amqp:session:errant-link',
  handleInUse: 'amqp:session:handle-in-use',
  unattachedHandle: 'amqp:session:unattached-handle',
  detachForced: 'amqp:link:detach-forced',
  transferLimit: 'amqp:link:transfer-limit-exceeded',
  messageSize: 'amqp:link:message-size-exceeded',
} as const;

/**
 * Calls a handler among others that must be called too, whatever becomes of it: when something ends, everyone who has
 * a part in it hears so. What the handler throws is a bug of its own, and is logged.
 */
export function tell(call: () => void): void {
  try {
    call();
  } catch (error) {
    log.error('amqp', `a handler failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }
}
