/**
 * What the site's documents make of the router: its accesses, links, listeners and connectors, under the names that
 * Skupper gives to the entities of a router's configuration.
 */

import { MAX_FRAME } from '../connections.ts';
import type {
  AccessConfig,
  AccessState,
  ConnectorConfig,
  ConnectorState,
  LinkConfig,
  LinkState,
  ListenerConfig,
  ListenerState,
  MultiKeyListenerConfig,
  MultiKeyListenerState,
  PartConfig,
  PartKind,
  PartState,
} from '../protocol.ts';
import { empty, entityType, flag, number, type RunningPart, text, type View, word, zero } from './entity.ts';

interface Part<C extends PartConfig, S extends PartState> extends RunningPart {
  config: C;
  state: S | null;
}

const partsOf = <C extends PartConfig, S extends PartState>(kind: PartKind) => {
  return (view: View) => view.parts().filter(({ config }) => config.kind === kind) as Part<C, S>[];
};

const accesses = partsOf<AccessConfig, AccessState>('access');
const links = partsOf<LinkConfig, LinkState>('link');
const listeners = partsOf<ListenerConfig, ListenerState>('listener');
const multiKeyListeners = partsOf<MultiKeyListenerConfig, MultiKeyListenerState>('multiKeyListener');
const connectors = partsOf<ConnectorConfig, ConnectorState>('connector');

const ROLES = ['normal', 'inter-router', 'route-container', 'edge', 'inter-edge', 'inter-network'] as const;
const MAX_SESSIONS = 32_768;
const IDLE_TIMEOUT_SECONDS = 16;

/** A part's own name, when it has TLS: its certificates have no other here. */
const profileOf = ({ config }: RunningPart): string | null => ('tls' in config && config.tls ? config.name : null);

const accessPort = ({ config, state }: Part<AccessConfig, AccessState>): string => String(state?.port ?? config.port);

export const listener = entityType<Part<AccessConfig, AccessState>>({
  shortName: 'listener',
  base: 'configuration',
  items: accesses,
  key: (part) => `${part.config.host}:${accessPort(part)}:${part.config.name}`,
  name: ({ config }) => config.name,
  attributes: {
    host: text(({ config }) => config.host),
    port: text(accessPort),
    role: word(ROLES)(({ config }) => config.role),
    cost: number(() => 1),
    sslProfile: text(profileOf),
    saslMechanisms: text(({ config }) => (config.tls ? 'EXTERNAL' : 'ANONYMOUS')),
    authenticatePeer: flag(({ config }) => config.tls !== null),
    requireEncryption: flag(({ config }) => config.tls !== null),
    requireSsl: flag(({ config }) => config.tls !== null),
    maxFrameSize: number(() => MAX_FRAME),
    maxSessions: number(() => MAX_SESSIONS),
    idleTimeoutSeconds: number(() => IDLE_TIMEOUT_SECONDS),
    http: flag(() => false),
    healthz: flag(() => false),
    metrics: flag(() => false),
    websockets: flag(() => false),
    ...zero('initialHandshakeTimeoutSeconds'),
    ...empty('integer', 'maxSessionFrames', 'linkCapacity'),
    ...empty('string', 'socketAddressFamily', 'stripAnnotations', 'failoverUrls', 'httpRootDir'),
    ...empty('string', 'messageLoggingComponents', 'policyVhost'),
    ...empty('map', 'openProperties'),
  },
});

const CONNECTION_STATUS = {
  connecting: 'CONNECTING',
  up: 'SUCCESS',
  standby: 'SUCCESS',
  waiting: 'FAILED',
  refused: 'FAILED',
} as const;

/** Where a link leads now, or would first. */
const endpointOf = ({ config, state }: Part<LinkConfig, LinkState>) => state?.endpoint ?? config.endpoints[0];

export const connector = entityType<Part<LinkConfig, LinkState>>({
  shortName: 'connector',
  base: 'configuration',
  items: links,
  key: (part) => `${endpointOf(part)?.host ?? ''}:${endpointOf(part)?.port ?? ''}:${part.config.name}`,
  name: ({ config }) => config.name,
  attributes: {
    host: text((part) => endpointOf(part)?.host ?? null),
    port: text((part) => String(endpointOf(part)?.port ?? '')),
    role: word(ROLES)(({ config }) => config.role),
    cost: number(({ config }) => config.cost),
    sslProfile: text(profileOf),
    proxyProfile: text(({ config }) => (config.proxy ? config.name : null)),
    saslMechanisms: text(({ config }) => (config.tls?.certificate ? 'EXTERNAL' : 'ANONYMOUS')),
    verifyHostname: flag(() => true),
    maxFrameSize: number(() => MAX_FRAME),
    maxSessions: number(() => MAX_SESSIONS),
    idleTimeoutSeconds: number(({ config }) => Math.ceil((config.idleTimeout ?? 0) / 1_000) || IDLE_TIMEOUT_SECONDS),
    connectionStatus: text(({ state }) => (state ? CONNECTION_STATUS[state.status] : 'INITIALIZING')),
    connectionMsg: text(({ state }) => state?.error?.message ?? (state?.peer ? `connected to ${state.peer.id}` : '')),
    failoverUrls: text(({ config }) => config.endpoints.map(({ host, port }) => `amqp://${host}:${port}`).join(', ')),
    allowRedirect: flag(() => false),
    ...empty('integer', 'maxSessionFrames', 'linkCapacity'),
    ...empty('string', 'socketAddressFamily', 'stripAnnotations', 'saslUsername', 'saslPassword'),
    ...empty('string', 'messageLoggingComponents', 'policyVhost'),
    ...empty('map', 'openProperties'),
  },
});

