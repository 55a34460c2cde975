/**
 * A Secret of TLS credentials, or of the way to a proxy: what must be in it, and whether it fits together.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { LinkConfig, TlsMaterial } from '../router/protocol.ts';
import type { JsonObject } from '../store/documents.ts';
import type { SecretSpec } from './resources.ts';
import type { Report } from './schema.ts';

/** What `get` and `export` show in place of a value. */
export const redacted = '<redacted>';

const ca = 'ca.crt';
const certificate = 'tls.crt';
const privateKey = 'tls.key';

/** `data` and `stringData` as one map of base64, checked. */
export function readSecret(fields: JsonObject, report: Report): SecretSpec {
  const type = fields.type as string | undefined;
  const data: Record<string, string> = {};
  for (const [key, value] of Object.entries((fields.data ?? {}) as Record<string, string>)) {
    const canonical = value.replace(/\s/g, '');
    if (value === redacted) report(['data', key], 'is redacted; export it with --show-secrets');
    else if (!/^[A-Za-z0-9+/]*={0,2}$/.test(canonical) || canonical.length % 4) report(['data', key], 'is not base64');
    else data[key] = canonical;
  }
  for (const [key, value] of Object.entries((fields.stringData ?? {}) as Record<string, string>)) {
    data[key] = Buffer.from(value).toString('base64');
  }
  if (
    Object.keys(data).length === Object.keys({ ...(fields.data as object), ...(fields.stringData as object) }).length
  ) {
    if (type !== 'kubernetes.io/tls' && isProxy(data)) checkProxy(data, report);
    else checkCredentials(data, type, report);
  }
  return { ...(type === undefined ? {} : { type }), data };
}

function checkCredentials(data: Record<string, string>, type: string | undefined, report: Report): void {
  const complain = (key: string, complaint: string) => report(['data', key], complaint);
  // A link to a peer that asks for no certificate needs the CA alone; the type for key pairs promises all three.
  const pair = type === 'kubernetes.io/tls' || data[certificate] !== undefined || data[privateKey] !== undefined;
  const missing = [ca, ...(pair ? [certificate, privateKey] : [])].filter((key) => !data[key]);
  for (const key of missing) complain(key, 'is required');
  if (missing.length) return;
  certificatesOf(data[ca], ca, complain);
  if (!pair) return;
  const [leaf] = certificatesOf(data[certificate], certificate, complain);
  const key = keyOf(data[privateKey], complain);
  if (leaf && key && !leaf.checkPrivateKey(key)) complain(privateKey, 'does not belong to the certificate in tls.crt');
}

type Complain = (key: string, complaint: string) => void;

function certificatesOf(base64: string, key: string, complain: Complain): X509Certificate[] {
  const blocks = decoded(base64).match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) complain(key, 'holds no certificate in PEM form');
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    complain(key, `holds a certificate that cannot be read: ${(error as Error).message}`);
    return [];
  }
}

function keyOf(base64: string, complain: Complain): KeyObject | undefined {
  try {
    return createPrivateKey(decoded(base64));
  } catch (error) {
    complain(privateKey, `is no private key that can be read: ${(error as Error).message}`);
    return undefined;
  }
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}

/** Skupper's proxy configuration has these keys, and `username` and `password`. */
function isProxy(data: Record<string, string>): boolean {
  return data.host !== undefined || data.port !== undefined;
}

function checkProxy(data: Record<string, string>, report: Report): void {
  const { host = '', port = '', username, password } = proxyTexts(data);
  if (!/^[A-Za-z0-9.:_-]+$/.test(host)) report(['data', 'host'], 'must be a host name or an IP address');
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535) {
    report(['data', 'port'], 'must be a number from 1 to 65535');
  }
  if (username?.includes(':')) report(['data', 'username'], 'must not have a colon in it');
  if (password && !username) report(['data', 'username'], 'is required where there is a password');
}

function proxyTexts(data: Record<string, string>): Record<string, string | undefined> {
  const texts = ['host', 'port', 'username', 'password'].map((key) => [key, data[key] && decoded(data[key]).trim()]);
  return Object.fromEntries(texts);
}

/** Where a proxy is and how it is asked; undefined when the Secret is for something else. */
export function proxyAddress({ data }: SecretSpec): LinkConfig['proxy'] {
  if (!isProxy(data)) return undefined;
  const { host = '', port, username, password } = proxyTexts(data);
  return { host, port: Number(port), ...(username ? { username } : {}), ...(password ? { password } : {}) };
}

/** undefined when the Secret is for something else. */
export function tlsMaterial(spec: SecretSpec): TlsMaterial | undefined {
  const { [ca]: authority, [certificate]: own, [privateKey]: key } = spec.data;
  if (!authority) return undefined;
  return { ca: decoded(authority), ...(own && key ? { certificate: decoded(own), key: decoded(key) } : {}) };
}
