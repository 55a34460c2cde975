/** A Connector: a server near this site, offered to the network under its routing key. */
import { type ErrorFact, errorFact } from '../errors.ts';
import { log } from '../log.ts';
import { Bag } from '../net/bag.ts';
import { hostPort } from '../net/failure.ts';
import { secureContext } from '../net/tls.ts';
import { type Arrival, type Consumer, DISCARD, type Sink, type Source } from '../router/forwarding.ts';
import type { ConnectorConfig, ConnectorState, PartConfig } from '../router/protocol.ts';
import type { OwnRecord } from '../router/records/own.ts';
import type { Router } from '../router/router.ts';
import { alpnOf, isStream, takeBody } from './encapsulation.ts';
import { HealthCheck } from './health-check.ts';
import type { Report } from './reports.ts';
import type { ServerAddress } from './server-address.ts';
import { ServerStream } from './server-stream.ts';
import type { TcpStream } from './stream.ts';
import { Tally } from './tally.ts';

export class Connector implements Consumer {
  readonly via = null;
  readonly cost = 0;
  readonly #router: Router;
  readonly #report: Report<ConnectorState>;
  readonly #streams = new Bag<ServerStream>();
  #config: ConnectorConfig;
  #record: OwnRecord;
  /** null: the configuration does not say how to reach it; `#error` says why. */
  #server: ServerAddress | null = null;
  #check: HealthCheck | null = null;
  #health: NonNullable<ConnectorState['health']> | null = null;
  /** Whether the routing key is offered. */
  #offered = false;
  readonly #tally = new Tally();
  #total = 0;
  #error: ErrorFact | null = null;
  /** Why nobody beyond this site can reach it. */
  #refusal: ErrorFact | null = null;
  #closed = false;

  constructor(config: ConnectorConfig, router: Router, report: Report<ConnectorState>) {
    this.#config = config;
    this.#router = router;
    this.#report = report;
    this.#record = this.#newRecord();
    this.#takeUp();
    this.#changed();
  }

  /** Takes up another configuration for new streams; false when it is for another routing key. */
  update(config: PartConfig): boolean {
    if (this.#closed || config.kind !== 'connector' || config.routingKey !== this.#config.routingKey) return false;
    const { host, port } = this.#config;
    this.#config = config;
    if (config.host !== host || config.port !== port) {
      this.#record.end();
      this.#record = this.#newRecord();
    }
    this.#takeUp();
    this.#changed();
    return true;
  }

  get config(): ConnectorConfig {
    return this.#config;
  }

  get label(): string {
    const { name, host, port } = this.#config;
    return `${name}@${hostPort(host, port)}`;
  }

  get outstanding(): number {
    return this.#streams.size;
  }

  get streams(): Iterable<TcpStream> {
    return this.#streams;
  }

  get traffic() {
    return this.#tally.with(this.#streams);
  }

  /** Offers the server no more; streams under way go on unless `cut`. */
  close(cut: boolean): void {
    if (cut) for (const stream of [...this.#streams]) stream.fail();
    if (this.#closed) return;
    this.#closed = true;
    this.#check?.close();
    this.#record.end();
    this.#offer(false);
  }

  onOfferRefused(refusal: ErrorFact | null): void {
    if (refusal && this.#refusal?.message !== refusal.message)
      log.warn('connector', `${this.#config.name}: ${refusal.message}`, { code: refusal.code });
    this.#refusal = refusal;
    this.#changed();
  }

  takesForGood(arrival: Arrival): boolean {
    return this.#server !== null && arrival.head.replyTo !== null && isStream(arrival);
  }

  deliver(arrival: Arrival, source: Source): Sink {
    const server = this.#server;
    const alpn = server?.tls ? alpnOf(arrival) : null;
    const body = takeBody(arrival);
    if (body === null || arrival.head.replyTo === null || !server) {
      // Another consumer may understand what this one cannot: given back.
      arrival.first.release();
      queueMicrotask(() => source.onOutcome({ outcome: 'released' }, true));
      return DISCARD;
    }
    this.#record.count({ flowCount: ++this.#total });
    const stream = new ServerStream(server, alpn, arrival, body, source, this.#router, {
      onConnected: () => {
        if (!this.#error) return;
        this.#error = null;
        this.#changed();
      },
      onFailed: (error) => {
        const fact = error.toFact();
        if (this.#error?.message !== fact.message)
          log.warn('connector', `${this.#config.name}: ${fact.message}`, { code: fact.code });
        this.#error = fact;
        this.#changed();
      },
      onOver: (over) => {
        if (!this.#streams.delete(over)) return;
        this.#tally.add(over);
        this.#counted();
      },
    });
    this.#streams.add(stream);
    this.#counted();
    return stream;
  }

  /** Its name is one that Skupper gives to the parts of a router. */
  #newRecord(): OwnRecord {
    const { name, host, port, routingKey } = this.#config;
    const where = { destHost: host, destPort: String(port), protocol: 'tcp', address: routingKey };
    return this.#router.records.add('CONNECTOR', {
      name: `connector/${name}@${host}`,
      ...where,
      flowCount: this.#total,
    });
  }

  /** What was said of the server before is not true of this one. */
  #takeUp(): void {
    const { name, host, port, tls } = this.#config;
    this.#error = null;
    this.#server = null;
    try {
      const origin = tls ? { context: secureContext(tls, name), verifyHostname: tls.verifyHostname } : null;
      this.#server = { host, port, tls: origin };
    } catch (error) {
      this.#error = errorFact(error);
      log.error('connector', `${name}: ${this.#error.message}`, { code: this.#error.code });
    }
    this.#startCheck();
    this.#offer(this.#server !== null && (!this.#check || this.#health?.healthy === true));
  }

  /** What was known of the server stays true until the new check knows better. */
  #startCheck(): void {
    this.#check?.close();
    this.#check = null;
    const { healthCheck } = this.#config;
    if (!healthCheck || !this.#server) {
      this.#health = null;
      return;
    }
    this.#health ??= { healthy: null, since: Date.now(), error: null };
    this.#check = new HealthCheck(this.#server, healthCheck, this.#health.healthy, (healthy, error) => {
      this.#health = { healthy, since: Date.now(), error: error?.toFact() ?? null };
      const { name } = this.#config;
      if (healthy) log.info('connector', `${name}: the server is healthy`);
      else
        log.warn('connector', `${name}: the server fails its health check: ${error?.message}`, { code: error?.code });
      this.#offer(healthy);
      this.#changed();
    });
  }

  #offer(offered: boolean): void {
    if (this.#offered === offered) return;
    this.#offered = offered;
    const key = `M${this.#config.routingKey}`;
    if (offered) this.#router.addresses.addConsumer(key, this);
    else this.#router.addresses.removeConsumer(key, this);
    this.#refusal = this.#router.addresses.get(key)?.refusals.offer ?? null;
  }

  /** More connections, or fewer. */
  #counted(): void {
    if (!this.#closed) this.#report(this.#look, false);
  }

  #changed(): void {
    if (!this.#closed) this.#report(this.#look, true);
  }

  readonly #look = (): ConnectorState => ({
    kind: 'connector',
    name: this.#config.name,
    connectionsOpen: this.#streams.size,
    connectionsTotal: this.#total,
    error: this.#error ?? this.#refusal,
    ...(this.#health ? { health: this.#health } : {}),
  });

  keepAlive(): void {
    for (const stream of this.#streams) stream.keepAlive();
  }
}
