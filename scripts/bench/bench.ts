/** What a subject is made of: cases, each measured on every system in turn, round after round. */
import type { Load } from './load/load.ts';
import { cpuSeconds, residentMegabytes, type Shares, watchMachine } from './proc.ts';
import type { Deployment, LayoutName, SiteName, SystemName, World } from './systems/system.ts';

/** Numbers of one measurement, by name. */
export type Sample = Record<string, number>;

export interface Metric {
  name: string;
  unit: string;
  /** Digits after the point. */
  digits: number;
  /** Shown as the sum and, behind it, what each site has part in it. */
  bySite?: boolean;
}

export interface Setting {
  deployment: Deployment;
  load: Load;
  /** How long a load is to last. */
  seconds: number;
  /** How long connections are to come and go where it is asked whether that leaves anything. */
  churn: number;
  world: World;
}

export interface Case {
  /** `SUBJECT/…` */
  name: string;
  layout: LayoutName;
  /** All if not said. */
  systems?: SystemName[];
  /** Part of the quick selection. */
  quick?: boolean;
  /** When less would say nothing. */
  atLeastSeconds?: number;
  /**
   * Seconds of the same load before the first round, for what runs through so much code that the usual warming up leaves
   * a compiler at work.
   */
  warmUp?: number;
  /** Measured once, however many rounds there are. */
  once?: boolean;
  /** Needs processes that have done nothing yet, so it is given new ones each time. */
  fresh?: boolean;
  /** What is shown, in this order. */
  metrics: Metric[];
  measure(setting: Setting): Promise<Sample>;
}

export interface Loaded<T> {
  result: T;
  /** CPU-seconds used meanwhile, by site. */
  cpu: Partial<Record<SiteName, number>>;
  /** The largest resident memory seen meanwhile, by site, in MB. */
  memory: Partial<Record<SiteName, number>>;
  /** Who had the machine's CPUs meanwhile. */
  shares: Shares;
}

const LOOK_AT_MEMORY_EVERY = 100;

/** Runs a load and watches what it costs. */
export async function observe<T>({ processes }: Deployment, run: () => Promise<T>): Promise<Loaded<T>> {
  const shares = watchMachine();
  const before = processes.map(({ process }) => cpuSeconds(process.pid));
  const memory: Loaded<T>['memory'] = {};
  const look = (): void => {
    for (const { site, process } of processes) {
      if (process.alive) memory[site] = Math.max(memory[site] ?? 0, residentMegabytes(process.pid));
    }
  };
  look();
  const timer = setInterval(look, LOOK_AT_MEMORY_EVERY);
  try {
    const result = await run();
    for (const { process } of processes) if (!process.alive) throw process.failure('ended under load');
    look();
    const cpu: Loaded<T>['cpu'] = {};
    processes.forEach(({ site, process }, index) => {
      cpu[site] = cpuSeconds(process.pid) - before[index];
    });
    return { result, cpu, memory, shares: shares() };
  } finally {
    clearInterval(timer);
  }
}

/** CPU for a unit of work, in sum and by site, with memory and the machine's shares, as parts of a sample. */
export function costs({ cpu, memory, shares }: Loaded<unknown>, work: number): Sample {
  const sample: Sample = { ...shares };
  const sites = Object.entries(cpu);
  if (sites.length > 0) sample.cpu = sites.reduce((sum, [, seconds]) => sum + seconds, 0) / work;
  for (const [site, seconds] of sites) sample[`cpu ${site}`] = seconds / work;
  for (const [site, megabytes] of Object.entries(memory)) sample[`rss ${site}`] = megabytes;
  return sample;
}

/** The column for CPU that `costs` gives. */
export function cpuMetric(unit: string, digits: number): Metric {
  return { name: 'cpu', unit, digits, bySite: true };
}
