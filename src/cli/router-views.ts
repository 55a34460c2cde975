/** The views of `router stat`, with the columns that skupper-router's skstat has. */
import { octets } from './octets.ts';
import type { Column } from './output.ts';
import type { Row } from './router-query.ts';

export interface View {
  /** The type of what is shown, without its prefix. */
  type: string;
  columns: Column<Row>[];
  /** Shown besides with --verbose. */
  more?: Column<Row>[];
  shows?(row: Row): boolean;
  /** What to say when there is nothing. */
  none: string;
}

const cell = (value: unknown): string => {
  if (value === null || value === undefined || value === '') return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return Array.isArray(value) ? value.join(',') : String(value);
};

const column = (header: string, read: string | ((row: Row) => unknown)): Column<Row> => ({
  header,
  value: (row) => cell(typeof read === 'string' ? row[read] : read(row)),
});

/** Seconds as days and hours. */
export function time(seconds: unknown): string {
  if (typeof seconds !== 'number') return '-';
  const [days, rest] = [Math.floor(seconds / 86_400), seconds % 86_400];
  const parts = [Math.floor(rest / 3_600), Math.floor((rest % 3_600) / 60), rest % 60];
  return `${days > 0 ? `${days}d ` : ''}${parts.map((part) => String(part).padStart(2, '0')).join(':')}`;
}

const security = ({ isEncrypted, sslProto, sslCipher }: Row): string =>
  isEncrypted ? `${sslProto}(${sslCipher})` : 'none';

function authentication({ isAuthenticated, sasl, user }: Row): string {
  if (!isAuthenticated) return 'none';
  const how = sasl === 'EXTERNAL' ? 'x.509' : String(sasl);
  return user ? `${user}(${how})` : how;
}

const connection = {
  id: column('ID', 'identity'),
  host: column('HOST', 'host'),
  container: column('CONTAINER', 'container'),
  role: column('ROLE', 'role'),
  protocol: column('PROTO', 'protocol'),
  dir: column('DIR', 'dir'),
  security: column('SECURITY', security),
  authentication: column('AUTHENTICATION', authentication),
};

const CLASSES: Record<string, string> = { M: 'mobile', L: 'local', T: 'topo', R: 'router', H: 'edge' };
const classOf = (key: unknown): string | null =>
  typeof key === 'string' && key !== '' ? (CLASSES[key[0] as string] ?? `unknown: ${key[0]}`) : null;
const nameOf = (key: unknown): string | null => (typeof key === 'string' ? key.slice(1) : null);

