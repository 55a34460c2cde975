/**
 * Certificates that other sites gave to this one, and that it renews: after two thirds of their life, a little earlier
 * or later so that not all come at once. The new key is kept before it is asked for, and the old pair until the new
 * one has carried a link.
 */
import { X509Certificate } from 'node:crypto';
import { ask } from '../enrol/client.ts';
import { errorFact, SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { fingerprintOf } from '../pki/fingerprint.ts';
import type { LinkState, TlsMaterial } from '../router/protocol.ts';
import type { StoredRenewal } from '../store/renewals.ts';
import type { Store } from '../store/store.ts';
import type { Change, Documents } from './documents.ts';
import { renewalTime } from './lifetime.ts';
import { documentsIn } from './redeemer.ts';
import type { Origin, Resource } from './resources.ts';
import { tlsMaterial } from './secret.ts';

/** After a failure, in milliseconds: doubled each time. */
const backoffFirst = 60_000;
const backoffLast = 6 * 60 * 60_000;
/** Between two tries when it has expired. */
const afterExpiry = 30_000;
/** Of the time until the expiry, how far a renewal is moved at most. */
const jitter = 0.2;

export interface RenewalsOptions {
  store: Store;
  documents: Documents;
  now: () => number;
  random: () => number;
  onRenewed: (changes: Change[]) => void;
}

interface Plan {
  /** Of the certificate this is about. */
  fingerprint: string;
  dueAt: number;
  failures: number;
  triedAt: number | null;
}

export class Renewals {
  readonly #options: RenewalsOptions;
  readonly #plans = new Map<string, Plan>();
  readonly #kept: Map<string, StoredRenewal>;
  #running = false;
  #closed = false;
  /** Until the next try of what has expired: whoever waits for approval must not wait for the link's next try, too. */
  #again: NodeJS.Timeout | null = null;

  constructor(options: RenewalsOptions) {
    this.#options = options;
    this.#kept = new Map(options.store.renewals.all().map((each) => [each.secret, each]));
  }

  /** Notes where a Secret's certificate is renewed; to be called in the step in which the Secret is written. */
  note(secret: string, url: string, ca: string): void {
    const renewal = { secret, url, ca, key: null, previous: null };
    this.#options.store.renewals.put(renewal);
    this.#kept.set(secret, renewal);
  }

  /** The pair that a Secret's own renews, while that has not been used. */
  previous(secret: string): TlsMaterial | undefined {
    const text = this.#kept.get(secret)?.previous;
    return text ? (JSON.parse(text) as TlsMaterial) : undefined;
  }

  /** Whether a link has shown that a new certificate works; then the one before is let go of. */
  onLinks(states: LinkState[], documents: Resource[]): boolean {
    let changed = false;
    for (const { name, certificate } of states) {
      const link = documents.find((document) => document.kind === 'Link' && document.name === name);
      const secret = (link as Resource<'Link'> | undefined)?.spec.tlsCredentials ?? '';
      const kept = this.#kept.get(secret);
      if (!kept?.previous || certificate === null || certificate !== this.#current(secret)?.fingerprint) continue;
      this.#keep({ ...kept, previous: null });
      log.info('pki', `the renewed certificate of Secret "${secret}" is in use`, { name: secret });
      changed = true;
    }
    return changed;
  }

  /** Renews all there is, due or not; says which could not be. */
  async renewAll(): Promise<string[]> {
    const plans = [...this.#kept.keys()].flatMap((secret) => {
      const plan = this.#planFor(secret);
      return plan ? [{ secret, plan, failures: plan.failures }] : [];
    });
    for (const { plan } of plans) plan.dueAt = this.#options.now();
    await this.renewDue();
    return plans.filter(({ plan, failures }) => plan.failures > failures).map(({ secret }) => secret);
  }

  /** Renews what is due, one after the other. */
  async renewDue(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      for (const renewal of [...this.#kept.values()]) {
        const plan = this.#planFor(renewal.secret);
        if (plan && plan.dueAt <= this.#options.now()) await this.#renew(renewal, plan);
      }
    } finally {
      this.#running = false;
    }
  }

  /** What has expired is renewed without waiting for its turn, a little while after the last try. */
  async renewExpired(): Promise<void> {
    for (const plan of this.#expired()) plan.dueAt = Math.min(plan.dueAt, (plan.triedAt ?? 0) + afterExpiry);
    await this.renewDue();
    if (this.#closed || this.#expired().length === 0) return;
    clearTimeout(this.#again ?? undefined);
    this.#again = setTimeout(() => void this.renewExpired(), afterExpiry);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#again ?? undefined);
  }

  #expired(): Plan[] {
    return [...this.#kept.keys()].flatMap((secret) => {
      const plan = this.#planFor(secret);
      const expires = this.#current(secret)?.certificate.validToDate.getTime() ?? Number.POSITIVE_INFINITY;
      return plan && expires <= this.#options.now() ? [plan] : [];
    });
  }

  #planFor(secret: string): Plan | undefined {
    const current = this.#current(secret);
    if (!current) return undefined;
    const known = this.#plans.get(secret);
    if (known?.fingerprint === current.fingerprint) return known;
    const due = renewalTime(current.certificate);
    const left = current.certificate.validToDate.getTime() - due;
    const dueAt = due + left * jitter * (this.#options.random() - 0.5);
    const plan = { fingerprint: current.fingerprint, dueAt, failures: 0, triedAt: null };
    this.#plans.set(secret, plan);
    return plan;
  }

  #current(
    secret: string,
  ): { certificate: X509Certificate; fingerprint: string; material: TlsMaterial; origin: Origin } | undefined {
    const document = this.#options.documents.get({ kind: 'Secret', name: secret }) as Resource<'Secret'> | undefined;
    const material = document && tlsMaterial(document.spec);
    if (!document || !material?.certificate) return undefined;
    const certificate = new X509Certificate(material.certificate);
    return { certificate, fingerprint: fingerprintOf(material.certificate), material, origin: document.origin };
  }

  async #renew(renewal: StoredRenewal, plan: Plan): Promise<void> {
    const { documents, now, onRenewed } = this.#options;
    const { secret, url } = renewal;
    const current = this.#current(secret);
    if (!current) return;
    plan.triedAt = now();
    try {
      const key = renewal.key ?? (await this.#newKey(renewal));
      const { requestFor } = await import('../pki/request.ts');
      const { certificate = '', key: oldKey = '' } = current.material;
      const answer = await ask({
        url,
        ca: renewal.ca,
        body: '',
        headers: { name: secret },
        signingRequest: await requestFor(key, ''),
        certificate,
        key: oldKey,
        now: now(),
      });
      const fresh = (await documentsIn(answer.text, key, url, 0)).filter(({ kind }) => kind === 'Secret');
      if (this.#current(secret)?.fingerprint !== plan.fingerprint) return;
      const next = { ...renewal, key: null, previous: JSON.stringify(current.material) };
      const changes = documents.apply(fresh, current.origin, () => this.#options.store.renewals.put(next));
      this.#kept.set(secret, next);
      log.info('pki', `renewed the certificate of Secret "${secret}"`, { name: secret });
      onRenewed(changes);
    } catch (error) {
      plan.failures++;
      const pause = Math.min(backoffLast, backoffFirst * 2 ** Math.min(plan.failures - 1, 12));
      plan.dueAt = now() + pause * (0.5 + this.#options.random());
      const { code, message } = errorFact(error);
      log.warn('pki', `the certificate of Secret "${secret}" was not renewed: ${message}`, { name: secret, code });
      if (!(error instanceof SkiffError)) throw error;
    }
  }

  /** Kept first: should the answer be lost, the same is asked for again. */
  async #newKey(renewal: StoredRenewal): Promise<string> {
    const { newKey } = await import('../pki/request.ts');
    const key = await newKey();
    this.#keep({ ...renewal, key });
    return key;
  }

  #keep(renewal: StoredRenewal): void {
    this.#options.store.transaction(() => this.#options.store.renewals.put(renewal));
    this.#kept.set(renewal.secret, renewal);
  }
}
