/**
 * The CAs of a site: those that a Secret supplies, and those that it makes when they are first needed, and keeps.
 */
import { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
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

/** How long a CA that nobody seems to need is kept on: who renewed gets to use what he has. */
const graceMs = 7 * 24 * 60 * 60 * 1_000;

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

  /**
   * Puts another CA in the place of the one of that name. The old one vouches for it, and both are believed until the
   * old one is let go of.
   */
  async roll(name: string, documents: Resource[]): Promise<void> {
    if (documents.some((document) => document.kind === 'Secret' && document.name === name)) {
      throw new SkiffError('ca-unusable', `the CA ${name} was supplied, and is not renewed here`, {
        hint: `Apply another Secret "${name}"`,
      });
    }
    const [old] = this.#store.authorities.named(name);
    if (!old) throw new SkiffError('not-found', `there is no CA ${name} here`, { hint: 'skiff get certificate' });
    const before = await Authority.from(old.certificate, old.key, this.#now);
    const authority = await Authority.create(subjectOf(name, documents), this.#now);
    const crossCertificate = await before.vouchFor(authority);
    this.#store.transaction(() => {
      this.#store.authorities.retire(name, this.#now());
      this.#keep(name, authority, crossCertificate);
    });
    log.warn('pki', `the CA ${name} was renewed; the one before is believed until nobody needs it`, { name });
  }

  /** Lets go of CAs that were rolled over: all of that name, or, without one, those that nobody needs any more. */
  forget(name?: string): boolean {
    const gone = this.#store.authorities
      .all()
      .filter((each) => each.retiredAt !== null && (name === undefined ? !this.#isNeeded(each) : each.name === name));
    this.#store.transaction(() => {
      for (const { fingerprint } of gone) this.#store.authorities.remove(fingerprint);
    });
    for (const each of gone) log.warn('pki', `the former CA ${each.name} is believed no more`, { name: each.name });
    return gone.length > 0;
  }

  /** Whether somebody may still come with a certificate of it: one that is good, and that no other has replaced. */
  #isNeeded({ fingerprint, retiredAt }: StoredAuthority): boolean {
    const now = this.#now();
    if (now - (retiredAt ?? 0) < graceMs) return true;
    const issued = this.#store.issued.all();
    const renewed = new Map(issued.map((each) => [each.renews, each.issuedAt]));
    return issued.some((each) => {
      const good = each.authority === fingerprint && each.revokedAt === null && each.notAfter > now;
      return good && now - (renewed.get(each.fingerprint) ?? now) < graceMs;
    });
  }

  async #supplied(secret: Resource<'Secret'>): Promise<Issuer> {
    const { certificate = '', key = '' } = tlsMaterial(secret.spec) ?? {};
    const authority = await Authority.from(certificate, key, this.#now);
    return { authority, fingerprint: fingerprintOf(certificate), trust: certificate, chain: '' };
  }

  async #own(name: string, subject: string): Promise<Issuer> {
    const kept = this.#store.authorities.named(name);
    if (kept.length > 0 && kept[0].retiredAt === null) return this.#issuer(kept);
    const authority = await Authority.create(subject, this.#now);
    return this.#issuer([this.#store.transaction(() => this.#keep(name, authority, null))]);
  }

  #keep(name: string, { certificate, key }: Authority, crossCertificate: string | null): StoredAuthority {
    const fingerprint = fingerprintOf(certificate);
    const stored = { fingerprint, name, certificate, key, crossCertificate, createdAt: this.#now(), retiredAt: null };
    this.#store.authorities.put(stored);
    return stored;
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
