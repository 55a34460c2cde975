import type { Change } from '../site/documents.ts';
import { readSources, type Source } from '../site/sources.ts';
import { command, type Option, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { type Format, print, printDocuments } from './output.ts';
import { withSite } from './site-access.ts';

export const filenameOption = {
  type: 'string',
  short: 'f',
  multiple: true,
  value: 'FILE|DIR|-',
  completion: 'file',
  help: 'YAML or JSON; - is standard input',
} as const satisfies Option;

export const apply = command({
  description: `Adds the documents that are new and changes those that are there: all of them or, if one is not good, none.
A running site takes them up at once, a stopped one when it starts. Nothing is ever taken away.`,
  options: { filename: filenameOption, output: outputOption },
  examples: [
    { for: 'all documents of a directory', command: 'skiff apply -f /etc/skiff' },
    { for: 'a link that another site made', command: 'skiff apply -f link.yaml' },
    { for: 'the documents of another program', command: 'generate-documents | skiff apply -f -' },
  ],
  async run({ filename, output, data }) {
    if (filename.length === 0) throw usageError('nothing to apply', 'Name files with -f');
    const sources = await readFiles(filename);
    const options = { directory: dataDirectory(data), command: 'apply', create: true };
    await printChanges(await withSite(options, (site) => site.apply(sources)), output);
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

export async function printChanges(changes: Change[], format: Format): Promise<void> {
  if (format !== 'table') await printDocuments(changes, format);
  else print(changes.map(({ kind, name, action }) => `${kind} ${name} ${action}\n`).join(''));
}
