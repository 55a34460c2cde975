/**
 * Makes the executable: `scripts/node scripts/build.ts [--arch x64|arm64] [--if-stale]`.
 *
 * dist/skiff for this machine, dist/skiff-ARCH for the other architecture. It is a copy of the pinned Node with
 * `src/boot.ts` inside, and at its end the bundled program, the worker threads' code and the SQLite addon. Two builds of one
 * commit are identical: the build time is the commit's date or SOURCE_DATE_EPOCH, and no path of the machine goes in.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle, type Facts, fileOf, PACKAGES_ASIDE } from '../esbuild.config.mjs';
import { archiveOf } from '../src/archive.ts';
import { type Architecture, pinnedNode } from './pinned-node.ts';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

/** The mark in Node's executable that says whether it carries a program. */
const SENTINEL = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

function buildTime(): number {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined) {
    if (!/^\d+$/.test(given)) throw new Error('SOURCE_DATE_EPOCH must be a number of seconds');
    return Number(given) * 1_000;
  }
  const git = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' });
  if (git.status === 0 && git.stdout !== '') return Number(git.stdout) * 1_000;
  console.error('build: no commit and no SOURCE_DATE_EPOCH, so the executable does not know its build time');
  return 0;
}

/** A hash over everything the executable is made from. */
function fingerprint(facts: Facts): string {
  const hash = createHash('sha256').update(String(facts.buildTime));
  const files = globSync(
    ['src/**/*.*', 'scripts/*.{ts,cjs}', 'esbuild.config.mjs', 'package.json', 'package-lock.json'],
    {
      cwd: root,
    },
  ).sort();
  for (const file of files) {
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0');
  }
  return hash.digest('hex');
}

/** Runs a program whose output is of interest only when it fails. */
function quietly(program: string, args: string[], cwd: string): void {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${[program, ...args].join(' ')} failed: ${error?.message ?? stdout + stderr}`);
}

/** Takes the symbols out, a tenth of the size. Must come before the program is put in, which strip would cut off. */
function strip(file: string, arch: Architecture): void {
  const triple = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[arch];
  const [tool, debianPackage] =
    arch === process.arch ? ['strip', 'binutils'] : [`${triple}-strip`, `binutils-${triple.replace('_', '-')}`];
  const result = spawnSync(tool, ['--strip-all', file], { encoding: 'utf8' });
  if (result.error) console.error(`build: no ${tool} (Debian: ${debianPackage}), so the executable keeps its symbols`);
  else if (result.status !== 0) throw new Error(`${tool} failed: ${result.stderr}`);
}

/** What the executable has at its end, by name. */
async function carriedFiles(arch: Architecture, facts: Facts): Promise<Record<string, Uint8Array>> {
  const packages = PACKAGES_ASIDE.map(async (name) => [fileOf(name), await bundle(name, facts)]);
  return {
    'skiff.cjs': await bundle('src/main.ts', facts),
    'router.js': await bundle('src/router/worker.ts', facts),
    ...Object.fromEntries(await Promise.all(packages)),
    'better_sqlite3.node': readFileSync(join(root, `node_modules/better-sqlite3/prebuilds/linux-${arch}.node`)),
  };
}

async function makeExecutable(output: string, arch: Architecture, facts: Facts): Promise<void> {
  mkdirSync(dist, { recursive: true });
  const directory = mkdtempSync(join(dist, 'build-'));
  try {
    writeFileSync(join(directory, 'boot.cjs'), await bundle('src/boot.ts', facts));
    const configuration = {
      // Relative paths, because the first one ends up in the executable.
      main: 'boot.cjs',
      output: 'skiff.blob',
      disableExperimentalSEAWarning: true,
      // A code cache saves some 15 ms of start, but makes every build different.
      useCodeCache: false,
      useSnapshot: false,
      // Otherwise NODE_OPTIONS injects code into the executable.
      execArgvExtension: 'none',
      execArgv: [
        // Otherwise whoever may send a signal opens a debugger, and with it every key.
        '--disable-sigusr1',
        // Otherwise Node reads all the world's CAs as soon as TLS is loaded, which is 1 MB. Whom a site believes, its
        // documents say.
        '--use-openssl-ca',
        // How much garbage the main thread makes before it is collected, in MiB: it works little, and keeps what it had once.
        '--max-semi-space-size=1',
      ],
    };
    writeFileSync(join(directory, 'sea.json'), JSON.stringify(configuration));
    quietly(process.execPath, ['--experimental-sea-config', 'sea.json'], directory);

    const executable = join(directory, 'skiff');
    copyFileSync(pinnedNode(root, arch), executable);
    chmodSync(executable, 0o755);
    strip(executable, arch);
    const postject = join(root, 'node_modules/postject/dist/cli.js');
    quietly(
      process.execPath,
      [postject, 'skiff', 'NODE_SEA_BLOB', 'skiff.blob', '--sentinel-fuse', SENTINEL],
      directory,
    );
    appendFileSync(executable, archiveOf(await carriedFiles(arch, facts)));
    renameSync(executable, output);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const { values: options } = parseArgs({
  options: { arch: { type: 'string', default: process.arch }, 'if-stale': { type: 'boolean', default: false } },
});
if (options.arch !== 'x64' && options.arch !== 'arm64') throw new Error('--arch must be x64 or arm64');

const started = performance.now();
const output = join(dist, options.arch === process.arch ? 'skiff' : `skiff-${options.arch}`);
const stamp = `${output}.stamp`;
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const facts: Facts = { root, version, buildTime: buildTime() };
const wanted = fingerprint(facts);
if (options['if-stale'] && existsSync(output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) {
  console.log(`${output.slice(root.length + 1)} is up to date`);
} else {
  await makeExecutable(output, options.arch, facts);
  writeFileSync(stamp, wanted);
  console.log(`${output.slice(root.length + 1)} built in ${((performance.now() - started) / 1_000).toFixed(1)} s`);
}
