/** Asks the management agents of the network: this router's own, and that of any other router or edge, Skiff or not. */
import { ulong, type Writable } from '../../amqp/codec.ts';
import { writeMessage } from '../../amqp/message.ts';
import { ACCEPTED, type DeliveryState, isTerminal } from '../../amqp/performatives.ts';
import { SkiffError } from '../../errors.ts';
import type { Arrival, Consumer, Sink, Source } from '../forwarding.ts';
import { Letter } from '../letter.ts';
import { originate } from '../post.ts';
import type { ManagedRouter, ManagementQuestion, ManagementReply } from '../protocol.ts';
import { readMessage } from '../records/messages.ts';
import type { Router } from '../router.ts';
import { fromWire, toWire } from './values.ts';

/** Octets of an answer. */
const MAX_REPLY = 16 * 1024 * 1024;
/** Milliseconds until a router that does not answer counts as silent. */
const PATIENCE = 10_000;

interface Waiting {
  resolve(reply: ManagementReply): void;
  reject(error: SkiffError): void;
}

export class ManagementClient implements Consumer {
  readonly via = null;
  readonly partOfRouter = true;
  readonly cost = 0;
  readonly #router: Router;
  readonly #replies: { address: string; key: string };
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;

  constructor(router: Router) {
    this.#router = router;
    this.#replies = router.newReplyAddress();
    router.addresses.addConsumer(this.#replies.key, this);
  }

  get outstanding(): number {
    return this.#waiting.size;
  }

  close(): void {
    this.#router.addresses.removeConsumer(this.#replies.key, this);
    for (const { reject } of [...this.#waiting.values()]) reject(new SkiffError('router-silent', 'the router stops'));
  }

  /** Rejects with a `SkiffError` when there is no answer; one that says no is an answer, too. */
  async ask({ of, properties, body }: ManagementQuestion): Promise<ManagementReply> {
    const id = ++this.#next;
    const answer = Promise.withResolvers<ManagementReply>();
    this.#waiting.set(id, answer);
    const timer = setTimeout(() => answer.reject(silent(of)), PATIENCE);
    const { address: replyTo } = this.#replies;
    const to = addressOf(of);
    const applicationProperties = new Map<Writable, Writable>(
      Object.entries(properties).map(([name, value]) => [name, toWire(value)]),
    );
    const octets = writeMessage({ to, replyTo, correlationId: ulong(id), applicationProperties }, toWire(body));
    const onOutcome = (state: DeliveryState): void => {
      if (state.outcome === 'rejected') answer.reject(forbidden(of, state.error?.description ?? 'no reason is given'));
      else if (isTerminal(state) && state.outcome !== 'accepted') answer.reject(unknown(of));
    };
    try {
      const sent = originate(
        this.#router,
        { to, replyTo, correlationId: id, octets },
        { onOutcome, onWritable: () => {} },
      );
      if (!sent) throw unknown(of);
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  deliver(arrival: Arrival, source: Source): Sink {
    return new Letter(arrival, MAX_REPLY, (octets) => {
      source.onOutcome(ACCEPTED, true);
      const waiting = this.#waiting.get(Number(arrival.head.correlationId));
      const message = octets && readMessage(octets);
      if (!message) {
        waiting?.reject(new SkiffError('router-answer', 'the router gave an answer that cannot be read'));
        return;
      }
      const { applicationProperties, body } = message;
      const status = Number(applicationProperties.get('statusCode') ?? 0);
      const description = String(applicationProperties.get('statusDescription') ?? '');
      waiting?.resolve({ status, description, body: fromWire(body) });
    });
  }
}

function addressOf(of: ManagedRouter): string {
  if (of === null) return '$management';
  return 'router' in of ? `amqp:/_topo/0/${of.router}/$management` : `amqp:/_edge/${of.edge}/$management`;
}

const nameOf = (of: ManagedRouter): string =>
  of === null ? 'this router' : 'router' in of ? `the router ${of.router}` : `the edge ${of.edge}`;

function unknown(of: ManagedRouter): SkiffError {
  return new SkiffError('router-unknown', `${nameOf(of)} cannot be reached from here`, {
    hint: 'skiff router stat --nodes lists the routers, --edges the edges of one',
  });
}

function forbidden(of: ManagedRouter, why: string): SkiffError {
  return new SkiffError('router-refused', `${nameOf(of)} may not be asked from here: ${why}`);
}

function silent(of: ManagedRouter): SkiffError {
  return new SkiffError('router-silent', `${nameOf(of)} did not answer within ${PATIENCE / 1_000} s`);
}
