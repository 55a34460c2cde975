/** The results as a table for people. */
import type { Case, Metric } from './bench.ts';
import { QUIET } from './patience.ts';
import { type CaseResult, median, ratio, series } from './statistics.ts';
import { SITES, type SystemName } from './systems/system.ts';
import type { Check } from './targets.ts';

/** Rounds that differ by more than this tell little. */
const NOISY_SPREAD = 0.5;
/** Skiff's numbers divided by another system's, for these. */
const COMPARED = ['rate', 'p50', 'p99', 'slowdown', 'cpu', 'rss', 'per edge', 'serving'];

export function printCase(definition: Case, result: CaseResult): void {
  const systems = Object.keys(result.samples) as SystemName[];
  const metrics = definition.metrics.filter(({ name }) => systems.some((system) => series(result, system, name)));
  const header = [
    '',
    ...metrics.map(({ name, unit }) => (unit ? `${name} ${unit}` : name)),
    'spread',
    'others',
    'unused',
  ];
  const rows = systems.map((system) => {
    const main = series(result, system, metrics[0]?.name ?? '');
    const share = (name: string) => series(result, system, name)?.median;
    return [
      system,
      ...metrics.map((metric) => cellOf(result, system, metric)),
      percent(main?.spread),
      percent(share('others')),
      percent(share('unused')),
    ];
  });
  console.log(`\n${definition.name}`);
  printTable([header, ...rows]);
  for (const base of systems) {
    if (base === 'skiff') continue;
    const compared = COMPARED.flatMap((name) => {
      const against = metrics.some((metric) => metric.name === name) ? ratio(result, 'skiff', base, name) : null;
      return against ? [`${name} ×${against.median.toFixed(2)} (${rangeOf(against.rounds)})`] : [];
    });
    if (compared.length > 0) console.log(`  skiff ÷ ${base}: ${compared.join(', ')}`);
  }
  for (const { system, round, message } of result.failures) {
    console.log(`  FAILED ${system}, round ${round + 1}: ${message.replaceAll('\n', '\n    ')}`);
  }
  const noise = noiseOf(definition, result);
  if (noise !== null) console.log(`  too noisy to tell: ${noise}`);
}

function cellOf(result: CaseResult, system: SystemName, { name, digits, bySite }: Metric): string {
  const show = (metric: string) => series(result, system, metric)?.median.toFixed(digits);
  const sum = show(name) ?? '';
  const parts = bySite ? SITES.relay.flatMap((site) => show(`${name} ${site}`) ?? []) : [];
  return parts.length > 1 ? `${sum} (${parts.join(' + ')})` : sum;
}

/** Why a case's numbers are not to be relied on; null when they are. */
export function noiseOf(definition: Case, result: CaseResult): string | null {
  const systems = Object.keys(result.samples) as SystemName[];
  const reasons: string[] = [];
  for (const system of systems) {
    const main = series(result, system, definition.metrics[0].name);
    if (main && main.spread > NOISY_SPREAD) reasons.push(`rounds of ${system} differ by ${percent(main.spread)}`);
  }
  const others = Math.max(...systems.map((system) => series(result, system, 'others')?.median ?? 0));
  if (others > QUIET) reasons.push(`others had up to ${percent(others)} of the CPUs`);
  return reasons.length > 0 ? reasons.join(', ') : null;
}

function percent(share: number | undefined): string {
  return share === undefined ? '' : `${Math.round(share * 100)}%`;
}

function rangeOf(values: number[]): string {
  return `${Math.min(...values).toFixed(2)}–${Math.max(...values).toFixed(2)}`;
}

function printTable(rows: string[][]): void {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])));
    console.log(`  ${cells.join('  ')}`);
  }
}

/** Prints how the targets were met; gives the exit code. */
export function printChecks(checks: Check[]): number {
  console.log('\nTargets');
  printTable([
    ['', 'metric', 'target', 'found', 'rounds', 'verdict'],
    ...checks.map((each) => [
      each.case,
      each.metric,
      each.target,
      each.rounds ? median(each.rounds).toFixed(2) : '',
      each.rounds ? rangeOf(each.rounds) : '',
      each.verdict,
    ]),
  ]);
  if (checks.some(({ verdict }) => verdict === 'missed')) return 1;
  return checks.length > 0 && checks.every(({ verdict }) => verdict === 'met') ? 0 : 2;
}
