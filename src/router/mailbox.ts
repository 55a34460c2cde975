/**
 * Messages between the main thread and the network: what comes to the addresses it takes goes up whole, what it sends
 * goes down and is routed like any other. Both sides of it are bounded: a message counts as accepted once the main
 * thread has done its work with it, and while too many wait for that, further ones go back to their senders.
 */
import { writeMessage } from '../amqp/message.ts';
import { ACCEPTED, type DeliveryState, isTerminal, RELEASED } from '../amqp/performatives.ts';
import { stripScheme } from './addresses.ts';
import { EdgePeer } from './edge-peer.ts';
import type { Arrival, Consumer, Sink, Source } from './forwarding.ts';
import { Letter } from './letter.ts';
import { originate } from './post.ts';
import type { MailEvent, MailRequest } from './protocol.ts';
import { readMessage } from './records/messages.ts';
import type { Router } from './router.ts';

/** Octets of a message, either way. */
export const MAX_MAIL = 1024 * 1024;
/** Messages, and octets of them, that the main thread may have in hand: each of a thousand edges says a word at once. */
const MOST_WAITING = 2_000;
const MOST_WAITING_OCTETS = 16 * MAX_MAIL;

export class Mailbox implements Consumer {
  /** What the main thread is to hear. */
  onEvent: (event: MailEvent) => void = () => {};
  readonly via = null;
  readonly partOfRouter = true;
  readonly cost = 0;
  readonly #router: Router;
  readonly #addresses = new Set<string>();
  readonly #waiting = new Map<number, { source: Source; octets: number }>();
  #waitingOctets = 0;
  #next = 0;

  constructor(router: Router) {
    this.#router = router;
  }

  get outstanding(): number {
    return this.#waiting.size;
  }

  handle(request: MailRequest): void {
    if (request.type === 'mail.subscribe') this.#subscribe(new Set(request.addresses));
    else if (request.type === 'mail.taken') this.#taken(request.id);
    else this.#send(request);
  }

  close(): void {
    this.#subscribe(new Set());
  }

  deliver(arrival: Arrival, source: Source): Sink {
    return new Letter(arrival, MAX_MAIL, (octets) => this.#take(arrival, octets, source));
  }

  #subscribe(wanted: ReadonlySet<string>): void {
    const { addresses } = this.#router;
    for (const address of this.#addresses) if (!wanted.has(address)) addresses.removeConsumer(`M${address}`, this);
    for (const address of wanted) if (!this.#addresses.has(address)) addresses.addConsumer(`M${address}`, this);
    this.#addresses.clear();
    for (const address of wanted) this.#addresses.add(address);
  }

  /** A message has come whole; null when it was too long. */
  #take({ address, head, via }: Arrival, octets: Buffer | null, source: Source): void {
    const body = octets && bodyOf(octets);
    if (body === null) {
      source.onOutcome(octets ? NOT_TEXT : TOO_LONG, true);
      return;
    }
    if (this.#waiting.size >= MOST_WAITING || this.#waitingOctets + body.length > MOST_WAITING_OCTETS) {
      source.onOutcome(RELEASED, true);
      return;
    }
    const id = ++this.#next;
    this.#waiting.set(id, { source, octets: body.length });
    this.#waitingOctets += body.length;
    const from = via instanceof EdgePeer ? via.device : null;
    this.onEvent({ type: 'mail', id, address: stripScheme(address), subject: head.subject ?? '', body, from });
  }

  #taken(id: number): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    this.#waitingOctets -= waiting.octets;
    waiting.source.onOutcome(ACCEPTED, true);
  }

  #send({ seq, to, subject, body }: Extract<MailRequest, { type: 'mail.send' }>): void {
    const octets = writeMessage({ to, subject }, body);
    let over = false;
    const answer = ({ outcome }: DeliveryState): void => {
      if (!over) this.onEvent({ type: 'mail.outcome', seq, outcome: outcome === 'received' ? 'modified' : outcome });
      over = true;
    };
    const source: Source = {
      onOutcome: (state, settled) => {
        if (settled || isTerminal(state)) answer(state);
      },
      onWritable: () => {},
    };
    if (!originate(this.#router, { to, subject, octets }, source)) answer(RELEASED);
  }
}

function bodyOf(octets: Buffer): string | null {
  const body = readMessage(octets)?.body;
  if (typeof body === 'string') return body;
  return Buffer.isBuffer(body) ? body.toString() : null;
}

const TOO_LONG: DeliveryState = {
  outcome: 'rejected',
  error: { condition: 'amqp:link:message-size-exceeded', description: `a message here may have ${MAX_MAIL} octets` },
};
const NOT_TEXT: DeliveryState = {
  outcome: 'rejected',
  error: { condition: 'amqp:decode-error', description: 'the body is no text' },
};
