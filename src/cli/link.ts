/**
 * `link update` and `link delete`: on a running site at once, on a stopped one when it starts.
 */
import { SkiffError } from '../errors.ts';
import { command, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print } from './output.ts';
import { type SiteAccess, withSite } from './site-access.ts';
import { costOption } from './words.ts';

const linkArgument = {
  name: 'NAME',
  completion: { kind: 'Link' },
  help: 'as skiff link status shows it',
} as const;
const incomplete = 'link name must be specified';

export const linkUpdate = command({
  description: 'Changes the cost of a link, or the Secret it uses.',
  arguments: [linkArgument],
  incomplete,
  options: {
    cost: costOption,
    'tls-credentials': {
      type: 'string',
      value: 'NAME',
      completion: { kind: 'Secret' },
      help: 'the Secret with its certificate',
    },
  },
  examples: [{ for: 'a link that others are preferred to', command: 'skiff link update link-hub --cost 5' }],
  async run({ cost, 'tls-credentials': tlsCredentials, data }, [name]) {
    const changes = {
      ...(cost === undefined ? {} : { cost }),
      ...(tlsCredentials === undefined ? {} : { tlsCredentials }),
    };
    if (Object.keys(changes).length === 0) throw usageError('nothing to change', 'Give --cost or --tls-credentials');
    await withSite({ directory: dataDirectory(data), command: 'link update' }, async (site) => {
      const link = await linkNamed(site, name);
      if (tlsCredentials !== undefined) await mustBeThere(site, tlsCredentials);
      const text = JSON.stringify({ ...link, status: undefined, spec: { ...link.spec, ...changes } });
      await site.apply([{ name: `link ${name}`, text }]);
    });
    print(`Link "${name}" is updated\n`);
  },
});

export const linkDelete = command({
  description: 'Takes a link away. The Secret it used stays: skiff delete secret NAME.',
  arguments: [linkArgument],
  incomplete,
  options: {},
  examples: [{ for: 'a link', command: 'skiff link delete link-hub' }],
  async run({ data }, [name]) {
    await withSite({ directory: dataDirectory(data), command: 'link delete' }, async (site) => {
      await linkNamed(site, name);
      await site.delete([{ kind: 'Link', name }]);
    });
    print(`Link "${name}" is deleted\n`);
  },
});

async function linkNamed(site: SiteAccess, name: string) {
  try {
    return await site.get({ kind: 'Link', name }, { showSecrets: false });
  } catch (error) {
    if (!(error instanceof SkiffError) || error.code !== 'not-found') throw error;
    throw new SkiffError('not-found', `There is no link resource in the namespace with the name "${name}"`, {
      hint: 'skiff link status shows them',
    });
  }
}

async function mustBeThere(site: SiteAccess, name: string): Promise<void> {
  const secrets = await site.list('Secret', { showSecrets: false });
  if (secrets.some(({ metadata }) => metadata.name === name)) return;
  throw new SkiffError('secret-not-found', `the TLS secret "${name}" is not available`, { hint: 'Apply it first' });
}
