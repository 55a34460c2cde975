/**
 * A running site: its documents, the router that carries them out, and what is to be said of both.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import type { PartState, RouterIdentity, Traffic } from '../router/protocol.ts';
import type { Store } from '../store/store.ts';
import type { Reason } from './conditions.ts';
import { type Change, Documents } from './documents.ts';
import { makePlan, nothing, type Plan, partKey } from './plan.ts';
import type { ReadDocument } from './read.ts';
import { Reconciler } from './reconciler.ts';
import { type RenderedDocument, type RenderOptions, render, renderForExport } from './render.ts';
import { type Kind, keyOf, type Origin, type Reference, type Resource } from './resources.ts';
import type { RouterPort } from './router.ts';
import type { View } from './status.ts';
import { Statuses } from './statuses.ts';

export interface SiteOptions {
  store: Store;
  version: string;
  startRouter: () => RouterPort;
  now: () => number;
  /** The router is gone: there is no way on for this process. */
  onFailure: (error: SkiffError) => void;
}

/** Which site this is; all null while it is unclaimed. */
export type SiteFacts =
  | { site: string; mode: RouterIdentity['mode']; id: string }
  | { site: null; mode: null; id: null };

export type SiteEvent =
  | ({ event: 'site' } & SiteFacts)
  | { event: 'document'; kind: Kind; name: string; action: Change['action'] }
  | { event: 'status'; kind: Kind; name: string; status: Reason; message: string };

/** How long a change waits for the router to try it, so that a status read right after it tells the outcome. */
const takeUpMs = 2_000;

export class Site {
  readonly documents: Documents;
  readonly #version: string;
  readonly #reconciler: Reconciler;
  readonly #statuses: Statuses;
  readonly #listeners = new Set<(event: SiteEvent) => void>();
  #plan: Plan = nothing;
  #measuring: Promise<Traffic[]> | null = null;

  constructor({ store, version, startRouter, now, onFailure }: SiteOptions) {
    this.documents = new Documents(store, now);
    this.#version = version;
    this.#statuses = new Statuses(now);
    this.#reconciler = new Reconciler(startRouter, { onStates: (states) => this.#onStates(states), onFailure });
  }

  /** Done when every access and listener has been tried once. */
  async start(): Promise<void> {
    await this.#carryOut();
  }

  async stop(withinMs: number): Promise<void> {
    await this.#reconciler.stop(withinMs);
  }

  get facts(): SiteFacts {
    const { identity } = this.#plan;
    return identity
      ? { site: identity.siteName, mode: identity.mode, id: identity.siteId }
      : { site: null, mode: null, id: null };
  }

  /** Acknowledged once on disk; then waits a little for it to take effect. */
  async apply(documents: ReadDocument[], origin: Origin): Promise<Change[]> {
    return this.#changed(this.documents.apply(documents, origin));
  }

  async delete(references: Reference[], origin: Origin): Promise<Change[]> {
    return this.#changed(this.documents.delete(references, origin));
  }

  list(kind: Kind, options: RenderOptions): RenderedDocument[] {
    return this.documents
      .all()
      .filter((resource) => resource.kind === kind)
      .map((resource) => this.#render(resource, options));
  }

  get(reference: Reference, options: RenderOptions): RenderedDocument | undefined {
    const resource = this.documents.get(reference);
    return resource && this.#render(resource, options);
  }

  export(options: RenderOptions): RenderedDocument[] {
    return this.documents.all().map((resource) => renderForExport(resource, this.documents.siteId, options));
  }

  /** What each document's part carries. All who ask at a time get one answer. */
  traffic(): Promise<Traffic[]> {
    this.#measuring ??= this.#reconciler.measure().finally(() => {
      this.#measuring = null;
    });
    return this.#measuring;
  }

  /** Hands back the way to end it. */
  subscribe(listener: (event: SiteEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #render(resource: Resource, options: RenderOptions): RenderedDocument {
    return render(resource, this.documents.siteId, this.#statuses.get(keyOf(resource)), options);
  }

  async #changed(changes: Change[]): Promise<Change[]> {
    const effective = changes.filter(({ action }) => action !== 'unchanged');
    if (effective.length === 0) return changes;
    for (const { kind, name, action } of effective) {
      log.info('site', `${kind} "${name}" ${action}`, { kind, name });
      this.#emit({ event: 'document', kind, name, action });
    }
    const patience = new AbortController();
    const overdue = sleep(takeUpMs, undefined, { signal: patience.signal }).catch(() => {});
    await Promise.race([this.#carryOut(), overdue]);
    patience.abort();
    return changes;
  }

  async #carryOut(): Promise<void> {
    const before = this.facts;
    const resources = this.documents.all();
    this.#plan = makePlan(resources, this.documents.siteId, this.#version);
    this.#statuses.retain(resources);
    this.#refresh(resources);
    const { facts } = this;
    await this.#reconciler.update(this.#plan);
    this.#refresh(this.documents.all());
    if (!isDeepStrictEqual(before, facts)) this.#emit({ event: 'site', ...facts });
  }

  #onStates(states: PartState[]): void {
    const concerned = new Set(states.map((state) => this.#plan.ownerOf.get(partKey(state))));
    this.#refresh(
      // The Site's own status shows the endpoints of its accesses.
      this.documents.all().filter((resource) => resource.kind === 'Site' || concerned.has(keyOf(resource))),
    );
  }

  #refresh(resources: Resource[]): void {
    const view: View = {
      resources: this.documents.all(),
      plan: this.#plan,
      states: this.#reconciler.states,
      running: isDeepStrictEqual(this.#reconciler.current.identity, this.#plan.identity),
    };
    for (const { kind, name } of this.#statuses.refresh(resources, view)) {
      const status = this.#statuses.get(keyOf({ kind, name }));
      if (status) this.#emit({ event: 'status', kind, name, status: status.status, message: status.message });
    }
  }

  #emit(event: SiteEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
