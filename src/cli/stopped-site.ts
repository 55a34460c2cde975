/**
 * The documents of a site that is not running, straight from its database.
 */
import { statSync } from 'node:fs';
import { SkiffError } from '../errors.ts';
import type { Change } from '../site/documents.ts';
import { Documents } from '../site/documents.ts';
import { readDocuments } from '../site/read.ts';
import { Redeemer, tokensAmong } from '../site/redeemer.ts';
import { type RenderedDocument, type RenderOptions, render, renderForExport } from '../site/render.ts';
import type { Kind, Reference, Resource } from '../site/resources.ts';
import type { Source } from '../site/sources.ts';
import { Store } from '../store/store.ts';
import { version } from '../version.ts';
import type { AccessOptions, SiteAccess } from './site-access.ts';

export function openStoppedSite(
  { directory, command, create }: AccessOptions,
  waitMs: number,
): SiteAccess & Disposable {
  if (!create && !Store.exists(directory)) {
    throw new SkiffError('not-running', `there is no site (${directory})`, {
      hint: 'Say where it is with --data, or make one with skiff apply',
    });
  }
  becomeOwner(directory);
  return new StoppedSite(Store.open(directory, { command, waitMs }));
}

/** Files that root makes in the directory of a service would be closed to that service: root acts as its user. */
function becomeOwner(directory: string): void {
  const owner = process.getuid?.() === 0 ? statSync(directory, { throwIfNoEntry: false }) : undefined;
  if (!owner || owner.uid === 0) return;
  process.setgroups?.([owner.gid]);
  process.setgid?.(owner.gid);
  process.setuid?.(owner.uid);
}

const status = { status: 'Pending', message: 'The site is not running' } as const;

class StoppedSite implements SiteAccess, Disposable {
  readonly running = false;
  readonly #store: Store;
  readonly #documents: Documents;

  constructor(store: Store) {
    this.#store = store;
    this.#documents = new Documents(store, Date.now);
  }

  async list(kind: Kind, options: RenderOptions): Promise<RenderedDocument[]> {
    const resources = this.#documents.all().filter((resource) => resource.kind === kind);
    return resources.map((resource) => this.#render(resource, options));
  }

  async get(reference: Reference, options: RenderOptions): Promise<RenderedDocument> {
    const resource = this.#documents.get(reference);
    if (!resource) throw new SkiffError('not-found', `there is no ${reference.kind} "${reference.name}"`);
    return this.#render(resource, options);
  }

  async export(options: RenderOptions): Promise<RenderedDocument[]> {
    return this.#documents.all().map((resource) => renderForExport(resource, this.#documents.siteId, options));
  }

  async apply(sources: Source[]): Promise<Change[]> {
    return this.#documents.apply(readDocuments(sources), 'local');
  }

  async redeem(sources: Source[]): Promise<Change[]> {
    const redeemer = new Redeemer(this.#store, this.#documents, Date.now, (secret, url, ca) =>
      this.#store.renewals.put({ secret, url, ca, key: null, previous: null }),
    );
    const changes: Change[] = [];
    for (const token of tokensAmong(readDocuments(sources))) changes.push(...(await redeemer.redeem(token)));
    return changes;
  }

  async delete(references: Reference[]): Promise<Change[]> {
    return this.#documents.delete(references, 'local');
  }

  async backup(passphrase: string): Promise<Buffer> {
    const facts = { version, madeAt: new Date().toISOString(), site: this.#documents.site?.name ?? null };
    return this.#store.backup(passphrase, facts);
  }

  [Symbol.dispose](): void {
    this.#store.close();
  }

  #render(resource: Resource, options: RenderOptions): RenderedDocument {
    const shown = resource.kind === 'Secret' ? undefined : status;
    return render(resource, this.#documents.siteId, shown, options);
  }
}
