/**
 * `site status`, `link status`, `listener status`, `connector status`: what a running site says of itself.
 */
import { ApiClient } from '../api/client.ts';
import { columns } from './columns.ts';
import { type Command, command, dataOption, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { formatOf, print, printDocument, printDocuments, printFields, printTable } from './output.ts';

/** What is said when there are none, in Skupper's words. */
const none = {
  Site: 'There is no existing Skupper site resource',
  Link: 'There are no link resources in the namespace',
  Listener: 'No listeners found',
  Connector: 'No connectors found',
};

export function statusCommand(kind: keyof typeof none): Command {
  const noun = kind.toLowerCase();
  return command({
    usage: `skiff ${noun} status [NAME] [-o table|json|yaml] [--data DIR]`,
    description: `Shows the status of each ${noun}, or of one. The site has to be running.`,
    options: { output: outputOption, data: dataOption },
    async run({ output, data }, [name, ...rest]) {
      const format = formatOf(output);
      if (rest.length)
        throw usageError('only one argument is allowed for this command', `Give one ${noun}, or none for all`);
      const client = new ApiClient(dataDirectory(data));
      if (kind === 'Site') await printWarnings(client);
      if (name !== undefined) {
        const document = await client.get({ kind, name }, { showSecrets: false });
        return format === 'table' ? printFields(columns[kind], document) : printDocument(document, format);
      }
      const documents = await client.list(kind, { showSecrets: false });
      if (format !== 'table') return printDocuments(documents, format);
      if (documents.length === 0) return print(`${none[kind]}\n`);
      return printTable(columns[kind], documents);
    },
  });
}

async function printWarnings(client: ApiClient): Promise<void> {
  const { warnings } = await client.status();
  for (const { message, hint } of warnings) process.stderr.write(`warning: ${message}.${hint ? ` ${hint}.` : ''}\n`);
}
