/** New connections: each carries one request and is closed by the server. */
import { type Case, costs, cpuMetric, observe } from '../bench.ts';
import type { LayoutName } from '../systems/system.ts';
import { latencyMetrics, latencySample } from './latency.ts';

/**
 * With each new connection V8 runs ten times as much code as with a request, and has compiled it after some 30,000: what
 * one costs falls to half on the way there.
 */
const WARM_UP = 12;

function connects(layout: LayoutName, connections: number, quick = false): Case {
  return {
    name: `connects/${layout === 'relay' ? 'relay-' : ''}${connections}`,
    layout,
    quick,
    warmUp: WARM_UP,
    metrics: [...latencyMetrics('conn/s'), cpuMetric('s/100k', 1)],
    async measure({ deployment, load, seconds }) {
      const loaded = await observe(deployment, () => load.connects(deployment.ports.http, connections, seconds));
      return { ...latencySample(loaded.result), ...costs(loaded, loaded.result.requests / 100_000) };
    },
  };
}

export const connectsCases: Case[] = [connects('pair', 16, true), connects('pair', 1), connects('relay', 16)];
