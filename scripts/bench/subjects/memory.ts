/** Resident memory: of sites that have nothing to do, and of sites under load. */
import { type Case, type Loaded, observe, type Sample } from '../bench.ts';
import type { Load } from '../load/load.ts';
import { residentMegabytes } from '../proc.ts';
import { sleep } from '../processes.ts';
import type { Deployment, SystemName } from '../systems/system.ts';

const SYSTEMS: SystemName[] = ['tls-proxy', 'skupper-router', 'skiff'];
const STREAMS = 500;
const MANY_STREAMS = 5_000;
/** Connections that come and go at the same time, and how long they do before memory is looked at, in seconds. */
const CHURNING = 16;
const SETTLE = 60;
/** How long a site that has started is given to come to rest, in milliseconds. */
const REST = 2_000;
/** The same where rest is what is asked for: what starting took is given back after a quarter of a minute. */
const LONG_REST = 25_000;

function memoryOf({ processes }: Deployment): Loaded<unknown>['memory'] {
  return Object.fromEntries(processes.map(({ site, process }) => [site, residentMegabytes(process.pid)]));
}

/** The sum, and each site's part. */
function sample(name: string, values: Loaded<unknown>['memory']): Sample {
  const entries = Object.entries(values);
  return {
    [name]: entries.reduce((sum, [, value]) => sum + value, 0),
    ...Object.fromEntries(entries.map(([site, value]) => [`${name} ${site}`, value])),
  };
}

function underLoad(
  name: string,
  streams: number,
  run: (load: Load, deployment: Deployment, seconds: number) => Promise<unknown>,
): Case {
  return {
    name: `memory/${name}`,
    layout: 'pair',
    systems: SYSTEMS,
    fresh: true,
    metrics: [
      { name: 'rss', unit: 'MB', digits: 0, bySite: true },
      { name: 'idle', unit: 'MB', digits: 0, bySite: true },
      { name: 'stream', unit: 'KB each', digits: 0, bySite: true },
    ],
    async measure({ deployment, load, seconds }) {
      await sleep(REST);
      const idle = memoryOf(deployment);
      const { memory, shares } = await observe(deployment, () => run(load, deployment, seconds));
      const stream: typeof memory = {};
      for (const { site } of deployment.processes) stream[site] = ((memory[site]! - idle[site]!) * 1_000) / streams;
      return { ...sample('rss', memory), ...sample('idle', idle), ...sample('stream', stream), ...shares };
    },
  };
}

export const memoryCases: Case[] = [
  {
    name: 'memory/idle',
    layout: 'pair',
    systems: SYSTEMS,
    fresh: true,
    metrics: [{ name: 'rss', unit: 'MB', digits: 0, bySite: true }],
    async measure({ deployment }) {
      await sleep(LONG_REST);
      return sample('rss', memoryOf(deployment));
    },
  },
  underLoad(`http-${STREAMS}`, STREAMS, (load, { ports }, seconds) => load.http(ports.http, STREAMS, seconds)),
  underLoad('bulk-4', 8, (load, { ports }, seconds) => load.bulk(ports.bulk, 'both', 4, seconds)),
  {
    name: `memory/streams-${MANY_STREAMS}`,
    layout: 'pair',
    systems: SYSTEMS,
    fresh: true,
    metrics: [
      { name: 'stream', unit: 'KB each', digits: 1, bySite: true },
      { name: 'rss', unit: 'MB', digits: 0, bySite: true },
    ],
    async measure({ deployment, load, seconds }) {
      await sleep(REST);
      const idle = memoryOf(deployment);
      const held = await load.hold({
        kind: 'idle',
        port: deployment.ports.http,
        connections: MANY_STREAMS,
        seconds: seconds + SETTLE,
      });
      try {
        const memory = memoryOf(deployment);
        const each: typeof memory = {};
        for (const { site } of deployment.processes) {
          each[site] = ((memory[site]! - idle[site]!) * 1_000) / MANY_STREAMS;
        }
        return { ...sample('stream', each), ...sample('rss', memory) };
      } finally {
        await held.stop();
      }
    },
  },
  {
    name: 'memory/churn',
    layout: 'pair',
    systems: ['skupper-router', 'skiff'],
    fresh: true,
    once: true,
    metrics: [
      { name: 'growth', unit: 'MB', digits: 1, bySite: true },
      { name: 'before', unit: 'MB', digits: 0, bySite: true },
      { name: 'after', unit: 'MB', digits: 0, bySite: true },
      { name: 'connections', unit: '', digits: 0 },
    ],
    async measure({ deployment, load, churn }) {
      const port = deployment.ports.http;
      await load.connects(port, CHURNING, Math.min(SETTLE, churn));
      const before = memoryOf(deployment);
      const { requests } = await load.connects(port, CHURNING, churn);
      const after = memoryOf(deployment);
      const growth: typeof after = {};
      for (const { site } of deployment.processes) growth[site] = after[site]! - before[site]!;
      return {
        ...sample('growth', growth),
        ...sample('before', before),
        ...sample('after', after),
        connections: requests,
      };
    },
  },
];
