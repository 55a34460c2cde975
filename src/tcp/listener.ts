/** A Listener or MultiKeyListener: a TCP port of this site, open exactly while somebody serves one of its routing keys. */
import net, { type Server, type Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { type ErrorFact, errorFact, type SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { Bag } from '../net/bag.ts';
import { hostPort, socketFailure } from '../net/failure.ts';
import { handshake, verification } from '../net/handshake.ts';
import { reset } from '../net/reset.ts';
import { secureContext } from '../net/tls.ts';
import type {
  ListenerConfig,
  ListenerState,
  MultiKeyListenerConfig,
  MultiKeyListenerState,
  PartConfig,
} from '../router/protocol.ts';
import type { Router } from '../router/router.ts';
import { ClientStream } from './client-stream.ts';
import { ALPN_PROTOCOLS } from './encapsulation.ts';
import type { Report } from './reports.ts';
import { RoutingKeys } from './routing-keys.ts';
import type { TcpStream } from './stream.ts';
import { Tally } from './tally.ts';

/** How often a port that could not be opened is tried again, in milliseconds. */
const RETRY_EVERY = 5_000;
/** Milliseconds a client has for its TLS handshake. */
const HANDSHAKE_TIMEOUT = 10_000;

type Config = ListenerConfig | MultiKeyListenerConfig;

export class Listener {
  readonly #router: Router;
  readonly #report: Report<ListenerState | MultiKeyListenerState>;
  readonly #streams = new Bag<ClientStream>();
  #config: Config;
  #keys: RoutingKeys;
  #context: SecureContext | null = null;
  /** Why the port cannot be opened with this configuration. */
  #unusable: ErrorFact | null = null;
  /** The ways to give up TLS handshakes that are under way. */
  readonly #handshakes = new Set<() => void>();
  #attempt = Promise.withResolvers<void>();
  #server: Server | null = null;
  #retry: NodeJS.Timeout | null = null;
  #status: ListenerState['status'] = 'closed';
  #port: number | null = null;
  #error: ErrorFact | null = null;
  readonly #tally = new Tally();
  #total = 0;
  #closed = false;

  constructor(config: Config, router: Router, report: Report<ListenerState | MultiKeyListenerState>) {
    this.#config = config;
    this.#router = router;
    this.#report = report;
    this.#keys = this.#bind();
    this.#attempt.resolve();
    this.#onReachability();
  }

  /** Resolves when the socket has been tried once, or needs no try. */
  get settled(): Promise<void> {
    return this.#attempt.promise;
  }

  /** Takes up another configuration of the same socket, which stays open; false when it is for another one. */
  update(config: PartConfig): boolean {
    const { kind, host, port } = this.#config;
    if (this.#closed || config.kind !== kind || config.host !== host || config.port !== port) return false;
    this.#config = config;
    const before = this.#keys;
    // The new ones are there before the old ones go: a key that stays is never without a producer.
    this.#keys = this.#bind();
    before.close();
    this.#onReachability();
    return true;
  }

  /** Stops listening; streams under way go on unless `cut`. */
  close(cut: boolean): void {
    if (cut) for (const stream of [...this.#streams]) stream.fail();
    if (this.#closed) return;
    this.#closed = true;
    this.#keys.close();
    this.#stop();
    for (const giveUp of this.#handshakes) giveUp();
  }

  get connectionsOpen(): number {
    return this.#streams.size;
  }

  get config(): Config {
    return this.#config;
  }

  get streams(): Iterable<TcpStream> {
    return this.#streams;
  }

  get traffic() {
    return this.#tally.with(this.#streams);
  }

  /** What the configuration asks for besides its port. */
  #bind(): RoutingKeys {
    const config = this.#config;
    this.#context = null;
    this.#unusable = null;
    try {
      if (config.tls) this.#context = secureContext(config.tls, config.name);
    } catch (error) {
      this.#unusable = errorFact(error);
      log.error('listener', `${config.name} cannot be opened: ${this.#unusable.message}`, {
        code: this.#unusable.code,
      });
    }
    const strategy = config.kind === 'listener' ? { priority: [config.routingKey] } : config.strategy;
    const { name, host, port } = config;
    // The name is one that Skupper gives to the parts of a router.
    const record = { name: `listener/${name}`, destHost: host, destPort: String(port), protocol: 'tcp' };
    return new RoutingKeys(strategy, this.#router, record, () => this.#onReachability());
  }

  #onReachability(): void {
    if (this.#closed) return;
    if (this.#unusable || !this.#keys.anyReachable) {
      this.#stop();
      this.#status = this.#unusable ? 'failed' : 'closed';
      this.#error = this.#unusable ?? this.#keys.refusal;
    } else if (!this.#server && !this.#retry) {
      this.#attempt = Promise.withResolvers();
      this.#open();
    }
    this.#changed();
  }

  #open(): void {
    this.#retry = null;
    const { host, port, name } = this.#config;
    const server = net.createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
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
      this.#attempt.resolve();
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
      log.info('listener', `${name} is open`, { host: host || '*', port: this.#port, ...this.#destination });
      this.#attempt.resolve();
      this.#changed();
    });
  }

  #stop(): void {
    this.#attempt.resolve();
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = null;
    const server = this.#server;
    this.#server = null;
    this.#port = null;
    if (!server) return;
    server.removeAllListeners('error');
    server.on('error', () => {});
    server.close();
    log.info('listener', `${this.#config.name} is closed`, this.#destination);
  }

  /** For the log. */
  get #destination(): { routingKey: string } | { strategy: string } {
    const config = this.#config;
    return config.kind === 'listener'
      ? { routingKey: config.routingKey }
      : { strategy: 'weighted' in config.strategy ? 'weighted' : 'priority' };
  }

  #accept(socket: Socket): void {
    if (this.#context) this.#shakeHands(socket, this.#context);
    else this.#begin(socket, null);
  }

  #shakeHands(raw: Socket, context: SecureContext): void {
    const required = this.#config.tls?.requireClientCert ?? false;
    const options = { context, alpn: ALPN_PROTOCOLS, timeout: HANDSHAKE_TIMEOUT } as const;
    raw.setNoDelay(true);
    const giveUp = handshake(
      raw,
      { ...options, clientCertificate: required ? 'required' : 'none' },
      (socket) => {
        this.#handshakes.delete(giveUp);
        const refusal = required ? verification(socket, 'The listener has requireClientCert') : null;
        if (!refusal) this.#begin(socket, socket.alpnProtocol || null);
        else {
          reset(socket);
          this.#refused(refusal);
        }
      },
      (error) => {
        this.#handshakes.delete(giveUp);
        this.#refused(error);
      },
    );
    this.#handshakes.add(giveUp);
  }

  #refused(cause: SkiffError): void {
    log.info('listener', `${this.#config.name} refused a connection: ${cause.message}`, { code: cause.code });
  }

  #begin(socket: Socket, alpn: string | null): void {
    this.#total++;
    const routingKey = this.#keys.next();
    if (routingKey === null) {
      reset(socket);
      return;
    }
    const stream = new ClientStream(socket, this.#router, routingKey, alpn, (over) => {
      if (!this.#streams.delete(over)) return;
      this.#tally.add(over);
      this.#counted();
    });
    if (!stream.over) this.#streams.add(stream);
    this.#counted();
  }

  /** More connections, or fewer. */
  #counted(): void {
    if (!this.#closed) this.#report(this.#look, false);
  }

  #changed(): void {
    if (!this.#closed) this.#report(this.#look, true);
  }

  readonly #look = (): ListenerState | MultiKeyListenerState => {
    const state = {
      name: this.#config.name,
      status: this.#status,
      port: this.#port,
      matched: this.#keys.anyReachable,
      error: this.#error,
      connectionsOpen: this.#streams.size,
      connectionsTotal: this.#total,
    };
    return this.#config.kind === 'listener'
      ? { kind: 'listener', ...state }
      : { kind: 'multiKeyListener', ...state, reachable: this.#keys.reachable };
  };

  keepAlive(): void {
    // A copy: some of them may end here.
    for (const stream of [...this.#streams]) stream.keepAlive();
  }
}
