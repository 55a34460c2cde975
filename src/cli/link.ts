/**
 * `link update` and `link delete`: on a running site at once, on a stopped one when it starts.
 */
import { SkiffError } from '../errors.ts';
import { command, dataOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print } from './output.ts';
import { type SiteAccess, withSite } from './site-access.ts';
import { costOf } from './words.ts';

export const linkUpdate = command({
  usage: 'skiff link update NAME [--cost N] [--tls-credentials NAME] [--data DIR]',
  description: 'Changes the cost of a link, or the Secret it uses.',
  options: {
    cost: { type: 'string', value: 'N', help: 'of the link' },
    'tls-credentials': { type: 'string', value: 'NAME', help: 'the Secret with its certificate' },
    data: dataOption,
  },
  async run({ cost, 'tls-credentials': tlsCredentials, data }, positionals) {
    const name = linkName(positionals);
    const changes = {
      ...(cost === undefined ? {} : { cost: costOf(cost) }),
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
  usage: 'skiff link delete NAME [--data DIR]',
  description: 'Takes a link away. The Secret it used stays: skiff delete secret NAME.',
  options: { data: dataOption },
  async run({ data }, positionals) {
    const name = linkName(positionals);
    await withSite({ directory: dataDirectory(data), command: 'link delete' }, async (site) => {
      await linkNamed(site, name);
      await site.delete([{ kind: 'Link', name }]);
    });
    print(`Link "${name}" is deleted\n`);
  },
});

function linkName([name, ...rest]: string[]): string {
  if (!name) throw usageError('link name must be specified', 'skiff link status shows them');
  if (rest.length) throw usageError('only one argument is allowed for this command', 'Give one link');
  return name;
}

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
