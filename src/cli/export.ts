import { command, documentOutputOption } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { printDocuments } from './output.ts';
import { withSite } from './site-access.ts';

export const exportAll = command({
  description: `Writes all documents as one applies them. With --show-secrets the result makes the same site again on
another machine; without it the values of Secrets are left out and it cannot be applied.`,
  options: {
    output: documentOutputOption,
    'show-secrets': { type: 'boolean', default: false, help: 'write the values of Secrets' },
  },
  examples: [
    { for: 'what the site consists of', command: 'skiff export' },
    { for: 'the whole site, keys included', command: 'skiff export --show-secrets > site.yaml' },
  ],
  async run({ output, data, 'show-secrets': showSecrets }) {
    const options = { directory: dataDirectory(data), command: 'export' };
    await printDocuments(await withSite(options, (site) => site.export({ showSecrets })), output);
  },
});
