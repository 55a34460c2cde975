/**
 * Prints results as the rows of the table in docs/performance.md: `scripts/node scripts/bench/table.ts RESULTS.json…`, with
 * what `--json` wrote. The last column is the verdict of --check.
 */
import { readFileSync } from 'node:fs';
import { type CaseResult, median, ratio, series } from './statistics.ts';
import { check } from './targets.ts';

function row(result: CaseResult): string {
  const { name } = result;
  const digits = name.startsWith('bulk/') ? 2 : 0;
  const rate = (system: 'skiff' | 'skupper-router') => {
    const found = series(result, system, 'rate');
    return found
      ? found.median.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
      : '';
  };
  const cells = [
    name,
    rate('skiff'),
    rate('skupper-router'),
    ...['rate', 'cpu', 'p99'].map((what) => timesOf(result, what)),
  ];
  return `| ${[...cells, verdictsOf(result)].join(' | ')} |`;
}

/** Skiff's number divided by skupper-router's: the median of the rounds, the lowest and the highest. */
function timesOf(result: CaseResult, metric: string): string {
  const found = ratio(result, 'skiff', 'skupper-router', metric);
  if (!found) return '';
  const [lowest, highest] = [Math.min(...found.rounds), Math.max(...found.rounds)];
  return `${found.median.toFixed(2)} (${lowest.toFixed(2)}–${highest.toFixed(2)})`;
}

function verdictsOf(result: CaseResult): string {
  const found = check([result]).filter(({ rounds }) => rounds !== null);
  return found
    .map(({ metric, target, rounds, verdict }) => `${metric} ${target}: ${median(rounds!).toFixed(2)}, ${verdict}`)
    .join('; ');
}

const results = process.argv.slice(2).flatMap((file) => JSON.parse(readFileSync(file, 'utf8')).results as CaseResult[]);
if (results.length === 0) {
  console.error('error: no results (table.ts). Name the files that --json wrote.');
  process.exitCode = 2;
} else {
  console.log(results.map(row).join('\n'));
}
