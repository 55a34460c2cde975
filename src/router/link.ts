/** An outgoing link: dials its endpoints in turn, with a back-off, and keeps one connection up. */
import type net from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { Connection } from '../amqp/connection.ts';
import { AmqpError, Condition } from '../amqp/error.ts';
import type { Open } from '../amqp/performatives.ts';
import { SaslClient } from '../amqp/sasl.ts';
import { type ErrorFact, errorFact, SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { dial } from '../net/dial.ts';
import { hostPort, isPermanent } from '../net/failure.ts';
import { connectionOptions, type InteriorPurpose, prepare } from './connections.ts';
import { expired, heedExpiration } from './expiry.ts';
import { LinkFacts } from './link-facts.ts';
import { type Identity, identitiesOf } from './link-identities.ts';
import { DataConnections } from './mesh/data-connections.ts';
import { InteriorPeer } from './mesh/interior-peer.ts';
import type { Mesh } from './mesh/mesh.ts';
import type { LinkConfig, LinkState } from './protocol.ts';
import type { OwnRecord } from './records/own.ts';
import { type Router, randomName } from './router.ts';
import { Uplink } from './uplink.ts';

/** Back-off between tries: from the first to the last figure, in milliseconds, doubled each time, with full jitter. */
const BACKOFF_FIRST = 1_000;
const BACKOFF_LAST = 60_000;
const DIAL_TIMEOUT = 10_000;
/** The capability of taking data connections beside one. */
const TRUNKING = 'qd.connection_trunking';
/** As long as skupper-router's. */
const CORRELATOR_LENGTH = 15;
/** How long the way before stays open beside a new one, for word of what is reachable to come by that. */
const SETTLE = 1_000;
/** How often it is looked whether a connection that nothing new goes by is idle. */
const DRAIN_EVERY = 500;
/** How long a link goes on with the certificate before, until the new one is tried again. */
const RETRY_NEW = 60_000;
/** What a hub ends a connection with that it will take again: it stops or restarts, or has too much to do. */
const PASSING = new Set<string>([Condition.connectionForced, Condition.resourceLimit, Condition.internalError]);

export interface LinkHooks {
  report(state: LinkState): void;
  /** The link's connection stands, or is gone: which uplink is the active one may change. */
  onUplinkChange(): void;
}

/** What is at the other end: an edge's hub, or an interior router's neighbour. */
type Far = Uplink | InteriorPeer;

export class Link {
  config: LinkConfig;
  readonly #router: Router;
  /** Of an interior router. */
  readonly #mesh: Mesh | null;
  readonly #hooks: LinkHooks;
  readonly #facts = new LinkFacts(() => this.#set(this.#status));
  readonly #record: OwnRecord;
  /** What to dial with, in turn: the certificate, and the one it renews. */
  #identities: Identity[] = [];
  /** What `#uplink` was connected with. */
  #certificate: string | null = null;
  /** Of the connections to neighbours, those that carry streams beside them. */
  readonly #data = new Map<Far, DataConnections>();
  /** Uplinks that another has taken over from, with what they still carry. */
  readonly #leaving = new Set<Far>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** The connection once it is open in both directions. */
  #uplink: Far | null = null;
  #connection: Connection | null = null;
  #giveUp: (() => void) | null = null;
  /** Ends the attempt to take over from the uplink that stands, while there is one. */
  #taking: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;
  #next = 0;
  #attempts = 0;
  #status: LinkState['status'] = 'connecting';
  #since = Date.now();
  #error: ErrorFact | null = null;
  #peer: LinkState['peer'] = null;
  #nextAttemptAt: number | null = null;
  #closed = false;

  constructor(config: LinkConfig, router: Router, mesh: Mesh | null, hooks: LinkHooks) {
    this.config = config;
    this.#router = router;
    this.#mesh = mesh;
    this.#hooks = hooks;
    const { name, role, cost, tls: material, proxy } = config;
    const protocol = material ? 'amqps' : 'amqp';
    const state = { status: 'down', downCount: 0, httpProxy: proxy ? 'yes' : 'no' };
    this.#record = router.records.add('LINK', { name, role, cost, protocol, ...state });
  }

  /** An edge's uplink that could be active; null while not connected. */
  get uplink(): Uplink | null {
    return this.#uplink instanceof Uplink ? this.#uplink : null;
  }

  start(): void {
    try {
      this.#identities = identitiesOf(this.config);
      this.#facts.certificate = this.config.tls?.certificate ?? null;
    } catch (error) {
      // Nothing to dial with: another configuration is needed.
      this.#error = errorFact(error);
      this.#set('refused');
      log.error('link', `${this.config.name}: ${this.#error.message}`, { code: this.#error.code });
      return;
    }
    this.#dial();
  }

  /**
   * Takes up another cost, and other credentials: with those a new connection is made, and the old one goes when its
   * streams have ended. False: what else changed takes a new link.
   */
  update(config: LinkConfig): boolean {
    const same = (a: LinkConfig, b: LinkConfig): boolean => isDeepStrictEqual(withoutLive(a), withoutLive(b));
    // Both ends of a link between interior routers agree on its cost when they connect.
    if (this.#mesh && config.cost !== this.config.cost) return false;
    if (!same(config, this.config) || !config.tls || !this.config.tls || this.#identities.length === 0) return false;
    const renewed = !isDeepStrictEqual(config.tls, this.config.tls);
    try {
      this.#identities = identitiesOf(config);
    } catch {
      return false;
    }
    this.config = config;
    this.#facts.certificate = config.tls.certificate ?? null;
    this.#hooks.onUplinkChange();
    if (!renewed) return true;
    if (this.#uplink) this.#takeOver(0);
    else this.retry();
    return true;
  }

  /** Dials now, if it is waiting to. */
  retry(): void {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#attempts = 0;
    this.#dial();
  }

  /** Closes the connection, if any, and dials no more. */
  close(): void {
    this.#closed = true;
    this.#record.end();
    for (const timer of this.#timers) clearTimeout(timer);
    for (const uplink of this.#leaving) uplink.connection.close();
    if (this.#timer) clearTimeout(this.#timer);
    this.#giveUp?.();
    this.#taking?.();
    this.#facts.end();
    for (const data of this.#data.values()) data.close(true);
    this.#connection?.close();
  }

  get connections(): Connection[] {
    const beside = [...this.#data.values()].flatMap(({ connections }) => connections);
    const others = [...[...this.#leaving].map(({ connection }) => connection), ...beside];
    return this.#connection ? [this.#connection, ...others] : others;
  }

  /** As last measured. */
  get roundTripMs(): number | null {
    return this.#facts.now.roundTripMs;
  }

  /** Has the other end say something, if it is there. */
  askForSign(): void {
    this.#facts.measure();
  }

  get traffic() {
    const { octetsIn, octetsOut } = this.#facts.now;
    return { connections: this.connections.length, octetsIn, octetsOut };
  }

  /** Tells whether this link is the one that carries traffic. */
  showActive(): void {
    if (this.#uplink) this.#set(this.#uplink.active ? 'up' : 'standby');
  }

  #dial(): void {
    const endpoint = this.#endpoint();
    const identity = this.#identities[this.#turn] as Identity;
    this.#timer = null;
    this.#nextAttemptAt = null;
    this.#set('connecting');
    this.#giveUp = dial(
      { ...endpoint, ...this.#line(), context: identity.context, ca: identity.ca, now: this.#router.now },
      (socket) => {
        this.#giveUp = null;
        this.#connection = this.#open(socket, identity).connection;
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

  /** How an endpoint is reached. */
  #line(): { timeout: number; proxy?: NonNullable<LinkConfig['proxy']> } {
    const { proxy, idleTimeout = 0 } = this.config;
    // A line on which silence may last takes its time to connect, too.
    const timeout = Math.max(DIAL_TIMEOUT, idleTimeout);
    return { timeout, ...(proxy ? { proxy } : {}) };
  }

  /**
   * A second connection beside the one that stands, with the new certificate. When it is open it carries what is new;
   * the old one stays the way for what is under way. Until then nothing changes.
   */
  #takeOver(failures: number, anew = false): void {
    if (this.#closed || this.#taking || !this.#uplink) return;
    const identity = this.#identities[0] as Identity;
    if (identity.fingerprint === this.#certificate && !anew) return;
    const again = (error: SkiffError): void => {
      this.#taking = null;
      log.warn('link', `${this.config.name}: the new certificate cannot be used yet: ${error.message}`, {
        code: error.code,
      });
      this.#later(Math.min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** failures), () => this.#takeOver(failures + 1, anew));
    };
    this.#taking = dial(
      { ...this.#endpoint(), ...this.#line(), context: identity.context },
      (socket) => {
        const taking = this.#open(socket, identity, again);
        this.#taking = () => taking.connection.close();
      },
      again,
    );
  }

  /** The new uplink has word of what is reachable by now; the old one is used no more, and ends when nothing is left. */
  #retire(uplink: Far): void {
    this.#leaving.add(uplink);
    this.#later(SETTLE, () => {
      uplink.deactivate();
      this.#data.get(uplink)?.close(false);
      const look = (): void => {
        if (!this.#leaving.has(uplink)) return;
        if (uplink.connection.deliveryCount === 0) uplink.connection.close();
        else this.#later(DRAIN_EVERY, look);
      };
      this.#later(DRAIN_EVERY, look);
    });
  }

  #later(delay: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, delay);
    this.#timers.add(timer);
  }

  #open(socket: net.Socket, identity: Identity, onRefused?: (error: SkiffError) => void): Far {
    let ended: SkiffError | null = null;
    const forget = heedExpiration(socket, this.#router.now, {
      soon: () => {
        if (this.#uplink === uplink) this.#takeOver(0, true);
      },
      now: (error) => {
        ended = error;
        uplink.connection.close(new AmqpError(Condition.connectionForced, error.message));
      },
    });
    const hooks = {
      onOpened: (_: Far, open: Open) => {
        if (this.#mesh && open.containerId === this.#router.id) {
          ended = ownId();
          uplink.connection.close(new AmqpError(Condition.notAllowed, ended.message));
          return;
        }
        // Who refuses us opens and closes in one go: a link is not up before that would have been read.
        setImmediate(() => {
          if (!uplink.connection.closing) this.#onOpened(uplink, open, { identity, correlator });
        });
      },
      onLeaving: () => this.#hooks.onUplinkChange(),
      onGone: (_: Far, error: SkiffError | null) => {
        forget();
        this.#data.get(uplink)?.close(false);
        this.#forgetData(uplink);
        this.#facts.gone(uplink.connection);
        if (this.#leaving.delete(uplink)) return;
        if (onRefused && this.#uplink !== uplink) onRefused(ended ?? error ?? closedByPeer());
        else this.#onGone(uplink, ended ?? error);
      },
    };
    const correlator = randomName(CORRELATOR_LENGTH);
    const uplink = this.#mesh ? new InteriorPeer(this.#router, false, hooks) : new Uplink(this.#router, hooks);
    this.#connect(socket, uplink, this.#mesh ? { isData: false, correlator, cost: this.config.cost } : undefined);
    return uplink;
  }

  #forgetData(far: Far): void {
    if (this.#data.get(far)?.over) this.#data.delete(far);
  }

  #connect(socket: net.Socket, far: Far, interior?: InteriorPurpose): Connection {
    const sasl = new SaslClient(this.config.tls?.certificate ? 'EXTERNAL' : 'ANONYMOUS');
    const { idleTimeout } = this.config;
    const line = { ...(interior ? { interior } : {}), ...(idleTimeout ? { idleTimeout } : {}) };
    const options = connectionOptions(this.#router, { hostname: this.#endpoint().host, sasl, ...line });
    const connection = new Connection(prepare(socket), options, far);
    far.bindTo(connection);
    return connection;
  }

  /** Joins the neighbour to the mesh, with connections beside this one where it knows of such. */
  #join(
    mesh: Mesh,
    peer: InteriorPeer,
    open: Open,
    { identity, correlator }: { identity: Identity; correlator: string },
  ): void {
    const { name, cost, dataConnections = 0 } = this.config;
    const endpoint = this.#endpoint();
    const trunk = mesh.join(peer, open.containerId, cost);
    peer.attach();
    if (!open.offeredCapabilities?.includes(TRUNKING)) return;
    const forgets = new Map<Connection, () => void>();
    const data = new DataConnections(trunk, dataConnections, {
      name,
      dial: (onSocket, onFailed) =>
        dial(
          { ...endpoint, ...this.#line(), context: identity.context, ca: identity.ca, now: this.#router.now },
          onSocket,
          onFailed,
        ),
      open: (socket, each) => {
        const connection = this.#connect(socket, each, { isData: true, correlator, cost });
        const end = (error: SkiffError) => connection.close(new AmqpError(Condition.connectionForced, error.message));
        forgets.set(connection, heedExpiration(socket, this.#router.now, { soon: () => {}, now: end }));
        this.#facts.carry(connection);
      },
      gone: (connection) => {
        forgets.get(connection)?.();
        forgets.delete(connection);
        this.#facts.gone(connection);
        this.#forgetData(peer);
      },
    });
    this.#data.set(peer, data);
  }

  #onOpened(uplink: Far, open: Open, by: { identity: Identity; correlator: string }): void {
    const { identity } = by;
    const read = (name: string): string | null => {
      const value = open.properties?.get(name);
      return typeof value === 'string' ? value : null;
    };
    const before = this.#uplink;
    this.#taking = null;
    this.#uplink = uplink;
    this.#connection = uplink.connection;
    if (this.#mesh && uplink instanceof InteriorPeer) this.#join(this.#mesh, uplink, open, by);
    this.#certificate = identity.fingerprint;
    if (before) {
      this.#facts.end();
      this.#retire(before);
    }
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
    const newest = this.#identities[0]?.fingerprint ?? null;
    if (newest !== this.#certificate) this.#later(RETRY_NEW, () => this.#takeOver(0));
    log.info('link', `${this.config.name} is connected to ${open.containerId}`, this.#endpoint());
    this.#hooks.onUplinkChange();
    this.#facts.begin(uplink.connection);
    this.showActive();
  }

  #onGone(uplink: Far, error: SkiffError | null): void {
    this.#connection = null;
    const wasUp = this.#uplink === uplink;
    this.#uplink = null;
    this.#certificate = null;
    this.#taking?.();
    this.#taking = null;
    this.#facts.end();
    if (wasUp) {
      this.#facts.downCount++;
      this.#record.set({ status: 'down', downTime: Date.now() * 1000, downCount: this.#facts.downCount });
      this.#hooks.onUplinkChange();
    }
    if (this.#closed) return;
    this.#failed(error ?? closedByPeer());
  }

  /** Waits, then tries the next endpoint. */
  #failed(error: SkiffError): void {
    if (this.#closed) return;
    const fact = this.#name(this.#explained(error));
    if (this.#error?.message !== fact.message)
      log.warn('link', `${this.config.name}: ${fact.message}`, { code: fact.code });
    this.#error = fact;
    this.#peer = null;
    this.#attempts++;
    this.#next++;
    const permanent = isPermanent(fact.code) || (fact.code.startsWith('amqp:') && !PASSING.has(fact.code));
    this.#facts.failed(fact, permanent);
    // What is wrong with one certificate says nothing of the other.
    const delay = this.#delay(permanent && this.#turn === 0);
    this.#nextAttemptAt = Date.now() + delay;
    this.#timer = setTimeout(() => this.#dial(), delay);
    this.#set(permanent ? 'refused' : 'waiting');
  }

  /** Which of the identities has its turn: each is tried at all endpoints. */
  get #turn(): number {
    return Math.floor(this.#attempts / this.config.endpoints.length) % this.#identities.length;
  }

  /** The other end says that it does not take the certificate, and not why; this may be why. */
  #explained(error: SkiffError): SkiffError {
    const { expires } = this.#identities[this.#turn] as Identity;
    const refused = error.code === 'authentication-failed' || error.code === 'certificate-refused';
    return refused && expires !== null && expires <= this.#router.now() ? expired('this site') : error;
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
      certificate: this.#certificate,
    });
  }
}

/** Of a configuration, what cannot change under a connection. */
function withoutLive({ tls: _tls, fallback: _fallback, cost: _cost, ...rest }: LinkConfig): object {
  return rest;
}

function ownId(): SkiffError {
  const message = 'the router at the other end has the id of this one';
  return new SkiffError('duplicate-router-id', message, {
    hint: 'Give one of the two sites a data directory of its own',
  });
}

function closedByPeer(): SkiffError {
  return new SkiffError('connection-closed', 'the peer closed the connection');
}
