/**
 * The texts that documents come in: files, directories, standard input.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SkiffError } from '../errors.ts';

export interface Source {
  /** Where it came from, for error messages. */
  name: string;
  text: string;
}

/** A directory gives its .yaml, .yml and .json files, those of its folders included, in the order of their names. */
export function readSources(path: string): Source[] {
  try {
    if (!statSync(path).isDirectory()) return [{ name: path, text: readFileSync(path, 'utf8') }];
    const files = filesBelow(path);
    if (files.length === 0) {
      throw new SkiffError('no-documents', `no .yaml, .yml or .json file in the directory (${path})`);
    }
    return files.map((name) => ({ name, text: readFileSync(name, 'utf8') }));
  } catch (error) {
    if (error instanceof SkiffError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? 'no such file or directory' : `cannot be read: ${(error as Error).message}`;
    throw new SkiffError('unreadable', `${what} (${path})`, { cause: error });
  }
}

/** Names that begin with a dot are passed over: a mounted ConfigMap keeps second copies under such names. */
function filesBelow(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => !name.startsWith('.'))
    .sort()
    .flatMap((name) => {
      const path = join(directory, name);
      if (statSync(path).isDirectory()) return filesBelow(path);
      return /\.(yaml|yml|json)$/.test(name) ? [path] : [];
    });
}
