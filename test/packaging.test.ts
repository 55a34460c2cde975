/** What the executable promises as a file: that it needs nothing and lets nothing in. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const root = join(import.meta.dirname, '..');
const executable = join(root, 'dist/skiff');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

function run(args: string[], env: NodeJS.ProcessEnv, file = executable) {
  const { status, stdout, stderr, error } = spawnSync(file, args, { env, encoding: 'utf8' });
  if (error) throw new Error(`${file} does not start: ${error.message}. Run npm run build`);
  return { status, stdout, stderr };
}

const test = suite('packaging');

test('the executable prints its version, without Node or any other program beside it', () => {
  const { status, stdout, stderr } = run(['version'], { PATH: '' });
  assert.is(stderr, '');
  assert.is(status, 0);
  assert.ok(stdout.includes(version), stdout);
});

test('NODE_OPTIONS puts no code into the executable', () => {
  const code = join(mkdtempSync(join(tmpdir(), 'inject-')), 'inject.cjs');
  writeFileSync(code, "process.stdout.write('injected');");
  const plain = run(['version'], {});
  assert.equal(run(['version'], { NODE_OPTIONS: `--require ${code}` }), plain);
  assert.equal(run(['version'], { NODE_OPTIONS: '--no-such-option' }), plain);
});

test("Node's own options are the program's arguments", () => {
  const { stdout } = run(['--eval', "process.stdout.write('evaluated')"], {});
  assert.not.ok(stdout.includes('evaluated'), stdout);
});

test('an executable that something was put behind, or that lacks its end, says that it is not whole', () => {
  const directory = mkdtempSync(join(tmpdir(), 'damaged-'));
  try {
    const file = join(directory, 'skiff');
    copyFileSync(executable, file);
    const { size } = statSync(file);
    const refusal = `error: the executable is not whole (${file}). Copy it again from where it came from.\n`;
    truncateSync(file, size - 1);
    assert.equal(run(['version'], {}, file), { status: 1, stdout: '', stderr: refusal });
    truncateSync(file, size + 1);
    assert.equal(run(['version'], {}, file), { status: 1, stdout: '', stderr: refusal });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('the executable does not name the place where it was built', () => {
  assert.not.ok(readFileSync(executable).includes(join(root, 'src/')));
  assert.not.ok(readFileSync(executable).includes(join(root, 'node_modules/')));
});

test.run();
