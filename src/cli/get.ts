import { columns } from './columns.ts';
import { command, dataOption, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { kindOf } from './delete.ts';
import { formatOf, print, printDocument, printDocuments, printTable } from './output.ts';
import { withSite } from './site-access.ts';

export const get = command({
  usage: 'skiff get KIND [NAME] [-o table|json|yaml] [--show-secrets] [--data DIR]',
  description: 'Shows the documents of a kind, or one of them, with their status; of a stopped site too.',
  options: {
    output: outputOption,
    'show-secrets': { type: 'boolean', help: 'show the values of Secrets' },
    data: dataOption,
  },
  async run({ output, data, 'show-secrets': showSecrets = false }, [word, name, ...rest]) {
    const format = formatOf(output);
    if (word === undefined) throw usageError('get needs a kind', 'Such as skiff get listener');
    if (rest.length) throw usageError(`unexpected argument "${rest[0]}"`, 'Give one name, or none for all');
    const kind = kindOf(word);
    const options = { directory: dataDirectory(data), command: 'get' };
    if (name === undefined) {
      const documents = await withSite(options, (site) => site.list(kind, { showSecrets }));
      if (format !== 'table') return printDocuments(documents, format);
      if (documents.length === 0) return print(`There is no ${kind}\n`);
      return printTable(columns[kind], documents);
    }
    const document = await withSite(options, (site) => site.get({ kind, name }, { showSecrets }));
    return format === 'table' ? printTable(columns[kind], [document]) : printDocument(document, format);
  },
});
