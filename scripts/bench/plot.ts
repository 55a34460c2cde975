/**
 * Draws results as a plot: `scripts/node scripts/bench/plot.ts RESULTS.json… > PLOT.svg`, with what `--json` wrote.
 * Each bar is a system's number divided by skupper-router's in the same run, so the plot holds no time of one machine.
 */
import { readFileSync } from 'node:fs';
import { type CaseResult, ratio } from './statistics.ts';
import type { SystemName } from './systems/system.ts';

const ROWS: [name: string, label: string][] = [
  ['bulk/up-1', '1 stream, edge to hub'],
  ['bulk/down-1', '1 stream, hub to edge'],
  ['bulk/both-1', '1 stream each way'],
  ['bulk/up-4', '4 streams, edge to hub'],
  ['bulk/down-4', '4 streams, hub to edge'],
  ['http/1', 'HTTP, 1 connection'],
  ['http/16', 'HTTP, 16 connections'],
  ['http/64', 'HTTP, 64 connections'],
  ['http/relay-16', 'HTTP over two links, 16 connections'],
  ['connects/16', 'new connections, 16 at once'],
];
const SHOWN: [system: SystemName, colour: string, label: string][] = [
  ['skiff', '#1f6feb', 'Skiff'],
  ['tls-proxy', '#8b949e', 'plain TLS proxies, no routing'],
];

const WIDTH = 920;
const LEFT = 260;
const BAR = 11;
const ROW = 2 * BAR + 12;
const TOP = 66;
const GAP = 40;

interface Panel {
  metric: 'rate' | 'cpu';
  title: string;
  /** The ratio at its right end. */
  end: number;
}

const PANELS: Panel[] = [
  { metric: 'rate', title: 'Rate, in times skupper-router’s', end: 4 },
  { metric: 'cpu', title: 'CPU for the same work, likewise', end: 2 },
];

function panel(results: CaseResult[], { metric, title, end }: Panel, left: number, width: number): string {
  const x = (value: number) => left + (Math.min(value, end) / end) * width;
  const bottom = TOP + ROWS.length * ROW;
  const parts = [`<text x="${left}" y="${TOP - 14}" class="title">${title}</text>`];
  for (let tick = 0; tick <= end; tick += end / 4) {
    const kind = tick === 1 ? 'one' : 'grid';
    parts.push(`<line x1="${x(tick)}" x2="${x(tick)}" y1="${TOP - 6}" y2="${bottom}" class="${kind}"/>`);
    parts.push(`<text x="${x(tick)}" y="${bottom + 14}" class="tick">${tick}×</text>`);
  }
  ROWS.forEach(([name], row) => {
    const result = results.find((each) => each.name === name);
    SHOWN.forEach(([system, colour], index) => {
      const value = result && ratio(result, system, 'skupper-router', metric)?.median;
      if (value === undefined) return;
      const y = TOP + row * ROW + index * BAR;
      parts.push(`<rect x="${left}" y="${y}" width="${x(value) - left}" height="${BAR - 1}" fill="${colour}"/>`);
      parts.push(`<text x="${x(value) + 4}" y="${y + BAR - 2}" class="value">${value.toFixed(2)}</text>`);
    });
  });
  return parts.join('\n');
}

function draw(results: CaseResult[]): string {
  const width = (WIDTH - LEFT - GAP - 50) / 2;
  const height = TOP + ROWS.length * ROW + 30;
  const labels = ROWS.map(
    ([, label], row) => `<text x="${LEFT - 10}" y="${TOP + row * ROW + BAR + 3}" class="label">${label}</text>`,
  );
  const legend = SHOWN.map(
    ([, colour, label], index) =>
      `<rect x="${LEFT + index * 90}" y="14" width="11" height="11" fill="${colour}"/>` +
      `<text x="${LEFT + 16 + index * 90}" y="23" class="value">${label}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif">
<title>Rates and CPU as multiples of skupper-router’s</title>
<style>
.title { font-size: 13px; font-weight: bold } .label { font-size: 12px; text-anchor: end }
.tick, .value { font-size: 10px } .tick { text-anchor: middle } .grid { stroke: #d0d7de } .one { stroke: #24292f }
</style>
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${[...legend, ...labels, ...PANELS.map((each, index) => panel(results, each, LEFT + index * (width + GAP), width))].join('\n')}
</svg>`;
}

const results = process.argv.slice(2).flatMap((file) => JSON.parse(readFileSync(file, 'utf8')).results as CaseResult[]);
if (results.length === 0) {
  console.error('error: no results (plot.ts). Name the files that --json wrote.');
  process.exitCode = 2;
} else {
  console.log(draw(results));
}
