/** The process that the router runs in, and what it is configured with besides the documents of the site. */
import { getHeapSpaceStatistics } from 'node:v8';
import type { LogLevel } from '../../log.ts';
import { SLAB_POOLS, type SlabPool } from '../../net/slab.ts';
import { empty, entityType, flag, number, text, type View, word, zero } from './entity.ts';

const self = (view: View): View[] => [view];

export const site = entityType<View>({
  shortName: 'site',
  base: 'configuration',
  items: self,
  key: ({ router }) => router.identity.siteId,
  name: ({ router }) => router.identity.siteName,
  attributes: {
    version: text(({ router }) => router.identity.version),
    platform: text(() => 'linux'),
    ...empty('string', 'location', 'provider', 'namespace'),
  },
});

/** Networks that are joined to others; Skiff's are not. */
export const network = entityType<View>({
  shortName: 'network',
  base: 'configuration',
  items: self,
  key: () => '0',
  attributes: empty('string', 'networkId', 'tenantId'),
});

/** What is said of routing keys that begin with this. */
const PREFIXES = [{ prefix: 'mc', distribution: 'multicast' }] as const;

export const configAddress = entityType<(typeof PREFIXES)[number]>({
  shortName: 'router.config.address',
  base: 'configuration',
  items: () => PREFIXES,
  key: ({ prefix }) => prefix,
  attributes: {
    prefix: text(({ prefix }) => prefix),
    distribution: word(['multicast', 'closest', 'balanced', 'unavailable'])(({ distribution }) => distribution),
    ...empty('string', 'pattern'),
    ...empty('integer', 'priority'),
  },
});

export const log = entityType<View>({
  shortName: 'log',
  base: 'configuration',
  items: self,
  key: () => 'DEFAULT',
  attributes: {
    module: text(() => 'DEFAULT'),
    enable: text(() => 'info+'),
    includeTimestamp: flag(() => true),
    includeSource: flag(() => false),
    outputFile: text(() => 'stderr'),
  },
});

/** Of what was logged last, not of all that ever was. */
export const logStats = entityType<Record<LogLevel, number>>({
  shortName: 'logStats',
  base: 'operational',
  items: (view) => {
    const counts = { debug: 0, info: 0, warn: 0, error: 0 };
    for (const { level } of view.log()) counts[level]++;
    return [counts];
  },
  key: () => 'DEFAULT',
  attributes: {
    debugCount: number(({ debug }) => debug),
    infoCount: number(({ info }) => info),
    warningCount: number(({ warn }) => warn),
    errorCount: number(({ error }) => error),
    ...zero('noticeCount', 'criticalCount'),
  },
});

interface Pool {
  name: string;
  /** Octets of one piece. */
  size: number;
  taken: number;
  returned: number;
  free: number;
}

/** Octets of the pages of which V8's heap is made. */
const HEAP_PAGE = 256 * 1024;

function pools(): Pool[] {
  const slabs = SLAB_POOLS.map(({ size, made, kept, inUse }: SlabPool) => ({
    ...{ name: `slab_${size / 1024}k`, size, taken: made, returned: made - kept - inUse, free: kept },
  }));
  const spaces = getHeapSpaceStatistics().map(
    ({ space_name: name, space_size: octets, space_available_size: free }) => ({
      ...{ name: `v8_${name}`, size: HEAP_PAGE, taken: Math.ceil(octets / HEAP_PAGE), returned: 0 },
      free: Math.floor(Math.min(free, octets) / HEAP_PAGE),
    }),
  );
  return [...slabs, ...spaces];
}

/** Memory: the slabs that sockets read into, and the spaces of the heap. */
export const allocator = entityType<Pool>({
  shortName: 'allocator',
  base: 'operational',
  items: pools,
  key: ({ name }) => name,
  attributes: {
    typeName: text(({ name }) => name),
    typeSize: number(({ size }) => size),
    totalAllocFromHeap: number(({ taken }) => taken),
    totalFreeToHeap: number(({ returned }) => returned),
    heldByThreads: number(({ taken, returned, free }) => taken - returned - free),
    globalFreeListMax: number(() => null),
    ...zero('transferBatchSize', 'localFreeListMax', 'batchesRebalancedToThreads', 'batchesRebalancedToGlobal'),
  },
});

/** Skiff has no policies of skupper-router's kind; who may do what is said by certificates and the fleet. */
export const policy = entityType<View>({
  shortName: 'policy',
  base: 'configuration',
  items: self,
  key: () => '0',
  attributes: {
    connectionsCurrent: number(({ router }) => router.peers.size),
    enableVhostPolicy: flag(() => false),
    enableVhostNamePatterns: flag(() => false),
    policyDir: text(() => ''),
    defaultVhost: text(() => ''),
    ...zero('maxConnections', 'maxMessageSize', 'connectionsProcessed', 'connectionsDenied', 'linksDenied'),
    ...zero('maxMessageSizeDenied', 'totalDenials'),
  },
});

const nothing = (): never[] => [];

function absent(shortName: string, base: 'configuration' | 'operational', ...attributes: string[]) {
  return entityType<never>({
    shortName,
    base,
    items: nothing,
    key: String,
    attributes: empty('string', ...attributes),
  });
}

/** What there is none of, under the names by which tools ask for it. */
export const ABSENT = [
  absent(
    'router.config.autoLink',
    'configuration',
    'address',
    'direction',
    'connection',
    'containerId',
    'externalAddress',
    'linkRef',
    'operStatus',
    'lastError',
  ),
  absent(
    'tcpConnection',
    'operational',
    'address',
    'host',
    'direction',
    'bytesIn',
    'bytesOut',
    'uptimeSeconds',
    'lastInSeconds',
    'lastOutSeconds',
  ),
  absent(
    'vhost',
    'configuration',
    'hostname',
    'aliases',
    'maxConnections',
    'maxMessageSize',
    'maxConnectionsPerUser',
    'maxConnectionsPerHost',
    'allowUnknownUser',
    'groups',
  ),
  absent('vhostUserGroupSettings', 'configuration', 'users', 'remoteHosts'),
  absent(
    'vhostStats',
    'operational',
    'hostname',
    'connectionsApproved',
    'connectionsDenied',
    'connectionsCurrent',
    'perUserState',
    'perHostState',
    'sessionDenied',
    'senderDenied',
    'receiverDenied',
    'maxMessageSizeDenied',
  ),
];
