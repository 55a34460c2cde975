/** What is measured: a way from clients at one site to servers at another. */
import type { Ca } from '../../../test/support/certificates.ts';
import { accepts, answers, freePort, type Process, type Processes, until } from '../processes.ts';

export type SystemName = 'skiff' | 'skupper-router' | 'tls-proxy' | 'direct';

/**
 * `pair`: edge and hub. `relay`: two edges, with a hub between that only passes on. `mesh`: the same with three interior
 * sites in a line.
 */
export type LayoutName = 'pair' | 'relay' | 'mesh';
export type SiteName = 'edge' | 'hub' | 'far';

/** From one end to the other. */
export const SITES: Record<LayoutName, SiteName[]> = {
  pair: ['edge', 'hub'],
  relay: ['edge', 'hub', 'far'],
  mesh: ['edge', 'hub', 'far'],
};

/** How the other sites link to the hub. */
export function linkRole(layout: LayoutName): 'edge' | 'inter-router' {
  return layout === 'mesh' ? 'inter-router' : 'edge';
}

/** Where the servers are, at the end of every way. */
export interface Servers {
  http: number;
  bulk: number;
}

/** `http` and `bulk` are used from the edge; `back` is the HTTP server once more, used from the other end. */
export type ServiceName = 'http' | 'bulk' | 'back';

export interface Service {
  name: ServiceName;
  /** Where clients connect, and at which port. */
  from: SiteName;
  port: number;
  /** Where the server is. */
  to: SiteName;
  target: number;
}

export async function servicesOf(layout: LayoutName, servers: Servers): Promise<Service[]> {
  const sites = SITES[layout];
  const [first, last] = [sites[0], sites.at(-1)!];
  return [
    { name: 'http', from: first, port: await freePort(), to: last, target: servers.http },
    { name: 'bulk', from: first, port: await freePort(), to: last, target: servers.bulk },
    { name: 'back', from: last, port: await freePort(), to: first, target: servers.http },
  ];
}

/** What every system is started with. */
export interface World {
  /** For its files, made for this run. */
  directory: string;
  processes: Processes;
  ca: Ca;
  servers: Servers;
}

/** A system that is running, and ready for traffic. */
export interface Deployment {
  /** Where clients connect. */
  ports: Record<ServiceName, number>;
  /** One a site; none where there is nothing between client and server. */
  processes: { site: SiteName; process: Process }[];
  /** Where edges link to the hub. */
  linkPort?: number;
  /** How long it took to start, in milliseconds, by what was reached. */
  times: Record<string, number>;
  stop(): Promise<void>;
}

export interface System {
  name: SystemName;
  start(layout: LayoutName, world: World): Promise<Deployment>;
}

export function portsOf(services: Service[]): Record<ServiceName, number> {
  return Object.fromEntries(services.map(({ name, port }) => [name, port])) as Record<ServiceName, number>;
}

const SERVES_WITHIN_MS = 20_000;

/** Waits until every service can be used, and HTTP gets an answer. */
export async function untilServing(services: Service[], processes: Process[]): Promise<void> {
  const attempt = async ({ name, port }: Service): Promise<boolean> => {
    for (const each of processes) if (!each.alive) throw each.failure('ended');
    return name === 'bulk' ? accepts(port) : answers(port);
  };
  const wait = (service: Service) =>
    until(
      () => attempt(service),
      SERVES_WITHIN_MS,
      () => (processes[0] ?? { failure: (what: string) => new Error(what) }).failure(`does not serve ${service.name}`),
    );
  await Promise.all(services.map(wait));
}

export async function stopInOrder(processes: Process[]): Promise<void> {
  for (const each of processes) await each.stop();
}

/** The order to start in: an edge whose hub is not there yet would lose time with a first try in vain. */
export function hubFirst(layout: LayoutName): SiteName[] {
  return SITES[layout].toSorted((a, b) => Number(b === 'hub') - Number(a === 'hub'));
}

/** From one end to the other. */
export function inOrder<T extends { site: SiteName }>(running: T[]): T[] {
  return running.toSorted((a, b) => SITES.relay.indexOf(a.site) - SITES.relay.indexOf(b.site));
}

export function untilAccepting(port: number, process_: Process): Promise<void> {
  const attempt = (): Promise<boolean> => {
    if (!process_.alive) throw process_.failure('ended');
    return accepts(port);
  };
  return until(attempt, SERVES_WITHIN_MS, () => process_.failure('does not take connections'));
}
