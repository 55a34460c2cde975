/**
 * A site's certificate authority and what it issues: the same certificates as Skupper makes, so that either may stand
 * for the other.
 */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import { SkiffError } from '../errors.ts';

/** PEM texts, as in a Secret of type kubernetes.io/tls. */
export interface Credentials {
  /** Of the CA that issued the certificate. */
  ca: string;
  certificate: string;
  key: string;
}

export interface IssueOptions {
  commonName: string;
  /** The names and addresses by which others reach whoever shows this certificate. */
  hosts?: string[];
  /** Alternative names that say what a certificate is for. */
  uris?: string[];
  /** Five years if not said. */
  validDays?: number;
}

const keyBits = 2048;
/** CAs and what they issue live equally long, as Skupper's do. */
const fiveYears = 5 * 365;
const dayMs = 24 * 60 * 60 * 1_000;
/** A certificate is good at once for whoever's clock is behind by no more than this. */
const clockSkewMs = 60 * 60 * 1_000;

export class Authority {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS#1 for an RSA key: Skupper reads a CA's key in no other form. */
  readonly key: string;
  readonly #privateKey: KeyObject;
  readonly #now: () => number;

  private constructor(certificate: string, privateKey: KeyObject, now: () => number) {
    this.certificate = certificate;
    this.key = exported(privateKey);
    this.#privateKey = privateKey;
    this.#now = now;
  }

  /** A new CA with a key of its own. */
  static async create(commonName: string, now: () => number = Date.now): Promise<Authority> {
    const { makeCertificate } = await import('./x509.ts');
    const { publicKey, privateKey } = await newKeyPair();
    const fields = { commonName, publicKey, ...validity(now(), fiveYears), ca: true };
    const certificate = makeCertificate(fields, { key: privateKey, certificate: null });
    return new Authority(certificate, privateKey, now);
  }

  /** The CA that was kept as these PEM texts; throws when they do not make one. */
  static async from(certificate: string, key: string, now: () => number = Date.now): Promise<Authority> {
    return new Authority(certificate, usableKey(certificate, key, now()), now);
  }

  /** A certificate, and a new key that it is for. */
  async issue(options: IssueOptions): Promise<Credentials> {
    const { publicKey, privateKey } = await newKeyPair();
    const certificate = await this.certify(publicKey, options);
    return { ca: this.certificate, certificate, key: exported(privateKey) };
  }

  /** A certificate for somebody else's key, in PEM. */
  async certify(publicKey: KeyObject, { validDays = fiveYears, ...options }: IssueOptions): Promise<string> {
    const { makeCertificate } = await import('./x509.ts');
    const fields = { ...options, publicKey, ...validity(this.#now(), validDays), ca: false };
    return makeCertificate(fields, { key: this.#privateKey, certificate: this.certificate });
  }

  /** Another CA's certificate signed by this one: who trusts this one trusts the other, too. */
  async vouchFor(other: Authority): Promise<string> {
    const { makeCertificate } = await import('./x509.ts');
    const { subject, validToDate } = new X509Certificate(this.certificate);
    const commonName = new X509Certificate(other.certificate).subject.replace(/^CN=/, '') || subject;
    const publicKey = createPublicKey(other.#privateKey);
    const fields = { commonName, publicKey, ...validity(this.#now(), fiveYears), ca: true };
    // Nobody is vouched for longer than one is believed.
    const notAfter = Math.min(fields.notAfter, validToDate.getTime());
    return makeCertificate({ ...fields, notAfter }, { key: this.#privateKey, certificate: this.certificate });
  }
}

function validity(now: number, days: number): { notBefore: number; notAfter: number } {
  return { notBefore: now - clockSkewMs, notAfter: now + days * dayMs };
}

/** RSA for the sake of Skupper; made in another thread of the system, where it holds up nobody. */
async function newKeyPair(): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  return promisify(generateKeyPair)('rsa', { modulusLength: keyBits });
}

function exported(key: KeyObject): string {
  const type = key.asymmetricKeyType === 'rsa' ? 'pkcs1' : 'pkcs8';
  return key.export({ type, format: 'pem' } as { type: 'pkcs8'; format: 'pem' }).toString();
}

/** The key, once it is known to be the CA's. */
function usableKey(certificate: string, key: string, now: number): KeyObject {
  const unusable = (reason: string, hint: string, cause?: unknown) =>
    new SkiffError('ca-unusable', `the CA cannot issue certificates: ${reason}`, { hint, cause });
  const read = <T>(what: string, parse: () => T): T => {
    try {
      return parse();
    } catch (error) {
      throw unusable(`${what} cannot be read: ${(error as Error).message}`, 'Both must be in PEM form', error);
    }
  };
  const own = read('its certificate', () => new X509Certificate(certificate));
  const privateKey = read('its key', () => createPrivateKey(key));
  if (!own.ca) throw unusable('its certificate is not that of a CA', 'Give the certificate of a CA');
  if (privateKey.asymmetricKeyType !== 'rsa' && privateKey.asymmetricKeyType !== 'ec') {
    throw unusable('its key is neither an RSA nor an EC key', 'Give a CA with an RSA key');
  }
  if (!own.checkPrivateKey(privateKey)) {
    throw unusable('its key does not belong to its certificate', 'Give the two that were made together');
  }
  if (now > own.validToDate.getTime()) {
    throw unusable(`its certificate expired (${own.validTo})`, 'Make a new CA, and check the clock of this machine');
  }
  return privateKey;
}
