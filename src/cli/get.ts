import { columns } from './columns.ts';
import { command, outputOption } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { kindOf } from './delete.ts';
import { print, printDocument, printDocuments, printTable } from './output.ts';
import { withSite } from './site-access.ts';

export const get = command({
  description: 'Shows the documents of a kind, or one of them, with their status; of a stopped site too.',
  arguments: [
    { name: 'KIND', completion: 'kind', help: 'such as listener' },
    { name: 'NAME', optional: true, help: 'one of them' },
  ],
  incomplete: 'get needs a kind',
  options: {
    output: outputOption,
    'show-secrets': { type: 'boolean', default: false, help: 'show the values of Secrets' },
  },
  examples: [
    { for: 'the listeners, as a table', command: 'skiff get listener' },
    { for: 'all there is to know of a link', command: 'skiff get link hub -o yaml' },
  ],
  async run({ output, data, 'show-secrets': showSecrets }, [word, name]) {
    const kind = kindOf(word);
    const options = { directory: dataDirectory(data), command: 'get' };
    if (name === undefined) {
      const documents = await withSite(options, (site) => site.list(kind, { showSecrets }));
      if (output !== 'table') return printDocuments(documents, output);
      if (documents.length === 0) return print(`There is no ${kind}\n`);
      return printTable(columns[kind], documents);
    }
    const document = await withSite(options, (site) => site.get({ kind, name }, { showSecrets }));
    return output === 'table' ? printTable(columns[kind], [document]) : printDocument(document, output);
  },
});
