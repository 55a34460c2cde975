/** All types of entities, what may be done with them, and how they are described to whoever asks. */
import { connection } from './connections.ts';
import { type EntityType, entityType, PREFIX, type View } from './entity.ts';
import { ManagementError } from './error.ts';
import { link } from './links.ts';
import { address, node, router, routerMetrics } from './network.ts';
import { ABSENT, allocator, configAddress, log, logStats, network, policy, site } from './process.ts';
import {
  connector,
  listener,
  listenerAddress,
  proxyProfile,
  sslProfile,
  tcpConnector,
  tcpListener,
} from './services.ts';
import type { AttributeValue } from './values.ts';

/** The agent itself. */
const management = entityType<View>({
  shortName: 'management',
  base: 'operational',
  items: (view) => [view],
  key: () => 'self',
  identity: () => 'self',
  attributes: {},
});

export const TYPES: readonly EntityType[] = [
  ...[management, routerMetrics, router, network, site, sslProfile, proxyProfile, listener, connector],
  ...[tcpListener, tcpConnector, listenerAddress, log, logStats, configAddress, link, address, node, connection],
  ...[allocator, policy, ...ABSENT],
];

/** The name of the agent's own type in the draft standard for management of AMQP. */
const STANDARD_NAME = 'org.amqp.management';
const SELF_OPERATIONS = [
  ...['QUERY', 'GET-TYPES', 'GET-ANNOTATIONS', 'GET-OPERATIONS', 'GET-ATTRIBUTES', 'GET-MGMT-NODES'],
  ...['GET-SCHEMA', 'GET-JSON-SCHEMA', 'GET-LOG', 'GET-PATH', 'READ'],
];

const byName = new Map(TYPES.flatMap((type) => [type.name, type.shortName].map((name) => [name, type])));
for (const name of [STANDARD_NAME, `${PREFIX}${STANDARD_NAME}`]) byName.set(name, management);

export const isSelf = (type: EntityType): boolean => type === management;

/** The type of this name, long or short; none for null. */
export function typeNamed(name: string | null): EntityType | null {
  if (name === null) return null;
  const type = byName.get(name);
  if (type) return type;
  throw new ManagementError(
    400,
    `No such entity type '${name.startsWith(PREFIX) ? name : PREFIX + name}'`.slice(0, 300),
  );
}

export function operationsOf(type: EntityType): string[] {
  if (isSelf(type)) return SELF_OPERATIONS;
  return type.mutable.length > 0 ? ['UPDATE', 'READ'] : ['READ'];
}

const basesOf = ({ base }: EntityType): string[] => [`${PREFIX}${base}Entity`, `${PREFIX}entity`];

/** What `describe` says of each type, or of one, under its name. */
function each(only: EntityType | null, describe: (type: EntityType) => AttributeValue): AttributeValue {
  return Object.fromEntries((only ? [only] : TYPES).map((type) => [type.name, describe(type)]));
}

export const typesOf = (only: EntityType | null): AttributeValue => each(only, basesOf);
export const operations = (only: EntityType | null): AttributeValue => each(only, operationsOf);
export const attributes = (only: EntityType | null): AttributeValue => each(only, (type) => [...type.kinds.keys()]);

export function schema(): AttributeValue {
  const describe = (type: EntityType): AttributeValue => ({
    attributes: Object.fromEntries([...type.kinds].map(([name, kind]) => [name, { type: kind }])),
    operations: operationsOf(type),
    fullyQualifiedType: type.name,
  });
  return {
    prefix: PREFIX.slice(0, -1),
    entityTypes: Object.fromEntries(TYPES.map((type) => [type.shortName, describe(type)])),
  };
}
