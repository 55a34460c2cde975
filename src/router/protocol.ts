/**
 * What the main thread and the router thread say to each other: configuration goes down, states and log records come
 * up. Everything here survives structured cloning. The main thread owns the documents; the router thread owns sockets.
 */
import type { ErrorFact } from '../errors.ts';
import type { ThreadFacts } from '../health/thread.ts';
import type { LogRecord } from '../log.ts';
import type { AttributeValue } from './management/values.ts';
import type { FlowRecord } from './records/encoding.ts';

/** Characters of an address, and so of a routing key. */
export const MAX_ADDRESS = 2_048;

export type { AttributeValue };

/** PEM texts. An access needs all three; a link may leave out certificate and key when the peer asks for none. */
export interface TlsMaterial {
  ca: string;
  certificate?: string;
  key?: string;
}

export interface RouterIdentity {
  /** The AMQP container-id, the same for life: `<site name>-<8 hex digits of the site's UUID>`. */
  id: string;
  mode: 'edge' | 'interior';
  siteId: string;
  siteName: string;
  version: string;
}

/** A port on which AMQP connections are accepted: one role of a RouterAccess. */
export interface AccessConfig {
  kind: 'access';
  /** `<RouterAccess name>-<role>`, as skupper-router's configuration names it. */
  name: string;
  role: 'inter-router' | 'edge' | 'normal';
  /** Empty: all addresses. */
  host: string;
  /** 0 picks one; the state shows which. */
  port: number;
  /** null: no TLS and SASL ANONYMOUS, for `normal` on loopback only. */
  tls: TlsMaterial | null;
}

/** An outgoing link: the endpoints of a Link document that have the role this site needs, in order. */
export interface LinkConfig {
  kind: 'link';
  name: string;
  role: 'inter-router' | 'edge';
  endpoints: { host: string; port: number }[];
  cost: number;
  /** null: plain TCP and SASL ANONYMOUS (Skupper's Link without tlsCredentials). */
  tls: TlsMaterial | null;
  /** To another interior router: connections that carry streams beside the first. None if not said. */
  dataConnections?: number;
  /** An HTTP proxy by which the endpoints are reached. */
  proxy?: { host: string; port: number; username?: string; password?: string };
  /** Milliseconds of silence after which the peer counts as gone, where it is not the usual. */
  idleTimeout?: number;
  /** What `tls` renews: tried in turn with it, until that has been seen to work. */
  fallback?: TlsMaterial;
}

/** TLS that ends at a listener; it needs a certificate and a key. */
export interface ListenerTls extends TlsMaterial {
  /** Clients must show a certificate of the CA. */
  requireClientCert: boolean;
}

/** TLS that begins at a connector. A certificate, if there is one, is shown to the server. */
export interface ConnectorTls extends TlsMaterial {
  verifyHostname: boolean;
}

export interface ListenerConfig {
  kind: 'listener';
  name: string;
  routingKey: string;
  host: string;
  port: number;
  /** Absent: octets are passed on as they come, which may be TLS between the two ends. */
  tls?: ListenerTls;
}

/** How a listener chooses among routing keys: the first that is reachable, or by weight among those that are. */
export type Strategy = { priority: string[] } | { weighted: Record<string, number> };

export interface MultiKeyListenerConfig {
  kind: 'multiKeyListener';
  name: string;
  strategy: Strategy;
  host: string;
  port: number;
  tls?: ListenerTls;
}

/** Whether a connector's server is there is asked every so often; times are in milliseconds. */
export interface HealthCheckConfig {
  type: 'tcp' | 'http';
  /** What is asked for over HTTP. */
  path: string;
  interval: number;
  timeout: number;
  /** Results in a row after which it counts as down, and as up again. The very first decides by itself. */
  failures: number;
  successes: number;
}

export interface ConnectorConfig {
  kind: 'connector';
  name: string;
  routingKey: string;
  host: string;
  port: number;
  tls?: ConnectorTls;
  /** While it fails, the routing key is not offered. */
  healthCheck?: HealthCheckConfig;
}

export type PartConfig = AccessConfig | LinkConfig | ListenerConfig | MultiKeyListenerConfig | ConnectorConfig;
export type PartKind = PartConfig['kind'];

/** An AMQP connection that an access carries. */
export interface PeerState {
  /** The container-id it opened with. */
  id: string;
  /** `host:port` of its end of the socket. */
  address: string;
  /** Subject of its certificate, when it has one. */
  subject: string | null;
  product: string | null;
  version: string | null;
  /** The name of its site, when it is a Skiff. */
  siteName: string | null;
  /** Milliseconds since the epoch. */
  since: number;
  /** Who came last with the same id and certificate while it was there, and was turned away. */
  twin?: { address: string; at: number };
  /** Of a fleet's device: what it was refused, as far as there is room, and may not do now either. */
  denials?: Denial[];
}

