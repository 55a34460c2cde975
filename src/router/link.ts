/** An outgoing link: dials its endpoints in turn, with a back-off, and keeps one connection up. */
import type tls from 'node:tls';
import { Connection } from '../amqp/connection.ts';
import type { Open } from '../amqp/performatives.ts';
import { SaslClient } from '../amqp/sasl.ts';
import { type ErrorFact, errorFact, SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { dial } from '../net/dial.ts';
import { hostPort, isPermanent } from '../net/failure.ts';
import { secureContext } from '../net/tls.ts';
import { connectionOptions, prepare } from './connections.ts';
import { LinkFacts } from './link-facts.ts';
import type { LinkConfig, LinkState } from './protocol.ts';
import type { OwnRecord } from './records/own.ts';
import type { Router } from './router.ts';
import { Uplink } from './uplink.ts';

/** Back-off between tries: from the first to the last figure, in milliseconds, doubled each time, with full jitter. */
const BACKOFF_FIRST = 1_000;
const BACKOFF_LAST = 60_000;
const DIAL_TIMEOUT = 10_000;

export interface LinkHooks {
  report(state: LinkState): void;
  /** The link's connection stands, or is gone: which uplink is the active one may change. */
  onUplinkChange(): void;
}

export class Link {
  readonly config: LinkConfig;
  readonly #router: Router;
  readonly #hooks: LinkHooks;
  readonly #facts = new LinkFacts(() => this.#set(this.#status));
  readonly #record: OwnRecord;
  #downCount = 0;
  #context: tls.SecureContext | null = null;
  /** The connection once it is open in both directions. */
  #uplink: Uplink | null = null;
  #connection: Connection | null = null;
  #giveUp: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;
  #next = 0;
  #attempts = 0;
  #status: LinkState['status'] = 'connecting';
  #since = Date.now();
  #error: ErrorFact | null = null;
  #peer: LinkState['peer'] = null;
  #nextAttemptAt: number | null = null;
  #closed = false;

  constructor(config: LinkConfig, router: Router, hooks: LinkHooks) {
    this.config = config;
    this.#router = router;
    this.#hooks = hooks;
    const { name, role, cost, tls: material, proxy } = config;
    const protocol = material ? 'amqps' : 'amqp';
    const state = { status: 'down', downCount: 0, httpProxy: proxy ? 'yes' : 'no' };
    this.#record = router.records.add('LINK', { name, role, cost, protocol, ...state });
  }

  /** The uplink that could be active; null while not connected. */
  get uplink(): Uplink | null {
    return this.#uplink;
  }

  start(): void {
    try {
      this.#context = this.config.tls ? secureContext(this.config.tls, this.config.name) : null;
      if (this.config.tls?.certificate) this.#facts.certificate = this.config.tls.certificate;
    } catch (error) {
      // Nothing to dial with: another configuration is needed.
      this.#error = errorFact(error);
      this.#set('refused');
      log.error('link', `${this.config.name}: ${this.#error.message}`, { code: this.#error.code });
      return;
    }
    this.#dial();
  }

  /** Closes the connection, if any, and dials no more. */
  close(): void {
    this.#closed = true;
    this.#record.end();
    if (this.#timer) clearTimeout(this.#timer);
    this.#giveUp?.();
    this.#facts.end();
    this.#connection?.close();
  }

  get connections(): Connection[] {
    return this.#connection ? [this.#connection] : [];
  }

  /** Tells whether this link is the one that carries traffic. */
  showActive(): void {
    if (this.#uplink) this.#set(this.#uplink.active ? 'up' : 'standby');
  }

  #dial(): void {
    const endpoint = this.#endpoint();
    this.#nextAttemptAt = null;
    this.#set('connecting');
    const { proxy, idleTimeout = 0 } = this.config;
    // A line on which silence may last takes its time to connect, too.
    const timeout = Math.max(DIAL_TIMEOUT, idleTimeout);
    this.#giveUp = dial(
      { ...endpoint, context: this.#context, timeout, ...(proxy ? { proxy } : {}) },
      (socket) => {
        this.#giveUp = null;
        this.#open(socket);
      },
      (error) => {
        this.#giveUp = null;
        this.#failed(error);
      },
    );
  }

  #endpoint(): { host: string; port: number } {
    const { endpoints } = this.config;
    return endpoints[this.#next % endpoints.length] as { host: string; port: number };
  }

  #open(socket: Parameters<typeof prepare>[0]): void {
    const uplink = new Uplink(this.#router, {
      onOpened: (_, open) => {
        // Who refuses us opens and closes in one go: a link is not up before that would have been read.
        setImmediate(() => {
          if (!uplink.connection.closing) this.#onOpened(uplink, open);
        });
      },
      onGone: (_, error) => this.#onGone(uplink, error),
    });
    const sasl = new SaslClient(this.config.tls?.certificate ? 'EXTERNAL' : 'ANONYMOUS');
    const { idleTimeout } = this.config;
    const purpose = { hostname: this.#endpoint().host, sasl, ...(idleTimeout ? { idleTimeout } : {}) };
    const options = connectionOptions(this.#router, purpose);
    const connection = new Connection(prepare(socket), options, uplink);
    uplink.bindTo(connection);
    this.#connection = connection;
  }

  #onOpened(uplink: Uplink, open: Open): void {
    const read = (name: string): string | null => {
      const value = open.properties?.get(name);
      return typeof value === 'string' ? value : null;
    };
    this.#uplink = uplink;
    this.#attempts = 0;
    this.#error = null;
    this.#peer = {
      id: open.containerId,
      product: read('product'),
      version: read('version'),
      accessId: read('qd.access-id'),
      siteId: read('skiff.site-id'),
      siteName: read('skiff.site-name'),
    };
    const peer = this.#peer.accessId === null ? {} : { peer: this.#peer.accessId };
    const upTime = Date.now() * 1000;
    this.#record.set({ status: 'up', destPort: String(this.#endpoint().port), upTime, ...peer });
    log.info('link', `${this.config.name} is connected to ${open.containerId}`, this.#endpoint());
    this.#hooks.onUplinkChange();
    this.#facts.begin(uplink.connection);
    this.showActive();
  }

  #onGone(uplink: Uplink, error: SkiffError | null): void {
    this.#connection = null;
    const wasUp = this.#uplink === uplink;
    this.#uplink = null;
    this.#facts.end();
    if (wasUp) {
      this.#record.set({ status: 'down', downTime: Date.now() * 1000, downCount: ++this.#downCount });
      this.#hooks.onUplinkChange();
    }
    if (this.#closed) return;
    this.#failed(error ?? new SkiffError('connection-closed', 'the peer closed the connection'));
  }

  /** Waits, then tries the next endpoint. */
  #failed(error: SkiffError): void {
    if (this.#closed) return;
    const fact = this.#name(error);
    if (this.#error?.message !== fact.message)
      log.warn('link', `${this.config.name}: ${fact.message}`, { code: fact.code });
    this.#error = fact;
    this.#peer = null;
    this.#attempts++;
    this.#next++;
    const permanent = isPermanent(fact.code) || fact.code.startsWith('amqp:');
    this.#facts.failed(fact, permanent);
    const delay = this.#delay(permanent);
    this.#nextAttemptAt = Date.now() + delay;
    this.#timer = setTimeout(() => this.#dial(), delay);
    this.#set(permanent ? 'refused' : 'waiting');
  }

  /** Every error names the place it is about. */
  #name(error: SkiffError): ErrorFact {
    const { host, port } = this.#endpoint();
    const where = hostPort(host, port);
    const fact = error.toFact();
    return fact.message.startsWith(where) ? fact : { ...fact, message: `${where}: ${fact.message}` };
  }

  /** A refusal will not pass by itself soon, but it may pass while nobody is near: it is tried again, at the slowest. */
  #delay(permanent: boolean): number {
    const { endpoints } = this.config;
    // The other endpoints of the same link are tried before the wait grows.
    const rounds = Math.floor((this.#attempts - 1) / endpoints.length);
    const ceiling = permanent ? BACKOFF_LAST : Math.min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** Math.min(rounds, 10));
    return Math.round(permanent ? ceiling / 2 + (Math.random() * ceiling) / 2 : Math.random() * ceiling);
  }

  #set(status: LinkState['status']): void {
    if (this.#status !== status) {
      this.#status = status;
      this.#since = Date.now();
    }
    if (this.#closed) return;
    this.#hooks.report({
      kind: 'link',
      name: this.config.name,
      status: this.#status,
      since: this.#since,
      endpoint: this.#endpoint(),
      peer: this.#peer,
      error: this.#error,
      attempts: this.#attempts,
      nextAttemptAt: this.#nextAttemptAt,
      facts: this.#facts.now,
    });
  }
}
