import type { Change } from '../site/documents.ts';
import { readSources, type Source } from '../site/sources.ts';
import { command, dataOption, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { formatOf, print, printDocuments } from './output.ts';
import { withSite } from './site-access.ts';

export const apply = command({
  usage: 'skiff apply -f FILE|DIR|- … [--data DIR] [-o table|json|yaml]',
  description: `Adds the documents that are new and changes those that are there: all of them or, if one is not good, none.
A running site takes them up at once, a stopped one when it starts. Nothing is ever taken away.`,
  options: {
    filename: {
      type: 'string',
      short: 'f',
      multiple: true,
      value: 'FILE|DIR|-',
      help: 'YAML or JSON; - is standard input',
    },
    output: outputOption,
    data: dataOption,
  },
  async run({ filename = [], output, data }, positionals) {
    const format = formatOf(output);
    if (positionals.length) throw usageError(`unexpected argument "${positionals[0]}"`, 'Name files with -f');
    if (filename.length === 0) throw usageError('nothing to apply', 'Name files with -f');
    const sources = await readFiles(filename);
    const options = { directory: dataDirectory(data), command: 'apply', create: true };
    await printChanges(await withSite(options, (site) => site.apply(sources)), format);
  },
});

export async function readFiles(names: string[]): Promise<Source[]> {
  const sources = names.map(async (name) =>
    name === '-' ? [{ name: 'standard input', text: await standardInput() }] : readSources(name),
  );
  return (await Promise.all(sources)).flat();
}

async function standardInput(): Promise<string> {
  process.stdin.setEncoding('utf8');
  let text = '';
  for await (const chunk of process.stdin) text += chunk;
  return text;
}

export async function printChanges(changes: Change[], format: 'table' | 'json' | 'yaml'): Promise<void> {
  if (format !== 'table') await printDocuments(changes, format);
  else print(changes.map(({ kind, name, action }) => `${kind} ${name} ${action}\n`).join(''));
}
