/**
 * Measures the data plane: `npm run bench -- [OPTION]…`, see options.ts.
 *
 * Every case runs on Skiff and on what it is compared with, in turn and on the same machine: no proxy at all, a plain
 * pair of TLS proxies and, when SKROUTERD names its program, skupper-router. Only ratios mean anything elsewhere.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { makeCa } from '../../test/support/certificates.ts';
import type { Case } from './bench.ts';
import { Load } from './load/load.ts';
import { type Options, readOptions, USAGE } from './options.ts';
import { Patience } from './patience.ts';
import { freePort, Processes } from './processes.ts';
import { printCase, printChecks } from './report.ts';
import { Rounds } from './rounds.ts';
import type { CaseResult } from './statistics.ts';
import { besideCases } from './subjects/beside.ts';
import { bulkCases } from './subjects/bulk.ts';
import { connectsCases } from './subjects/connects.ts';
import { edgesCases } from './subjects/edges.ts';
import { fairnessCases } from './subjects/fairness.ts';
import { httpCases } from './subjects/http.ts';
import { idleCases } from './subjects/idle.ts';
import { memoryCases } from './subjects/memory.ts';
import { startCases } from './subjects/start.ts';
import { direct } from './systems/direct.ts';
import { skiff } from './systems/skiff.ts';
import { skupperRouter } from './systems/skupper-router.ts';
import type { System, World } from './systems/system.ts';
import { tlsProxy } from './systems/tls-proxy.ts';
import { check } from './targets.ts';

const ALL: Case[] = [
  ...bulkCases,
  ...httpCases,
  ...connectsCases,
  ...besideCases,
  ...fairnessCases,
  ...idleCases,
  ...memoryCases,
  ...edgesCases,
  ...startCases,
];

function chosenCases({ only, quick }: Options): Case[] {
  const named = ({ name }: Case) => !only || only.some((each) => name === each || name.startsWith(`${each}/`));
  // Who names a case wants it, quick or not.
  const chosen = ALL.filter((each) => named(each) && (!quick || only || each.quick));
  if (chosen.length === 0) throw new Error(`no case is named ${only?.join(' or ')} (--only). See --list`);
  return chosen;
}

function chosenSystems({ system: names, profile }: Options): System[] {
  const router = process.env.SKROUTERD;
  const others = [direct, tlsProxy, ...(router ? [skupperRouter(router)] : [])];
  const unknown = names?.find((name) => !others.some((each) => each.name === name));
  if (unknown !== undefined) {
    throw new Error(
      `there is no system "${unknown}" (--system). There are ${others.map(({ name }) => name).join(', ')}`,
    );
  }
  if (!router) console.log('SKROUTERD names no skupper-router, so there is nothing to hold the targets against.');
  return [...others.filter(({ name }) => !names || names.includes(name)), skiff({ profile })];
}

function versionOf(program: string): string | null {
  try {
    return execFileSync(program, ['--version'], { encoding: 'utf8', timeout: 10_000 }).trim().split('\n')[0];
  } catch {
    return null;
  }
}

function writeJson(file: string, results: CaseResult[], systems: System[], load: Load, pin?: string): void {
  const router = process.env.SKROUTERD;
  const facts = {
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model, cpus: cpus().length, memoryMB: Math.round(totalmem() / 1e6) },
    node: process.version,
    skupperRouter: router ? versionOf(router) : null,
    generators: load.generators,
    pinned: pin ?? null,
    systems: systems.map(({ name }) => name),
  };
  writeFileSync(file, `${JSON.stringify({ ...facts, results, checks: check(results) }, null, 2)}\n`);
}

interface Running {
  /** Load and servers. */
  processes: Processes;
  /** What is measured. */
  measured: Processes;
}

/** Puts this process, and with it the load, on the CPUs that are left, and what is measured on `pin`. */
function pinned(pin: string, directory: string): Processes {
  const wanted = new Set(pin.split(',').map(Number));
  const left = cpus().flatMap((_, index) => (wanted.has(index) ? [] : [index]));
  if (left.length === 0) throw new Error('--pin leaves no CPU for the load');
  execFileSync('taskset', ['-a', '-p', '-c', left.join(','), String(process.pid)], { stdio: 'ignore' });
  return new Processes(directory, ['taskset', '-c', pin]);
}

async function bench(options: Options, directory: string, { processes, measured }: Running): Promise<number> {
  const cases = chosenCases(options);
  const systems = chosenSystems(options);
  const { rounds, seconds, churn, quick } = options;

  const httpPort = await freePort();
  const iperf3Port = await freePort();
  const load = new Load(processes, directory, iperf3Port, options.ownLoad);
  await load.startServer(httpPort);
  const bulk = load.generators.bulk === 'iperf3' ? iperf3Port : httpPort;
  const world: World = { directory, processes: measured, ca: makeCa('bench CA'), servers: { http: httpPort, bulk } };

  const patience = new Patience(options.patience);
  const runner = new Rounds({ systems, world, load, patience, rounds, seconds, churn, thorough: !quick });
  const began = performance.now();
  const results: CaseResult[] = [];
  for (const definition of cases) {
    const result = await runner.run(definition);
    results.push(result);
    printCase(definition, result);
  }
  console.log(`\n${rounds} rounds of ${seconds} s, ${((performance.now() - began) / 1_000).toFixed(0)} s in all`);
  if (options.json !== undefined) writeJson(options.json, results, systems, load, options.pin);
  const code = options.check ? printChecks(check(results)) : 0;
  return results.some(({ failures }) => failures.length > 0) ? 1 : code;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help || options.list) {
    console.log(options.help ? USAGE : ALL.map(({ name }) => name).join('\n'));
    return 0;
  }
  const directory = mkdtempSync(join(tmpdir(), 'skiff-bench-'));
  const processes = new Processes(directory);
  const measured = options.pin === undefined ? processes : pinned(options.pin, directory);
  const clean = () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.on(signal, () => {
      processes.killAll();
      measured.killAll();
      clean();
      process.exit(code);
    });
  }
  try {
    return await bench(options, directory, { processes, measured });
  } finally {
    await measured.stopAll();
    await processes.stopAll();
    clean();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`error: ${(error as Error).message}`);
  process.exitCode = 1;
}
