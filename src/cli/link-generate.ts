import { ApiClient } from '../api/client.ts';
import { command, documentOutputOption } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { printDocuments } from './output.ts';
import { costOption, documentName } from './words.ts';

export const linkGenerate = command({
  description: `Prints a Secret and a Link, to be applied at another site of Skiff or Skupper, which then links to this one. Each
time it is a certificate of its own, so that one can be revoked.`,
  options: {
    name: {
      type: 'string',
      value: 'NAME',
      help: 'of the Link and the Secret (link-ROUTERACCESS); such a name says which RouterAccess is meant',
    },
    host: { type: 'string', value: 'HOST', help: 'what the other site is to dial, when this one has several names' },
    cost: { ...costOption, help: 'of the link (1)' },
    output: documentOutputOption,
  },
  examples: [
    { for: 'a link for another site to apply', command: 'skiff link generate --name store1 > store1.yaml' },
    { for: 'one that dials a name of its own', command: 'skiff link generate --host hub.example' },
  ],
  async run({ name, host, cost, output, data }) {
    const request = {
      ...(name === undefined ? {} : { name: documentName('link name', name) }),
      ...(host === undefined ? {} : { host }),
      ...(cost === undefined ? {} : { cost }),
    };
    await printDocuments(await new ApiClient(dataDirectory(data)).generateLink(request), output);
  },
});
