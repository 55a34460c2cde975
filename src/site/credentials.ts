/**
 * The certificates that a site issues to itself, and their keys: one for each Certificate among its documents, issued
 * when it is first asked for, and anew when it no longer says what the document does or two thirds of its life are over.
 */
import { X509Certificate } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { type ErrorFact, errorFact } from '../errors.ts';
import { log } from '../log.ts';
import type { TlsMaterial } from '../router/protocol.ts';
import type { StoredCredentials } from '../store/credentials.ts';
import type { Store } from '../store/store.ts';
import type { Authorities, Issuer } from './authorities.ts';
import { needsRenewal } from './lifetime.ts';
import type { Resource } from './resources.ts';

type Certificate = Resource<'Certificate'>;

export class Credentials {
  readonly #store: Store;
  readonly #authorities: Authorities;
  readonly #now: () => number;
  readonly #kept: Map<string, StoredCredentials>;
  /** The certificates of CAs, by name. */
  readonly #signing = new Map<string, string>();
  readonly #problems = new Map<string, ErrorFact>();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(store: Store, authorities: Authorities, now: () => number) {
    this.#store = store;
    this.#authorities = authorities;
    this.#now = now;
    this.#kept = new Map(store.credentials.all().map((each) => [each.name, each]));
  }

  get(name: string): TlsMaterial | undefined {
    const kept = this.#kept.get(name);
    return kept && { ca: kept.ca, certificate: kept.certificate, key: kept.key };
  }

  /** The certificate of a Certificate document, in PEM; undefined while it has not been issued. */
  certificate(name: string): string | undefined {
    return this.#signing.get(name) ?? this.#kept.get(name)?.certificate;
  }

  /** Why a certificate could not be issued. */
  problem(name: string): ErrorFact | undefined {
    return this.#problems.get(name);
  }

  /** Issues what is missing among the documents and lets go of what is no longer there. Says whether anything changed. */
  ensure(documents: Resource[]): Promise<boolean> {
    const work = this.#queue.then(() => this.#ensure(documents));
    this.#queue = work.catch(() => {});
    return work;
  }

  async #ensure(documents: Resource[]): Promise<boolean> {
    const wanted = documents.filter((document) => document.kind === 'Certificate');
    const outcomes = await Promise.all(wanted.map((certificate) => this.#attempt(certificate, documents)));
    this.#forget(wanted);
    return outcomes.some((changed) => changed);
  }

  async #attempt(certificate: Certificate, documents: Resource[]): Promise<boolean> {
    const { name } = certificate;
    const before = this.#problems.get(name);
    try {
      const changed = await this.#bring(certificate, documents);
      this.#problems.delete(name);
      return changed || before !== undefined;
    } catch (error) {
      const problem = errorFact(error);
      this.#problems.set(name, problem);
      return !isDeepStrictEqual(problem, before);
    }
  }

  async #bring({ name, spec }: Certificate, documents: Resource[]): Promise<boolean> {
    if (spec.signing) {
      const { certificate } = (await this.#authorities.get(name, documents)).authority;
      const changed = this.#signing.get(name) !== certificate;
      this.#signing.set(name, certificate);
      return changed;
    }
    const issuer = await this.#authorities.get(spec.ca as string, documents);
    const kept = this.#kept.get(name);
    if (kept && this.#stillGood(kept, spec, issuer)) {
      if (kept.ca === issuer.trust) return false;
      this.#keep({ ...kept, ca: issuer.trust });
      return true;
    }
    const { certificate, key } = await issuer.authority.issue({ commonName: spec.subject, hosts: spec.hosts ?? [] });
    const { trust: ca, chain, fingerprint: authority } = issuer;
    this.#keep({ name, ca, certificate: certificate + chain, key, subject: spec.subject, authority });
    log.info('pki', `issued the certificate "${name}"`, { name, ca: spec.ca });
    return true;
  }

  /** A certificate that names more hosts than it has to is as good. */
  #stillGood(kept: StoredCredentials, spec: Certificate['spec'], issuer: Issuer): boolean {
    const certificate = new X509Certificate(kept.certificate);
    const names = new Set((certificate.subjectAltName ?? '').split(', '));
    return (
      kept.authority === issuer.fingerprint &&
      kept.subject === spec.subject &&
      (spec.hosts ?? []).every((host) => names.has(`DNS:${host}`)) &&
      !needsRenewal(certificate, this.#now())
    );
  }

  #keep(credentials: StoredCredentials): void {
    this.#store.transaction(() => this.#store.credentials.put(credentials));
    this.#kept.set(credentials.name, credentials);
  }

  #forget(wanted: Certificate[]): void {
    const names = new Set(wanted.map(({ name }) => name));
    const gone = [...this.#kept.keys()].filter((name) => !names.has(name));
    if (gone.length > 0) {
      this.#store.transaction(() => {
        for (const name of gone) this.#store.credentials.remove(name);
      });
    }
    for (const name of gone) this.#kept.delete(name);
    for (const name of [...this.#signing.keys(), ...this.#problems.keys()]) {
      if (!names.has(name)) {
        this.#signing.delete(name);
        this.#problems.delete(name);
      }
    }
  }
}
