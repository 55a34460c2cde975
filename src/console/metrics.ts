/**
 * What a site tells monitoring of itself. Names are Skupper's where it has them, of this site alone: each site tells its
 * own. No label has a value that others could make up without end.
 */
import { delayBounds, type ThreadFacts } from '../health/thread.ts';
import type {
  AccessState,
  ConnectorState,
  LinkConfig,
  LinkState,
  ListenerState,
  MultiKeyListenerState,
  PartKind,
} from '../router/protocol.ts';
import type { Observation, ObservedPart } from '../site/observation.ts';
import type { Kind } from '../site/resources.ts';
import { version } from '../version.ts';
import type { Family, Sample } from './exposition.ts';

/** What the main thread knows besides. */
export interface ProcessFacts {
  databaseOctets: number;
  main: ThreadFacts;
}

export function familiesOf(observation: Observation, facts: ProcessFacts): Family[] {
  const { parts } = observation;
  const services = parts.filter(({ config }) => config.kind !== 'access' && config.kind !== 'link');
  return [
    ...siteFamilies(observation),
    ...linkFamilies(ofKind(parts, 'link')),
    ...accessFamilies(ofKind(parts, 'access')),
    ...listenerFamilies([...ofKind(services, 'listener'), ...ofKind(services, 'multiKeyListener')]),
    ...connectorFamilies(ofKind(services, 'connector')),
    gauge(
      'skiff_certificate_expiration_timestamp_seconds',
      'When the certificate of a document ends.',
      observation.certificates.map(({ kind, name, expiration }) => sample(expiration / 1_000, { kind, name })),
    ),
    ...routerFamilies(observation),
    ...processFamilies(observation, facts),
  ];
}

function sample(value: number, labels: Record<string, string> = {}): Sample {
  return { labels, value };
}

function gauge(name: string, help: string, samples: Sample[]): Family {
  return { name, type: 'gauge', help, samples };
}

function counter(name: string, help: string, samples: Sample[]): Family {
  return { name, type: 'counter', help, samples };
}

function ofKind(parts: ObservedPart[], kind: PartKind): ObservedPart[] {
  return parts.filter(({ config }) => config.kind === kind);
}

/** As Skupper's network observer names and labels them. */
function siteFamilies({ site, parts }: Observation): Family[] {
  if (site.site === null) return [];
  const site_id = site.id;
  const listeners = parts.filter(({ config: { kind } }) => kind === 'listener' || kind === 'multiKeyListener');
  const links = ofKind(parts, 'link').map(({ config, state }) => {
    const { role } = config as LinkConfig;
    const facts = state as LinkState | undefined;
    return { role, status: isUp(facts) ? 'up' : 'down', downCount: facts?.facts.downCount ?? 0 };
  });
  const byState = Map.groupBy(links, ({ role, status }) => `${role} ${status}`);
  const byRole = Map.groupBy(links, ({ role }) => role);
  return [
    gauge('skupper_site_info', 'This site.', [sample(1, { site_id, name: site.site, version })]),
    gauge('skupper_routers_total', 'Routers of this site.', [sample(1, { site_id, mode: site.mode })]),
    gauge(
      'skupper_site_links_total',
      'Links of this site.',
      [...byState.values()].map((all) => sample(all.length, { site_id, role: all[0].role, status: all[0].status })),
    ),
    counter(
      'skupper_site_link_errors_total',
      'Times that links of this site were up and then were not.',
      [...byRole].map(([role, all]) => sample(sum(all.map(({ downCount }) => downCount)), { site_id, role })),
    ),
    gauge('skupper_site_listeners_total', 'Listeners of this site.', [sample(listeners.length, { site_id })]),
    gauge('skupper_site_connectors_total', 'Connectors of this site.', [
      sample(ofKind(parts, 'connector').length, { site_id }),
    ]),
  ];
}

