/** A port that takes AMQP connections: one role of a RouterAccess. It says in its state who came, and who was refused. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { Connection } from '../amqp/connection.ts';
import { AmqpError, Condition } from '../amqp/error.ts';
import type { Open } from '../amqp/performatives.ts';
import { SaslServer } from '../amqp/sasl.ts';
import { dateFailures, isMachineWrong, isTrusted } from '../chain.ts';
import { type ErrorFact, errorFact, SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { type Accepted, Acceptor } from '../net/accept.ts';
import { secureContext } from '../net/tls.ts';
import { ClientPeer } from './client-peer.ts';
import { connectionOptions, INSTANCE_PROPERTY, prepare } from './connections.ts';
import type { ContainerIds } from './container-ids.ts';
import { EdgePeer } from './edge-peer.ts';
import { atMoment, expirationOfPeer, expired } from './expiry.ts';
import { denial } from './guard.ts';
import { InteriorPeer } from './mesh/interior-peer.ts';
import type { Mesh } from './mesh/mesh.ts';
import type { Peer } from './peer.ts';
import type { AccessConfig, AccessState, Denial, PeerState } from './protocol.ts';
import type { OwnRecord } from './records/own.ts';
import type { Router } from './router.ts';

/** How often a port that could not be opened is tried again, in milliseconds. */
const RETRY_EVERY = 5_000;
/** Long lines that lose packets need more than one try for each part of it. */
const HANDSHAKE_TIMEOUT = 20_000;
/** Refusals kept in the state, one for each cause and host. */
const MAX_REFUSALS = 20;

/** Up to here each change is told at once; beyond, a state of so many peers no more often than so many milliseconds. */
const FEW_PEERS = 100;

interface Live {
  connection: Connection;
  /** Of the client's certificate. */
  fingerprint: string | null;
  state: PeerState | null;
  /** Lets go of the certificate's end. */
  forget: () => void;
}

/** What the accesses of a router have in common. */
export interface Around {
  ids: ContainerIds;
  /** null: an edge's. */
  mesh: Mesh | null;
}

export class Access {
  config: AccessConfig;
  readonly #router: Router;
  readonly #ids: ContainerIds;
  /** Of an interior router. */
  readonly #mesh: Mesh | null;
  readonly #report: (state: AccessState) => void;
  /** Of a port for routers. */
  readonly #record: OwnRecord | null;
  readonly #live = new Map<Peer, Live>();
  readonly #refusals: AccessState['refusals'] = [];
  #acceptor: Acceptor | null = null;
  #retry: NodeJS.Timeout | null = null;
  #status: AccessState['status'] = 'starting';
  #port: number | null = null;
  #error: ErrorFact | null = null;
  /** Of the connections that are gone. */
  readonly #carried = { octetsIn: 0, octetsOut: 0 };
  #closed = false;
  #telling: NodeJS.Timeout | null = null;
  #toldAt = 0;

  constructor(config: AccessConfig, router: Router, around: Around, report: (state: AccessState) => void) {
    this.config = config;
    this.#router = router;
    this.#ids = around.ids;
    this.#mesh = around.mesh;
    this.#report = report;
    const { name, role } = config;
    this.#record = role === 'normal' ? null : router.records.add('ROUTER_ACCESS', { name, role, linkCount: 0 });
  }

