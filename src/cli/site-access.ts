/**
 * A site's documents for a command: through the local API of a running site, through the database of a stopped one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from '../api/client.ts';
import { SkiffError } from '../errors.ts';
import type { Change } from '../site/documents.ts';
import type { RenderedDocument, RenderOptions } from '../site/render.ts';
import type { Kind, Reference } from '../site/resources.ts';
import type { Source } from '../site/sources.ts';

export interface SiteAccess {
  /** Whether there is a process behind it, and statuses that mean something. */
  readonly running: boolean;
  list(kind: Kind, options: RenderOptions): Promise<RenderedDocument[]>;
  get(reference: Reference, options: RenderOptions): Promise<RenderedDocument>;
  export(options: RenderOptions): Promise<RenderedDocument[]>;
  apply(sources: Source[]): Promise<Change[]>;
  redeem(sources: Source[]): Promise<Change[]>;
  delete(references: Reference[]): Promise<Change[]>;
  /** Everything the site keeps, encrypted. */
  backup(passphrase: string): Promise<Buffer>;
}

export interface AccessOptions {
  directory: string;
  /** Who holds the database of a stopped site meanwhile. */
  command: string;
  /** Whether the command makes a data directory where there is none. */
  create?: boolean;
}

/** How long a site may take from holding its database to answering, or another command to let go of it. */
const patienceMs = 5_000;
const lockWaitMs = 100;

export async function withSite<T>(options: AccessOptions, work: (site: SiteAccess) => Promise<T>): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const client = await runningSite(options.directory);
    if (client) return work(client);
    const { openStoppedSite } = await import('./stopped-site.ts');
    try {
      using site = openStoppedSite(options, lockWaitMs);
      return await work(site);
    } catch (error) {
      // Whoever holds the database may be a site that is about to answer.
      const held = error instanceof SkiffError && error.code === 'data-held';
      if (!held || performance.now() > deadline) throw error;
      await sleep(lockWaitMs);
    }
  }
}

async function runningSite(directory: string): Promise<ApiClient | undefined> {
  const client = new ApiClient(directory);
  try {
    await client.status();
    return client;
  } catch (error) {
    if (error instanceof SkiffError && error.code === 'not-running') return undefined;
    throw error;
  }
}