type AnyListener = Part<ListenerConfig | MultiKeyListenerConfig, ListenerState | MultiKeyListenerState>;

const strategyOf = (config: AnyListener['config']): 'none' | 'priority' | 'weighted' => {
  if (config.kind === 'listener') return 'none';
  return 'priority' in config.strategy ? 'priority' : 'weighted';
};

const listenerName = ({ config }: { config: AnyListener['config'] }): string =>
  `${config.kind === 'listener' ? 'listener' : 'multiAddress'}/${config.name}`;

export const tcpListener = entityType<AnyListener>({
  shortName: 'tcpListener',
  base: 'configuration',
  items: (view) => [...listeners(view), ...multiKeyListeners(view)],
  key: (part) => `${part.config.host}:${part.config.port}:${listenerName(part)}`,
  name: listenerName,
  attributes: {
    address: text(({ config }) => (config.kind === 'listener' ? config.routingKey : null)),
    host: text(({ config }) => config.host),
    port: text(({ config, state }) => String(state?.port ?? config.port)),
    multiAddressStrategy: word(['none', 'priority', 'weighted'])(({ config }) => strategyOf(config)),
    sslProfile: text(profileOf),
    authenticatePeer: flag(({ config }) => config.tls?.requireClientCert ?? false),
    connectionsOpened: number(({ state }) => state?.connectionsTotal ?? 0),
    connectionsClosed: number(({ state }) => (state ? state.connectionsTotal - state.connectionsOpen : 0)),
    bytesIn: number(({ traffic }) => traffic.octetsIn),
    bytesOut: number(({ traffic }) => traffic.octetsOut),
    operStatus: word(['up', 'down'])(({ state }) => (state?.status === 'open' ? 'up' : 'down')),
    connectionMsg: text(({ state }) => state?.error?.message ?? ''),
    observer: word(['none', 'auto', 'http1', 'http2'])(() => 'none'),
    ...zero('backlog'),
    ...empty('string', 'siteId'),
  },
});

const connectorName = ({ config }: Part<ConnectorConfig, ConnectorState>): string =>
  `connector/${config.name}@${config.host}`;

export const tcpConnector = entityType<Part<ConnectorConfig, ConnectorState>>({
  shortName: 'tcpConnector',
  base: 'configuration',
  items: connectors,
  key: (part) => `${part.config.host}:${part.config.port}:${connectorName(part)}`,
  name: connectorName,
  attributes: {
    address: text(({ config }) => config.routingKey),
    host: text(({ config }) => config.host),
    port: text(({ config }) => String(config.port)),
    sslProfile: text(profileOf),
    verifyHostname: flag(({ config }) => config.tls?.verifyHostname ?? true),
    connectionsOpened: number(({ state }) => state?.connectionsTotal ?? 0),
    connectionsClosed: number(({ state }) => (state ? state.connectionsTotal - state.connectionsOpen : 0)),
    bytesIn: number(({ traffic }) => traffic.octetsIn),
    bytesOut: number(({ traffic }) => traffic.octetsOut),
    ...empty('string', 'siteId', 'processId'),
  },
});

interface KeyOfListener {
  config: MultiKeyListenerConfig;
  routingKey: string;
  /** Its weight; or its place, counted from the last. */
  value: number;
}

function keysOf(config: MultiKeyListenerConfig): KeyOfListener[] {
  const { strategy } = config;
  if ('weighted' in strategy)
    return Object.entries(strategy.weighted).map(([routingKey, value]) => ({ config, routingKey, value }));
  const last = strategy.priority.length - 1;
  return strategy.priority.map((routingKey, index) => ({ config, routingKey, value: last - index }));
}

export const listenerAddress = entityType<KeyOfListener>({
  shortName: 'listenerAddress',
  base: 'configuration',
  items: (view) => multiKeyListeners(view).flatMap(({ config }) => keysOf(config)),
  key: (each) => `${listenerName(each)}:${each.routingKey}:${each.config.name}/${each.routingKey}`,
  name: ({ config, routingKey }) => `${config.name}/${routingKey}`,
  attributes: {
    address: text(({ routingKey }) => routingKey),
    listener: text(listenerName),
    value: number(({ value }) => value),
    ...empty('integer', 'connectionsOpened'),
  },
});

/** That there are certificates, and for whom; where they come from is nobody's business here. */
export const sslProfile = entityType<RunningPart>({
  shortName: 'sslProfile',
  base: 'configuration',
  items: (view) => view.parts().filter((part) => profileOf(part) !== null),
  key: ({ config }) => config.name,
  name: ({ config }) => config.name,
  attributes: {
    ...empty('string', 'caCertFile', 'certFile', 'privateKeyFile', 'password', 'ciphers', 'protocols', 'uidFormat'),
    ...empty('string', 'uidNameMappingFile'),
    ...zero('ordinal', 'oldestValidOrdinal'),
  },
});

export const proxyProfile = entityType<Part<LinkConfig, LinkState>>({
  shortName: 'proxyProfile',
  base: 'configuration',
  items: (view) => links(view).filter(({ config }) => config.proxy),
  key: ({ config }) => config.name,
  name: ({ config }) => config.name,
  attributes: {
    host: text(({ config }) => config.proxy?.host ?? null),
    port: text(({ config }) => String(config.proxy?.port ?? '')),
    ...empty('string', 'username', 'password'),
  },
});