export const views = {
  connections: {
    type: 'connection',
    columns: [
      ...[connection.id, connection.host, connection.container, connection.role, connection.protocol, connection.dir],
      ...[connection.security, connection.authentication],
      column('LAST-DLV', ({ lastDlvSeconds }) => time(lastDlvSeconds)),
      column('UPTIME', ({ uptimeSeconds }) => time(uptimeSeconds)),
    ],
    more: [column('MESH-ID', 'meshId'), column('GROUP', 'groupCorrelationId')],
    none: 'No connections',
  },
  edges: {
    type: 'connection',
    columns: [
      ...[connection.id, connection.host, connection.container, connection.dir],
      ...[connection.security, connection.authentication, column('ACTIVE', 'active')],
    ],
    shows: ({ role }) => role === 'edge',
    none: 'No connections of edges',
  },
  links: {
    type: 'router.link',
    columns: [
      ...[
        column('TYPE', 'linkType'),
        column('DIR', 'linkDir'),
        column('CONN', 'connectionId'),
        column('ID', 'identity'),
      ],
      column('CLASS', ({ owningAddr }) => classOf(owningAddr)),
      column('ADDRESS', ({ owningAddr }) => nameOf(owningAddr)),
      ...[column('CAP', 'capacity'), column('PRI', 'priority'), column('UNDEL', 'undeliveredCount')],
      ...[column('UNSETT', 'unsettledCount'), column('DELIV', 'deliveryCount'), column('PRESETT', 'presettledCount')],
      ...[column('ACC', 'acceptedCount'), column('REJ', 'rejectedCount'), column('REL', 'releasedCount')],
      ...[column('MOD', 'modifiedCount'), column('CREDIT', 'creditAvailable')],
    ],
    more: [column('OPER', 'operStatus'), column('NAME', 'linkName')],
    none: 'No links',
  },
  nodes: {
    type: 'router.node',
    columns: [
      column('ROUTER', 'id'),
      column('NEXT-HOP', ({ id, nextHop }) => nextHop ?? id),
      column('COST', 'cost'),
      column('NEIGHBOURS', 'linkState'),
    ],
    more: [column('VALID-ORIGINS', 'validOrigins'), column('INSTANCE', 'instance')],
    none: 'The router knows no others',
  },
  address: {
    type: 'router.address',
    columns: [
      column('CLASS', ({ key }) => classOf(key)),
      column('ADDRESS', ({ key }) => nameOf(key)),
      ...[column('DISTRIBUTION', 'distribution'), column('LOCAL', 'subscriberCount'), column('REMOTE', 'remoteCount')],
      ...[column('IN', 'deliveriesIngress'), column('OUT', 'deliveriesEgress'), column('THRU', 'deliveriesTransit')],
    ],
    more: [column('IN-PROC', 'inProcess'), column('ROUTERS', 'remoteHostRouters'), column('WATCH', 'watch')],
    none: 'No addresses',
  },
  memory: {
    type: 'allocator',
    columns: [
      column('POOL', ({ identity }) => String(identity).replace(/^allocator\//, '')),
      column('SIZE', 'typeSize'),
      column(
        'TOTAL',
        ({ totalAllocFromHeap, totalFreeToHeap }) => Number(totalAllocFromHeap) - Number(totalFreeToHeap),
      ),
      column('IN-USE', 'heldByThreads'),
      column('OCTETS', ({ typeSize, totalAllocFromHeap, totalFreeToHeap }) =>
        octets(Number(typeSize) * (Number(totalAllocFromHeap) - Number(totalFreeToHeap))),
      ),
    ],
    shows: ({ totalAllocFromHeap }) => Number(totalAllocFromHeap) > 0,
    none: 'The router tells nothing of its memory',
  },
} satisfies Record<string, View>;

/** What `--general` shows, a line each: of the router, or of its metrics. */
export const general: [string, (router: Row, metrics: Row) => unknown][] = [
  // skupper-router puts its version into a column without a name.
  ['Version', (router, metrics) => metrics.version ?? metrics[''] ?? router.version],
  ['Mode', (router) => router.mode],
  ['Router Id', (_, metrics) => metrics.id],
  ['Host Name', (router) => router.hostName],
  ['Metadata', (router) => router.metadata],
  ['Uptime', (_, { uptimeSeconds }) => time(uptimeSeconds)],
  ['RSS', (_, { residentMemoryUsage: rss }) => (typeof rss === 'number' ? octets(rss) : null)],
  ['Links', (_, metrics) => metrics.linkCount],
  ['Nodes', (_, metrics) => metrics.nodeCount],
  ['Addresses', (_, metrics) => metrics.addrCount],
  ['Connections', (_, metrics) => metrics.connectionCount],
  ['Presettled', (_, metrics) => metrics.presettledDeliveries],
  ['Accepted', (_, metrics) => metrics.acceptedDeliveries],
  ['Rejected', (_, metrics) => metrics.rejectedDeliveries],
  ['Released', (_, metrics) => metrics.releasedDeliveries],
  ['Modified', (_, metrics) => metrics.modifiedDeliveries],
  ['Ingress', (_, metrics) => metrics.deliveriesIngress],
  ['Egress', (_, metrics) => metrics.deliveriesEgress],
  ['Transit', (_, metrics) => metrics.deliveriesTransit],
  ['TCP connections', (_, metrics) => (metrics.connectionCounters as Row | null)?.tcp],
  ['AMQP connections', (_, metrics) => (metrics.connectionCounters as Row | null)?.amqp],
];

export const generalColumns: Column<[string, unknown]>[] = [
  { header: 'ATTRIBUTE', value: ([name]) => name },
  { header: 'VALUE', value: ([, value]) => cell(value) },
];
