/** Holds the direction in which the parts of src/ may depend on each other. The order is stated here and nowhere else. */
import { globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join, posix } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

/** Anyone may use these; they use only each other. */
const LEAF_FILES = ['errors.ts', 'log.ts', 'version.ts', 'archive.ts', 'assets.ts', 'boot.ts', 'clock.ts', 'chain.ts'];
/** Anyone may use these, too; each uses only itself and the leaf files. */
const LEAF_FOLDERS = ['net', 'store', 'pki', 'enrol', 'health'];
/** Each may use those before it. */
const CHAIN = ['net', 'amqp', 'router', 'tcp', 'site', 'fleet', 'api', 'console', 'cli'];
/** What runs in the router thread. The parts after it run in the main thread and know only the messages between. */
const ROUTER_THREAD = ['net', 'amqp', 'router', 'tcp'];
const MAIN_THREAD = CHAIN.filter((folder) => !ROUTER_THREAD.includes(folder));
const PROTOCOL = 'router/protocol.ts';
/** The router thread's entry: it puts the thread's parts together, so it stands at the end of them. */
const WORKER = 'router/worker.ts';
/** Packages that one folder alone may use. */
const OWNERS: Record<string, string> = { 'better-sqlite3': 'store', 'node-forge': 'pki', rhea: 'fleet' };
/** What import.meta says is not true in the executable, so these alone use it. */
const KNOW_THEIR_PLACE = ['version.ts', 'assets.ts'];

interface Import {
  /** As written. */
  specifier: string;
  typeOnly: boolean;
}