function isUp(link: LinkState | undefined): boolean {
  return link?.status === 'up' || link?.status === 'standby';
}

/** Reads a figure of a part; undefined while it is not known. */
type Reading<State> = (state: State) => number | undefined;

/** Listeners of the two kinds may have the same name. */
function labelsOf({ kind, name }: ObservedPart['config'], label: string): Record<string, string> {
  const kinds: Partial<Record<PartKind, Kind>> = { listener: 'Listener', multiKeyListener: 'MultiKeyListener' };
  return { [label]: name, ...(kinds[kind] ? { kind: kinds[kind] } : {}) };
}

/** For parts of one kind: their figures, each with the name of its part. */
function readings<State>(parts: ObservedPart[], label: string) {
  return (read: Reading<State>): Sample[] =>
    parts.flatMap(({ config, state }) => {
      const value = state && read(state as State);
      return value === undefined ? [] : [sample(value, labelsOf(config, label))];
    });
}

function octets(parts: ObservedPart[], label: string): Family[] {
  const read = (direction: 'octetsIn' | 'octetsOut') =>
    parts.flatMap(({ config, traffic }) => (traffic ? [sample(traffic[direction], labelsOf(config, label))] : []));
  const other = label === 'link' || label === 'access' ? 'other sites' : label === 'listener' ? 'clients' : 'servers';
  return [
    counter(`skiff_${label}_received_bytes_total`, `Octets that came from ${other}.`, read('octetsIn')),
    counter(`skiff_${label}_sent_bytes_total`, `Octets that went to ${other}.`, read('octetsOut')),
  ];
}

function linkFamilies(links: ObservedPart[]): Family[] {
  const of = readings<LinkState>(links, 'link');
  const costs = links.map(({ config }) => sample((config as LinkConfig).cost, { link: config.name }));
  return [
    gauge(
      'skiff_link_up',
      'Whether the link is connected.',
      of((state) => Number(isUp(state))),
    ),
    gauge('skiff_link_cost', 'What the link is said to cost.', costs),
    gauge(
      'skiff_link_round_trip_seconds',
      'To the other end and back, as last measured.',
      of(({ facts }) => (facts.roundTripMs === null ? undefined : facts.roundTripMs / 1_000)),
    ),
    ...octets(links, 'link'),
    counter(
      'skiff_link_reconnects_total',
      'Connections of the link, after the first.',
      of(({ facts }) => facts.reconnects),
    ),
    gauge(
      'skiff_link_last_error_timestamp_seconds',
      'When the link last failed, and how.',
      links.flatMap(({ config, state }) => {
        const error = (state as LinkState | undefined)?.facts.lastError;
        if (!error) return [];
        // What follows the colon is the peer's own word.
        const [code] = error.code.split(':', 1);
        return [sample(error.at / 1_000, { link: config.name, class: error.class, code })];
      }),
    ),
  ];
}

function accessFamilies(accesses: ObservedPart[]): Family[] {
  const of = readings<AccessState>(accesses, 'access');
  return [
    gauge(
      'skiff_access_open',
      'Whether the port takes connections.',
      of(({ status }) => Number(status === 'listening')),
    ),
    gauge(
      'skiff_access_peers',
      'Sites and clients that are connected.',
      of(({ peers }) => peers.length),
    ),
    ...octets(accesses, 'access'),
  ];
}

function serviceFamilies(parts: ObservedPart[], label: 'listener' | 'connector'): Family[] {
  const of = readings<ListenerState | ConnectorState>(parts, label);
  return [
    counter(
      `skiff_${label}_connections_opened_total`,
      'TCP connections that began.',
      of(({ connectionsTotal }) => connectionsTotal),
    ),
    counter(
      `skiff_${label}_connections_closed_total`,
      'TCP connections that ended.',
      of(({ connectionsTotal, connectionsOpen }) => connectionsTotal - connectionsOpen),
    ),
    gauge(
      `skiff_${label}_connections_open`,
      'TCP connections that there are.',
      of(({ connectionsOpen }) => connectionsOpen),
    ),
    ...octets(parts, label),
  ];
}

