/** What a link shows of itself to the other end: its certificate, and while that has not been used, the one it renews. */
import crypto from 'node:crypto';
import type tls from 'node:tls';
import { describeCertificate, secureContext } from '../net/tls.ts';
import type { LinkConfig } from './protocol.ts';

/** What a link dials with. */
export interface Identity {
  context: tls.SecureContext | null;
  /** PEM: whom to believe. */
  ca: string;
  /** SHA-256 of the certificate, and when that ends: epoch, ms. */
  fingerprint: string | null;
  expires: number | null;
}

export function identitiesOf({ tls, fallback, name }: LinkConfig): Identity[] {
  if (!tls) return [{ context: null, ca: '', fingerprint: null, expires: null }];
  const materials = fallback ? [tls, fallback] : [tls];
  return materials.map((material) => {
    const context = secureContext(material, name);
    if (!material.certificate) return { context, ca: material.ca, fingerprint: null, expires: null };
    const certificate = new crypto.X509Certificate(material.certificate);
    const { fingerprint } = describeCertificate(certificate);
    return { context, ca: material.ca, fingerprint, expires: certificate.validToDate.getTime() };
  });
}
