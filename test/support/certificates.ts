/** Certificates for tests: a CA in two lines, and whatever it issues. */
import { generateKeyPairSync } from 'node:crypto';
import { isIP } from 'node:net';
import forge from 'node-forge';

export interface Issued {
  /** The certificate of the CA. */
  ca: string;
  certificate: string;
  key: string;
}

export interface IssueOptions {
  commonName: string;
  /** Each as a DNS name, as Skupper does it, and as an IP address too where it is one. */
  hosts?: string[];
  uris?: string[];
  /** A day ago if not said. */
  notBefore?: Date;
  /** In a year if not said. */
  notAfter?: Date;
}

export interface Ca {
  certificate: string;
  key: string;
  issue(options: IssueOptions): Issued;
}

const DAY_MS = 24 * 60 * 60 * 1000;

interface KeyPair {
  pem: string;
  publicKey: forge.pki.PublicKey;
  privateKey: forge.pki.rsa.PrivateKey;
}

function newKeyPair(): KeyPair {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const key = forge.pki.privateKeyFromPem(pem);
  return { pem, publicKey: forge.pki.setRsaPublicKey(key.n, key.e), privateKey: key };
}

/** All that a process issues has one key: making keys takes far longer than all the rest. */
let leafKeys: KeyPair | null = null;
let serial = 0;

function newCertificate(commonName: string, keys: KeyPair, validity: Pick<IssueOptions, 'notBefore' | 'notAfter'>) {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = keys.publicKey;
  serial++;
  certificate.serialNumber = `01${serial.toString(16).padStart(16, '0')}`;
  certificate.validity.notBefore = validity.notBefore ?? new Date(Date.now() - DAY_MS);
  certificate.validity.notAfter = validity.notAfter ?? new Date(Date.now() + 365 * DAY_MS);
  certificate.setSubject([{ name: 'commonName', value: commonName }]);
  return certificate;
}

/** What an alternative name is, by its number in X.509. */
const DNS_NAME = 2;
const URI = 6;
const IP_ADDRESS = 7;

function alternativeNames({ hosts = [], uris = [] }: IssueOptions): object[] {
  return [
    ...hosts.map((host) => ({ type: DNS_NAME, value: host })),
    ...hosts.filter((host) => isIP(host)).map((host) => ({ type: IP_ADDRESS, ip: host })),
    ...uris.map((uri) => ({ type: URI, value: uri })),
  ];
}

/** A CA of its own, with a key of its own. */
export function makeCa(name: string, validity: Pick<IssueOptions, 'notBefore' | 'notAfter'> = {}): Ca {
  const keys = newKeyPair();
  const own = newCertificate(name, keys, validity);
  own.setIssuer(own.subject.attributes);
  own.setExtensions([
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  own.sign(keys.privateKey, forge.md.sha256.create());
  const ca = forge.pki.certificateToPem(own);

  const issue = (options: IssueOptions): Issued => {
    leafKeys ??= newKeyPair();
    const certificate = newCertificate(options.commonName, leafKeys, options);
    certificate.setIssuer(own.subject.attributes);
    const altNames = alternativeNames(options);
    certificate.setExtensions([
      { name: 'basicConstraints', cA: false },
      { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
      ...(altNames.length > 0 ? [{ name: 'subjectAltName', altNames }] : []),
    ]);
    certificate.sign(keys.privateKey, forge.md.sha256.create());
    return { ca, certificate: forge.pki.certificateToPem(certificate), key: leafKeys.pem };
  };
  return { certificate: ca, key: keys.pem, issue };
}
