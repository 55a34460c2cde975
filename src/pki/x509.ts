/**
 * Certificates and signing requests in their own notation: node-forge writes and reads the ASN.1, node:crypto makes and
 * checks the signatures. So a certificate may be for any kind of key, and nothing is computed in JavaScript for long.
 * Whoever needs it imports it when the first certificate is made, since node-forge takes a while to load.
 */
import { createHash, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { isIP } from 'node:net';
import forge from 'node-forge';

const { asn1, util } = forge;
type Node = forge.asn1.Asn1;

const oids = {
  commonName: '2.5.4.3',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectKeyIdentifier: '2.5.29.14',
  authorityKeyIdentifier: '2.5.29.35',
  subjectAltName: '2.5.29.17',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  rsaWithSha256: '1.2.840.113549.1.1.11',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
};

/** The tags of alternative names. */
const dnsName = 2;
const uri = 6;
const ipAddress = 7;

/** The bits of a key's usage, from the highest of the first octet. */
const digitalSignature = 0x80;
const keyEncipherment = 0x20;
const keyCertSign = 0x04;

export interface CertificateFields {
  commonName: string;
  publicKey: KeyObject;
  /** Milliseconds since the epoch. */
  notBefore: number;
  notAfter: number;
  ca: boolean;
  /** The names and addresses by which others reach whoever shows this certificate. */
  hosts?: string[];
  uris?: string[];
}

export interface Signer {
  key: KeyObject;
  /** PEM; null: the certificate signs itself. */
  certificate: string | null;
}

/** A signed certificate, in PEM. */
export function makeCertificate(fields: CertificateFields, signer: Signer): string {
  const issuer = signer.certificate === null ? null : partsOf(signer.certificate);
  const subject = nameOf(fields.commonName);
  const tbs = sequence(
    asn1.create(asn1.Class.CONTEXT_SPECIFIC, 0, true, [integer('\x02')]),
    integer(newSerial()),
    algorithmOf(signer.key),
    // In the very octets of the CA's certificate: Go compares them so.
    issuer?.subject ?? subject,
    sequence(time(fields.notBefore), time(fields.notAfter)),
    subject,
    spkiOf(fields.publicKey),
    asn1.create(asn1.Class.CONTEXT_SPECIFIC, 3, true, [
      sequence(...extensions(fields, issuer?.keyIdentifier ?? null, signer.certificate === null)),
    ]),
  );
  return signed('CERTIFICATE', tbs, signer.key);
}

/** A request for a certificate that says whose key it is for, in PEM. */
export function makeRequest(commonName: string, publicKey: KeyObject, key: KeyObject): string {
  const attributes = asn1.create(asn1.Class.CONTEXT_SPECIFIC, 0, true, []);
  const info = sequence(integer('\x00'), nameOf(commonName), spkiOf(publicKey), attributes);
  return signed('CERTIFICATE REQUEST', info, key);
}

export interface SigningRequest {
  publicKey: KeyObject;
  /** Empty where the request has none. */
  commonName: string;
}

/** A request that was signed with its own key; throws for everything else. Only P-256 with SHA-256 is taken. */
export function readRequest(pem: string): SigningRequest {
  const [info, , signature] = children(read(octetsOf(pem)), 3);
  const [, name, spki] = children(info, 3);
  const publicKey = createPublicKey({ key: encode(spki), format: 'der', type: 'spki' });
  if (publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new Error('the key must be on the curve P-256');
  const value = Buffer.from(signature.value as string, 'latin1').subarray(1);
  if (!verify('sha256', encode(info), publicKey, value)) throw new Error('the signature is not of that key');
  return { publicKey, commonName: commonNameIn(name) };
}

function signed(label: string, content: Node, key: KeyObject): string {
  const signature = sign('sha256', encode(content), key);
  const whole = sequence(content, algorithmOf(key), bitString(signature.toString('latin1')));
  const lines = encode(whole)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

function extensions(fields: CertificateFields, issuerKey: string | null, own: boolean): Node[] {
  const { ca, publicKey, hosts = [], uris = [] } = fields;
  const enciphers = publicKey.asymmetricKeyType === 'rsa' ? keyEncipherment : 0;
  const usage = digitalSignature | enciphers | (ca ? keyCertSign : 0);
  const unused = usage & keyCertSign ? 2 : enciphers ? 5 : 7;
  const keyIdentifier = createHash('sha1').update(keyBits(publicKey), 'latin1').digest('binary');
  const authority = own ? keyIdentifier : issuerKey;
  const names = [
    // A Skupper router looks for an IP address among the DNS names, everybody else among the IP addresses.
    ...hosts.map((host) => alternativeName(dnsName, host)),
    ...hosts.filter((host) => isIP(host)).map((host) => alternativeName(ipAddress, bytesOfAddress(host))),
    ...uris.map((each) => alternativeName(uri, each)),
  ];
  return [
    extension(oids.basicConstraints, true, sequence(...(ca ? [primitive(asn1.Type.BOOLEAN, '\xff')] : []))),
    extension(oids.keyUsage, true, primitive(asn1.Type.BITSTRING, String.fromCharCode(unused, usage))),
    extension(oids.extendedKeyUsage, false, sequence(oid(oids.serverAuth), oid(oids.clientAuth))),
    ...(ca ? [extension(oids.subjectKeyIdentifier, false, primitive(asn1.Type.OCTETSTRING, keyIdentifier))] : []),
    // Tells apart CAs of one name, of which there are many: each Skupper site calls its own alike.
    ...(authority === null || own
      ? []
      : [extension(oids.authorityKeyIdentifier, false, sequence(tagged(0, authority)))]),
    ...(names.length > 0 ? [extension(oids.subjectAltName, false, sequence(...names))] : []),
  ];
}

function extension(id: string, critical: boolean, value: Node): Node {
  const octets = primitive(asn1.Type.OCTETSTRING, encode(value).toString('latin1'));
  return sequence(oid(id), ...(critical ? [primitive(asn1.Type.BOOLEAN, '\xff')] : []), octets);
}

function alternativeName(tag: number, value: string): Node {
  return tagged(tag, tag === ipAddress ? value : util.encodeUtf8(value));
}

/** node-forge has it, its types do not. */
function bytesOfAddress(host: string): string {
  return (util as unknown as { bytesFromIP(address: string): string }).bytesFromIP(host);
}

/** The issuer's name as it wrote it, and the identifier it gave its key. */
function partsOf(certificate: string): { subject: Node; keyIdentifier: string | null } {
  const [tbs] = children(read(octetsOf(certificate)), 3);
  const [, , , , , subject, , ...rest] = tbs.value as Node[];
  const list = rest.find((node) => node.type === (3 as number));
  const all = list ? children((list.value as Node[])[0], 0) : [];
  const found = all.find(
    (each) => asn1.derToOid((each.value as Node[])[0].value as string) === oids.subjectKeyIdentifier,
  );
  if (!found) return { subject, keyIdentifier: null };
  const octets = (found.value as Node[]).at(-1)?.value as string;
  return { subject, keyIdentifier: read(Buffer.from(octets, 'latin1')).value as string };
}

function nameOf(commonName: string): Node {
  const value = primitive(asn1.Type.UTF8, util.encodeUtf8(commonName));
  return sequence(asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SET, true, [sequence(oid(oids.commonName), value)]));
}

function commonNameIn(name: Node): string {
  for (const set of name.value as Node[]) {
    for (const attribute of set.value as Node[]) {
      const [type, value] = children(attribute, 2);
      if (asn1.derToOid(type.value as string) === oids.commonName) return util.decodeUtf8(value.value as string);
    }
  }
  return '';
}

function algorithmOf({ asymmetricKeyType }: KeyObject): Node {
  if (asymmetricKeyType === 'ec') return sequence(oid(oids.ecdsaWithSha256));
  return sequence(oid(oids.rsaWithSha256), primitive(asn1.Type.NULL, ''));
}

function spkiOf(key: KeyObject): Node {
  return read(key.export({ type: 'spki', format: 'der' }));
}

/** The octets of a key without the words around them, of which its identifier is made. */
function keyBits(key: KeyObject): string {
  return ((spkiOf(key).value as Node[])[1].value as string).slice(1);
}

/** X.509 writes years of two digits until 2049. */
function time(at: number): Node {
  const date = new Date(at);
  return date.getUTCFullYear() < 2050
    ? primitive(asn1.Type.UTCTIME, asn1.dateToUtcTime(date) as string)
    : primitive(asn1.Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(date) as string);
}

/** 16 octets, of which the first says that the number is positive and has no octet too many, as DER demands. */
function newSerial(): string {
  const octets = randomBytes(16);
  octets[0] = (octets[0] & 0x3f) | 0x40;
  return octets.toString('latin1');
}

function sequence(...items: Node[]): Node {
  return asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, items);
}

function primitive(type: forge.asn1.Type, value: string): Node {
  return asn1.create(asn1.Class.UNIVERSAL, type, false, value);
}

function tagged(tag: number, value: string): Node {
  return asn1.create(asn1.Class.CONTEXT_SPECIFIC, tag, false, value);
}

function integer(octets: string): Node {
  return primitive(asn1.Type.INTEGER, octets);
}

function oid(id: string): Node {
  return primitive(asn1.Type.OID, asn1.oidToDer(id).getBytes());
}

function bitString(octets: string): Node {
  return primitive(asn1.Type.BITSTRING, `\x00${octets}`);
}

/** The nodes in a node, of which there must be at least so many; throws where there are fewer, or it is none. */
function children(node: Node, least: number): Node[] {
  if (!Array.isArray(node.value) || node.value.length < least)
    throw new Error('it is not put together as it should be');
  return node.value;
}

function encode(node: Node): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1');
}

function read(der: Buffer): Node {
  // The types of node-forge do not know the option that leaves the octets of a bit string alone.
  const options = { strict: true, decodeBitStrings: false } as unknown as boolean;
  return asn1.fromDer(util.createBuffer(der.toString('latin1')), options);
}

function octetsOf(pem: string): Buffer {
  const block = /-----BEGIN [A-Z ]+-----([A-Za-z0-9+/=\s]+)-----END/.exec(pem);
  if (!block) throw new Error('it is not in PEM form');
  return Buffer.from(block[1], 'base64');
}
