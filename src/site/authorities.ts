/**
 * The CAs of a site: those that a Secret supplies, and those that it makes when they are first needed, and keeps.
 */
import { Authority } from '../pki/authority.ts';
import { fingerprintOf } from '../pki/fingerprint.ts';
import type { StoredAuthority } from '../store/authorities.ts';
import type { Store } from '../store/store.ts';
import type { Resource } from './resources.ts';
import { tlsMaterial } from './secret.ts';

/** A CA that can issue. */
export interface Issuer {
  authority: Authority;
  /** SHA-256 of its certificate. */
  fingerprint: string;
  /** PEM: itself, and those before it that are still believed. */
  trust: string;
  /** PEM: what a server shows behind its own certificate, for peers that know only the CA before. */
  chain: string;
}

export class Authorities {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #pending = new Map<string, Promise<Issuer>>();

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** The CA of that name, made now if there is none; `documents` may hold a Secret that takes its place. */
  async get(name: string, documents: Resource[]): Promise<Issuer> {
    const secret = documents.find((document) => document.kind === 'Secret' && document.name === name);
    if (secret) return this.#supplied(secret as Resource<'Secret'>);
    // Two that need it at the same time must not make two.
    const pending =
      this.#pending.get(name) ?? this.#own(name, subjectOf(name, documents)).finally(() => this.#pending.delete(name));
    this.#pending.set(name, pending);
    return pending;
  }

  async #supplied(secret: Resource<'Secret'>): Promise<Issuer> {
    const { certificate = '', key = '' } = tlsMaterial(secret.spec);
    const authority = await Authority.from(certificate, key, this.#now);
    return { authority, fingerprint: fingerprintOf(certificate), trust: certificate, chain: '' };
  }

  async #own(name: string, subject: string): Promise<Issuer> {
    const kept = this.#store.authorities.named(name);
    if (kept.length > 0 && kept[0].retiredAt === null) return this.#issuer(kept);
    const authority = await Authority.create(subject, this.#now);
    const stored: StoredAuthority = {
      fingerprint: fingerprintOf(authority.certificate),
      name,
      certificate: authority.certificate,
      key: authority.key,
      crossCertificate: null,
      createdAt: this.#now(),
      retiredAt: null,
    };
    this.#store.transaction(() => this.#store.authorities.put(stored));
    return this.#issuer([stored]);
  }

  async #issuer([own, ...before]: StoredAuthority[]): Promise<Issuer> {
    return {
      authority: await Authority.from(own.certificate, own.key, this.#now),
      fingerprint: own.fingerprint,
      trust: [own, ...before].map(({ certificate }) => certificate).join(''),
      chain: before.length > 0 ? (own.crossCertificate ?? '') : '',
    };
  }
}

/** A CA is called by its name unless its Certificate says otherwise. */
function subjectOf(name: string, documents: Resource[]): string {
  const certificate = documents.find((document) => document.kind === 'Certificate' && document.name === name);
  return (certificate as Resource<'Certificate'> | undefined)?.spec.subject ?? name;
}
