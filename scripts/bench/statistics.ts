/** What the rounds of a case come to. */
import type { Sample } from './bench.ts';
import type { SystemName } from './systems/system.ts';

/** The rounds of one number. */
export interface Series {
  median: number;
  /** (largest - smallest) / median */
  spread: number;
  rounds: number[];
}

export interface CaseResult {
  name: string;
  /** The samples of each round; null where it failed. */
  samples: Partial<Record<SystemName, (Sample | null)[]>>;
  /** What went wrong. */
  failures: { system: SystemName; round: number; message: string }[];
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function seriesOf(values: number[]): Series | null {
  if (values.length === 0) return null;
  const middle = median(values);
  const range = Math.max(...values) - Math.min(...values);
  return { median: middle, spread: range === 0 ? 0 : range / Math.abs(middle), rounds: values };
}

export function series(result: CaseResult, system: SystemName, metric: string): Series | null {
  const samples = result.samples[system] ?? [];
  return seriesOf(samples.flatMap((sample) => sample?.[metric] ?? []));
}

/**
 * One system against another, round by round: the two were measured one after the other, so what disturbed the machine
 * for longer than that is in both.
 */
export function ratio(result: CaseResult, of: SystemName, to: SystemName, metric: string): Series | null {
  const [ones, others] = [result.samples[of] ?? [], result.samples[to] ?? []];
  const values = ones.flatMap((one, round) => {
    const [above, below] = [one?.[metric], others[round]?.[metric]];
    return above === undefined || below === undefined || below === 0 ? [] : above / below;
  });
  return seriesOf(values);
}
