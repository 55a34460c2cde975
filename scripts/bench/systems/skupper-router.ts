/** skupper-router, when SKROUTERD names its program: an edge router and an interior one, with TLS between them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, type Process } from '../processes.ts';
import {
  hubFirst,
  inOrder,
  linkRole,
  portsOf,
  type SiteName,
  type System,
  servicesOf,
  stopInOrder,
  untilAccepting,
  untilServing,
} from './system.ts';

type Entity = [string, Record<string, string | boolean>];

export function skupperRouter(program: string): System {
  return {
    name: 'skupper-router',
    async start(layout, world) {
      const services = await servicesOf(layout, world.servers);
      const port = String(await freePort());
      const running: { site: SiteName; process: Process }[] = [];
      for (const site of hubFirst(layout)) {
        const directory = join(world.directory, `skupper-router-${layout}-${site}`);
        mkdirSync(directory, { recursive: true });
        const { ca, certificate, key } = world.ca.issue({ commonName: site, hosts: ['127.0.0.1', 'localhost'] });
        const files = {
          caCertFile: join(directory, 'ca.crt'),
          certFile: join(directory, 'tls.crt'),
          privateKeyFile: join(directory, 'tls.key'),
        };
        writeFileSync(files.caCertFile, ca);
        writeFileSync(files.certFile, certificate);
        writeFileSync(files.privateKeyFile, key);
        const role = linkRole(layout);
        const common = { host: '127.0.0.1', port, role, sslProfile: 'mtls', saslMechanisms: 'EXTERNAL' };
        const config: Entity[] = [
          ['router', { id: site, mode: site === 'hub' || role === 'inter-router' ? 'interior' : 'edge' }],
          ['sslProfile', { name: 'mtls', ...files }],
          site === 'hub'
            ? ['listener', { name: 'links', ...common, authenticatePeer: true, requireSsl: true }]
            : ['connector', { name: 'uplink', ...common, verifyHostname: true }],
          ['log', { module: 'DEFAULT', enable: 'warning+', outputFile: 'stderr' }],
        ];
        for (const { name, from, to, ...service } of services) {
          const common = { name, address: name, host: '127.0.0.1' };
          if (from === site) config.push(['tcpListener', { ...common, port: String(service.port) }]);
          if (to === site) config.push(['tcpConnector', { ...common, port: String(service.target) }]);
        }
        const file = join(directory, 'skrouterd.json');
        writeFileSync(file, JSON.stringify(config));
        const process_ = world.processes.start(`skupper-router ${layout} ${site}`, program, ['-c', file]);
        running.push({ site, process: process_ });
        if (site === 'hub') await untilAccepting(Number(port), process_);
      }
      const processes = running.map(({ process }) => process);
      await untilServing(services, processes);
      const times = { serving: performance.now() - running.at(-1)!.process.startedAt };
      return {
        ports: portsOf(services),
        processes: inOrder(running),
        linkPort: Number(port),
        times,
        stop: () => stopInOrder(processes),
      };
    },
  };
}
