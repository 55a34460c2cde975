/** Skiff itself, as built: `dist/skiff run` with the documents of an edge and of a hub. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiClient } from '../../../src/api/client.ts';
import { freePort, type Process, until } from '../processes.ts';
import {
  hubFirst,
  inOrder,
  linkRole,
  portsOf,
  type Service,
  type SiteName,
  type System,
  servicesOf,
  stopInOrder,
  untilAccepting,
  untilServing,
  type World,
} from './system.ts';

const ROOT = join(import.meta.dirname, '../../..');
const EXECUTABLE = join(ROOT, 'dist/skiff');
const READY_WITHIN_MS = 20_000;

export interface SkiffOptions {
  /** A directory for CPU profiles. Skiff then runs from source, under the same Node. */
  profile?: string;
}

export function skiff({ profile }: SkiffOptions): System {
  let runs = 0;
  return {
    name: 'skiff',
    async start(layout, world) {
      const run = ++runs;
      const services = await servicesOf(layout, world.servers);
      const port = await freePort();
      const [program, args] = profile === undefined ? [executable(world), []] : [process.execPath, profiled(profile)];
      const running: { site: SiteName; process: Process }[] = [];
      const times: Record<string, number> = {};
      for (const site of hubFirst(layout)) {
        const directory = join(world.directory, `skiff-${run}-${site}`);
        mkdirSync(directory, { recursive: true });
        const file = join(directory, 'documents.json');
        writeFileSync(file, JSON.stringify(documentsOf(site, linkRole(layout), port, services, world)));
        const data = join(directory, 'data');
        const process_ = world.processes.start(`skiff ${layout} ${site}`, program, [
          ...args,
          'run',
          '--data',
          data,
          '--apply',
          file,
        ]);
        running.push({ site, process: process_ });
        await process_.line((line) => line.includes('"ready"'), READY_WITHIN_MS);
        times.ready = performance.now() - process_.startedAt;
        if (site === 'hub') await untilAccepting(port, process_);
        else await untilLinked(data, process_);
        times.link = performance.now() - process_.startedAt - times.ready;
      }
      const processes = running.map(({ process }) => process);
      await untilServing(services, processes);
      times.serving = performance.now() - running.at(-1)!.process.startedAt;
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

/**
 * A copy of the executable, so that a build made during a run changes nothing for it. As on a device that has just started,
 * it is read from the disk: a file that was just written may lie in the kernel's memory in larger pieces, of which a process
 * counts a sixth more memory as its own.
 */
function executable({ directory }: World): string {
  const kept = join(directory, 'skiff');
  if (existsSync(kept)) return kept;
  if (!existsSync(EXECUTABLE)) throw new Error('there is no dist/skiff. Run npm run build');
  copyFileSync(EXECUTABLE, kept);
  execFileSync('dd', [`of=${kept}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']);
  return kept;
}

function profiled(directory: string): string[] {
  return ['--cpu-prof', '--cpu-prof-dir', directory, join(ROOT, 'src/main.ts')];
}

async function untilLinked(data: string, process_: Process): Promise<void> {
  const client = new ApiClient(data);
  const attempt = async (): Promise<boolean> => {
    if (!process_.alive) throw process_.failure('ended');
    const links = await client.list('Link', { showSecrets: false });
    return links.every(({ status }) => status?.status === 'Ready');
  };
  await until(attempt, READY_WITHIN_MS, () => process_.failure('is not linked'));
}

function documentsOf(
  site: SiteName,
  role: 'edge' | 'inter-router',
  port: number,
  services: Service[],
  { ca }: World,
): object[] {
  const { certificate, key, ca: authority } = ca.issue({ commonName: site, hosts: ['127.0.0.1', 'localhost'] });
  const host = '127.0.0.1';
  const tlsCredentials = 'bench';
  const documents = [
    document('Site', site, site === 'hub' || role === 'inter-router' ? {} : { edge: true }),
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: tlsCredentials },
      type: 'kubernetes.io/tls',
      stringData: { 'ca.crt': authority, 'tls.crt': certificate, 'tls.key': key },
    },
    site === 'hub'
      ? document('RouterAccess', 'links', { roles: [{ name: role, port }], bindHost: host, tlsCredentials })
      : document('Link', 'uplink', { endpoints: [{ name: role, host, port: String(port) }], tlsCredentials }),
  ];
  for (const service of services) {
    const { name } = service;
    if (service.from === site) {
      documents.push(document('Listener', name, { routingKey: name, host, port: service.port }));
    }
    if (service.to === site) {
      documents.push(document('Connector', name, { routingKey: name, host, port: service.target }));
    }
  }
  return documents;
}

function document(kind: string, name: string, spec: object): object {
  return { apiVersion: 'skupper.io/v2alpha1', kind, metadata: { name }, spec };
}
