/** Throughput of streams that carry as much as they can. */
import { type Case, costs, cpuMetric, type Loaded, type Metric, observe, type Sample } from '../bench.ts';
import type { BulkResult, Direction } from '../load/load.ts';
import type { LayoutName } from '../systems/system.ts';

const GIB = 2 ** 30;

export const bulkMetrics: Metric[] = [{ name: 'rate', unit: 'Gbit/s', digits: 2 }, cpuMetric('s/GiB', 2)];

export function bulkSample(loaded: Loaded<BulkResult>): Sample {
  const { up, down, seconds } = loaded.result;
  const octets = up + down;
  return { rate: (octets * 8) / seconds / 1e9, ...costs(loaded, octets / GIB) };
}

function bulk(layout: LayoutName, direction: Direction, streams: number, quick = false): Case {
  return {
    name: `bulk/${layout === 'pair' ? '' : `${layout}-`}${direction}-${streams}`,
    layout,
    quick,
    metrics: bulkMetrics,
    async measure({ deployment, load, seconds }) {
      const { bulk: port } = deployment.ports;
      return bulkSample(await observe(deployment, () => load.bulk(port, direction, streams, seconds)));
    },
  };
}

export const bulkCases: Case[] = [
  bulk('pair', 'up', 1, true),
  bulk('pair', 'down', 1, true),
  bulk('pair', 'both', 1),
  bulk('pair', 'up', 4, true),
  bulk('pair', 'down', 4),
  bulk('pair', 'both', 4),
  bulk('relay', 'up', 1),
  bulk('relay', 'down', 1),
  bulk('relay', 'both', 4),
  bulk('mesh', 'up', 1),
  bulk('mesh', 'down', 1),
  bulk('mesh', 'both', 4),
];
