/**
 * Runs the tests: `scripts/node test/run.ts [--time-limit SECONDS] [PATTERN]…`.
 *
 * Every `*.test.ts` under test/ (or those whose path contains a PATTERN) runs in a process and a temporary directory of
 * its own, two at a time; those under test/process/ one after another, alone. A file fails as a whole when it crashes,
 * outlives its time limit (180 s, or a line `// time limit: N s` in it), runs no test, or does not exit by itself soon
 * after its tests. A line `SKIP NAME: REASON` on its stdout counts as a skipped test.
 * The last line is `N passed, N failed`, and `, N skipped` where there were.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

const AT_ONCE = 2;
const TIME_LIMIT_S = 180;
/** How long a process may live on after its last test. */
const EXIT_LIMIT_MS = 5_000;
/** How uvu names a test that failed. */
const FAILED_TEST = /^ {3}FAIL {2}(.*)$/gm;

const root = join(import.meta.dirname, '..');

interface Result {
  file: string;
  passed: number;
  failed: number;
  skipped: string[];
  /** Skipped through uvu's own `test.skip` or `test.only`, which give no reason. */
  skippedSilently: number;
  /** What is wrong with the file as a whole. */
  problem: string | null;
  output: string;
  seconds: number;
}

interface Options {
  patterns: string[];
  timeLimitS: number | null;
}

function readArguments(args: string[]): Options {
  const options: Options = { patterns: [], timeLimitS: null };
  for (let i = 0; i < args.length; i++) {
    if (args[i] !== '--time-limit') {
      options.patterns.push(args[i]);
      continue;
    }
    options.timeLimitS = Number(args[++i]);
    if (!(options.timeLimitS > 0)) throw new Error('--time-limit takes a number of seconds');
  }
  return options;
}

function timeLimitOf(file: string, options: Options): number {
  if (options.timeLimitS !== null) return options.timeLimitS;
  const stated = /^\/\/ time limit: (\d+) s$/m.exec(readFileSync(join(root, file), 'utf8'));
  return stated ? Number(stated[1]) : TIME_LIMIT_S;
}

/** The counts in the summary that uvu prints last. */
function countsOf(output: string): { total: number; passed: number; skipped: number } | null {
  const summaries = [...output.matchAll(/^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/gm)];
  const last = summaries.at(-1);
  return last ? { total: Number(last[1]), passed: Number(last[2]), skipped: Number(last[3]) } : null;
}