/** An address that a fleet's device may not send to, or receive from, and tried. */
export interface Denial {
  action: 'send' | 'receive';
  address: string;
  /** The last time, in milliseconds since the epoch, and how often. */
  at: number;
  count: number;
}

/** What a fleet's device may do. A routing key may end in `*`, for whatever may follow. */
export interface DeviceRights {
  /** The router id in its certificate. */
  device: string;
  /** Routing keys of which it may take messages. */
  offers: string[];
  /** Routing keys that it may send to. */
  uses: string[];
}

export interface AccessState {
  kind: 'access';
  name: string;
  /** `failed`: the error says why, such as a port already taken; it is tried again by itself. */
  status: 'starting' | 'listening' | 'failed';
  /** The real port, once listening. */
  port: number | null;
  error: ErrorFact | null;
  peers: PeerState[];
  /** What was refused here lately, newest first, one entry a cause (wrong certificate, id in use, garbage …). */
  refusals: { cause: ErrorFact; from: string; at: number; count: number }[];
}

export interface LinkState {
  kind: 'link';
  name: string;
  /**
   * `waiting`: between two tries; `standby`: connected, while another link is the active uplink;
   * `refused`: what is wrong is for an operator to mend, at either end; it is tried again, but rarely.
   */
  status: 'connecting' | 'up' | 'standby' | 'waiting' | 'refused';
  /** Milliseconds since the epoch of the last change of status. */
  since: number;
  endpoint: { host: string; port: number } | null;
  /** `siteId` and `siteName` are known of a Skiff only. */
  peer: {
    id: string;
    product: string | null;
    version: string | null;
    accessId: string | null;
    siteId: string | null;
    siteName: string | null;
  } | null;
  /** The last failure; kept while the link is not up. */
  error: ErrorFact | null;
  /** Failed tries since it was last up. */
  attempts: number;
  nextAttemptAt: number | null;
  facts: LinkFacts;
  /** SHA-256 of the certificate that the connection was made with, hexadecimal; null while there is none. */
  certificate: string | null;
}

/** Over all the connections of a link, since it began. */
export interface LinkFacts {
  /** As last measured on this connection; null before. */
  roundTripMs: number | null;
  octetsIn: number;
  octetsOut: number;
  /** Connections that stood, after the first. */
  reconnects: number;
  /** Times that it was up and then was not. */
  downCount: number;
  /** Kept when the link is up again. `permanent`: somebody has to mend something. `at`: epoch, ms. */
  lastError: (ErrorFact & { class: 'permanent' | 'transient'; at: number }) | null;
  /** Of this site's own certificate: epoch, ms; null when it shows none. */
  certificateExpires: number | null;
  certificateDaysLeft: number | null;
}

export interface ListenerState {
  kind: 'listener';
  name: string;
  /** `closed`: no destination, so the socket is not open; `failed`: the error says why it cannot be opened. */
  status: 'closed' | 'open' | 'failed';
  port: number | null;
  /** Whether a destination for its routing key is reachable. */
  matched: boolean;
  error: ErrorFact | null;
  connectionsOpen: number;
  connectionsTotal: number;
}

/** `matched`: at least one of the routing keys is reachable. */
export interface MultiKeyListenerState extends Omit<ListenerState, 'kind'> {
  kind: 'multiKeyListener';
  /** The routing keys that are reachable, in the strategy's order. */
  reachable: string[];
}

export interface ConnectorState {
  kind: 'connector';
  name: string;
  connectionsOpen: number;
  connectionsTotal: number;
  /** The last failure to reach the server, kept until a connection succeeds. */
  error: ErrorFact | null;
  /** What its health check says, if there is one; `healthy`: null before the first result. Since when: epoch, ms. */
  health?: { healthy: boolean | null; since: number; error: ErrorFact | null };
}

/** What a source of flow records says, such as a router: what statuses need of it. */
export interface NetworkSource {
  source: string;
  records: FlowRecord[];
}

/** Sources of which something else is known than before, whole, and those that are gone. This router is one, too. */
export interface NetworkChange {
  put: NetworkSource[];
  remove: string[];
}

/** Of an interior site: what is amiss among the routers of the network. */
export interface MeshState {
  kind: 'mesh';
  name: 'mesh';
  problems: MeshProblemState[];
}

