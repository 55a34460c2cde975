/**
 * `skiff run`: a site in the foreground, from its documents to its end.
 */
import { resolve } from 'node:path';
import type { ApiStatus } from '../api/messages.ts';
import type { ApiContext } from '../api/routes.ts';
import { ApiServer } from '../api/server.ts';
import { checkSocketPath, socketPath } from '../api/socket.ts';
import { Clock } from '../clock.ts';
import { ClaimForm } from '../console/claim-form.ts';
import { pagesOf } from '../console/pages.ts';
import { ConsoleServer, type HttpAddress } from '../console/server.ts';
import { SkiffError } from '../errors.ts';
import { Agent, type AgentOptions } from '../fleet/agent.ts';
import { Fleet } from '../fleet/fleet.ts';
import { hardwareIdentity, readIdentity } from '../health/identity.ts';
import { RecentLog } from '../health/recent-log.ts';
import { ServiceManager } from '../health/service-manager.ts';
import { ThreadWatch } from '../health/thread.ts';
import { log, setLogSink, stderrSink } from '../log.ts';
import type { Change } from '../site/documents.ts';
import type { ReadDocument } from '../site/read.ts';
import { startRouterThread } from '../site/router.ts';
import { selfCheck } from '../site/self-check.ts';
import { Site } from '../site/site.ts';
import { readSources } from '../site/sources.ts';
import { Store } from '../store/store.ts';
import { buildTime, version } from '../version.ts';
import { command, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';

/** What the contract gives for ending, less what is left to do after the router. */
const drainMs = 4_500;
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
    await serve(store, { apply, documents, machine, recent, address, claimForm });
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

interface Serving {
  /** The files and directories that `documents` came from. */
  apply: string[];
  documents: ReadDocument[];
  machine: Pick<AgentOptions, 'places' | 'identity'>;
  recent: RecentLog;
  address: HttpAddress | null;
  claimForm: boolean;
}

/** Resolves when the process may end; throws when it has to. */
async function serve(store: Store, { apply, documents, machine, recent, address, claimForm }: Serving): Promise<void> {
  const end = Promise.withResolvers<void>();
  const onSignal = (signal: string) => {
    log.info('run', `ending on ${signal}`);
    end.resolve();
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  // A reader of our events that goes away must not take the site with it.
  process.stdout.on('error', () => {});
  try {
    const onFailure = (error: SkiffError) => {
      const { stack } = error.cause instanceof Error ? error.cause : error;
      log.error('run', error.message, { code: error.code, stack });
      end.reject(error);
    };
    const clock = new Clock(Math.max(buildTime, store.facts.lastTime()));
    const { now } = clock;
    const site = new Site({ store, version, startRouter: startRouterThread, now, onFailure });
    clock.onCorrection = () => site.setClock(now());
    if (clock.isCorrected) site.setClock(now());
    const reset = () => {
      log.warn('run', 'everything is wiped');
      store.wipe();
      end.resolve();
    };
    const agent = new Agent({ site, store, now, clock, version, ...machine });
    const fleet = new Fleet({ site, store, now, agent });
    if (documents.length) site.documents.apply(documents, 'local');
    const watch = new ThreadWatch();
    const form = claimForm ? formOf(agent) : null;
    const status = statusOf(site, store, () => http?.state ?? null);
    const sources = { site, device: () => agent.facts, controller: () => fleet.membership, log: () => recent.records };
    const page = { ...sources, version, startedAt: now(), now, warnings: () => status().warnings };
    const http = address && new ConsoleServer(address, pagesOf({ site, store, watch, form, status: page }));
    const reload = () => reloadFrom(apply, site);
    const context: ApiContext = {
      ...contextOf({ site, fleet, agent, reset }, store, recent),
      status,
      reload,
    };
    const onHangup = () => void reload().catch((error) => log.error('run', `nothing is reloaded: ${error.message}`));
    process.on('SIGHUP', onHangup);
    const server = await ApiServer.listen(socketPath(store.directory), context);
    await http?.open();
    const manager = new ServiceManager(process.env, () => selfCheck(site, store));
    try {
      await Promise.race([announce(site, fleet, agent, manager), end.promise]);
      await end.promise;
    } finally {
      process.off('SIGHUP', onHangup);
      void manager.stopping();
      watch.close();
      agent.close();
      fleet.close();
      await Promise.all([server.close(), http?.close()]);
      await site.stop(drainMs);
    }
  } finally {
    store.close();
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
  }
}

/** The form is for a device that is nobody yet. */
function formOf(agent: Agent): ClaimForm {
  return new ClaimForm({
    isOpen: () => agent.takesClaims,
    take: (claim) => void agent.take(claim),
    now: Date.now,
  });
}

/** Adds and changes what the files say by now; as at the start, nothing is taken away. */
async function reloadFrom(files: string[], site: Site): Promise<Change[]> {
  if (files.length === 0) {
    throw new SkiffError('no-documents', 'the site was started without --apply, so there is nothing to read again', {
      hint: 'Use skiff apply -f FILE, or start it with --apply',
    });
  }
  const changes = await site.apply(await read(files), 'local');
  log.info('run', 'reloaded', { changed: changes.filter(({ action }) => action !== 'unchanged').length });
  return changes;
}

/** The ready line, once everything has been tried, and from then on whenever another site comes to be. */
async function announce(site: Site, fleet: Fleet, agent: Agent, manager: ServiceManager): Promise<void> {
  await site.start();
  fleet.start();
  void manager.ready(site.facts.site ?? 'no site yet');
  emit({ event: 'ready', ...site.facts, pid: process.pid });
  site.subscribe((event) => {
    if (event.event === 'site') emit(event);
  });
  agent.start();
}

function emit(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

function contextOf(
  parts: Pick<ApiContext, 'site' | 'fleet' | 'agent' | 'reset'>,
  store: Store,
  recent: RecentLog,
): Omit<ApiContext, 'status' | 'reload'> {
  const { site } = parts;
  return {
    ...parts,
    selfCheck: async () => ({ routerMs: await selfCheck(site, store), database: store.check() }),
    log: () => recent.records,
    backup: (passphrase) => {
      const facts = { version, madeAt: new Date().toISOString(), site: site.facts.site };
      return store.backup(passphrase, facts);
    },
  };
}

function statusOf(site: Site, store: Store, http: () => ApiStatus['http']): () => ApiStatus {
  const startTime = new Date().toISOString();
  return () => ({
    site: site.facts,
    pid: process.pid,
    version,
    startTime,
    http: http(),
    warnings: [
      ...store.movedAside().map((path) => ({
        code: 'database-damaged',
        message: `the database was damaged and has been moved aside (${path})`,
        hint: 'Apply the documents again, and remove that file when it is of no more use',
      })),
      ...[http()?.error ?? []].flat(),
    ],
  });
}
