/**
 * Redeeming a token: a key is made here and kept before anything is asked, so that asking again after a lost answer is
 * asking for the same. What comes back are documents: a Secret and Links.
 */
import { createHash } from 'node:crypto';
import { ask } from '../enrol/client.ts';
import { SkiffError } from '../errors.ts';
import type { JsonObject } from '../store/documents.ts';
import type { Store } from '../store/store.ts';
import type { Change, Documents } from './documents.ts';
import { routerId } from './plan.ts';
import { type ReadDocument, readDocuments } from './read.ts';
import type { AccessTokenSpec } from './resources.ts';
import { isObject } from './schema.ts';

export interface Token {
  name: string;
  spec: AccessTokenSpec;
}

export class Redeemer {
  readonly #store: Store;
  readonly #documents: Documents;
  readonly #now: () => number;
  readonly #onRenewable: (secret: string, url: string, ca: string) => void;

  /** `onRenewable`: a Secret came with the place where its certificate is renewed. */
  constructor(
    store: Store,
    documents: Documents,
    now: () => number,
    onRenewable: (secret: string, url: string, ca: string) => void,
  ) {
    this.#store = store;
    this.#onRenewable = onRenewable;
    this.#documents = documents;
    this.#now = now;
  }

  redeemed(spec: AccessTokenSpec): boolean {
    return typeof this.#store.redemptions.get(digest(spec))?.redeemedAt === 'number';
  }

  /** The documents that it is worth, applied; they are there, and the token is used up, in one step. */
  async redeem({ name, spec }: Token): Promise<Change[]> {
    const { site, siteId } = this.#documents;
    if (!site || siteId === undefined) {
      throw new SkiffError('no-site', 'A site must be active before a token can be redeemed', { hint: 'Apply a Site' });
    }
    const token = digest(spec);
    const key = await this.#keyFor(token);
    const { requestFor } = await import('../pki/request.ts');
    // Only an edge's certificate can be bound to its router: such are refused where interior routers link.
    const device = site.spec.edge ? routerId(site.name, siteId) : '';
    const answer = await ask({
      url: spec.url,
      ca: spec.ca,
      body: spec.code,
      headers: { name, subject: site.name },
      signingRequest: await requestFor(key, device),
      now: this.#now(),
    });
    const documents = await documentsIn(answer.text, key, spec.url, spec.linkCost ?? 0);
    const secret = documents.find(({ kind }) => kind === 'Secret')?.name ?? name;
    const { renewalUrl } = answer;
    return this.#documents.apply(documents, 'local', () => {
      this.#store.redemptions.put({ token, key, redeemedAt: this.#now() });
      if (renewalUrl !== null) this.#onRenewable(secret, renewalUrl, spec.ca);
    });
  }

  async #keyFor(token: string): Promise<string> {
    const known = this.#store.redemptions.get(token);
    if (known) return known.key;
    const { newKey } = await import('../pki/request.ts');
    const key = await newKey();
    this.#store.transaction(() => this.#store.redemptions.put({ token, key, redeemedAt: null }));
    return key;
  }
}

/** By this a token is known, whatever it is called. */
function digest({ url, code }: AccessTokenSpec): string {
  return createHash('sha256').update(`${url}\n${code}`).digest('hex');
}

/** The documents of an answer, completed with the key that never left here. */
export async function documentsIn(text: string, key: string, url: string, cost: number): Promise<ReadDocument[]> {
  const { parseDocuments } = await import('./parse.ts');
  const { documents, problems } = parseDocuments({ name: `the answer of ${url}`, text });
  const values = documents.map(({ value }) => completed(value, key, cost));
  const kinds = values.map(({ kind }) => String(kind));
  if (problems.length > 0 || kinds.filter((kind) => kind === 'Secret').length !== 1 || !kinds.includes('Link')) {
    throw new SkiffError('bad-answer', `${url}: the answer is not one Secret and Links`, {
      hint: 'Is it the site that issued the token?',
    });
  }
  return readDocuments([{ name: `the answer of ${url}`, text: JSON.stringify(values) }]);
}

/** With the key that never left here, and the cost that the token asks for. */
function completed(value: JsonObject, key: string, cost: number): JsonObject {
  const { kind, data, spec } = value;
  if (kind === 'Secret' && isObject(data) && data['tls.key'] === undefined) {
    return { ...value, data: { ...data, 'tls.key': btoa(key) } };
  }
  return kind === 'Link' && isObject(spec) && cost > 0 ? { ...value, spec: { ...spec, cost } } : value;
}

/** What is to be redeemed; throws when there is something else, or nothing. */
export function tokensAmong(documents: ReadDocument[]): Token[] {
  const other = documents.find(({ kind }) => kind !== 'AccessToken');
  if (other) {
    throw new SkiffError('bad-token', `${other.kind} "${other.name}" is no AccessToken (${other.place([])})`, {
      hint: 'skiff apply takes other documents',
    });
  }
  return documents.map(({ name, spec }) => ({ name, spec: spec as unknown as AccessTokenSpec }));
}
