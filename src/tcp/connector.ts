/** A Connector: a server near this site, offered to the network under its routing key. */
import type { ErrorFact } from '../errors.ts';
import { log } from '../log.ts';
import { type Arrival, type Consumer, DISCARD, type Sink, type Source } from '../router/forwarding.ts';
import type { ConnectorConfig, ConnectorState } from '../router/protocol.ts';
import type { Router } from '../router/router.ts';
import { takeBody } from './encapsulation.ts';
import { ServerStream } from './server-stream.ts';
import { Tally } from './tally.ts';

export class Connector implements Consumer {
  readonly config: ConnectorConfig;
  readonly via = null;
  readonly #router: Router;
  readonly #report: (state: ConnectorState) => void;
  readonly #streams = new Set<ServerStream>();
  readonly #tally = new Tally();
  #total = 0;
  #error: ErrorFact | null = null;
  #closed = false;

  constructor(config: ConnectorConfig, router: Router, report: (state: ConnectorState) => void) {
    this.config = config;
    this.#router = router;
    this.#report = report;
    router.addresses.addConsumer(`M${config.routingKey}`, this);
    this.#changed();
  }

  get outstanding(): number {
    return this.#streams.size;
  }

  get traffic() {
    return this.#tally.with(this.#streams);
  }

  /** Offers the server no more; streams under way go on unless `cut`. */
  close(cut: boolean): void {
    if (cut) for (const stream of [...this.#streams]) stream.fail();
    if (this.#closed) return;
    this.#closed = true;
    this.#router.addresses.removeConsumer(`M${this.config.routingKey}`, this);
  }

  deliver(arrival: Arrival, source: Source): Sink {
    const body = takeBody(arrival);
    if (body === null || arrival.head.replyTo === null) {
      // Another consumer may understand what this one cannot: given back.
      arrival.first.release();
      queueMicrotask(() => source.onOutcome({ outcome: 'released' }, true));
      return DISCARD;
    }
    this.#total++;
    const stream = new ServerStream(this.config, arrival, body, source, this.#router, {
      onConnected: () => {
        if (!this.#error) return;
        this.#error = null;
        this.#changed();
      },
      onFailed: (error) => {
        const fact = error.toFact();
        if (this.#error?.message !== fact.message)
          log.warn('connector', `${this.config.name}: ${fact.message}`, { code: fact.code });
        this.#error = fact;
        this.#changed();
      },
      onOver: (over) => {
        if (!this.#streams.delete(over)) return;
        this.#tally.add(over);
        this.#changed();
      },
    });
    this.#streams.add(stream);
    this.#changed();
    return stream;
  }

  #changed(): void {
    if (this.#closed) return;
    this.#report({
      kind: 'connector',
      name: this.config.name,
      connectionsOpen: this.#streams.size,
      connectionsTotal: this.#total,
      error: this.#error,
    });
  }
}
