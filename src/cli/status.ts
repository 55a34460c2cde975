/**
 * `site status`, `link status`, `listener status`, `connector status`: what a running site says of itself.
 */
import { ApiClient } from '../api/client.ts';
import type { Kind } from '../site/resources.ts';
import { columns, details } from './columns.ts';
import { type Command, command, outputOption } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print, printDocument, printDocuments, printFields, printTable, warn } from './output.ts';
import type { VerbKind } from './resources.ts';

export interface StatusDefinition {
  kind: 'Link' | VerbKind;
  noun: string;
  /** What is said when there are none, in Skupper's words. */
  none: string;
}

export function statusCommand({ kind: name, noun, none }: StatusDefinition): Command {
  const kind = name as Kind;
  return command({
    description: `Shows the status of each ${noun}, or of one. The site has to be running.`,
    arguments: [{ name: 'NAME', optional: true, completion: { kind }, help: `one ${noun}` }],
    options: { output: outputOption },
    examples: [
      { for: `each ${noun}`, command: `skiff ${noun} status` },
      { for: 'all there is to know', command: `skiff ${noun} status -o yaml` },
    ],
    async run({ output, data }, [one]) {
      const client = new ApiClient(dataDirectory(data));
      if (kind === 'Site') await printWarnings(client);
      if (one !== undefined) {
        const document = await client.get({ kind, name: one }, { showSecrets: false });
        return output === 'table'
          ? printFields([...columns[kind], ...(details[kind] ?? [])], document)
          : printDocument(document, output);
      }
      const documents = await client.list(kind, { showSecrets: false });
      if (output !== 'table') return printDocuments(documents, output);
      if (documents.length === 0) return print(`${none}\n`);
      return printTable(columns[kind], documents);
    },
  });
}

async function printWarnings(client: ApiClient): Promise<void> {
  const { warnings } = await client.status();
  for (const { message, hint } of warnings) warn(message, hint);
}
