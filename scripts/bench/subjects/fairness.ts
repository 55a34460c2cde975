/** A reader that takes nothing, a stream that carries all it can and a hundred small ones, on one link. */
import { type Case, observe } from '../bench.ts';
import type { RequestsResult } from '../load/load.ts';
import { residentMegabytes } from '../proc.ts';
import { SITES } from '../systems/system.ts';

const SMALL_STREAMS = 100;
const PAUSE_MS = 100;

export const fairnessCases: Case[] = [
  {
    name: 'fairness/stalled-reader',
    layout: 'pair',
    atLeastSeconds: 3,
    metrics: [
      { name: 'slowdown', unit: 'of p99', digits: 1 },
      { name: 'p99 alone', unit: 'ms', digits: 2 },
      { name: 'p50', unit: 'ms', digits: 2 },
      { name: 'p99', unit: 'ms', digits: 2 },
      { name: 'p99.9', unit: 'ms', digits: 2 },
      { name: 'max', unit: 'ms', digits: 1 },
      { name: 'errors', unit: '', digits: 0 },
      { name: 'growth', unit: 'MB', digits: 0, bySite: true },
    ],
    async measure({ deployment, load, seconds }) {
      const port = deployment.ports.http;
      const requests = () =>
        load.run<RequestsResult>({
          kind: 'requests',
          port,
          connections: SMALL_STREAMS,
          seconds,
          pauseMs: PAUSE_MS,
        });
      const alone = await requests();
      const before = new Map(
        deployment.processes.map(({ site, process }) => [site, residentMegabytes(process.pid)] as const),
      );
      const stalled = await load.hold({ kind: 'stall', port, connections: 1, seconds: seconds * 2 + 10 });
      try {
        const loaded = await observe(deployment, async () => {
          const bulk = load.begin({ kind: 'bulk', port, direction: 'down', streams: 1, seconds: seconds + 1 });
          await bulk.underWay;
          const small = await requests();
          await bulk.result();
          return small;
        });
        const { p50, p99, p999, max, errors } = loaded.result;
        const growth = SITES.pair.flatMap((site) => {
          const [from, to] = [before.get(site), loaded.memory[site]];
          return from === undefined || to === undefined ? [] : [[`growth ${site}`, to - from] as const];
        });
        return {
          slowdown: p99 / alone.p99,
          'p99 alone': alone.p99,
          ...{ p50, p99, 'p99.9': p999, max, errors, ...loaded.shares },
          ...(growth.length > 0 ? { growth: growth.reduce((sum, [, grown]) => sum + grown, 0) } : {}),
          ...Object.fromEntries(growth),
        };
      } finally {
        await stalled.stop();
      }
    },
  },
];