/** Something that is amiss: each cause once. Those that go on come first, then those seen last. */
export interface MeshProblemState extends ErrorFact {
  /** The one it is about, when one is known. */
  router: string | null;
  /** It was seen within the last two minutes. */
  active: boolean;
  /** When it was first and last seen, in milliseconds since the epoch, and how often. */
  since: number;
  at: number;
  count: number;
}

export type PartState = MeshState | AccessState | LinkState | ListenerState | MultiKeyListenerState | ConnectorState;

/** What a part carries. Whoever looks asks for it; nothing is sent by itself. */
export interface Traffic {
  kind: PartKind;
  name: string;
  /** A listener's clients, a connector's servers, an access's peers; 1 for a link that is connected. */
  connections: number;
  /** Octets that came from the other end of its sockets, and that went there, since it was made. */
  octetsIn: number;
  octetsOut: number;
}

/** What became of a message: AMQP's word for it. Nobody takes it at present: `released`; it may have come: `modified`. */
export type MailOutcome = 'accepted' | 'released' | 'rejected' | 'modified';

/** A message that came to an address which the main thread takes. */
export interface Mail {
  address: string;
  subject: string;
  body: string;
  /** The router id in the certificate of the edge that it came by; null when it came otherwise. */
  from: string | null;
}

export type MailRequest =
  /** All addresses that the main thread takes messages of. */
  | { type: 'mail.subscribe'; addresses: string[] }
  /** Answered by `mail.outcome`. */
  | { type: 'mail.send'; seq: number; to: string; subject: string; body: string }
  /** The main thread has done its work with a message: the sender hears that it is accepted. */
  | { type: 'mail.taken'; id: number };

export type MailEvent =
  | { type: 'mail.outcome'; seq: number; outcome: MailOutcome }
  | ({ type: 'mail'; id: number } & Mail);

/** Whose management is asked: another router of the network, an edge, or, with null, this router itself. */
export type ManagedRouter = { router: string } | { edge: string } | null;

/** A request to the management agent of a router, in its own terms. */
export interface ManagementQuestion {
  of: ManagedRouter;
  /** The application properties: `operation` and what goes with it. */
  properties: Record<string, AttributeValue>;
  body: AttributeValue;
}

/** What the agent answers: 200, 201 or 204 when it was done, or why it was not. */
export interface ManagementReply {
  status: number;
  description: string;
  body: AttributeValue;
}

/** What the router thread has in hand at a moment, and how it is doing. */
export interface RouterFacts extends ThreadFacts {
  /** AMQP: of links and accesses. */
  connections: number;
  sessions: number;
  /** Messages under way, in either direction; a TCP connection is two. */
  deliveries: number;
}

export interface Measurement {
  parts: Traffic[];
  /** null where no router runs. */
  router: RouterFacts | null;
}

/** Main thread → router thread. */
export type RouterRequest =
  /** First of all, once: who this router is. A changed identity needs a new thread. */
  | { type: 'start'; identity: RouterIdentity }
  /**
   * A difference: parts to add or replace (same kind and name), and parts to take away. What is not named is not
   * touched. Answered by `applied` when every access and listener named has been tried once.
   */
  | { type: 'apply'; seq: number; put: PartConfig[]; remove: { kind: PartKind; name: string }[] }
  /** All fingerprints (SHA-256, hexadecimal) that are revoked: refused from now on, and who is linked is cut off. */
  | { type: 'revoke'; fingerprints: string[] }
  /** What time it is now, where the machine's clock is wrong: epoch, ms. */
  | { type: 'clock'; time: number }
  /**
   * What devices of the fleet may do, from now on; one without an entry may do nothing. Those to `remove` are let in no
   * more, and cut off, until they have an entry again.
   */
  | { type: 'privileges'; put: DeviceRights[]; remove: string[] }
  /** What does each part carry? Answered by `traffic`, which tells, too, that the thread is alive. */
  | { type: 'measure'; seq: number }
  | MailRequest
  /** Answered by `managed`. */
  | ({ type: 'manage'; seq: number } & ManagementQuestion)
  /** Drain: accept nothing new, let streams end, close the connections. Answered by `stopped` within `withinMs`. */
  | { type: 'stop'; withinMs: number };

/** Router thread → main thread. */
export type RouterEvent =
  | { type: 'applied'; seq: number }
  /** Parts whose state changed, whole; sent within 100 ms of the change. */
  | { type: 'states'; states: PartState[] }
  /** At most once a second. */
  | ({ type: 'network' } & NetworkChange)
  | MailEvent
  /** What came of a question: an answer, or why there is none. */
  | { type: 'managed'; seq: number; reply: ManagementReply | ErrorFact }
  | ({ type: 'traffic'; seq: number } & Measurement)
  | { type: 'log'; record: LogRecord }
  | { type: 'stopped' };
