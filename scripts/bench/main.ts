/**
 * Measures the data plane: `npm run bench -- [--quick] [--only NAME]… [--rounds N] [--seconds N] [--json FILE] [--check]`.
 *
 * Every case runs on Skiff and on what it is compared with, in turn and on the same machine: no proxy at all, a plain
 * pair of TLS proxies and, when SKROUTERD names its program, skupper-router. Only ratios mean anything elsewhere.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeCa } from '../../test/support/certificates.ts';
import type { Case } from './bench.ts';
import { Load } from './load/load.ts';
import { Patience } from './patience.ts';
import { freePort, Processes } from './processes.ts';
import { printCase, printTable } from './report.ts';
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
import type { System, SystemName, World } from './systems/system.ts';
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

const USAGE = `usage: npm run bench -- [OPTION]…
  --quick           the most telling cases, in less than a minute
  --only NAME       a subject or case, such as http or http/64; may be given again
  --system NAME     a system, with skiff; may be given again (direct, tls-proxy, skupper-router)
  --rounds N        how often each case is measured on each system
  --seconds N       how long each load lasts
  --patience N      waits up to N seconds in all for the machine to be quiet, and measures disturbed rounds again
  --json FILE       writes all numbers there
  --check           ends with code 1 when a target is missed, 2 when it could not be told
  --own-load        does without iperf3 and wrk
  --profile DIR     runs Skiff from source and writes CPU profiles there
  --list            names the cases`;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    system: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    patience: { type: 'string' },
    json: { type: 'string' },
    check: { type: 'boolean', default: false },
    'own-load': { type: 'boolean', default: false },
    profile: { type: 'string' },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

function positive(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!(value > 0)) throw new Error(`--${name} takes a number`);
  return value;
}

function chosenCases(): Case[] {
  const named = ({ name }: Case) =>
    !options.only || options.only.some((only) => name === only || name.startsWith(`${only}/`));
  // Who names a case wants it, quick or not.
  const wanted = ALL.filter((each) => named(each) && (!options.quick || options.only || each.quick));
  if (wanted.length === 0) throw new Error(`no case is named ${options.only?.join(' or ')}. There are: ${names()}`);
  return wanted;
}

function names(): string {
  return ALL.map(({ name }) => name).join(', ');
}

function chosenSystems(): System[] {
  const router = process.env.SKROUTERD;
  const systems = [direct, tlsProxy, ...(router ? [skupperRouter(router)] : []), skiff({ profile: options.profile })];
  if (!router) console.log('SKROUTERD names no skupper-router, so there is nothing to hold the targets against.');
  return systems.filter(({ name }) => name === 'skiff' || !options.system || options.system.includes(name));
}

const directory = mkdtempSync(join(tmpdir(), 'skiff-bench-'));
const processes = new Processes(directory);

function version(program: string, ...args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', timeout: 10_000 }).trim().split('\n')[0];
  } catch {
    return 'unknown';
  }
}

function writeJson(file: string, results: CaseResult[], systems: System[], load: Load): void {
  const router = process.env.SKROUTERD;
  const facts = {
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model, cpus: cpus().length, memoryMB: Math.round(totalmem() / 1e6) },
    node: process.version,
    skupperRouter: router ? version(router, '--version') : null,
    generators: load.generators,
    systems: systems.map(({ name }): SystemName => name),
  };
  writeFileSync(file, `${JSON.stringify({ ...facts, results, checks: check(results) }, null, 2)}\n`);
}

/** Prints how the targets were met; gives the exit code. */
function printChecks(results: CaseResult[]): number {
  const checks = check(results);
  console.log('\nTargets');
  printTable([
    ['', 'metric', 'target', 'found', 'rounds', 'verdict'],
    ...checks.map((each) => [
      each.case,
      each.metric,
      each.target,
      each.median?.toFixed(2) ?? '',
      each.range?.map((value) => value.toFixed(2)).join('–') ?? '',
      each.verdict,
    ]),
  ]);
  if (checks.some(({ verdict }) => verdict === 'missed')) return 1;
  return checks.length > 0 && checks.every(({ verdict }) => verdict === 'met') ? 0 : 2;
}

async function main(): Promise<number> {
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  if (options.list) {
    for (const { name } of ALL) console.log(name);
    return 0;
  }
  const cases = chosenCases();
  const systems = chosenSystems();
  const rounds = positive('rounds', options.rounds, options.quick ? 2 : 5);
  const seconds = positive('seconds', options.seconds, options.quick ? 0.5 : 2);

  const httpPort = await freePort();
  const iperf3Port = await freePort();
  const load = new Load(processes, directory, iperf3Port, options['own-load']);
  await load.startServer(httpPort);
  const bulk = load.generators.bulk === 'iperf3' ? iperf3Port : httpPort;
  const world: World = { directory, processes, ca: makeCa('bench CA'), servers: { http: httpPort, bulk } };

  const patience = new Patience(options.patience === undefined ? 0 : positive('patience', options.patience, 0));
  const runner = new Rounds({ systems, world, load, patience, rounds, seconds, thorough: !options.quick });
  const results: CaseResult[] = [];
  for (const definition of cases) {
    const result = await runner.run(definition);
    results.push(result);
    printCase(definition, result);
  }
  if (options.json !== undefined) writeJson(options.json, results, systems, load);
  const failed = results.some(({ failures }) => failures.length > 0);
  const code = options.check ? printChecks(results) : 0;
  return failed ? 1 : code;
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    processes.killAll();
    rmSync(directory, { recursive: true, force: true });
    process.exit(code);
  });
}

const began = performance.now();
try {
  process.exitCode = await main();
} catch (error) {
  console.error(`error: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  await processes.stopAll();
  rmSync(directory, { recursive: true, force: true });
  if (!options.help && !options.list) {
    console.log(`\n${((performance.now() - began) / 1_000).toFixed(0)} s`);
  }
}
