/** A client's connection to a listener: it opens the stream, and takes the reply on an address of its own. */
import type { Socket } from 'node:net';
import { type Arrival, type Consumer, DISCARD, type Sink, type Source } from '../router/forwarding.ts';
import type { Router } from '../router/router.ts';
import { openingOf, takeBody } from './encapsulation.ts';
import { TcpStream } from './stream.ts';

/**
 * Milliseconds for the reply to begin, which it does as soon as the server is reached, before that says a word. One that
 * was lost on the way with a line may have nobody left to tell of it. It is looked now and then, at `keepAlive`.
 */
const REPLY_WITHIN = 60_000;

export class ClientStream extends TcpStream implements Consumer {
  readonly via = null;
  readonly cost = 0;
  readonly outstanding = 0;
  readonly #router: Router;
  readonly #reply: { address: string; key: string };
  readonly #done: (stream: ClientStream) => void;
  #replied = false;

  /** `alpn`: the protocol that TLS has agreed on with the client. */
  constructor(
    socket: Socket,
    router: Router,
    routingKey: string,
    alpn: string | null,
    done: (stream: ClientStream) => void,
  ) {
    super(socket);
    this.#router = router;
    this.#done = done;
    this.#reply = router.newReplyAddress();
    router.addresses.addConsumer(this.#reply.key, this);
    const sink = router.route(
      openingOf(routingKey, { replyTo: this.#reply.address, correlationId: router.nextRecordId() }, alpn),
      this,
    );
    if (!sink) {
      this.fail();
      return;
    }
    this.sendTo(sink);
    this.attach();
  }

  override keepAlive(): void {
    if (!this.#replied && !this.over && performance.now() - this.since > REPLY_WITHIN) this.fail();
    else super.keepAlive();
  }

  takesForGood(): boolean {
    return true;
  }

  /** The reply stream. */
  deliver(arrival: Arrival, source: Source): Sink {
    const body = this.#replied || this.over ? null : takeBody(arrival);
    if (body === null) {
      arrival.first.release();
      const error = { condition: 'amqp:not-allowed', description: 'not the reply to an open stream' };
      queueMicrotask(() => source.onOutcome({ outcome: 'rejected', error }, true));
      return DISCARD;
    }
    this.#replied = true;
    this.receiveFrom(source, arrival.settled);
    if (body.length > 0) this.write(body);
    else body.release();
    return this;
  }

  protected override onOver(): void {
    this.#router.addresses.removeConsumer(this.#reply.key, this);
    this.#done(this);
  }
}
