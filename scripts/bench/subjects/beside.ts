/** A small stream of requests beside two streams that carry as much as they can. */
import { type Case, costs, cpuMetric, observe } from '../bench.ts';
import type { BulkResult, Direction, RequestsResult } from '../load/load.ts';

const GIB = 2 ** 30;

function beside(direction: Direction): Case {
  return {
    name: `beside/${direction}`,
    layout: 'pair',
    atLeastSeconds: 2,
    metrics: [
      { name: 'rate', unit: 'Gbit/s', digits: 2 },
      { name: 'p50 alone', unit: 'ms', digits: 2 },
      { name: 'p99 alone', unit: 'ms', digits: 2 },
      { name: 'p50', unit: 'ms', digits: 2 },
      { name: 'p99', unit: 'ms', digits: 2 },
      { name: 'p99.9', unit: 'ms', digits: 2 },
      { name: 'slowdown', unit: 'of p99', digits: 1 },
      cpuMetric('s/GiB', 2),
    ],
    async measure({ deployment, load, seconds }) {
      const port = deployment.ports.http;
      const requests = () => load.run<RequestsResult>({ kind: 'requests', port, connections: 4, seconds, pauseMs: 4 });
      const alone = await requests();
      const loaded = await observe(deployment, async () => {
        // Both go one way, except that one goes each way when it is both.
        const streams = direction === 'both' ? 1 : 2;
        const bulk = load.begin({ kind: 'bulk', port, direction, streams, seconds: seconds + 1 });
        await bulk.underWay;
        const small = await requests();
        return { small, bulk: await bulk.result<BulkResult>() };
      });
      const { small, bulk } = loaded.result;
      const octets = bulk.up + bulk.down;
      return {
        rate: (octets * 8) / bulk.seconds / 1e9,
        'p50 alone': alone.p50,
        'p99 alone': alone.p99,
        p50: small.p50,
        p99: small.p99,
        'p99.9': small.p999,
        slowdown: small.p99 / alone.p99,
        ...costs(loaded, octets / GIB),
      };
    },
  };
}

export const besideCases: Case[] = [beside('up'), beside('down'), beside('both')];
