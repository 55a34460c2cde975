/**
 * What the executable carries inside itself beside the main program: the SQLite addon and the code of worker threads.
 * Run from source, the same things come from node_modules and from the .ts files.
 */
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { getEnvironmentData, setEnvironmentData, Worker, type WorkerOptions } from 'node:worker_threads';
import { carried } from './archive.ts';
import { SkiffError } from './errors.ts';

declare const __SKIFF_VERSION__: string | undefined;

const DATABASE_ADDON = 'better_sqlite3.node';

/** Linux's flag for a file without a name; node:fs does not export it. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/** Under this key a thread's workers learn where the addon was loaded from. */
const ADDON_PATH = 'skiff.databaseAddon';

let addon: unknown;

/**
 * The `nativeBinding` for better-sqlite3, undefined when run from source. It is the loaded addon itself, which the
 * library accepts although its types know a path only: a path it would hand to require(), and an executable's require()
 * loads nothing but Node's own modules.
 *
 * A process must hold one copy of SQLite, because two would release each other's POSIX locks on a shared file. So the
 * main thread has to call this before it starts a worker that opens a database.
 */
export function loadDatabaseBinding(): string | undefined {
  if (typeof __SKIFF_VERSION__ === 'undefined') return undefined;
  addon ??= loadAddon();
  return addon as string;
}

function loadAddon(): unknown {
  const known = getEnvironmentData(ADDON_PATH);
  // The loader knows a library by its path first, so the same path gives the same copy, file or no file.
  if (typeof known === 'string') return open(known);

  const bytes = carried(DATABASE_ADDON);
  const failures: string[] = [];
  // Any of these may be read-only or mounted noexec, but the executable's own directory is surely not the latter.
  for (const directory of [tmpdir(), '/dev/shm', '/run', '/var/tmp', dirname(process.execPath)]) {
    for (const load of [loadUnnamed, loadNamed]) {
      try {
        return load(directory, bytes);
      } catch (error) {
        failures.push(`${directory}: ${(error as Error).message}`);
      }
    }
  }
  throw new SkiffError('addon-not-loaded', `SQLite could not be loaded (${failures.join('; ')})`, {
    hint: 'Set TMPDIR to a writable directory that is not mounted noexec.',
  });
}

function open(path: string): unknown {
  const module: { exports: unknown } = { exports: {} };
  process.dlopen(module, path);
  setEnvironmentData(ADDON_PATH, path);
  return module.exports;
}

/** Leaves no file behind, however the process ends. Needs /proc and a file system that knows O_TMPFILE. */
function loadUnnamed(directory: string, bytes: Uint8Array): unknown {
  const file = openSync(directory, O_TMPFILE | constants.O_RDWR, 0o700);
  try {
    writeFileSync(file, bytes);
    // The descriptor stays open: its number is the library's name in this process and must not pass to another file.
    return open(`/proc/self/fd/${file}`);
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** In a directory of its own with mode 0700, which is gone again once the file is mapped. */
function loadNamed(directory: string, bytes: Uint8Array): unknown {
  const own = mkdtempSync(join(directory, 'skiff-'));
  try {
    const path = join(own, DATABASE_ADDON);
    writeFileSync(path, bytes, { mode: 0o700 });
    return open(path);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

/**
 * Undoes what the executable says of the main thread's young generation (scripts/build.ts), which V8 would go by for every
 * thread that is started later, too.
 */
const AS_EACH_THREAD_IS_TOLD = '--max-semi-space-size=0';

/** Starts the worker thread whose entry is `src/NAME/worker.ts`. */
export function startWorker(name: 'router', options: Omit<WorkerOptions, 'eval'> = {}): Worker {
  if (typeof __SKIFF_VERSION__ === 'undefined') {
    return new Worker(new URL(`./${name}/worker.ts`, import.meta.url), options);
  }
  setFlagsFromString(AS_EACH_THREAD_IS_TOLD);
  return new Worker(carried(`${name}.js`).toString('latin1'), { ...options, eval: true });
}
