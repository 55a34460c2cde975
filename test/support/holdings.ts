/** What sites hold: what they say of themselves by management and metrics, as far as it could leak. */
import { query, type Row } from '../../src/cli/router-query.ts';
import { readExposition } from './exposition.ts';
import type { Skiff } from './skiff.ts';

/** What one site holds. Lists name what is in them well enough to tell what is too many. */
export interface Holdings {
  /** To other routers, by their names and roles. */
  connections: string[];
  /** All but those that are kept for streams to come. */
  links: string[];
  /** Links between sites of which only one end knows. */
  loose: string[];
  /** AMQP sessions, without those of the links kept for streams; null where others' are among them, which do not say. */
  sessions: number | null;
  /** Of every kind, those for replies too, with how many take their messages: here, at edges and clients, elsewhere. */
  addresses: string[];
  /** TCP connections of listeners and connectors. */
  streams: number;
  /** Messages under way, on all links. */
  deliveries: number;
  /** Timers and sockets of the router's thread. */
  awaited: Record<string, number>;
}

/** What a site says of itself at one moment, and what is seen of its process. */
interface Look {
  /** Its router. */
  id: string;
  connections: Row[];
  links: Row[];
  addresses: Row[];
  services: Row[];
  router: { sessions: number; deliveries: number; awaited: Record<string, number> };
}

async function look(site: Skiff): Promise<Look> {
  const { http } = await site.api.status();
  if (http === null || http.url === null) throw new Error('the site tells no metrics');
  const response = await fetch(new URL('/metrics', http.url), { headers: { connection: 'close' } });
  const metrics = readExposition(await response.text());
  const awaited = metrics
    .all('skiff_event_loop_awaited')
    .filter(({ labels }) => labels.thread === 'router')
    .map(({ labels, value }): [string, number] => [labels.kind as string, value]);
  const rows = (type: string) => query(site.api, {}, type);
  const [router] = await rows('router');
  return {
    id: String(router?.id),
    connections: (await rows('connection')).filter(({ container }) => container !== 'TcpAdaptor'),
    links: await rows('router.link'),
    addresses: await rows('router.address'),
    services: [...(await rows('tcpListener')), ...(await rows('tcpConnector'))],
    router: {
      sessions: metrics.value('skiff_router_sessions') ?? Number.NaN,
      deliveries: metrics.value('skiff_router_deliveries') ?? Number.NaN,
      awaited: Object.fromEntries(awaited),
    },
  };
}

/** What each of the sites holds. They are looked at together: of a link between two, each knows one end. */
export async function holdingsOf(sites: Skiff[]): Promise<Holdings[]> {
  const looks = await Promise.all(sites.map(look));
  const ends = Map.groupBy(
    looks.flatMap(({ links }) => links),
    ({ linkName }) => linkName,
  );
  const ours = new Set(looks.map(({ id }) => id));
  return looks.map(({ connections, links, addresses, services, router }) => {
    const peers = new Map(connections.map(({ identity, container }) => [identity, container]));
    const peerOf = ({ connectionId }: Row) => peers.get(connectionId);
    const kept = links.filter(({ linkName }) => ends.get(linkName)?.some(({ operStatus }) => operStatus === 'idle'));
    const between = links.filter((link) => ours.has(String(peerOf(link))));
    return {
      connections: connections.map(({ container, role, dir }) => `${container} ${role} ${dir}`).sort(),
      links: between
        .filter((link) => !kept.includes(link))
        .map((link) => `${peerOf(link)} ${link.linkType} ${link.linkDir} ${link.owningAddr ?? '-'} ${link.priority}`)
        .sort(),
      loose: between.filter(({ linkName }) => ends.get(linkName)?.length !== 2).map(({ linkName }) => String(linkName)),
      sessions: connections.every(({ container }) => ours.has(String(container)))
        ? router.sessions - kept.length
        : null,
      addresses: addresses
        .map((each) => `${each.key} ${each.inProcess}+${each.subscriberCount}+${each.remoteCount}`)
        .sort(),
      streams: services.reduce((sum, each) => sum + Number(each.connectionsOpened) - Number(each.connectionsClosed), 0),
      deliveries: router.deliveries,
      awaited: router.awaited,
    };
  });
}
