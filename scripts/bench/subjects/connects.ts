/** New connections: each carries one request and is closed by the server. */
import { type Case, costs, cpuMetric, observe } from '../bench.ts';
import type { LayoutName } from '../systems/system.ts';
import { latencyMetrics, latencySample } from './latency.ts';

function connects(layout: LayoutName, connections: number, quick = false): Case {
  return {
    name: `connects/${layout === 'relay' ? 'relay-' : ''}${connections}`,
    layout,
    quick,
    metrics: [...latencyMetrics('conn/s'), cpuMetric('s/100k', 1)],
    async measure({ deployment, load, seconds }) {
      const loaded = await observe(deployment, () => load.connects(deployment.ports.http, connections, seconds));
      return { ...latencySample(loaded.result), ...costs(loaded, loaded.result.requests / 100_000) };
    },
  };
}

export const connectsCases: Case[] = [connects('pair', 1), connects('pair', 16, true), connects('relay', 16)];
