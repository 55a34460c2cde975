/**
 * Runs the property tests for long: `scripts/node scripts/fuzz.ts [PATTERN]…`. These are the test files that read
 * FUZZ_RUNS, the number of cases a property is tried with: some thousands among the other tests, a million here unless
 * FUZZ_RUNS says otherwise.
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const RUNS = '1000000';
const TIME_LIMIT_S = 24 * 60 * 60;

const root = join(import.meta.dirname, '..');
const patterns = process.argv.slice(2);
const files = globSync('test/**/*.test.ts', { cwd: root })
  .filter((file) => readFileSync(join(root, file), 'utf8').includes('FUZZ_RUNS'))
  .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)));

if (files.length === 0) {
  console.error('error: no test file reads FUZZ_RUNS (npm run fuzz). Give the name of one that does.');
  process.exitCode = 1;
} else {
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'test/run.ts'), '--time-limit', String(TIME_LIMIT_S), ...files],
    { stdio: 'inherit', env: { ...process.env, FUZZ_RUNS: process.env.FUZZ_RUNS ?? RUNS } },
  );
  process.exitCode = status ?? 1;
}
