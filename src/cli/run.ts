/**
 * `skiff run`: a site in the foreground, from its documents to its end.
 */
import { resolve } from 'node:path';
import { checkSocketPath, socketPath } from '../api/socket.ts';
import type { HttpAddress } from '../console/server.ts';
import { SkiffError } from '../errors.ts';
import { hardwareIdentity, readIdentity } from '../health/identity.ts';
import { RecentLog } from '../health/recent-log.ts';
import { log, setLogSink, stderrSink } from '../log.ts';
import type { ReadDocument } from '../site/read.ts';
import { readSources } from '../site/sources.ts';
import { Store } from '../store/store.ts';
import { command, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { SiteProcess } from './site-process.ts';

/** An offline command holds the database for less than this. */
const lockWaitMs = 500;
/** What is kept of the log in memory, for `skiff debug dump`. */
const recentRecords = 1_000;

export const run = command({
  description: `Runs the site in the foreground, from the documents it has stored. Events go to stdout, one JSON line each; the
first is "ready". The log goes to stderr. SIGTERM and SIGINT end it: streams get up to 5 s to finish.`,
  options: {
    apply: {
      type: 'string',
      multiple: true,
      value: 'FILE|DIR',
      completion: 'file',
      help: 'documents to add or change first',
    },
    claim: {
      type: 'string',
      value: 'FILE',
      completion: 'file',
      help: 'the claim to enrol with, while this is no site yet',
    },
    'claim-form': {
      type: 'boolean',
      default: false,
      help: 'while this is no site yet, take a claim by a form of the status page, from who knows the number in the log',
    },
    identity: {
      type: 'string',
      value: 'FILE',
      completion: 'file',
      help: 'what to say of this machine in place of what its firmware says (JSON)',
    },
    http: {
      type: 'string',
      value: 'HOST:PORT|off',
      default: '127.0.0.1:8080',
      help: 'where the status page and metrics are served; port 0 picks one, which debug check shows',
    },
    'log-format': {
      type: 'string',
      value: 'FORMAT',
      choices: ['pretty', 'json'],
      default: 'pretty',
      help: 'how a line of the log looks',
    },
  },
  examples: [
    { for: 'a site with what a directory declares', command: 'skiff run --apply /etc/skiff' },
    { for: 'a device whose status page is for everybody near', command: 'skiff run --http 0.0.0.0:8080' },
    { for: 'a second site on this machine', command: 'skiff run --data /srv/skiff/store2 --http off' },
  ],
  async run({ data, apply, claim, 'claim-form': claimForm, identity, http, 'log-format': logFormat }) {
    const address = readAddress(http);
    const recent = new RecentLog(recentRecords);
    setLogSink(recent.before(stderrSink(logFormat)));
    const directory = dataDirectory(data);
    checkSocketPath(socketPath(directory));
    // Nothing is opened, let alone changed, for documents that are no good.
    const documents = await read(apply);
    const places = { file: claim === undefined ? null : resolve(claim), data: directory };
    const known = identity === undefined ? null : readIdentity(identity);
    const machine = { places, identity: async () => known ?? (await hardwareIdentity()) };
    const store = Store.open(directory, { command: 'run', waitMs: lockWaitMs });
    const options = { store, documents, reread: () => readAgain(apply), machine, recent, address, claimForm };
    await serve(store, () => new SiteProcess(options));
  },
});

async function read(files: string[]): Promise<ReadDocument[]> {
  // The YAML parser is loaded by those who need it, not at every start.
  if (files.length === 0) return [];
  const { readDocuments } = await import('../site/read.ts');
  return readDocuments(files.flatMap(readSources));
}

/** null: none. */
function readAddress(text: string): HttpAddress | null {
  if (text === 'off') return null;
  const [, v6, host = v6, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  if (host && Number(port) <= 65_535) return { host, port: Number(port) };
  throw usageError(`http is not valid: "${text}"`, 'Use HOST:PORT, [IPV6]:PORT or off');
}

async function readAgain(files: string[]): Promise<ReadDocument[]> {
  if (files.length > 0) return read(files);
  throw new SkiffError('no-documents', 'the site was started without --apply, so there is nothing to read again', {
    hint: 'Use skiff apply -f FILE, or start it with --apply',
  });
}

/** Resolves when the process may end; throws when it has to. */
async function serve(store: Store, make: () => SiteProcess): Promise<void> {
  let site: SiteProcess | null = null;
  const onSignal = (signal: string) => {
    log.info('run', `ending on ${signal}`);
    site?.end();
  };
  const onHangup = () =>
    void site?.reload().catch((error) => log.error('run', `nothing is reloaded: ${error.message}`));
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal).on('SIGHUP', onHangup);
  // A reader of our events that goes away must not take the site with it.
  process.stdout.on('error', () => {});
  try {
    site = make();
    try {
      await site.start();
      await site.ended;
    } finally {
      await site.close();
    }
  } finally {
    store.close();
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal).off('SIGHUP', onHangup);
  }
}