function listenerFamilies(listeners: ObservedPart[]): Family[] {
  const of = readings<ListenerState | MultiKeyListenerState>(listeners, 'listener');
  return [
    gauge(
      'skiff_listener_matched',
      'Whether somebody serves a routing key of the listener.',
      of(({ matched }) => Number(matched)),
    ),
    gauge(
      'skiff_listener_open',
      'Whether the port takes connections.',
      of(({ status }) => Number(status === 'open')),
    ),
    ...serviceFamilies(listeners, 'listener'),
  ];
}

function connectorFamilies(connectors: ObservedPart[]): Family[] {
  const of = readings<ConnectorState>(connectors, 'connector');
  return [
    gauge(
      'skiff_connector_healthy',
      'What the health check of the server says, where there is one.',
      of(({ health }) => (typeof health?.healthy === 'boolean' ? Number(health.healthy) : undefined)),
    ),
    gauge(
      'skiff_connector_reaches_server',
      'Whether the last connection to the server succeeded.',
      of(({ error }) => Number(error === null)),
    ),
    ...serviceFamilies(connectors, 'connector'),
  ];
}

function routerFamilies({ router }: Observation): Family[] {
  if (!router) return [];
  const { connections, sessions, deliveries } = router;
  return [
    gauge('skiff_router_connections', 'AMQP connections.', [sample(connections)]),
    gauge('skiff_router_sessions', 'AMQP sessions.', [sample(sessions)]),
    gauge('skiff_router_deliveries', 'Messages under way; a TCP connection is two.', [sample(deliveries)]),
  ];
}

function processFamilies({ router }: Observation, { databaseOctets, main }: ProcessFacts): Family[] {
  const threads: [string, ThreadFacts][] = [
    ['main', main],
    ...(router ? [['router', router] as [string, ThreadFacts]] : []),
  ];
  const { user, system } = process.cpuUsage();
  return [
    gauge(
      'skiff_thread_heap_bytes',
      "What a thread's JavaScript takes of the memory.",
      threads.map(([thread, { heapOctets }]) => sample(heapOctets, { thread })),
    ),
    gauge(
      'skiff_event_loop_awaited',
      'Timers, sockets and the like that a thread waits for.',
      threads.flatMap(([thread, { awaited }]) =>
        Object.entries(awaited).map(([kind, count]) => sample(count, { thread, kind })),
      ),
    ),
    {
      name: 'skiff_event_loop_delay_seconds',
      type: 'histogram',
      help: 'How late a thread gets round to what is due.',
      samples: threads.flatMap(([thread, facts]) => delaySamples(thread, facts)),
    },
    gauge('skiff_database_bytes', 'What the database takes on the disk.', [sample(databaseOctets)]),
    gauge('skiff_build_info', 'Which Skiff this is.', [sample(1, { version, node: process.version.slice(1) })]),
    gauge('process_resident_memory_bytes', 'Memory of the process.', [sample(process.memoryUsage.rss())]),
    counter('process_cpu_seconds_total', 'CPU time of the process.', [sample((user + system) / 1e6)]),
    gauge('process_start_time_seconds', 'When the process began.', [sample(performance.timeOrigin / 1_000)]),
  ];
}

function delaySamples(thread: string, { delays }: ThreadFacts): Sample[] {
  const bounds = [...delayBounds.map(String), '+Inf'];
  const buckets = [...delays.within, delays.looks].map(
    (value, index): Sample => ({ suffix: '_bucket', labels: { thread, le: bounds[index] }, value }),
  );
  return [
    ...buckets,
    { suffix: '_sum', labels: { thread }, value: delays.sum },
    { suffix: '_count', labels: { thread }, value: delays.looks },
  ];
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
