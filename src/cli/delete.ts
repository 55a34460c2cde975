import { kindNamed, kinds } from '../site/kinds.ts';
import type { Kind, Reference } from '../site/resources.ts';
import { filenameOption, printChanges, readFiles } from './apply.ts';
import { command, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { nearest } from './nearest.ts';
import { withSite } from './site-access.ts';

export const remove = command({
  description: `Takes documents away, those that files name or those of one kind: all of them or, if one is not there, none.
A running site lets go of them at once; connections of other documents are not touched.`,
  arguments: [
    { name: 'KIND', optional: true, completion: 'kind', help: 'such as listener' },
    { name: 'NAME', optional: true, many: true, help: 'documents of that kind' },
  ],
  options: {
    filename: { ...filenameOption, help: 'documents to take away, instead of KIND and NAME' },
    output: outputOption,
  },
  examples: [
    { for: 'two listeners', command: 'skiff delete listener erp printer' },
    { for: 'everything that a file names', command: 'skiff delete -f store1.yaml' },
  ],
  async run({ filename, output, data }, args) {
    const references = filename.length ? await named(filename, args) : listed(args);
    const options = { directory: dataDirectory(data), command: 'delete' };
    await printChanges(await withSite(options, (site) => site.delete(references)), output);
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
