/** A Listener: a TCP port of this site, open exactly while somebody serves its routing key. */
import net, { type Server, type Socket } from 'node:net';
import type { ErrorFact } from '../errors.ts';
import { log } from '../log.ts';
import { hostPort, socketFailure } from '../net/failure.ts';
import type { Address, Producer } from '../router/addresses.ts';
import type { ListenerConfig, ListenerState } from '../router/protocol.ts';
import type { Router } from '../router/router.ts';
import { ClientStream } from './client-stream.ts';
import { Tally } from './tally.ts';

/** How often a port that could not be opened is tried again, in milliseconds. */
const RETRY_EVERY = 5_000;

export class Listener implements Producer {
  readonly config: ListenerConfig;
  readonly via = null;
  readonly #router: Router;
  readonly #report: (state: ListenerState) => void;
  readonly #address: Address;
  readonly #streams = new Set<ClientStream>();
  readonly #tried: () => void;
  /** Resolves when the socket has been tried once, or needs no try. */
  readonly settled: Promise<void>;
  #server: Server | null = null;
  #retry: NodeJS.Timeout | null = null;
  #status: ListenerState['status'] = 'closed';
  #port: number | null = null;
  #error: ErrorFact | null = null;
  readonly #tally = new Tally();
  #total = 0;
  #closed = false;

  constructor(config: ListenerConfig, router: Router, report: (state: ListenerState) => void) {
    this.config = config;
    this.#router = router;
    this.#report = report;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.settled = promise;
    this.#tried = resolve;
    this.#address = router.addresses.addProducer(`M${config.routingKey}`, this);
    if (this.#matched) this.onConsumersChanged();
    else {
      this.#tried();
      this.#changed();
    }
  }

  /** Stops listening; streams under way go on unless `cut`. */
  close(cut: boolean): void {
    if (cut) for (const stream of [...this.#streams]) stream.fail();
    if (this.#closed) return;
    this.#closed = true;
    this.#router.addresses.removeProducer(this.#address.key, this);
    this.#stop();
  }

  get connectionsOpen(): number {
    return this.#streams.size;
  }

  get traffic() {
    return this.#tally.with(this.#streams);
  }

  onConsumersChanged(): void {
    if (this.#closed) return;
    if (!this.#matched) {
      this.#stop();
      this.#status = 'closed';
      this.#error = null;
    } else if (!this.#server && !this.#retry) {
      this.#open();
    }
    this.#changed();
  }

  get #matched(): boolean {
    return this.#router.reachable(this.#address);
  }

  #open(): void {
    this.#retry = null;
    const { host, port, name } = this.config;
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    this.#server = server;
    server.once('error', (error) => {
      if (this.#server !== server) return;
      this.#server = null;
      const fact = socketFailure(error, hostPort(host || '*', port)).toFact();
      if (this.#error?.message !== fact.message)
        log.error('listener', `${name} cannot be opened: ${fact.message}`, { code: fact.code });
      this.#status = 'failed';
      this.#error = fact;
      this.#retry = setTimeout(() => this.#open(), RETRY_EVERY);
      this.#tried();
      this.#changed();
    });
    server.listen({ port, ...(host === '' ? {} : { host }), backlog: 511 }, () => {
      if (this.#server !== server) {
        server.close();
        return;
      }
      this.#port = (server.address() as net.AddressInfo).port;
      this.#status = 'open';
      this.#error = null;
      log.info('listener', `${name} is open`, {
        host: host || '*',
        port: this.#port,
        routingKey: this.config.routingKey,
      });
      this.#tried();
      this.#changed();
    });
  }

  #stop(): void {
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = null;
    const server = this.#server;
    this.#server = null;
    this.#port = null;
    if (!server) return;
    server.removeAllListeners('error');
    server.on('error', () => {});
    server.close();
    log.info('listener', `${this.config.name} is closed`, { routingKey: this.config.routingKey });
  }

  #accept(socket: Socket): void {
    this.#total++;
    const stream = new ClientStream(socket, this.#router, this.config.routingKey, (over) => {
      if (!this.#streams.delete(over)) return;
      this.#tally.add(over);
      this.#changed();
    });
    if (!stream.over) this.#streams.add(stream);
    this.#changed();
  }

  #changed(): void {
    if (this.#closed) return;
    this.#report({
      kind: 'listener',
      name: this.config.name,
      status: this.#status,
      port: this.#port,
      matched: this.#matched,
      error: this.#error,
      connectionsOpen: this.#streams.size,
      connectionsTotal: this.#total,
    });
  }
}
