/** Many connections without traffic, and a few with. */
import { type Case, costs, cpuMetric, observe } from '../bench.ts';
import { residentMegabytes } from '../proc.ts';
import { latencyMetrics, latencySample } from './latency.ts';

const CONNECTIONS = 2_000;

export const idleCases: Case[] = [
  {
    name: `idle/${CONNECTIONS}`,
    layout: 'pair',
    fresh: true,
    metrics: [
      ...latencyMetrics('req/s'),
      cpuMetric('s/100k', 2),
      { name: 'kept', unit: 'KB each', digits: 1, bySite: true },
    ],
    async measure({ deployment, load, seconds }) {
      const port = deployment.ports.http;
      await load.http(port, 16, 1);
      const before = deployment.processes.map(({ process }) => residentMegabytes(process.pid));
      const held = await load.hold({ kind: 'idle', port, connections: CONNECTIONS, seconds: seconds + 60 });
      try {
        const each = deployment.processes.map(
          ({ site, process }, index) =>
            [`kept ${site}`, ((residentMegabytes(process.pid) - before[index]) * 1_000) / CONNECTIONS] as const,
        );
        const loaded = await observe(deployment, () => load.http(port, 16, seconds));
        return {
          ...latencySample(loaded.result),
          ...costs(loaded, loaded.result.requests / 100_000),
          ...(each.length > 0 ? { kept: each.reduce((sum, [, kilobytes]) => sum + kilobytes, 0) } : {}),
          ...Object.fromEntries(each),
        };
      } finally {
        await held.stop();
      }
    },
  },
];
