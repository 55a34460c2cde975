import { ApiClient } from '../api/client.ts';
import { command, dataOption, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { formatOf, printDocuments } from './output.ts';
import { costOf, documentName } from './words.ts';

export const linkGenerate = command({
  usage: 'skiff link generate [--name NAME] [--host HOST] [--cost N] [-o yaml|json] [--data DIR]',
  description: `Prints a Secret and a Link, to be applied at another site of Skiff or Skupper, which then links to this one. Each
time it is a certificate of its own, so that one can be revoked.`,
  options: {
    name: {
      type: 'string',
      value: 'NAME',
      help: 'of the Link and the Secret (link-ROUTERACCESS); such a name says which RouterAccess is meant',
    },
    host: { type: 'string', value: 'HOST', help: 'what the other site is to dial, when this one has several names' },
    cost: { type: 'string', value: 'N', help: 'of the link (1)' },
    output: { ...outputOption, help: 'yaml (as it is without this) or json' },
    data: dataOption,
  },
  async run({ name, host, cost, output, data }, positionals) {
    const format = formatOf(output, 'yaml');
    if (format === 'table') throw usageError('output type is not valid: value table not allowed', 'Use yaml or json');
    if (positionals.length) {
      throw usageError('arguments are not allowed in this command', 'Give the name of the link with --name');
    }
    const request = {
      ...(name === undefined ? {} : { name: documentName('link name', name) }),
      ...(host === undefined ? {} : { host }),
      ...(cost === undefined ? {} : { cost: costOf(cost) }),
    };
    await printDocuments(await new ApiClient(dataDirectory(data)).generateLink(request), format);
  },
});
