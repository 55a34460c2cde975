/** Many connections without traffic, and a few with. */
import { type Case, costs, cpuMetric, type Metric, observe, type Sample, type Setting } from '../bench.ts';
import type { Direction } from '../load/load.ts';
import { residentMegabytes } from '../proc.ts';
import type { Deployment } from '../systems/system.ts';
import { bulkMetrics, bulkSample } from './bulk.ts';
import { latencyMetrics, latencySample } from './latency.ts';

/** How long the idle ones stay beside what is measured, in seconds. */
const STAY = 60;
/** Seconds of the same load before: new processes are slow until what they do most is compiled. */
const WARM_UP = 4;

interface Beside {
  name: string;
  connections: number;
  metrics: Metric[];
  run(setting: Setting): Promise<Sample>;
}

function memoryOf({ processes }: Deployment): number[] {
  return processes.map(({ process }) => residentMegabytes(process.pid));
}

function idle({ name, connections, metrics, run }: Beside): Case {
  return {
    name: `idle/${name}`,
    layout: 'pair',
    fresh: true,
    metrics: [...metrics, { name: 'kept', unit: 'KB each', digits: 1, bySite: true }],
    async measure(setting) {
      const { deployment, load, seconds } = setting;
      const port = deployment.ports.http;
      await load.http(port, 16, 1);
      const before = memoryOf(deployment);
      const held = await load.hold({ kind: 'idle', port, connections, seconds: seconds + STAY });
      try {
        const after = memoryOf(deployment);
        const each = deployment.processes.map(
          ({ site }, index) => [`kept ${site}`, ((after[index]! - before[index]!) * 1_000) / connections] as const,
        );
        return {
          ...(await run(setting)),
          ...(each.length > 0 ? { kept: each.reduce((sum, [, kilobytes]) => sum + kilobytes, 0) } : {}),
          ...Object.fromEntries(each),
        };
      } finally {
        await held.stop();
      }
    },
  };
}

function http(connections: number): Pick<Beside, 'metrics' | 'run'> {
  return {
    metrics: [...latencyMetrics('req/s'), cpuMetric('s/100k', 2)],
    async run({ deployment, load, seconds }) {
      const { http: port } = deployment.ports;
      await load.http(port, connections, WARM_UP);
      const loaded = await observe(deployment, () => load.http(port, connections, seconds));
      return { ...latencySample(loaded.result), ...costs(loaded, loaded.result.requests / 100_000) };
    },
  };
}

function bulk(direction: Direction): Pick<Beside, 'metrics' | 'run'> {
  return {
    metrics: bulkMetrics,
    async run({ deployment, load, seconds }) {
      const { bulk: port } = deployment.ports;
      await load.bulk(port, direction, 1, WARM_UP);
      return bulkSample(await observe(deployment, () => load.bulk(port, direction, 1, seconds)));
    },
  };
}

export const idleCases: Case[] = [
  idle({ name: '500-http-64', connections: 500, ...http(64) }),
  idle({ name: '500-bulk-up', connections: 500, ...bulk('up') }),
  idle({ name: '500-bulk-down', connections: 500, ...bulk('down') }),
  idle({ name: '2000-http-16', connections: 2_000, ...http(16) }),
];
