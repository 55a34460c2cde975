/** How results of requests are shown. */
import type { Metric, Sample } from '../bench.ts';
import type { RequestsResult } from '../load/load.ts';

export function latencyMetrics(unit: string): Metric[] {
  return [
    { name: 'rate', unit, digits: 0 },
    { name: 'p50', unit: 'ms', digits: 2 },
    { name: 'p99', unit: 'ms', digits: 2 },
    { name: 'p99.9', unit: 'ms', digits: 2 },
    { name: 'errors', unit: '', digits: 0 },
  ];
}

export function latencySample({ requests, seconds, p50, p99, p999, errors }: RequestsResult): Sample {
  if (requests === 0) throw new Error(`no request was answered (${errors} errors)`);
  return { rate: requests / seconds, p50, p99, 'p99.9': p999, errors };
}
