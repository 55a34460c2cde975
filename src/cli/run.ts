/**
 * `skiff run`: a site in the foreground, from its documents to its end.
 */
import { resolve } from 'node:path';
import type { ApiStatus } from '../api/messages.ts';
import type { ApiContext } from '../api/routes.ts';
import { ApiServer } from '../api/server.ts';
import { checkSocketPath, socketPath } from '../api/socket.ts';
import type { SkiffError } from '../errors.ts';
import { Agent, type AgentOptions } from '../fleet/agent.ts';
import { Fleet } from '../fleet/fleet.ts';
import { hardwareIdentity, readIdentity } from '../health/identity.ts';
import { RecentLog } from '../health/recent-log.ts';
import { ServiceManager } from '../health/service-manager.ts';
import { log, setLogSink, stderrSink } from '../log.ts';
import type { ReadDocument } from '../site/read.ts';
import { startRouterThread } from '../site/router.ts';
import { selfCheck } from '../site/self-check.ts';
import { Site } from '../site/site.ts';
import { readSources } from '../site/sources.ts';
import { Store } from '../store/store.ts';
import { version } from '../version.ts';
import { command } from './command.ts';
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
    identity: {
      type: 'string',
      value: 'FILE',
      completion: 'file',
      help: 'what to say of this machine in place of what its firmware says (JSON)',
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
    { for: 'a second site on this machine', command: 'skiff run --data /srv/skiff/store2' },
  ],
  async run({ data, apply, claim, identity, 'log-format': logFormat }) {
    const recent = new RecentLog(recentRecords);
    setLogSink(recent.before(stderrSink(logFormat)));
    const directory = dataDirectory(data);
    checkSocketPath(socketPath(directory));
    // Nothing is opened, let alone changed, for documents that are no good.
    const documents = apply.length ? await read(apply) : [];
    const places = { file: claim === undefined ? null : resolve(claim), data: directory };
    const known = identity === undefined ? null : readIdentity(identity);
    const machine = { places, identity: async () => known ?? (await hardwareIdentity()) };
    await serve(Store.open(directory, { command: 'run', waitMs: lockWaitMs }), documents, machine, recent);
  },
});

async function read(files: string[]): Promise<ReadDocument[]> {
  const { readDocuments } = await import('../site/read.ts');
  return readDocuments(files.flatMap(readSources));
}

/** Resolves when the process may end; throws when it has to. */
async function serve(
  store: Store,
  documents: ReadDocument[],
  machine: Pick<AgentOptions, 'places' | 'identity'>,
  recent: RecentLog,
): Promise<void> {
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
    const site = new Site({ store, version, startRouter: startRouterThread, now: Date.now, onFailure });
    const reset = () => {
      log.warn('run', 'everything is wiped');
      store.wipe();
      end.resolve();
    };
    const agent = new Agent({ site, store, now: Date.now, version, ...machine });
    const fleet = new Fleet({ site, store, now: Date.now, agent });
    if (documents.length) site.documents.apply(documents, 'local');
    const server = await ApiServer.listen(
      socketPath(store.directory),
      contextOf({ site, fleet, agent, reset }, store, recent),
    );
    const manager = new ServiceManager(process.env, () => selfCheck(site, store));
    try {
      await Promise.race([announce(site, fleet, agent, manager), end.promise]);
      await end.promise;
    } finally {
      void manager.stopping();
      await server.close();
      agent.close();
      fleet.close();
      await site.stop(drainMs);
    }
  } finally {
    store.close();
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
  }
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
): ApiContext {
  const { site } = parts;
  return {
    ...parts,
    status: statusOf(site, store),
    selfCheck: async () => ({ routerMs: await selfCheck(site, store), database: store.check() }),
    log: () => recent.records,
    backup: (passphrase) => {
      const facts = { version, madeAt: new Date().toISOString(), site: site.facts.site };
      return store.backup(passphrase, facts);
    },
  };
}

function statusOf(site: Site, store: Store): () => ApiStatus {
  const startTime = new Date().toISOString();
  return () => ({
    site: site.facts,
    pid: process.pid,
    version,
    startTime,
    warnings: store.movedAside().map((path) => ({
      code: 'database-damaged',
      message: `the database was damaged and has been moved aside (${path})`,
      hint: 'Apply the documents again, and remove that file when it is of no more use',
    })),
  });
}
