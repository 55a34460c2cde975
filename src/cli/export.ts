import { command, dataOption, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { formatOf, printDocuments } from './output.ts';
import { withSite } from './site-access.ts';

export const exportAll = command({
  usage: 'skiff export [-o yaml|json] [--show-secrets] [--data DIR]',
  description: `Writes all documents as one applies them. With --show-secrets the result makes the same site again on
another machine; without it the values of Secrets are left out and it cannot be applied.`,
  options: {
    output: { ...outputOption, help: 'yaml (as it is without this) or json' },
    'show-secrets': { type: 'boolean', help: 'write the values of Secrets' },
    data: dataOption,
  },
  async run({ output, data, 'show-secrets': showSecrets = false }, positionals) {
    const format = formatOf(output, 'yaml');
    if (format === 'table') throw usageError('documents cannot be exported as a table', 'Use -o yaml or -o json');
    if (positionals.length) throw usageError(`unexpected argument "${positionals[0]}"`, 'Everything is exported');
    const options = { directory: dataDirectory(data), command: 'export' };
    await printDocuments(await withSite(options, (site) => site.export({ showSecrets })), format);
  },
});