  /** Tries to open the port; resolves either way. A port that is taken is tried again until it is free. */
  async open(): Promise<void> {
    const { host, port, tls, name } = this.config;
    try {
      const acceptor = new Acceptor({
        host,
        port,
        context: tls ? secureContext(tls, name) : null,
        handshakeTimeout: HANDSHAKE_TIMEOUT,
        onSocket: (accepted) => this.#onSocket(accepted),
        onRefused: (cause, from) => this.#refused(cause, from),
      });
      this.#port = await acceptor.listen();
      if (this.#closed) return acceptor.close();
      this.#acceptor = acceptor;
      this.#status = 'listening';
      this.#error = null;
      log.info('access', `${name} takes ${this.config.role} connections`, { host: host || '*', port: this.#port });
    } catch (error) {
      const fact = errorFact(error);
      if (this.#error?.message !== fact.message)
        log.error('access', `${name} cannot be opened: ${fact.message}`, { code: fact.code });
      this.#status = 'failed';
      this.#error = fact;
      if (!this.#closed) this.#retry = setTimeout(() => void this.open(), RETRY_EVERY);
    }
    this.#changed();
  }

  /** Takes up new credentials without disturbing who is connected; false: what else changed takes a new port. */
  update(config: AccessConfig): boolean {
    const { tls, name } = config;
    if (!tls || !this.config.tls || !isDeepStrictEqual({ ...config, tls: null }, { ...this.config, tls: null })) {
      return false;
    }
    try {
      if (this.#acceptor) this.#acceptor.context = secureContext(tls, name);
    } catch {
      return false;
    }
    this.config = config;
    this.#changed();
    return true;
  }

  /** Cuts off whoever came with a certificate that has been revoked since. */
  cutRevoked(): void {
    for (const { connection, fingerprint } of this.#live.values()) {
      if (fingerprint === null || !this.#router.revoked.has(fingerprint)) continue;
      connection.close(new AmqpError(Condition.unauthorizedAccess, 'the certificate has been revoked'));
    }
  }

  /** These devices of the fleet may do something else than before. */
  reconsider(changed: ReadonlyMap<string, readonly Denial[]>): void {
    for (const [peer, { state }] of this.#live) {
      const denied = peer instanceof EdgePeer && peer.guard ? changed.get(peer.guard.device) : undefined;
      if (!denied) continue;
      if (!this.#router.privileges.admits((peer as EdgePeer).device ?? '')) {
        peer.connection.close(new AmqpError(Condition.unauthorizedAccess, 'the device is of the fleet no more'));
        continue;
      }
      (peer as EdgePeer).reconsider(denied);
      if (state) this.#changed();
    }
  }

  /** Tells edges that this router is about to go; returns those that understand. */
  leave(): EdgePeer[] {
    this.#acceptor?.close();
    return [...this.#live.keys()].filter((peer) => peer instanceof EdgePeer && peer.leave()) as EdgePeer[];
  }

  /** Accepts nothing more, and closes what was accepted. */
  close(): void {
    this.#closed = true;
    this.#record?.end();
    if (this.#retry) clearTimeout(this.#retry);
    if (this.#telling) clearTimeout(this.#telling);
    this.#acceptor?.close();
    for (const { connection } of this.#live.values()) {
      connection.close(new AmqpError(Condition.connectionForced, 'the access is closed'));
    }
  }

  get connections(): Connection[] {
    return [...this.#live.values()].map((live) => live.connection);
  }

  get traffic() {
    const sum = { connections: this.#live.size, ...this.#carried };
    for (const { connection } of this.#live.values()) {
      sum.octetsIn += connection.octetsIn;
      sum.octetsOut += connection.octetsOut;
    }
    return sum;
  }

  #onSocket(accepted: Accepted): void {
    const refusal = this.#refusalOf(accepted);
    const external = this.config.tls !== null;
    const sasl = new SaslServer(external ? 'EXTERNAL' : 'ANONYMOUS', { optional: !external, refusal });
    const peer = this.#newPeer(accepted);
    const patient = this.config.role !== 'normal';
    const accessId = this.#record?.identity;
    const options = connectionOptions(this.#router, { hostname: null, sasl, accessId, patient });
    const connection = new Connection(prepare(accepted.socket as Socket), options, peer);
    peer.bindTo(connection);
    peer.onOffence = ({ message }) => this.#refused({ code: 'not-accepted', message }, accepted.from, false);
    const expires = refusal ? null : expirationOfPeer(accepted.socket);
    const forget =
      expires === null ? () => {} : atMoment(expires, () => this.#expire(peer, accepted), this.#router.now);
    const fingerprint = accepted.certificate?.fingerprint ?? null;
    this.#live.set(peer, { connection, fingerprint, state: null, forget });
  }

  /** A connection ends when its certificate does. */
  #expire(peer: Peer, accepted: Accepted): void {
    const live = this.#live.get(peer);
    if (!live) return;
    const cause = expired(accepted.certificate?.subject ?? accepted.from);
    this.#refused(cause.toFact(), accepted.from, false);
    live.connection.close(new AmqpError(Condition.unauthorizedAccess, cause.message));
  }

  /** Whether all that is wrong with a certificate is what time the machine believes it is. */
  #isGoodInTruth({ unverified, socket }: Accepted): boolean {
    const { now } = this.#router;
    if (!unverified || !dateFailures.has(unverified.code) || !isMachineWrong(now)) return false;
    return socket instanceof TLSSocket && isTrusted(socket, this.config.tls?.ca ?? '', now());
  }

  /** Why this client is not let in, from its certificate alone. */
  #refusalOf(accepted: Accepted): SkiffError | null {
    if (!this.config.tls) return null;
    if (accepted.unverified && !this.#isGoodInTruth(accepted)) return accepted.unverified;
    const fingerprint = accepted.certificate?.fingerprint ?? '';
    if (this.#router.revoked.has(fingerprint)) {
      const message = `the certificate ${fingerprint.slice(0, 16)}… has been revoked`;
      return new SkiffError('certificate-revoked', message, { hint: 'Give the site another certificate or token' });
    }
    const { deviceId: device = null, fleet = false } = accepted.certificate ?? {};
    const { role } = this.config;
    if (fleet && !this.#router.privileges.admits(device ?? '')) {
      const message = `the device ${device} is of the fleet no more`;
      return new SkiffError('device-expelled', message, { hint: 'skiff fleet show DEVICE says what was decided' });
    }
    if ((device !== null && role === 'inter-router') || (fleet && role !== 'edge')) {
      return new SkiffError(
        'device-not-allowed',
        `the certificate of the device ${device ?? 'without a name'} is not for ${role} ${role === 'normal' ? 'connections' : 'links'}`,
      );
    }
    return null;
  }

  #denied(peer: EdgePeer, action: Denial['action'], address: string, { from }: Accepted): void {
    const message = denial(peer.guard?.device ?? '', action, address);
    this.#refused({ code: 'address-refused', message }, from, false);
  }

  #newPeer(accepted: Accepted): Peer {
    const { role } = this.config;
    if (role === 'normal')
      return new WelcomedClient(
        this.#router,
        (peer, open) => this.#welcome(peer, open, accepted),
        (peer, error) => this.#gone(peer, error, accepted),
      );
    if (role === 'inter-router') {
      return new InteriorPeer(this.#router, null, {
        onOpened: (peer, open) => this.#admit(peer, open, accepted),
        onGone: (peer, error) => {
          this.#mesh?.accepted.leave(peer);
          this.#gone(peer, error, accepted);
        },
      });
    }
    return new EdgePeer(this.#router, accepted.certificate, {
      onDenied: (peer, { action, address }) => this.#denied(peer, action, address, accepted),
      onOpened: (peer, open) => {
        const { certificate } = accepted;
        const instance = property(open, INSTANCE_PROPERTY);
        this.#ids.claim(open.containerId, peer, { certificate, instance }, (refusal, other) => {
          if (refusal) {
            if (other) other.twin = { address: accepted.from, at: Date.now() };
            this.#refused({ code: 'container-id', message: refusal.message }, accepted.from);
            peer.connection.refuse(refusal);
            return;
          }
          this.#welcome(peer, open, accepted);
          peer.connection.accept();
        });
      },
      onGone: (peer, error) => {
        this.#ids.release(peer, error === null);
        this.#gone(peer, error, accepted);
      },
    });
  }

  /** Another interior router: it becomes a neighbour. */
  #admit(peer: InteriorPeer, open: Open, accepted: Accepted): void {
    const id = open.containerId;
    if (id === this.#router.id) {
      const message = `a router with the id of this one, ${id}, wants to link: give it a data directory of its own`;
      this.#refused({ code: 'duplicate-router-id', message }, accepted.from);
      peer.connection.refuse(new AmqpError(Condition.notAllowed, message));
      return;
    }
    // A trunk counts as one peer.
    if (!peer.isData) this.#welcome(peer, open, accepted);
    peer.connection.accept();
    this.#mesh?.accepted.join(peer);
  }

  #welcome(peer: Peer, open: Open, accepted: Accepted): void {
    const live = this.#live.get(peer);
    if (!live) return;
    live.state = {
      id: open.containerId,
      address: accepted.from,
      subject: accepted.certificate?.subject ?? null,
      product: property(open, 'product'),
      version: property(open, 'version'),
      siteName: property(open, 'skiff.site-name'),
      since: Date.now(),
    };
    log.info('access', `${open.containerId} connected to ${this.config.name}`, { from: accepted.from });
    this.#warnOfTwins(live.state);
    this.#changed();
  }

  /** Two sites may have one name; their ids tell them apart, but people cannot. */
  #warnOfTwins(state: PeerState): void {
    if (!state.siteName) return;
    const twin = [...this.#live.values()].find(
      (live) =>
        live.state && live.state !== state && live.state.siteName === state.siteName && live.state.id !== state.id,
    );
    if (!twin?.state) return;
    const message = `two sites are named ${state.siteName}: ${twin.state.id} (${twin.state.address}) and ${state.id} (${state.address})`;
    this.#refused({ code: 'site-name-twice', message, hint: 'Rename one of them' }, state.address, false);
  }

  #gone(peer: Peer, error: SkiffError | null, accepted: Accepted): void {
    const live = this.#live.get(peer);
    if (!live) return;
    this.#live.delete(peer);
    live.forget();
    this.#carried.octetsIn += live.connection.octetsIn;
    this.#carried.octetsOut += live.connection.octetsOut;
    if (live.state) {
      log.info('access', `${live.state.id} left ${this.config.name}`, {
        from: accepted.from,
        ...(error ? { reason: error.message, code: error.code } : {}),
      });
      // The mesh has logged it.
      if (error?.code === 'duplicate-router-id') this.#note(error.toFact(), accepted.from);
      else if (error && error.code !== 'connection-lost' && error.code !== 'connection-closed')
        this.#refused(error.toFact(), accepted.from, false);
    } else if (error && error.code !== 'connection-closed' && !isPassing(peer, error)) {
      const who = accepted.certificate ? ` (certificate ${accepted.certificate.subject})` : '';
      this.#refused({ ...error.toFact(), message: `${error.message}${who}` }, accepted.from);
    }
    this.#changed();
  }

  /** Notes a refusal, and logs the first of its kind. */
  #refused(cause: ErrorFact, from: string, refused = true): void {
    const first = this.#note(cause, from);
    if (first)
      log.warn('access', `${this.config.name}${refused ? ' refused a connection' : ''}: ${cause.message}`, {
        from,
        code: cause.code,
      });
    this.#changed();
  }

