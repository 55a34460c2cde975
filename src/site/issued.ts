/**
 * The certificates that other sites have from this one: what there is, and what is revoked.
 */
import { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import type { IssuedCertificate } from '../store/issued.ts';
import type { Store } from '../store/store.ts';
import { timestamp } from './conditions.ts';

export interface IssuedFact {
  name: string;
  status: 'valid' | 'expired' | 'revoked';
  subject: string;
  issuer: string;
  /** SHA-256, hexadecimal. */
  fingerprint: string;
  /** RFC 3339 */
  issued: string;
  expiration: string;
}

/** Of a fingerprint, what must be given to name it: fewer digits may be somebody's name. */
const leastDigits = 8;

export class IssuedToOthers {
  readonly #store: Store;
  readonly #now: () => number;

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  list(): IssuedFact[] {
    return this.#store.issued.all().map((issued) => this.#factOf(issued));
  }

  /** The fingerprints of all that are revoked. */
  revoked(): string[] {
    return this.#store.issued.revoked();
  }

  /** By name or by the beginning of a fingerprint: all of them or, if one is not there, none. */
  revoke(words: string[]): IssuedFact[] {
    const all = this.#store.issued.all();
    const meant = words.map((word) => ({ word, found: all.filter((issued) => isMeant(issued, word)) }));
    const missing = meant.filter(({ found }) => found.length === 0).map(({ word }) => `"${word}"`);
    if (missing.length > 0) {
      throw new SkiffError('not-found', `no certificate issued here is called ${missing.join(', ')}`, {
        hint: 'Nothing was revoked; skiff certificate list shows them',
      });
    }
    const chosen = [...new Set(meant.flatMap(({ found }) => found))];
    this.#store.transaction(() => {
      for (const { fingerprint } of chosen) this.#store.issued.revoke(fingerprint, this.#now());
    });
    for (const { name, fingerprint } of chosen) log.warn('pki', `certificate "${name}" revoked`, { name, fingerprint });
    return chosen.map((issued) => this.#factOf({ ...issued, revokedAt: issued.revokedAt ?? this.#now() }));
  }

  #factOf({ name, subject, issuer, fingerprint, issuedAt, notAfter, revokedAt }: IssuedCertificate): IssuedFact {
    return {
      name,
      status: revokedAt !== null ? 'revoked' : notAfter <= this.#now() ? 'expired' : 'valid',
      subject,
      issuer,
      fingerprint,
      issued: timestamp(issuedAt),
      expiration: timestamp(notAfter),
    };
  }
}

function isMeant({ name, fingerprint }: IssuedCertificate, word: string): boolean {
  return name === word || (word.length >= leastDigits && fingerprint.startsWith(word.toLowerCase()));
}
