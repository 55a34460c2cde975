/** By what certificates and keys are known: SHA-256, hexadecimal. */
import { createHash, type KeyObject, X509Certificate } from 'node:crypto';

/** Of a certificate in PEM form, or the first of several. */
export function fingerprintOf(certificate: string): string {
  return new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase();
}

/** Of a public key. */
export function keyFingerprint(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}
