/**
 * The JavaScript inside the executable: what Node runs first, the main program, each worker thread and each package that few
 * need, one CommonJS text each.
 */
import { builtinModules } from 'node:module';
import { build } from 'esbuild';

/** Packages that a dependency requires in a try block and does without. */
const OPTIONAL_PACKAGES = ['supports-color', 'osx-temperature-sensor', 'macos-temperature-sensor'];

/**
 * Packages that are imported when they are first needed, which for most sites is never. Half of the main program would be
 * theirs, and its text is held in memory; so they are files of their own.
 */
export const PACKAGES_ASIDE = ['node-forge', 'systeminformation', 'yaml'];

/** @param {string} name */
export const fileOf = (name) => `${name}.js`;

/** Has a program load such a package from its file. */
const aside = {
  name: 'aside',
  /** @param {import('esbuild').PluginBuild} build */
  setup(build) {
    const filter = new RegExp(`^(${PACKAGES_ASIDE.join('|')})$`);
    build.onResolve({ filter }, ({ path, kind }) => (kind === 'entry-point' ? null : { path, namespace: 'aside' }));
    build.onLoad({ filter, namespace: 'aside' }, ({ path }) => {
      const file = JSON.stringify(fileOf(path));
      const contents = `
        const text = require('./src/archive.ts').carried(${file}).toString('utf8');
        const run = require('node:vm').compileFunction(text, ['module', 'exports', 'require'], { filename: ${file} });
        run(module, exports, require);`;
      return { contents, loader: 'js', resolveDir: import.meta.dirname };
    });
  },
};

/**
 * What a bundle is told about its build: the project's folder, the version, and the time in milliseconds.
 *
 * @typedef {{ root: string, version: string, buildTime: number }} Facts
 */

/**
 * Bundles the program that starts at `entry`, a path relative to the root, or a package.
 *
 * @param {string} entry
 * @param {Facts} facts
 * @returns {Promise<Uint8Array>}
 */
export async function bundle(entry, { root, version, buildTime }) {
  const result = await build({
    entryPoints: [entry],
    absWorkingDir: root,
    outdir: 'dist',
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    // Names and line ends stay: they cost half a megabyte of a hundred and no time, and make a stack trace readable.
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'warning',
    define: {
      __SKIFF_VERSION__: JSON.stringify(version),
      __SKIFF_BUILD_TIME__: String(buildTime),
      // Not there in CommonJS. Only version.ts and assets.ts use it, in code that is dead in the executable.
      'import.meta.url': 'undefined',
    },
    plugins: [aside],
    alias: Object.fromEntries(OPTIONAL_PACKAGES.map((name) => [name, './scripts/absent.cjs'])),
  });
  if (result.warnings.length > 0) throw new Error(`the bundle of ${entry} has warnings, see above`);
  const [output] = Object.values(result.metafile.outputs);
  for (const { path, external } of output.imports) {
    if (external && !builtinModules.includes(path.replace(/^node:/, ''))) {
      throw new Error(
        `the bundle of ${entry} requires ${path}, which the executable does not hold. Install it, or add it to OPTIONAL_PACKAGES`,
      );
    }
  }
  return result.outputFiles[0].contents;
}
