/** SASL as links use it (AMQP 1.0, 5.3): EXTERNAL over mutual TLS, ANONYMOUS elsewhere. One round trip, no challenges. */
import { SkiffError } from '../errors.ts';
import type { Reader, WritableDescribed } from './codec.ts';
import { AmqpError, Condition } from './error.ts';
import { readSasl, saslInit, saslMechanisms, saslOutcome } from './performatives.ts';

export const SASL_HEADER = Buffer.from('AMQP\x03\x01\x00\x00', 'latin1');
export const AMQP_HEADER = Buffer.from('AMQP\x00\x01\x00\x00', 'latin1');

export type Mechanism = 'EXTERNAL' | 'ANONYMOUS';

const OUTCOME_OK = 0;
const OUTCOME_AUTH = 1;

export interface Sasl {
  readonly role: 'client' | 'server';
  readonly mechanism: Mechanism;
  /** Server: a client may begin with AMQP at once. */
  readonly optional: boolean;
  readonly done: boolean;
  readonly failure: SkiffError | null;
  /** Server: the first frame. */
  start(): WritableDescribed;
  /** Takes a frame of the peer's, and returns the answer. */
  onFrame(reader: Reader, hostname: string | null): WritableDescribed | null;
}

export class SaslClient implements Sasl {
  readonly role = 'client';
  readonly optional = false;
  done = false;
  failure: SkiffError | null = null;
  readonly mechanism: Mechanism;

  constructor(mechanism: Mechanism) {
    this.mechanism = mechanism;
  }

  start(): WritableDescribed {
    throw new AmqpError(Condition.internalError, 'the SASL client speaks second');
  }

  onFrame(reader: Reader, hostname: string | null): WritableDescribed | null {
    const frame = readSasl(reader);
    if (frame.type === 'mechanisms') {
      if (!frame.mechanisms.includes(this.mechanism)) {
        this.failure = new SkiffError(
          'authentication-failed',
          `the peer does not take SASL ${this.mechanism}; it offers ${frame.mechanisms.join(', ') || 'nothing'}`,
          {
            hint:
              this.mechanism === 'ANONYMOUS'
                ? 'Give the link tlsCredentials'
                : 'The access must ask for client certificates',
          },
        );
        return null;
      }
      return saslInit(
        this.mechanism,
        this.mechanism === 'ANONYMOUS' ? Buffer.from('anonymous') : Buffer.alloc(0),
        hostname,
      );
    }
    if (frame.type !== 'outcome') throw new AmqpError(Condition.notAllowed, `SASL ${frame.type} from a server`);
    if (frame.code === OUTCOME_OK) this.done = true;
    else {
      this.failure = new SkiffError(
        'authentication-failed',
        `the peer did not accept this site's certificate (SASL outcome ${frame.code})`,
        {
          hint: "The peer's log says why; check that its access trusts the CA of the link's certificate",
        },
      );
    }
    return null;
  }
}

export class SaslServer implements Sasl {
  readonly role = 'server';
  readonly optional: boolean;
  done = false;
  failure: SkiffError | null = null;
  readonly mechanism: Mechanism;
  readonly #refusal: SkiffError | null;

  /** `refusal`: why this client will not be let in, whatever it says. */
  constructor(mechanism: Mechanism, options: { optional: boolean; refusal: SkiffError | null }) {
    this.mechanism = mechanism;
    this.optional = options.optional;
    this.#refusal = options.refusal;
  }

  start(): WritableDescribed {
    return saslMechanisms([this.mechanism]);
  }

  onFrame(reader: Reader): WritableDescribed {
    const frame = readSasl(reader);
    if (frame.type !== 'init') throw new AmqpError(Condition.notAllowed, `SASL ${frame.type} from a client`);
    if (this.#refusal) this.failure = this.#refusal;
    else if (frame.body.mechanism !== this.mechanism) {
      this.failure = new SkiffError(
        'authentication-failed',
        `the client asked for SASL ${frame.body.mechanism.slice(0, 32)}, not ${this.mechanism}`,
      );
    }
    if (this.failure) return saslOutcome(OUTCOME_AUTH);
    this.done = true;
    return saslOutcome(OUTCOME_OK);
  }
}