/** Biome puts every static import and export at the start of a line, which a comment's text never is. */
const STATIC = /^(?:import|export)\s+(?:(type)\s+)?(?:[^'"`;=()]*?\sfrom\s+)?'([^']+)'/gm;
const DYNAMIC = /(?<!typeof )\bimport\(\s*'([^']+)'/g;

function importsOf(source: string): Import[] {
  return [
    ...[...source.matchAll(STATIC)].map(([, type, specifier]) => ({ specifier, typeOnly: type !== undefined })),
    ...[...source.matchAll(DYNAMIC)].map(([, specifier]) => ({ specifier, typeOnly: false })),
  ];
}

function folderOf(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : '';
}

/** Why `from` may not import `to`, both relative to src/; null when it may. */
function objection(from: string, to: string): string | null {
  const [source, target] = [folderOf(from), folderOf(to)];
  if (source === target && source !== '') return null;
  if (to === 'main.ts') return 'main.ts is the program, nothing imports it. Move what is needed into a part';
  for (const folder of [source, target]) {
    if (folder !== '' && !CHAIN.includes(folder) && !LEAF_FOLDERS.includes(folder)) {
      return `src/${folder} has no place in the order yet. Give it one in test/architecture.test.ts`;
    }
  }
  if (from === 'main.ts') {
    return to === PROTOCOL || !ROUTER_THREAD.includes(target) ? null : acrossThreads(to);
  }
  if (source === '' && !LEAF_FILES.includes(from)) {
    return `src/${from} has no place in the order. Move it into a folder, or name it a leaf in test/architecture.test.ts`;
  }
  if (target === '') return LEAF_FILES.includes(to) ? null : `src/${to} is not a leaf. Move it into a folder`;
  if (source === '' || LEAF_FOLDERS.includes(source)) {
    return `src/${source || from} is a leaf and imports only leaf files of src. Pass in what it needs`;
  }
  if (MAIN_THREAD.includes(source) && ROUTER_THREAD.includes(target)) return to === PROTOCOL ? null : acrossThreads(to);
  if (target === 'store' && ROUTER_THREAD.includes(source)) {
    return `the router thread never touches the disk. Say it with a message of src/${PROTOCOL}`;
  }
  if (LEAF_FOLDERS.includes(target)) return null;
  if (from === WORKER && ROUTER_THREAD.includes(target)) return null;
  if (CHAIN.indexOf(target) < CHAIN.indexOf(source)) return null;
  return `dependencies go ${CHAIN.join(' ← ')} only. Move the shared piece to src/${source} or further left, or pass it in`;
}

function acrossThreads(to: string): string {
  return `src/${to} belongs to the router thread. Say it with a message of src/${PROTOCOL}`;
}

/** The imports that lead from a file back to itself, one round a cycle. Types vanish before anything is loaded. */
function cycles(graph: Map<string, string[]>): string[] {
  const found: string[] = [];
  const finished = new Set<string>();
  const visit = (file: string, path: string[]) => {
    if (finished.has(file)) return;
    const start = path.indexOf(file);
    if (start !== -1) {
      found.push([...path.slice(start), file].map((name) => `src/${name}`).join(' → '));
      return;
    }
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    finished.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}

/** What is wrong with these sources, given by their paths relative to src/. */
function violations(sources: Record<string, string>, packages: string[]): string[] {
  const found: string[] = [];
  const graph = new Map<string, string[]>();
  for (const [file, source] of Object.entries(sources)) {
    const loads: string[] = [];
    graph.set(file, loads);
    if (/\bimport\.meta\b/.test(source) && !KNOW_THEIR_PLACE.includes(file)) {
      found.push(`src/${file} uses import.meta, which the executable does not have. Load files through src/assets.ts`);
    }
    for (const { specifier, typeOnly } of importsOf(source)) {
      if (specifier.startsWith('.')) {
        const target = posix.join(posix.dirname(file), specifier);
        if (!typeOnly) loads.push(target);
        const why = objection(file, target);
        if (why !== null) found.push(`src/${file} imports src/${target}: ${why}`);
        continue;
      }
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
      if (specifier.startsWith('node:') || builtinModules.includes(name)) continue;
      if (!packages.includes(name)) {
        found.push(`src/${file} imports ${name}, which is not among the dependencies of package.json. Add it there`);
      } else if (name in OWNERS && OWNERS[name] !== folderOf(file)) {
        found.push(`src/${file} imports ${name}: only src/${OWNERS[name]} may. Offer what is needed from there`);
      }
    }
  }
  for (const cycle of cycles(graph)) {
    found.push(`${cycle} is a cycle. Move what both ends share into a file of its own, or import it as a type`);
  }
  return found;
}

const test = suite('architecture');

test('src keeps the direction of its dependencies', () => {
  const root = join(import.meta.dirname, '..');
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const files = globSync('**/*.ts', { cwd: join(root, 'src') }).sort();
  const sources = Object.fromEntries(files.map((file) => [file, readFileSync(join(root, 'src', file), 'utf8')]));
  assert.is(violations(sources, Object.keys(manifest.dependencies)).join('\n'), '');
});

const packages = ['rhea', 'node-forge', 'better-sqlite3', 'yaml'];

function objectionTo(file: string, source: string): string {
  return violations({ [file]: source }, packages).join('\n');
}

test('imports are found in every form', () => {
  const source = [
    "import { a } from './a.ts';",
    "import type { B } from './b.ts';",
    'import {',
    '  type C,',
    '  c,',
    "} from './c.ts';",
    "import './d.ts';",
    "export * from './e.ts';",
    "export type { F } from './f.ts';",
    "const g = await import('./g.ts');",
    "type H = typeof import('./h.ts');",
    " * import { i } from './i.ts';",
    "export const from = 'j';",
  ].join('\n');
  assert.equal(
    importsOf(source).map(({ specifier, typeOnly }) => `${specifier}${typeOnly ? ' type' : ''}`),
    ['./a.ts', './b.ts type', './c.ts', './d.ts', './e.ts', './f.ts type', './g.ts'],
  );
});

test('allowed imports pass', () => {
  const allowed: [string, string][] = [
    ['amqp/link.ts', '../net/slab.ts'],
    ['tcp/listener.ts', '../router/address.ts'],
    ['router/worker.ts', '../tcp/listener.ts'],
    ['site/reconciler.ts', '../router/protocol.ts'],
    ['site/reconciler.ts', '../store/store.ts'],
    ['cli/site.ts', '../api/client.ts'],
    ['store/store.ts', '../errors.ts'],
    ['assets.ts', './errors.ts'],
    ['main.ts', './cli/cli.ts'],
  ];
  for (const [file, specifier] of allowed) assert.is(objectionTo(file, `import { x } from '${specifier}';`), '', file);
  assert.is(objectionTo('store/sqlite.ts', "import Database from 'better-sqlite3';"), '');
});

test('imports against the direction are refused', () => {
  const refused: [string, string, RegExp][] = [
    ['amqp/link.ts', '../router/address.ts', /dependencies go net ← amqp/],
    ['router/address.ts', '../tcp/listener.ts', /dependencies go/],
    ['store/store.ts', '../site/kinds.ts', /is a leaf/],
    ['net/slab.ts', '../store/store.ts', /is a leaf/],
    ['log.ts', './store/store.ts', /is a leaf/],
    ['tcp/listener.ts', '../store/store.ts', /never touches the disk/],
    ['site/site.ts', '../router/worker.ts', /belongs to the router thread/],
    ['api/server.ts', '../net/tls.ts', /belongs to the router thread/],
    ['main.ts', './router/worker.ts', /belongs to the router thread/],
    ['cli/site.ts', '../main.ts', /nothing imports it/],
    ['cli/site.ts', '../helpers.ts', /is not a leaf/],
    ['helpers.ts', './errors.ts', /has no place/],
    ['cli/site.ts', '../unheard/of.ts', /has no place in the order yet/],
  ];
  for (const [file, specifier, message] of refused) {
    assert.match(objectionTo(file, `import { x } from '${specifier}';`), message);
    assert.match(objectionTo(file, `import type { X } from '${specifier}';`), message);
  }
});

test('packages have owners', () => {
  assert.match(objectionTo('site/site.ts', "import Database from 'better-sqlite3';"), /only src\/store may/);
  assert.match(objectionTo('api/server.ts', "const forge = await import('node-forge');"), /only src\/pki may/);
  assert.match(objectionTo('router/router.ts', "import rhea from 'rhea';"), /only src\/fleet may/);
  assert.match(objectionTo('site/site.ts', "import * as fc from 'fast-check';"), /not among the dependencies/);
});

test('import.meta is refused outside the files that know where they are', () => {
  assert.match(objectionTo('api/server.ts', 'const here = import.meta.dirname;'), /does not have/);
});

test('cycles are refused unless one direction is a type', () => {
  const a = "import { b } from './b.ts';";
  assert.match(
    violations({ 'amqp/a.ts': a, 'amqp/b.ts': "import { a } from './a.ts';" }, packages).join('\n'),
    /src\/amqp\/a\.ts → src\/amqp\/b\.ts → src\/amqp\/a\.ts is a cycle/,
  );
  assert.equal(violations({ 'amqp/a.ts': a, 'amqp/b.ts': "import type { A } from './a.ts';" }, packages), []);
});

test.run();
