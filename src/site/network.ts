/**
 * The network as statuses tell it, put together from the flow records of its routers: which sites there are, how they
 * are linked, and which routing keys somebody listens to or serves.
 */
import type { NetworkChange } from '../router/protocol.ts';
import type { JsonObject } from '../store/documents.ts';

type FlowRecord = NetworkChange['put'][number]['records'][number];

export interface RemoteSite {
  id: string;
  /** Unknown when a router names a site that nobody tells of. */
  name: string | undefined;
}

/** What can be asked of the network. */
export interface NetworkView {
  /** `Site.status.network`, in the order of ids. */
  readonly sites: JsonObject[];
  hasListener(routingKey: string): boolean;
  /** The site at whose router access a link ends, by the id of the access. */
  siteOfAccess(accessId: string): RemoteSite | undefined;
  /** The site of a router, by its container-id. */
  siteOfRouter(routerId: string): RemoteSite | undefined;
}

export class Network {
  readonly #sources = new Map<string, FlowRecord[]>();
  #view: NetworkView | null = null;

  apply({ put, remove }: NetworkChange): void {
    for (const { source, records } of put) this.#sources.set(source, records);
    for (const source of remove) this.#sources.delete(source);
    this.#view = null;
  }

  clear(): void {
    this.#sources.clear();
    this.#view = null;
  }

  /** Put together when it is asked for, once a change. */
  get view(): NetworkView {
    this.#view ??= new Assembled([...this.#sources.values()].flat());
    return this.#view;
  }
}

class Assembled implements NetworkView {
  readonly sites: JsonObject[];
  readonly #sites: Map<string, FlowRecord>;
  readonly #routers: Map<string, FlowRecord>;
  readonly #routersByName: Map<string, FlowRecord>;
  readonly #accesses: Map<string, FlowRecord>;
  readonly #listenedTo: Set<string>;

  constructor(records: FlowRecord[]) {
    const ofType = (type: FlowRecord['type']) => records.filter((record) => record.type === type);
    this.#sites = byIdentity(ofType('SITE'));
    this.#routersByName = latest(ofType('ROUTER'));
    this.#routers = byIdentity([...this.#routersByName.values()]);
    this.#accesses = byIdentity(ofType('ROUTER_ACCESS'));
    this.#listenedTo = new Set(ofType('LISTENER').flatMap(({ address }) => address ?? []));
    const parts = Map.groupBy(records, ({ parent }) => this.#routers.get(parent ?? '')?.parent);
    const ids = [...this.#sites.keys()].sort();
    this.sites = ids.map((id) => this.#site(this.#sites.get(id) as FlowRecord, parts.get(id) ?? []));
  }

  hasListener(routingKey: string): boolean {
    return this.#listenedTo.has(routingKey);
  }

  siteOfAccess(accessId: string): RemoteSite | undefined {
    return this.#siteOf(this.#routers.get(this.#accesses.get(accessId)?.parent ?? ''));
  }

  siteOfRouter(routerId: string): RemoteSite | undefined {
    return this.#siteOf(this.#routersByName.get(`0/${routerId}`));
  }

  #siteOf(router: FlowRecord | undefined): RemoteSite | undefined {
    const id = router?.parent;
    return id === undefined ? undefined : { id, name: this.#sites.get(id)?.name };
  }

  #site({ identity, name, namespace, platform, version }: FlowRecord, parts: FlowRecord[]): JsonObject {
    const links = parts.flatMap((part) => this.#link(part) ?? []);
    const services = servicesOf(parts);
    return {
      id: identity,
      ...defined({ name, namespace, platform, version }),
      ...(links.length ? { links } : {}),
      ...(services.length ? { services } : {}),
    };
  }

  /** A link counts once it is known where it ends. */
  #link({ type, name, peer, status }: FlowRecord): JsonObject | undefined {
    const remote = type === 'LINK' && name && peer ? this.siteOfAccess(peer) : undefined;
    if (!remote || !name) return undefined;
    const remoteSite = { remoteSiteId: remote.id, ...defined({ remoteSiteName: remote.name }) };
    return { name, ...remoteSite, operational: status === 'up' };
  }
}

/** As Skupper has it: connectors by the hosts of their servers, listeners by their names. */
function servicesOf(parts: FlowRecord[]): JsonObject[] {
  const services = new Map<string, { connectors: string[]; listeners: string[] }>();
  for (const { type, address, destHost, name } of parts) {
    if (!address) continue;
    const offered = type === 'CONNECTOR' ? destHost : type === 'LISTENER' ? name : undefined;
    if (!offered) continue;
    const service = services.get(address) ?? { connectors: [], listeners: [] };
    services.set(address, service);
    service[type === 'CONNECTOR' ? 'connectors' : 'listeners'].push(offered);
  }
  return [...services]
    .sort(([one], [two]) => (one < two ? -1 : 1))
    .map(([routingKey, { connectors, listeners }]) => ({
      routingKey,
      ...(connectors.length ? { connectors: connectors.sort() } : {}),
      ...(listeners.length ? { listeners: listeners.sort() } : {}),
    }));
}

function byIdentity(records: FlowRecord[]): Map<string, FlowRecord> {
  return new Map(records.map((record) => [record.identity, record]));
}

/** By name; a router that was started again is another source, and the one before it is not forgotten at once. */
function latest(routers: FlowRecord[]): Map<string, FlowRecord> {
  const byName = new Map<string, FlowRecord>();
  for (const router of routers) {
    const name = router.name ?? router.identity;
    const other = byName.get(name);
    if (!other || (router.startTime ?? 0) >= (other.startTime ?? 0)) byName.set(name, router);
  }
  return byName;
}

function defined(fields: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
