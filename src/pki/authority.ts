/**
 * A site's certificate authority and what it issues: the same certificates as Skupper makes, so that either may stand
 * for the other. Keys come from node:crypto; node-forge puts the certificates together, and is loaded when the first
 * one is needed.
 */
import { createPrivateKey, generateKeyPair, randomBytes, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import type forge from 'node-forge';
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
}

type Forge = typeof forge;

const keyBits = 2048;
/** CAs and what they issue live equally long, as Skupper's do. */
const validDays = 5 * 365;
const dayMs = 24 * 60 * 60 * 1_000;

/** What an alternative name is, by its number in X.509. */
const dnsName = 2;
const ipAddress = 7;

/** Good at either end of a link. */
const bothEnds = { name: 'extKeyUsage', serverAuth: true, clientAuth: true };

export class Authority {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS#1: Skupper reads a CA's key in no other form. */
  readonly key: string;
  readonly #library: Forge;
  readonly #issuer: forge.pki.Certificate;
  readonly #now: () => number;

  private constructor(library: Forge, certificate: string, key: string, now: () => number) {
    this.certificate = certificate;
    this.key = key;
    this.#library = library;
    this.#issuer = library.pki.certificateFromPem(certificate);
    this.#now = now;
  }

  /** A new CA with a key of its own. */
  static async create(commonName: string, now: () => number = Date.now): Promise<Authority> {
    const library = await load();
    const { publicKey, key } = await newKeyPair();
    const certificate = blank(library, publicKey, now());
    certificate.setSubject(nameOf(library, commonName));
    certificate.setIssuer(nameOf(library, commonName));
    certificate.setExtensions([
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, keyCertSign: true, critical: true },
      bothEnds,
      { name: 'subjectKeyIdentifier' },
    ]);
    return new Authority(library, sign(library, certificate, key), key, now);
  }

  /** The CA that was kept as these PEM texts; throws when they do not make one. */
  static async from(certificate: string, key: string, now: () => number = Date.now): Promise<Authority> {
    const usable = usableKey(certificate, key, now());
    return new Authority(await load(), certificate, usable, now);
  }

  /** A certificate, and a new key that it is for. */
  async issue({ commonName, hosts = [] }: IssueOptions): Promise<Credentials> {
    const library = this.#library;
    const { publicKey, key } = await newKeyPair();
    const certificate = blank(library, publicKey, this.#now());
    certificate.setSubject(nameOf(library, commonName));
    certificate.setIssuer(subjectOf(library, this.#issuer));
    // A Skupper router looks for an IP address among the DNS names, everybody else among the IP addresses.
    const altNames = [
      ...hosts.map((host) => ({ type: dnsName, value: host })),
      ...hosts.filter((host) => isIP(host)).map((host) => ({ type: ipAddress, ip: host })),
    ];
    certificate.setExtensions([
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
      bothEnds,
      ...keyIdentifierOf(library, this.#issuer),
      ...(altNames.length > 0 ? [{ name: 'subjectAltName', altNames }] : []),
    ]);
    return { ca: this.certificate, certificate: sign(library, certificate, this.key), key };
  }
}

async function load(): Promise<Forge> {
  return (await import('node-forge')).default;
}

async function newKeyPair(): Promise<{ publicKey: string; key: string }> {
  const pair = await promisify(generateKeyPair)('rsa', {
    modulusLength: keyBits,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  return { publicKey: pair.publicKey, key: pair.privateKey };
}

function blank(library: Forge, publicKey: string, now: number): forge.pki.Certificate {
  const certificate = library.pki.createCertificate();
  certificate.publicKey = library.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = newSerial();
  certificate.validity.notBefore = new Date(now);
  certificate.validity.notAfter = new Date(now + validDays * dayMs);
  return certificate;
}

/** 16 octets, of which the first says that the number is positive and has no octet too many, as DER demands. */
function newSerial(): string {
  const octets = randomBytes(16);
  octets[0] = (octets[0] & 0x3f) | 0x40;
  return octets.toString('hex');
}

function sign(library: Forge, certificate: forge.pki.Certificate, key: string): string {
  certificate.sign(library.pki.privateKeyFromPem(key), library.md.sha256.create());
  return pem(library.pki.certificateToPem(certificate));
}

/** As OpenSSL and Go write it. */
function pem(text: string): string {
  return text.replaceAll('\r\n', '\n');
}

function nameOf(library: Forge, commonName: string): forge.pki.CertificateField[] {
  // The types of node-forge take the class for one of another list.
  const valueTagClass = library.asn1.Type.UTF8 as number as forge.asn1.Class;
  return [{ name: 'commonName', value: commonName, valueTagClass }];
}

/** In the very octets of the CA's certificate: Go compares them so. */
function subjectOf(library: Forge, { subject }: forge.pki.Certificate): forge.pki.CertificateField[] {
  const { UTF8 } = library.asn1.Type;
  return subject.attributes.map((attribute) =>
    // node-forge encodes what it writes but does not decode what it reads.
    Number(attribute.valueTagClass) === UTF8
      ? { ...attribute, value: library.util.decodeUtf8(attribute.value as string) }
      : attribute,
  );
}

/** Tells apart CAs of one name, of which there are many: each Skupper site calls its own alike. */
function keyIdentifierOf(library: Forge, issuer: forge.pki.Certificate): object[] {
  const extension = issuer.getExtension('subjectKeyIdentifier') as { subjectKeyIdentifier?: string } | undefined;
  if (!extension?.subjectKeyIdentifier) return [];
  return [{ name: 'authorityKeyIdentifier', keyIdentifier: library.util.hexToBytes(extension.subjectKeyIdentifier) }];
}

/** The key in the form it is used in, once it is known to be the CA's. */
function usableKey(certificate: string, key: string, now: number): string {
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
  if (privateKey.asymmetricKeyType !== 'rsa') throw unusable('its key is not an RSA key', 'Give a CA with an RSA key');
  if (!own.checkPrivateKey(privateKey)) {
    throw unusable('its key does not belong to its certificate', 'Give the two that were made together');
  }
  if (now > own.validToDate.getTime()) {
    throw unusable(`its certificate expired (${own.validTo})`, 'Make a new CA, and check the clock of this machine');
  }
  return privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
}
