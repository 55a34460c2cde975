/**
 * Where a blank device looks for a claim: what it is told, its own data, the image it was started from, a stick.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Places {
  /** Said on the command line. */
  file: string | null;
  data: string;
  /** Where partitions and sticks are mounted; `/` but for tests. */
  root?: string;
}

export interface Tried {
  place: string;
  /** In a few words: `nothing there`, `found`, or what is wrong with it. */
  outcome: string;
}

const fileName = 'claim.yaml';
const bootPartitions = ['boot/skiff', 'boot/firmware/skiff', 'boot/efi/skiff'];
const mountPoints = ['media', 'run/media', 'mnt'];
/** Below a mount point there is a folder for each stick, or for each user and then for each stick. */
const mountDepth = 2;
const largestClaim = 64 * 1024;

/** The first claim there is that `read` takes (it throws for what is none), and where else one was looked for. */
export function searchClaim<T>(
  places: Places,
  read: (text: string, place: string) => T,
): { found: T | null; tried: Tried[] } {
  const tried: Tried[] = [];
  for (const [place, files] of candidates(places)) {
    const failures: string[] = [];
    for (const file of files) {
      const text = contentOf(file);
      if (text === null) continue;
      try {
        const found = read(text, file);
        tried.push({ place, outcome: `found (${file})` });
        return { found, tried };
      } catch (error) {
        failures.push(`${file}: ${(error as Error).message}`);
      }
    }
    tried.push({ place, outcome: failures.length > 0 ? failures.join('; ') : 'nothing there' });
  }
  return { found: null, tried };
}

function candidates({ file, data, root = '/' }: Places): [place: string, files: string[]][] {
  const sticks = mountPoints.flatMap((mount) => below(join(root, mount), mountDepth));
  return [
    ...(file === null ? [] : [['--claim', [file]] as [string, string[]]]),
    ['data directory', [join(data, fileName)]],
    ['boot partition', bootPartitions.map((folder) => join(root, folder, fileName))],
    ['USB stick', sticks.map((folder) => join(folder, 'skiff', fileName))],
  ];
}

function below(folder: string, depth: number): string[] {
  if (depth === 0) return [folder];
  return [folder, ...foldersIn(folder).flatMap((each) => below(each, depth - 1))];
}

function foldersIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
  } catch {
    // Not there, or not for us: nothing is looked for in it.
    return [];
  }
}

function contentOf(file: string): string | null {
  try {
    return readFileSync(file).subarray(0, largestClaim).toString('utf8');
  } catch {
    return null;
  }
}
