/** Throughput of streams that carry as much as they can. */
import { type Case, costs, cpuMetric, observe } from '../bench.ts';
import type { Direction } from '../load/load.ts';
import type { LayoutName } from '../systems/system.ts';

const GIB = 2 ** 30;

function bulk(layout: LayoutName, direction: Direction, streams: number, quick = false): Case {
  return {
    name: `bulk/${layout === 'relay' ? 'relay-' : ''}${direction}-${streams}`,
    layout,
    quick,
    metrics: [{ name: 'rate', unit: 'Gbit/s', digits: 2 }, cpuMetric('s/GiB', 2)],
    async measure({ deployment, load, seconds }) {
      const loaded = await observe(deployment, () => load.bulk(deployment.ports.bulk, direction, streams, seconds));
      const { up, down, seconds: taken } = loaded.result;
      const octets = up + down;
      return { rate: (octets * 8) / taken / 1e9, ...costs(loaded, octets / GIB) };
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
];