  /** Returns whether this cause from this host is new. */
  #note(cause: ErrorFact, from: string): boolean {
    const host = from.replace(/:\d+$/, '');
    const known = this.#refusals.findIndex((each) => each.cause.message === cause.message && each.from === host);
    const count = known < 0 ? 0 : (this.#refusals.splice(known, 1)[0]?.count ?? 0);
    this.#refusals.unshift({ cause, from: host, at: Date.now(), count: count + 1 });
    this.#refusals.length = Math.min(this.#refusals.length, MAX_REFUSALS);
    return count === 0;
  }

  /** Tells what has changed; with very many peers, at a pace at which all of it can be told each time. */
  #changed(): void {
    if (this.#closed || this.#telling) return;
    const due = this.#toldAt + (this.#live.size > FEW_PEERS ? this.#live.size : 0) - performance.now();
    if (due <= 0) {
      this.#tell();
      return;
    }
    this.#telling = setTimeout(() => {
      this.#telling = null;
      this.#tell();
    }, due);
  }

  #tell(): void {
    this.#toldAt = performance.now();
    const peers = [...this.#live].flatMap(([peer, { state }]) => {
      if (!state) return [];
      const twin = peer instanceof EdgePeer && peer.twin ? { twin: peer.twin } : {};
      const denials = peer.guard ? { denials: peer.guard.entry.denials } : {};
      return [{ ...state, ...twin, ...denials }];
    });
    this.#record?.count({ linkCount: peers.length });
    this.#report({
      kind: 'access',
      name: this.config.name,
      status: this.#status,
      port: this.#status === 'listening' ? this.#port : null,
      error: this.#error,
      peers,
      refusals: this.#refusals.map((refusal) => ({ ...refusal })),
    });
  }
}

/** Whether a data connection was lost: it is dialled again. */
function isPassing(peer: Peer, { code }: SkiffError): boolean {
  return peer instanceof InteriorPeer && peer.isData && code === 'connection-lost';
}

function property(open: Open, name: string): string | null {
  const value = open.properties?.get(name);
  return typeof value === 'string' ? value.slice(0, 256) : null;
}

/** A client of a `normal` access, whose coming and going the access notes. */
class WelcomedClient extends ClientPeer {
  readonly #welcome: (peer: Peer, open: Open) => void;

  constructor(
    router: Router,
    welcome: (peer: Peer, open: Open) => void,
    gone: (peer: Peer, error: SkiffError | null) => void,
  ) {
    super(router, (error) => gone(this, error));
    this.#welcome = welcome;
  }

  protected override onOpened(open: Open): void {
    this.#welcome(this, open);
    super.onOpened(open);
  }
}
