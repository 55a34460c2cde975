import { randomUUID } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from '../api/client.ts';
import { SkiffError } from '../errors.ts';
import { formatDuration } from '../site/duration.ts';
import type { RenderedDocument } from '../site/render.ts';
import { command, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print } from './output.ts';
import { costOption, timeoutOf, timeoutOption } from './words.ts';

const shortestWindowMs = 60_000;
const lookEveryMs = 100;

export const tokenIssue = command({
  description: `Writes a token into a file. Another site, Skiff or Skupper, redeems it, and then links to this one. Who has the file
can do so: send it by a way that you trust, and let it expire soon.`,
  arguments: [{ name: 'FILE', completion: 'file', help: 'what it is written into' }],
  incomplete: 'file name must be configured',
  options: {
    'redemptions-allowed': {
      type: 'integer',
      value: 'N',
      label: 'number of redemptions',
      default: 1,
      help: 'how many sites may redeem it (1)',
    },
    'expiration-window': {
      type: 'duration',
      value: 'TIME',
      label: 'expiration time',
      default: 15 * 60_000,
      help: 'how long it is good for (15m)',
    },
    cost: { ...costOption, default: 1, help: 'of the link (1)' },
    timeout: timeoutOption,
  },
  examples: [
    { for: 'one store', command: 'skiff token issue store1.token' },
    {
      for: 'ten stores, within a day',
      command: 'skiff token issue stores.token --redemptions-allowed 10 --expiration-window 24h',
    },
  ],
  async run(values, [file]) {
    const { timeout, cost: linkCost, data } = values;
    checkFile(file);
    const uses = usesOf(values['redemptions-allowed']);
    const window = windowOf(values['expiration-window']);
    const deadline = Date.now() + timeoutOf(timeout);
    const site = new ApiClient(dataDirectory(data));
    const name = `${await siteWithAccess(site)}-${randomUUID()}`;
    await apply(site, grantDocument(name, uses, window));
    const grant = await untilReady(site, name, deadline);
    await writeToken(file, grant, linkCost);
    const lasts = formatDuration(window);
    print(`
Grant "${name}" is ready
Token file ${file} created

Transfer this file to a remote site. At the remote site,
create a link to this site using the "skiff token redeem" command:

\tskiff token redeem <file>

The token expires after ${uses} use(s) or after ${lasts}, at ${grant.status.expirationTime}.
`);
  },
});

function checkFile(file: string): void {
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) {
    throw usageError('token file name is a directory', 'Name a file');
  }
}

function usesOf(uses: number): number {
  if (uses >= 1 && uses < 1e9) return uses;
  throw usageError('number of redemptions is not valid', 'Give a whole number from 1');
}

function windowOf(window: number): number {
  if (window >= shortestWindowMs) return window;
  throw usageError('expiration time is not valid: it must be 1m or more', 'Such as 15m or 24h');
}

/** The name of the site, which must be open to links. */
async function siteWithAccess(client: ApiClient): Promise<string> {
  const { site } = await client.status();
  if (site.site === null) {
    throw new SkiffError('no-site', 'A site must exist before a token can be created', { hint: 'Apply a Site' });
  }
  const accesses = await client.list('RouterAccess', { showSecrets: false });
  const roles = accesses.flatMap(({ spec }) => (spec?.roles ?? []) as { name: string }[]);
  if (roles.some(({ name }) => name !== 'normal')) return site.site;
  throw new SkiffError('no-link-access', 'You must enable link access for this site before you can create a token', {
    hint: 'Set linkAccess: default in the Site, or apply a RouterAccess',
  });
}

function grantDocument(name: string, redemptionsAllowed: number, window: number): object {
  const spec = { redemptionsAllowed, expirationWindow: formatDuration(window) };
  return { apiVersion: 'skupper.io/v2alpha1', kind: 'AccessGrant', metadata: { name }, spec };
}

async function apply(client: ApiClient, document: object): Promise<void> {
  await client.apply([{ name: 'token issue', text: JSON.stringify(document) }]);
}

type ReadyGrant = RenderedDocument & { status: { url: string; code: string; ca: string; expirationTime: string } };

async function untilReady(client: ApiClient, name: string, deadline: number): Promise<ReadyGrant> {
  for (;;) {
    const grant = await client.get({ kind: 'AccessGrant', name }, { showSecrets: true });
    if (grant.status?.status === 'Ready') return grant as ReadyGrant;
    if (grant.status?.status === 'Error' || Date.now() > deadline) {
      await client.delete([{ kind: 'AccessGrant', name }]);
      const code = grant.status?.status === 'Error' ? 'grant-failed' : 'timed-out';
      throw new SkiffError(code, `Grant "${name}" is not ready: ${grant.status?.message}`, {
        hint: 'Nothing was left behind; the log of the site may say more',
      });
    }
    await sleep(lookEveryMs);
  }
}

/** Readable to its user alone: who has it may link to this site. */
async function writeToken(file: string, { metadata, status }: ReadyGrant, linkCost: number): Promise<void> {
  const token = {
    apiVersion: 'skupper.io/v2alpha1',
    kind: 'AccessToken',
    metadata: { name: metadata.name, annotations: { 'skiff/expiration-time': status.expirationTime } },
    spec: { ca: status.ca, code: status.code, linkCost, url: status.url },
  };
  const { stringify } = await import('yaml');
  const text = stringify(token, { lineWidth: 0 });
  try {
    writeFileSync(file, text, { mode: 0o600 });
  } catch (error) {
    throw new SkiffError('unwritable', `Could not write to file ${file}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
