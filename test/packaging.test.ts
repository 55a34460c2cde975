/** What the executable promises as a file: that it needs nothing and lets nothing in. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const root = join(import.meta.dirname, '..');
const executable = join(root, 'dist/skiff');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

function run(args: string[], env: NodeJS.ProcessEnv) {
  const { status, stdout, stderr, error } = spawnSync(executable, args, { env, encoding: 'utf8' });
  if (error) throw new Error(`dist/skiff does not start: ${error.message}. Run npm run build`);
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

test('the executable does not name the place where it was built', () => {
  assert.not.ok(readFileSync(executable).includes(join(root, 'src/')));
  assert.not.ok(readFileSync(executable).includes(join(root, 'node_modules/')));
});

test.run();
