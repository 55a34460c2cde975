/** Where the pinned Node of an architecture is. This machine's was installed by npm, the other's is fetched here. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export type Architecture = 'x64' | 'arm64';

interface LockFile {
  packages: Record<string, { version: string; integrity: string }>;
}

/** The path of the Node executable for `arch`. */
export function pinnedNode(root: string, arch: Architecture): string {
  const name = `node-linux-${arch}`;
  const installed = join(root, 'node_modules', name, 'bin/node');
  if (existsSync(installed)) return installed;

  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as LockFile;
  const { version, integrity } = lock.packages[`node_modules/${name}`];
  // npm installs no package of another architecture, so its archive is fetched and checked as npm would.
  const directory = join(root, 'node_modules/.cache/skiff', `${name}-${version}`);
  const archive = join(directory, `${name}-${version}.tgz`);
  if (!existsSync(archive)) {
    mkdirSync(directory, { recursive: true });
    execFileSync('npm', ['pack', '--silent', `${name}@${version}`, '--pack-destination', directory], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (found !== integrity) {
    rmSync(archive);
    throw new Error(`${name}@${version} is not the one of package-lock.json: its hash is ${found}, not ${integrity}`);
  }
  execFileSync('tar', ['-xzf', archive, '-C', directory, 'package/bin/node']);
  return join(directory, 'package/bin/node');
}
