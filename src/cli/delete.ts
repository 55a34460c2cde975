import { kindNamed, kinds } from '../site/kinds.ts';
import type { Kind, Reference } from '../site/resources.ts';
import { printChanges, readFiles } from './apply.ts';
import { command, dataOption, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { nearest } from './nearest.ts';
import { formatOf } from './output.ts';
import { withSite } from './site-access.ts';

export const remove = command({
  usage: 'skiff delete -f FILE|DIR|- … | KIND NAME … [--data DIR] [-o table|json|yaml]',
  description: `Takes documents away, those that files name or those of one kind: all of them or, if one is not there, none.
A running site lets go of them at once; connections of other documents are not touched.`,
  options: {
    filename: { type: 'string', short: 'f', multiple: true, value: 'FILE|DIR|-', help: 'documents to take away' },
    output: outputOption,
    data: dataOption,
  },
  async run({ filename = [], output, data }, positionals) {
    const format = formatOf(output);
    const references = filename.length ? await named(filename, positionals) : listed(positionals);
    const options = { directory: dataDirectory(data), command: 'delete' };
    await printChanges(await withSite(options, (site) => site.delete(references)), format);
  },
});

async function named(files: string[], positionals: string[]): Promise<Reference[]> {
  if (positionals.length) throw usageError(`unexpected argument "${positionals[0]}" beside -f`, 'Give files or names');
  const { readReferences } = await import('../site/read.ts');
  return readReferences(await readFiles(files));
}

function listed([word, ...names]: string[]): Reference[] {
  if (word === undefined || names.length === 0) throw usageError('nothing to delete', 'Give -f FILE, or KIND NAME');
  const kind = kindOf(word);
  return [...new Set(names)].map((name) => ({ kind, name }));
}

/** The kind that a command line names. */
export function kindOf(word: string): Kind {
  const kind = kindNamed(word);
  if (kind) return kind;
  const meant = nearest(
    word,
    Object.values(kinds).flatMap(({ names }) => names),
  );
  throw usageError(
    `unknown kind "${word}"`,
    meant ? `Did you mean ${meant}?` : `Known are ${Object.keys(kinds).join(', ')}`,
  );
}
