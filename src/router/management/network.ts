/** The router itself, the routers and the addresses that it knows, as management shows them. */
import os from 'node:os';
import type { Address } from '../addresses.ts';
import type { NodeFacts } from '../mesh/engine.ts';
import { empty, entityType, flag, list, map, number, type RunningPart, text, type View, word, zero } from './entity.ts';

const MODES = ['standalone', 'interior', 'edge'] as const;
const DISTRIBUTIONS = ['flood', 'multicast', 'closest', 'balanced', 'linkBalanced', 'unavailable'] as const;

const self = (view: View): View[] => [view];

export const router = entityType<View>({
  shortName: 'router',
  base: 'configuration',
  items: self,
  key: (view) => view.router.id,
  attributes: {
    id: text((view) => view.router.id),
    mode: word(MODES)((view) => view.router.identity.mode),
    area: text(() => '0'),
    version: text((view) => view.router.identity.version),
    hostName: text(() => os.hostname()),
    metadata: text(({ router: { identity } }) =>
      // As Skupper's controllers read it.
      JSON.stringify({ id: identity.siteId, version: identity.version, platform: 'linux' }),
    ),
    helloIntervalSeconds: number(() => 1),
    helloMaxAgeSeconds: number(() => 3),
    raIntervalSeconds: number(() => 30),
    raIntervalFluxSeconds: number(() => 4),
    remoteLsMaxAgeSeconds: number(() => 60),
    unreachableHoldoffSeconds: number(() => 0),
    workerThreads: number(() => 1),
    timestampsInUTC: flag(() => true),
    defaultDistribution: word(DISTRIBUTIONS)(() => 'balanced'),
    dropTcpConnections: flag(() => true),
    ...empty(
      'string',
      'vanId',
      'saslConfigDir',
      'saslConfigName',
      'debugDumpFile',
      'timestampFormat',
      'dataConnectionCount',
    ),
  },
});

const tcpConnections = (parts: RunningPart[]): { open: number; total: number } => {
  const sum = { open: 0, total: 0 };
  for (const { state } of parts) {
    if (!state || !('connectionsTotal' in state)) continue;
    sum.open += state.connectionsOpen;
    sum.total += state.connectionsTotal;
  }
  return sum;
};

/** What is counted of the whole router. A TCP connection is two messages, one each way. */
class Metrics {
  readonly view: View;
  readonly totals;
  readonly tcp;

  constructor(view: View) {
    this.view = view;
    this.totals = view.router.totals.with(view.router.peers);
    this.tcp = tcpConnections(view.parts());
  }

  get linkCount(): number {
    let count = 0;
    for (const { connection } of this.view.router.peers) count += connection.links.length;
    return count;
  }
}

export const routerMetrics = entityType<Metrics>({
  shortName: 'routerMetrics',
  base: 'operational',
  items: (view) => [new Metrics(view)],
  key: () => '1',
  identity: () => '1',
  attributes: {
    id: text(({ view }) => view.router.id),
    version: text(({ view }) => view.router.identity.version),
    addrCount: number(({ view }) => [...view.router.addresses.all()].length),
    linkCount: number((metrics) => metrics.linkCount),
    nodeCount: number(({ view }) => view.nodes().length),
    connectionCount: number(({ view, tcp }) => view.router.peers.size + tcp.open),
    presettledDeliveries: number(({ totals }) => totals.outcomes.presettled),
    acceptedDeliveries: number(({ totals }) => totals.outcomes.accepted),
    rejectedDeliveries: number(({ totals }) => totals.outcomes.rejected),
    releasedDeliveries: number(({ totals }) => totals.outcomes.released),
    modifiedDeliveries: number(({ totals }) => totals.outcomes.modified),
    deliveriesIngress: number(({ totals, tcp }) => totals.ingress + tcp.total),
    deliveriesEgress: number(({ totals, tcp }) => totals.egress + tcp.total),
    deliveriesTransit: number(({ totals }) => totals.transit),
    uptimeSeconds: number(({ view }) => Math.floor((performance.now() - view.router.since) / 1_000)),
    residentMemoryUsage: number(() => process.memoryUsage.rss()),
    connectionCounters: map(({ view, tcp }) => {
      const clients = [...view.router.peers].filter(({ role }) => role === 'normal');
      return { tcp: tcp.open, amqp: clients.length, http1: 0, http2: 0 };
    }),
    droppedPresettledDeliveries: number(({ totals }) => totals.dropped),
    ...empty('integer', 'memoryUsage'),
    ...zero('autoLinkCount', 'deliveriesRedirectedToFallback', 'linksBlocked'),
    ...zero('deliveriesDelayed1Sec', 'deliveriesDelayed10Sec', 'deliveriesStuck'),
    ...zero('deliveriesIngressRouteContainer', 'deliveriesEgressRouteContainer'),
    ...zero('deliveriesIngressInterNetwork', 'deliveriesEgressInterNetwork'),
  },
});

/** What skupper-router says of a router whose way begins with itself. */
const SELF = '(self)';

export const node = entityType<NodeFacts & { topologyChange: number }>({
  shortName: 'router.node',
  base: 'operational',
  items: (view) => view.nodes().map((each) => ({ ...each, topologyChange: view.topologyChange() })),
  key: ({ id }) => id,
  attributes: {
    id: text(({ id }) => id),
    // Of a neighbour, the link to it is said in place of the next router.
    nextHop: text(({ id, nextHop }) => (nextHop === null ? SELF : nextHop === id ? null : nextHop)),
    routerLink: { kind: 'entityId', read: ({ id, nextHop, link }) => (nextHop === id ? link : null) },
    address: text(({ id }) => `amqp:/_topo/0/${id}`),
    cost: number(({ nextHop, cost }) => (nextHop === null ? null : cost)),
    linkState: list(({ linkState }) => linkState),
    validOrigins: list(({ validOrigins }) => validOrigins),
    instance: number(({ instance }) => instance),
    lastTopoChange: number(({ topologyChange }) => topologyChange),
    protocolVersion: number(() => 1),
    ...empty('integer', 'index'),
  },
});

export const address = entityType<Address>({
  shortName: 'router.address',
  base: 'operational',
  items: ({ router: { addresses } }) => [...addresses.all()],
  key: ({ key }) => key,
  identity: ({ key }) => key,
  attributes: {
    key: text(({ key }) => key),
    distribution: word(DISTRIBUTIONS)(({ treatment }) => treatment),
    inProcess: number(({ consumers }) => consumers.filter(({ partOfRouter }) => partOfRouter).length),
    subscriberCount: number(({ consumers }) => consumers.filter((each) => !each.partOfRouter && !each.routerId).length),
    remoteCount: number(({ consumers }) => consumers.filter((each) => each.routerId).length),
    remoteHostRouters: list(({ consumers }) => consumers.flatMap((each) => each.routerId ?? [])),
    priority: number(() => -1),
    watch: flag(({ producers }) => producers.size > 0),
    deliveriesIngress: number(({ carried }) => carried.ingress),
    deliveriesEgress: number(({ carried }) => carried.egress),
    deliveriesTransit: number(({ carried }) => carried.transit),
    deliveriesToContainer: number(({ carried }) => carried.toRouter),
    ...zero('deliveriesFromContainer', 'deliveriesIngressRouteContainer', 'deliveriesEgressRouteContainer'),
    ...zero('deliveriesIngressInterNetwork', 'deliveriesEgressInterNetwork', 'deliveriesRedirectedToFallback'),
    ...zero('trackedDeliveries', 'containerCount'),
    transitOutstanding: list(() => null),
  },
});
