/**
 * The statuses of a running site's documents, brought up to date as the router speaks.
 */
import { log } from '../log.ts';
import { makeStatus, type Status } from './conditions.ts';
import { keyOf, type Resource, type ResourceKey } from './resources.ts';
import { findingsOf, type View, withoutReady } from './status.ts';

export class Statuses {
  readonly #statuses = new Map<ResourceKey, Status>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  get(key: ResourceKey): Status | undefined {
    return this.#statuses.get(key);
  }

  /** Judges these documents anew; hands back those of which something else is to be said than before. */
  refresh(resources: Resource[], view: View): Resource[] {
    return resources.filter((resource) => {
      const before = this.#statuses.get(keyOf(resource));
      const judged = findingsOf(resource, view);
      if (!judged) return false;
      const { findings, required, details } = judged;
      const { kind, generation } = resource;
      const about = { generation, hasReady: !withoutReady.has(kind) };
      const after = makeStatus({ findings, required, details }, about, before, this.#now());
      this.#statuses.set(keyOf(resource), after);
      const changed = after.status !== before?.status || after.message !== before.message;
      if (changed && after.status === 'Error') complain(resource, after);
      return changed;
    });
  }

  /** Forgets what is no longer among the documents. */
  retain(resources: Resource[]): void {
    const keys = new Set(resources.map(keyOf));
    for (const key of this.#statuses.keys()) if (!keys.has(key)) this.#statuses.delete(key);
  }
}

function complain({ kind, name }: Resource, status: Status): void {
  log.error('site', `${kind} "${name}": ${status.message}`, { kind, name });
}
