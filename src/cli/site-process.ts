/**
 * The parts of a running site, put together: who needs whom is said here and nowhere else.
 */
import type { ApiStatus } from '../api/messages.ts';
import type { ApiContext } from '../api/routes.ts';
import { ApiServer } from '../api/server.ts';
import { socketPath } from '../api/socket.ts';
import { Clock } from '../clock.ts';
import { ClaimForm } from '../console/claim-form.ts';
import { pagesOf } from '../console/pages.ts';
import { ConsoleServer, type HttpAddress } from '../console/server.ts';
import type { SkiffError } from '../errors.ts';
import { Agent, type AgentOptions } from '../fleet/agent.ts';
import { Fleet } from '../fleet/fleet.ts';
import type { RecentLog } from '../health/recent-log.ts';
import { ServiceManager } from '../health/service-manager.ts';
import { ThreadWatch } from '../health/thread.ts';
import { log } from '../log.ts';
import type { Change } from '../site/documents.ts';
import type { ReadDocument } from '../site/read.ts';
import { startRouterThread } from '../site/router.ts';
import { selfCheck } from '../site/self-check.ts';
import { Site } from '../site/site.ts';
import type { Store } from '../store/store.ts';
import { buildTime, version } from '../version.ts';

/** What the contract gives for ending, less what is left to do after the router. */
const drainMs = 4_500;

export interface SiteProcessOptions {
  store: Store;
  /** Applied before anything begins. */
  documents: ReadDocument[];
  /** Reads the documents of --apply again. */
  reread: () => Promise<ReadDocument[]>;
  machine: Pick<AgentOptions, 'places' | 'identity'>;
  recent: RecentLog;
  address: HttpAddress | null;
  claimForm: boolean;
}

export class SiteProcess {
  readonly #options: SiteProcessOptions;
  readonly #end = Promise.withResolvers<void>();
  readonly #startTime = new Date().toISOString();
  readonly #watch = new ThreadWatch();
  readonly #clock: Clock;
  readonly #site: Site;
  readonly #agent: Agent;
  readonly #fleet: Fleet;
  readonly #http: ConsoleServer | null;
  readonly #manager: ServiceManager;
  #server: ApiServer | null = null;

  constructor(options: SiteProcessOptions) {
    this.#options = options;
    // Whoever waits for the end hears of a failure; it may come before anybody does.
    this.#end.promise.catch(() => {});
    const { store, documents, machine } = options;
    this.#clock = new Clock(Math.max(buildTime, store.facts.lastTime()));
    const { now } = this.#clock;
    const onFailure = (error: SkiffError) => this.#fail(error);
    this.#site = new Site({ store, version, startRouter: startRouterThread, now, onFailure });
    this.#clock.onCorrection = () => this.#site.setClock(now());
    if (this.#clock.isCorrected) this.#site.setClock(now());
    this.#agent = new Agent({ site: this.#site, store, now, clock: this.#clock, version, ...machine });
    this.#fleet = new Fleet({ site: this.#site, store, now, agent: this.#agent });
    if (documents.length) this.#site.documents.apply(documents, 'local');
    this.#http = this.#console();
    this.#manager = new ServiceManager(process.env, () => selfCheck(this.#site, store));
  }

  /** Resolves when the process may end; rejects when it has to. */
  get ended(): Promise<void> {
    return this.#end.promise;
  }

  end(): void {
    this.#end.resolve();
  }

  /** Done when everything has been tried once and the ready line is out. */
  async start(): Promise<void> {
    this.#server = await ApiServer.listen(socketPath(this.#options.store.directory), this.#context());
    await this.#http?.open();
    await Promise.race([this.#announce(), this.ended]);
  }

  /** Adds and changes what the files say by now; as at the start, nothing is taken away. */
  async reload(): Promise<Change[]> {
    const changes = await this.#site.apply(await this.#options.reread(), 'local');
    log.info('run', 'reloaded', { changed: changes.filter(({ action }) => action !== 'unchanged').length });
    return changes;
  }

  async close(): Promise<void> {
    void this.#manager.stopping();
    this.#watch.close();
    this.#agent.close();
    this.#fleet.close();
    await Promise.all([this.#server?.close(), this.#http?.close()]);
    await this.#site.stop(drainMs);
  }

  #fail(error: SkiffError): void {
    const { stack } = error.cause instanceof Error ? error.cause : error;
    log.error('run', error.message, { code: error.code, stack });
    this.#end.reject(error);
  }

  #reset(): void {
    log.warn('run', 'everything is wiped');
    this.#options.store.wipe();
    this.end();
  }

  /** The ready line, once everything has been tried, and from then on whenever another site comes to be. */
  async #announce(): Promise<void> {
    await this.#site.start();
    this.#fleet.start();
    const { facts } = this.#site;
    void this.#manager.ready(facts.site ?? 'no site yet');
    emit({ event: 'ready', ...facts, pid: process.pid });
    this.#site.subscribe((event) => {
      if (event.event === 'site') emit(event);
    });
    this.#agent.start();
  }

  #console(): ConsoleServer | null {
    const { address, claimForm, store, recent } = this.#options;
    if (!address) return null;
    const { now } = this.#clock;
    const status = {
      site: this.#site,
      device: () => this.#agent.facts,
      controller: () => this.#fleet.membership,
      log: () => recent.records,
      warnings: () => this.#status().warnings,
      ...{ version, startedAt: now(), now },
    };
    const form = claimForm ? formOf(this.#agent) : null;
    return new ConsoleServer(address, pagesOf({ site: this.#site, store, watch: this.#watch, form, status }));
  }

  #context(): ApiContext {
    const { store, recent } = this.#options;
    const site = this.#site;
    return {
      site,
      fleet: this.#fleet,
      agent: this.#agent,
      status: () => this.#status(),
      reload: () => this.reload(),
      reset: () => this.#reset(),
      selfCheck: async () => ({ routerMs: await selfCheck(site, store), database: store.check() }),
      log: () => recent.records,
      backup: (passphrase) => {
        const facts = { version, madeAt: new Date().toISOString(), site: site.facts.site };
        return store.backup(passphrase, facts);
      },
    };
  }

  #status(): ApiStatus {
    const http = this.#http?.state ?? null;
    const damaged = this.#options.store.movedAside().map((path) => ({
      code: 'database-damaged',
      message: `the database was damaged and has been moved aside (${path})`,
      hint: 'Apply the documents again, and remove that file when it is of no more use',
    }));
    const { facts: site } = this.#site;
    const warnings = [...damaged, ...(http?.error ? [http.error] : [])];
    return { site, pid: process.pid, version, startTime: this.#startTime, http, warnings };
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

function emit(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}
