/** A hub with very many edges, which one process plays. */
import { type Case, observe } from '../bench.ts';
import { cpuSeconds, residentMegabytes } from '../proc.ts';
import { sleep } from '../processes.ts';

const EDGES = 1_000;
const REST = 2_000;
const WATCH = 3_000;

export const edgesCases: Case[] = [
  {
    name: `edges/${EDGES}`,
    layout: 'pair',
    systems: ['skupper-router', 'skiff'],
    fresh: true,
    metrics: [
      { name: 'rss', unit: 'MB', digits: 0 },
      { name: 'per edge', unit: 'KB', digits: 0 },
      { name: 'linked', unit: 's', digits: 1 },
      { name: 'cpu linking', unit: 'ms each', digits: 1 },
      { name: 'cpu idle', unit: '% of one', digits: 1 },
    ],
    async measure({ deployment, load, world }) {
      const hub = deployment.processes.find(({ site }) => site === 'hub')!.process;
      await sleep(REST);
      const before = residentMegabytes(hub.pid);
      const used = cpuSeconds(hub.pid);
      const edges = await load.edges(deployment.linkPort!, EDGES, world);
      try {
        const linking = cpuSeconds(hub.pid) - used;
        await sleep(REST);
        const resting = cpuSeconds(hub.pid);
        const { shares } = await observe(deployment, () => sleep(WATCH));
        const idle = cpuSeconds(hub.pid) - resting;
        const rss = residentMegabytes(hub.pid);
        return {
          rss,
          'per edge': ((rss - before) * 1_000) / EDGES,
          linked: edges.seconds,
          'cpu linking': (linking * 1_000) / EDGES,
          'cpu idle': (idle / (WATCH / 1_000)) * 100,
          ...shares,
        };
      } finally {
        await edges.process.stop();
      }
    },
  },
];
