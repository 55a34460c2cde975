/**
 * The documents of a site: what is applied is judged together with what is there, then written in one transaction.
 * It serves a running site and a stopped one alike.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { type ErrorFact, SkiffError } from '../errors.ts';
import type { Store } from '../store/store.ts';
import { derive } from './derived.ts';
import { DocumentsError } from './problems.ts';
import type { ReadDocument } from './read.ts';
import { keyOf, type Origin, type Reference, type Resource, type ResourceKey } from './resources.ts';
import { judgeChange, judgeSet } from './rules.ts';

export interface Change extends Reference {
  action: 'added' | 'changed' | 'unchanged' | 'deleted';
}

const owners: Record<Origin, string> = {
  local: 'this site itself',
  fleet: 'the fleet controller',
  link: 'the other end of a link',
};

export class Documents {
  readonly #store: Store;
  readonly #now: () => number;
  #resources: ReadonlyMap<ResourceKey, Resource>;
  #siteId: string | undefined;

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
    // Every document was validated before it was written, which is what its type says.
    const stored = store.documents.all() as unknown as Resource[];
    this.#resources = inOrder(stored);
    this.#siteId = store.facts.get('site-id');
  }

  /** The UUID of the site: made with its first Site document and kept for life, whatever becomes of that document. */
  get siteId(): string | undefined {
    return this.#siteId;
  }

  get site(): Resource<'Site'> | undefined {
    return this.all().find((resource) => resource.kind === 'Site');
  }

  all(): Resource[] {
    return [...this.#resources.values()];
  }

  get(reference: Reference): Resource | undefined {
    return this.#resources.get(keyOf(reference));
  }

  /** Adds and changes, all or none; nothing is taken away. `along` is written in the same step. */
  apply(documents: ReadDocument[], origin: Origin, along: () => void = () => {}): Change[] {
    return this.#write(documents, [], origin, along);
  }

  /** Makes these all that there is of an origin, but for those to `keep`; all or none. */
  replace(
    documents: ReadDocument[],
    origin: Origin,
    keep: (document: Resource) => boolean,
    along: () => void,
  ): Change[] {
    const named = new Set(documents.map(keyOf));
    const gone = this.all().filter((each) => each.origin === origin && !named.has(keyOf(each)) && !keep(each));
    return this.#write(documents, gone, origin, along);
  }

  /** As `replace`, with the Site's `uid` as the identity from now on, whatever it was before. */
  become(documents: ReadDocument[], origin: Origin, along: () => void): Change[] {
    const before = this.#siteId;
    this.#siteId = undefined;
    try {
      return this.replace(documents, origin, () => false, along);
    } catch (error) {
      this.#siteId = before;
      throw error;
    }
  }

  #write(documents: ReadDocument[], gone: Resource[], origin: Origin, along: () => void): Change[] {
    const result = new Map(this.#resources);
    const changes: Change[] = gone.map(({ kind, name }) => ({ kind, name, action: 'deleted' }));
    for (const { kind, name } of gone) result.delete(keyOf({ kind, name }));
    const problems: ErrorFact[] = [];
    const places = new Map(documents.map((document) => [keyOf(document), document]));
    for (const document of documents) {
      const before = this.get(document);
      const after = this.#resourceOf(document, before, origin);
      const action = !before ? 'added' : after === before ? 'unchanged' : 'changed';
      if (before && before.origin !== origin && action !== 'unchanged') problems.push(ownedByOther(before));
      problems.push(...judgeChange(before, after, places));
      result.set(keyOf(after), after);
      changes.push({ kind: document.kind, name: document.name, action });
    }
    problems.push(...judgeSet(derive([...result.values()], []), places), ...this.#judgeIdentity(documents));
    if (problems.length) throw new DocumentsError(problems);

    const newSite = documents.find(({ kind }) => kind === 'Site');
    const siteId = this.#siteId ?? (newSite && (newSite.uid ?? randomUUID()));
    this.#store.transaction(() => {
      if (siteId !== undefined && siteId !== this.#siteId) this.#store.facts.set('site-id', siteId);
      for (const { kind, name, action } of changes) {
        if (action === 'deleted') this.#store.documents.remove(kind, name);
        else if (action !== 'unchanged') this.#store.documents.put(result.get(keyOf({ kind, name })) as never);
      }
      along();
    });
    this.#resources = inOrder([...result.values()]);
    this.#siteId = siteId;
    return changes;
  }

  /** Takes the documents away, all or none. */
  delete(references: Reference[], origin: Origin): Change[] {
    const result = new Map(this.#resources);
    const problems: ErrorFact[] = [];
    const missing: string[] = [];
    for (const reference of references) {
      const before = this.get(reference);
      if (!before) missing.push(`${reference.kind} "${reference.name}"`);
      else if (before.origin !== origin) problems.push(ownedByOther(before));
      result.delete(keyOf(reference));
    }
    if (missing.length) {
      throw new SkiffError('not-found', `there is no ${missing.join(', no ')}`, { hint: 'Nothing was changed' });
    }
    if (problems.length) throw new DocumentsError(problems);
    this.#store.transaction(() => {
      for (const { kind, name } of references) this.#store.documents.remove(kind, name);
    });
    this.#resources = result;
    return references.map(({ kind, name }) => ({ kind, name, action: 'deleted' }));
  }

  /** `before` itself when the document says nothing new. */
  #resourceOf(document: ReadDocument, before: Resource | undefined, origin: Origin): Resource {
    const { kind, name, apiVersion, labels, annotations, spec } = document;
    const sameSpec = before !== undefined && isDeepStrictEqual(before.spec, spec);
    const sameLabels = isDeepStrictEqual([before?.labels, before?.annotations], [labels, annotations]);
    if (sameSpec && sameLabels) return before;
    const now = this.#now();
    return {
      kind,
      name,
      apiVersion,
      labels,
      annotations,
      spec,
      origin,
      generation: (before?.generation ?? 0) + (sameSpec ? 0 : 1),
      createdAt: before?.createdAt ?? now,
      updatedAt: now,
    } as unknown as Resource;
  }

  #judgeIdentity(documents: ReadDocument[]): ErrorFact[] {
    return documents
      .filter(({ kind, uid }) => kind === 'Site' && uid && this.#siteId && uid !== this.#siteId)
      .map(({ name, uid, place }) => ({
        code: 'conflict',
        message: `Site "${name}": this site is ${this.#siteId} for life and cannot become ${uid} (${place(['metadata', 'uid'])})`,
        hint: 'Leave metadata.uid out, or use another data directory',
      }));
  }
}

/** By kind and name, as the database has them. */
function inOrder(resources: Resource[]): ReadonlyMap<ResourceKey, Resource> {
  const entries = resources.map((resource) => [keyOf(resource), resource] as const);
  return new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function ownedByOther({ kind, name, origin }: Resource): ErrorFact {
  return {
    code: 'wrong-origin',
    message: `${kind} "${name}" is owned by ${owners[origin]} (origin "${origin}")`,
    hint: 'Change it there',
  };
}
