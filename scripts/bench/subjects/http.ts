/** HTTP requests on connections that are kept. */
import { type Case, costs, cpuMetric, observe } from '../bench.ts';
import type { LayoutName, ServiceName } from '../systems/system.ts';
import { latencyMetrics, latencySample } from './latency.ts';

interface HttpOptions {
  layout: LayoutName;
  service?: ServiceName;
  connections: number;
  quick?: boolean;
}

function http({ layout, service = 'http', connections, quick }: HttpOptions): Case {
  const way = service === 'back' ? 'back-' : layout === 'pair' ? '' : `${layout}-`;
  return {
    name: `http/${way}${connections}`,
    layout,
    quick,
    metrics: [...latencyMetrics('req/s'), cpuMetric('s/100k', 2)],
    async measure({ deployment, load, seconds }) {
      const loaded = await observe(deployment, () => load.http(deployment.ports[service], connections, seconds));
      return { ...latencySample(loaded.result), ...costs(loaded, loaded.result.requests / 100_000) };
    },
  };
}

export const httpCases: Case[] = [
  http({ layout: 'pair', connections: 1, quick: true }),
  http({ layout: 'pair', connections: 16, quick: true }),
  http({ layout: 'pair', connections: 64, quick: true }),
  http({ layout: 'pair', service: 'back', connections: 16 }),
  http({ layout: 'relay', connections: 1 }),
  http({ layout: 'relay', connections: 16 }),
  http({ layout: 'relay', connections: 64 }),
  http({ layout: 'mesh', connections: 16 }),
];
