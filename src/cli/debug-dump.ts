/**
 * `skiff debug dump`: what somebody who helps needs to know, in one file, without a secret.
 */

import { getServers } from 'node:dns';
import { writeFileSync } from 'node:fs';
import { arch, cpus, freemem, hostname, loadavg, networkInterfaces, release, totalmem, uptime } from 'node:os';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { ApiClient } from '../api/client.ts';
import { errorFact, SkiffError } from '../errors.ts';
import { kinds } from '../site/kinds.ts';
import type { RenderedDocument } from '../site/render.ts';
import type { Kind } from '../site/resources.ts';
import { buildTime, version } from '../version.ts';
import { checkAll } from './checks.ts';
import { command } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print, warn } from './output.ts';
import { query, type Row } from './router-query.ts';
import { views } from './router-views.ts';
import { withSite } from './site-access.ts';
import { type TarFile, tar } from './tar.ts';

export const debugDump = command({
  description: `Writes a tar.gz for whoever helps: versions, documents with their statuses, the checks of skiff debug check, what is
carried, what the router knows (skiff router stat), and the last lines of the log. The values of Secrets, codes and private keys are left out.`,
  arguments: [{ name: 'FILE', optional: true, completion: 'file', help: 'skiff-dump-TIME.tar.gz if not said' }],
  options: {},
  examples: [{ for: 'a file to send along with a question', command: 'skiff debug dump /tmp/store1.tar.gz' }],
  async run({ data }, [file = `skiff-dump-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}.tar.gz`]) {
    const files = await collect(dataDirectory(data));
    const archive = tar(files.map(redacted), Date.now());
    try {
      writeFileSync(file, await promisify(gzip)(archive), { mode: 0o600 });
    } catch (error) {
      throw new SkiffError('unwritable', `the file cannot be written: ${(error as Error).message}`);
    }
    print(`${file} written\n`);
  },
});

async function collect(directory: string): Promise<TarFile[]> {
  const client = new ApiClient(directory);
  const parts: Record<string, () => Promise<unknown>> = {
    'versions.json': async () => ({
      skiff: version,
      built: buildTime,
      node: process.versions,
      kernel: release(),
      arch: arch(),
    }),
    'machine.json': async () => machine(directory),
    'checks.json': () => checkAll(directory),
    'documents.json': () => documents(directory),
    'status.json': () => client.status(),
    'traffic.json': () => client.traffic(),
    'router.json': () => router(client),
    'log.jsonl': async () => (await client.log()).map((record) => `${JSON.stringify(record)}\n`).join(''),
  };
  return Promise.all(
    Object.entries(parts).map(async ([name, make]) => {
      try {
        const content = await make();
        return { name, content: typeof content === 'string' ? content : `${JSON.stringify(content, null, 2)}\n` };
      } catch (error) {
        // A site that does not run can tell less; the rest is worth having all the more.
        const { message } = errorFact(error);
        warn(`${name} is left out: ${message}`);
        return { name: `${name}.missing`, content: `${message}\n` };
      }
    }),
  );
}

function machine(directory: string): object {
  return {
    hostname: hostname(),
    uptime: uptime(),
    time: new Date().toISOString(),
    processors: cpus().length,
    load: loadavg(),
    memory: { total: totalmem(), free: freemem() },
    interfaces: networkInterfaces(),
    nameServers: getServers(),
    directory,
  };
}

/** Every view of `router stat`, as far as it helps. */
async function router(client: ApiClient): Promise<Record<string, Row[]>> {
  const types = ['router', 'routerMetrics', ...new Set(Object.values(views).map(({ type }) => type))];
  const tables = await Promise.all(types.map((type) => query(client, {}, type, MOST_ROWS)));
  return Object.fromEntries(types.map((type, index) => [type, tables[index] as Row[]]));
}

/** Of each view of the router: a hub of thousands of edges has very many links. */
const MOST_ROWS = 2_000;

async function documents(directory: string): Promise<RenderedDocument[]> {
  return withSite({ directory, command: 'dump' }, async (site) => {
    const lists = (Object.keys(kinds) as Kind[]).map((kind) => site.list(kind, { showSecrets: false }));
    return (await Promise.all(lists)).flat().map(withoutCodes);
  });
}

/** What a document itself lets others in with. */
function withoutCodes(document: RenderedDocument): RenderedDocument {
  const hide = (part: object | undefined) => (part && 'code' in part ? { ...part, code: '<redacted>' } : part);
  const { kind, spec, status } = document;
  if (!/^Access(Grant|Token)$/.test(kind)) return document;
  return { ...document, spec: hide(spec), status: hide(status) } as RenderedDocument;
}

const secretFields = /("(?:secret|password|passphrase|token)": ?)"[^"]+"/gi;
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g;

/** The last net beneath what is left out before. */
function redacted({ name, content }: TarFile): TarFile {
  const text = String(content).replace(privateKey, '<redacted>').replace(secretFields, '$1"<redacted>"');
  return { name, content: text };
}