/** Ends a file's process and everything it started: they share a process group. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // Nothing of the group is left, which is the usual case.
  }
}

const running = new Set<ChildProcess>();

function runFile(file: string, options: Options): Promise<Result> {
  const started = performance.now();
  const timeLimitS = timeLimitOf(file, options);
  const directory = mkdtempSync(join(tmpdir(), 'skiff-test-'));
  const environment: NodeJS.ProcessEnv = { ...process.env, TMPDIR: directory };
  delete environment.NODE_OPTIONS;

  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'run-file.ts'), join(root, file)], {
      cwd: root,
      env: environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    running.add(child);
    let output = '';
    let done = false;
    let problem: string | null = null;
    let exitTimer: NodeJS.Timeout | undefined;
    const collect = (text: string) => {
      output += text;
    };
    child.stdout?.setEncoding('utf8').on('data', collect);
    child.stderr?.setEncoding('utf8').on('data', collect);

    const limit = setTimeout(() => {
      problem = `did not finish within ${timeLimitS} s. Mend what hangs, or state the need: // time limit: N s`;
      killGroup(child);
    }, timeLimitS * 1_000);
    child.on('message', () => {
      done = true;
      clearTimeout(limit);
      exitTimer = setTimeout(() => {
        problem = `left something open: it did not exit within ${EXIT_LIMIT_MS / 1_000} s after its tests. Close its sockets, timers and workers`;
        killGroup(child);
      }, EXIT_LIMIT_MS);
    });
    child.on('error', (error) => {
      problem = `could not be started: ${error.message}`;
    });
    child.on('exit', (code, signal) => {
      clearTimeout(limit);
      clearTimeout(exitTimer);
      if (!done) {
        problem ??= `ended before its tests did (${signal ?? `exit code ${code}`}). A promise that never settles, or process.exit()?`;
      }
      // Whatever the file left running would hold its pipes open, and 'close' would never come.
      killGroup(child);
    });
    child.on('close', () => {
      running.delete(child);
      rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
      output = stripVTControlCharacters(output);
      const counts = countsOf(output);
      const skipped = [...output.matchAll(/^SKIP (.+)$/gm)].map((match) => match[1]);
      if (counts?.total === 0 && counts.skipped === 0 && skipped.length === 0) {
        problem ??= 'ran no test. Is test.run() missing?';
      }
      // uvu drops what a before hook throws: all that is left of it is tests that did not run.
      const unrun = counts ? counts.total - counts.passed - [...output.matchAll(FAILED_TEST)].length : 0;
      const failed = (counts ? counts.total - counts.passed : 0) + (problem === null ? 0 : 1);
      if (unrun > 0) problem ??= `did not run ${unrun} of its tests: a before hook threw (uvu does not say what)`;
      resolve({
        file,
        passed: counts?.passed ?? 0,
        failed,
        skipped,
        skippedSilently: counts?.skipped ?? 0,
        problem,
        output,
        seconds: (performance.now() - started) / 1_000,
      });
    });
  });
}

function report(result: Result): void {
  const { file, passed, failed, problem, output, seconds } = result;
  console.log(`${failed > 0 ? 'FAIL' : 'ok  '} ${file} (${passed} passed, ${seconds.toFixed(1)} s)`);
  if (failed === 0) return;
  console.log(output.replace(/^/gm, '     ').trimEnd());
  if (problem !== null) console.log(`     ${file} ${problem}.`);
}

async function main(): Promise<number> {
  const options = readArguments(process.argv.slice(2));
  const chosen = globSync('test/**/*.test.ts', { cwd: root })
    .filter((file) => options.patterns.length === 0 || options.patterns.some((pattern) => file.includes(pattern)))
    .sort();
  const alone = chosen.filter((file) => file.startsWith('test/process/'));
  const together = chosen.filter((file) => !file.startsWith('test/process/'));

  const results: Result[] = [];
  const drain = async (queue: string[]) => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const result = await runFile(file, options);
      report(result);
      results.push(result);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, () => drain(together)));
  await drain(alone);

  const sum = (count: (result: Result) => number) => results.reduce((total, result) => total + count(result), 0);
  const passed = sum((result) => result.passed);
  const failed = sum((result) => result.failed);
  const skipped = sum((result) => result.skipped.length + result.skippedSilently);

  const failures = results.filter((result) => result.failed > 0);
  if (failures.length > 0) console.log('\nFailed:');
  for (const { file, output, problem } of failures) {
    for (const [, name] of output.matchAll(FAILED_TEST)) console.log(`  ${file}: ${name}`);
    if (problem !== null) console.log(`  ${file} ${problem}`);
  }
  if (skipped > 0) console.log('\nSkipped:');
  for (const { file, skipped: reasons, skippedSilently } of results) {
    for (const reason of reasons) console.log(`  ${file}: ${reason}`);
    if (skippedSilently > 0)
      console.log(`  ${file}: ${skippedSilently} by test.skip or test.only, which state no reason`);
  }
  if (passed + failed === 0) {
    console.log(
      options.patterns.length > 0 ? `\nNo test ran: ${options.patterns.join(' ')} matches no file` : '\nNo test ran',
    );
  }
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  return failed > 0 || passed === 0 ? 1 : 0;
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    for (const child of running) killGroup(child);
    process.exit(code);
  });
}
process.exitCode = await main();
