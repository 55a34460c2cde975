/**
 * A plain pair of TLS proxies, as stunnel is: a process a site, a TLS connection with both certificates a stream, and
 * no routing at all. It says what Node can do at the least cost of program.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, type Process } from '../processes.ts';
import { portsOf, SITES, type SiteName, type System, servicesOf, stopInOrder, untilServing } from './system.ts';
import type { ProxyConfig, Way } from './tls-proxy-process.ts';

const PROGRAM = join(import.meta.dirname, 'tls-proxy-process.ts');
const READY_WITHIN_MS = 10_000;

export const tlsProxy: System = {
  name: 'tls-proxy',
  async start(layout, world) {
    const sites = SITES[layout];
    const services = await servicesOf(layout, world.servers);
    const ways = new Map<SiteName, Way[]>(sites.map((site) => [site, []]));
    for (const { from, port, to, target } of services) {
      const path = from === sites[0] ? sites : [...sites].reverse();
      let listen = { port, tls: false };
      for (const site of path) {
        const connect = site === to ? { port: target, tls: false } : { port: await freePort(), tls: true };
        ways.get(site)!.push({ listen, connect });
        listen = connect;
      }
    }

    const running: { site: SiteName; process: Process }[] = [];
    for (const site of sites) {
      const { ca, certificate, key } = world.ca.issue({ commonName: site, hosts: ['127.0.0.1', 'localhost'] });
      const config: ProxyConfig = { ca, certificate, key, ways: ways.get(site)! };
      const file = join(world.directory, `tls-proxy-${layout}-${site}.json`);
      writeFileSync(file, JSON.stringify(config));
      const process_ = world.processes.start(`tls-proxy ${layout} ${site}`, process.execPath, [PROGRAM, file]);
      running.push({ site, process: process_ });
      await process_.line((line) => line === 'ready', READY_WITHIN_MS);
    }
    const processes = running.map(({ process }) => process);
    await untilServing(services, processes);
    return { ports: portsOf(services), processes: running, times: {}, stop: () => stopInOrder(processes) };
  },
};
