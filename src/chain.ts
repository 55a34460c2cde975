/**
 * A certificate's chain, judged at a time of one's own choice: OpenSSL takes the machine's, which may be wrong. It is
 * for where OpenSSL has nothing to object to but the dates.
 */
import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

/** What OpenSSL says when the machine's time is not within a certificate's. */
const aboutDates = ['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED'];
/** The same, as failures of links and accesses call it. */
export const dateFailures: ReadonlySet<string> = new Set(['certificate-not-yet-valid', 'certificate-expired']);
const deepest = 4;
/** Milliseconds by which clocks may differ. */
const noticeable = 60_000;

/** Whether OpenSSL would judge dates by a clock that is known to be wrong. */
export function isMachineWrong(now: () => number): boolean {
  return Math.abs(now() - Date.now()) > noticeable;
}

export function isAboutDates(code: unknown): boolean {
  return aboutDates.includes(String(code));
}

/**
 * Whether the other end of a connection has a chain to one of these CAs (PEM) that is good at that time; null: at any.
 * Names are not looked at.
 */
export function isTrusted(socket: TLSSocket, cas: string, at: number | null): boolean {
  const roots = cas.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  const trusted = roots.map((pem) => new X509Certificate(pem));
  const isGood = ({ validFromDate, validToDate }: X509Certificate) =>
    at === null || (validFromDate.getTime() <= at && at <= validToDate.getTime());
  let certificate = socket.getPeerX509Certificate();
  for (let depth = 0; certificate && depth < deepest; depth++) {
    const below: X509Certificate = certificate;
    if (!isGood(below) || (depth > 0 && !below.ca)) return false;
    if (trusted.some((root) => root.ca && isGood(root) && isIssuer(root, below))) return true;
    const above: X509Certificate | undefined = below.issuerCertificate;
    if (!above || above.fingerprint256 === below.fingerprint256 || !isIssuer(above, below)) return false;
    certificate = above;
  }
  return false;
}

function isIssuer(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
