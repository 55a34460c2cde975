/**
 * The management agent: it takes requests at `$management`, and answers to where each says. Requests are worked on one
 * after another, and tables row by row with other work in between, so that whoever looks disturbs no traffic.
 */
import { setImmediate as breathe } from 'node:timers/promises';
import { Encoded, encode, int, type Value, type Writable } from '../../amqp/codec.ts';
import { answerId, writeMessage } from '../../amqp/message.ts';
import { ACCEPTED, RELEASED } from '../../amqp/performatives.ts';
import { log } from '../../log.ts';
import { MANAGEMENT_KEY } from '../addresses.ts';
import { EdgePeer } from '../edge-peer.ts';
import type { Arrival, Consumer, Sink, Source } from '../forwarding.ts';
import { Letter } from '../letter.ts';
import { post } from '../post.ts';
import { readMessage } from '../records/messages.ts';
import type { View } from './entity.ts';
import { ManagementError } from './error.ts';
import { type Answer, perform, type Rows } from './requests.ts';
import { type AttributeValue, fromWire, toWire } from './values.ts';

/** Octets of a request. */
const MAX_REQUEST = 64 * 1024;
/** Requests that may wait; further ones go back to their senders. */
const MOST_WAITING = 100;
/** Rows made in one go. */
const ROWS_AT_ONCE = 200;

const DESCRIPTIONS = { 200: 'OK', 204: 'No Content' } as const;

export class ManagementAgent implements Consumer {
  readonly via = null;
  readonly partOfRouter = true;
  readonly cost = 0;
  readonly #view: View;
  #outstanding = 0;
  /** Done when all requests so far have been answered. */
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(view: View) {
    this.#view = view;
    view.router.addresses.addConsumer(MANAGEMENT_KEY, this);
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  close(): void {
    this.#closed = true;
    this.#view.router.addresses.removeConsumer(MANAGEMENT_KEY, this);
  }

  deliver(arrival: Arrival, source: Source): Sink {
    return new Letter(arrival, MAX_REQUEST, (octets) => {
      if (this.#outstanding >= MOST_WAITING) {
        source.onOutcome(RELEASED, true);
        return;
      }
      source.onOutcome(ACCEPTED, true);
      // Without an address to answer to there is nobody who would know.
      if (arrival.head.replyTo === null || octets === null) return;
      this.#outstanding++;
      this.#work = this.#work.then(() => this.#workOn(arrival, octets)).finally(() => this.#outstanding--);
    });
  }

  async #workOn(arrival: Arrival, octets: Buffer): Promise<void> {
    const { replyTo, correlationId } = arrival.head;
    const { status, description, body } = await this.#answer(arrival, octets);
    if (this.#closed) return;
    const applicationProperties = new Map<Writable, Writable>([
      ['statusCode', int(status)],
      ['statusDescription', description],
    ]);
    const fields = { to: replyTo, correlationId: answerId(octets), applicationProperties };
    const reply = { to: replyTo as string, correlationId, octets: writeMessage(fields, body) };
    post(this.#view.router, reply, null);
  }

  async #answer({ via }: Arrival, octets: Buffer): Promise<{ status: number; description: string; body: Writable }> {
    try {
      const message = readMessage(octets);
      const request = {
        properties: mapOf(message?.applicationProperties ?? null) ?? {},
        body: mapOf(message?.body ?? null),
        mayChange: !(via instanceof EdgePeer),
      };
      const answer = perform(request, this.#view);
      return { status: answer.status, description: DESCRIPTIONS[answer.status], body: await bodyOf(answer) };
    } catch (error) {
      if (error instanceof ManagementError)
        return { status: error.status, description: error.message, body: new Map() };
      log.error('management', `a request could not be answered: ${error instanceof Error ? error.stack : error}`);
      return { status: 500, description: 'the request could not be answered', body: new Map() };
    }
  }
}

async function bodyOf(answer: Answer): Promise<Writable> {
  return 'table' in answer ? await tableOf(answer.table) : toWire(answer.body);
}

async function tableOf({ names, rows }: Rows): Promise<Writable> {
  const results: Writable[] = [];
  for (const row of rows) {
    results.push(new Encoded(encode(toWire(row))));
    if (results.length % ROWS_AT_ONCE === 0) await breathe();
  }
  return new Map<Writable, Writable>([
    ['attributeNames', names],
    ['results', results],
  ]);
}

function mapOf(value: Value): Readonly<Record<string, AttributeValue>> | null {
  return value instanceof Map ? (fromWire(value) as Record<string, AttributeValue>) : null;
}
