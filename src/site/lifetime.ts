/**
 * How long certificates live, and when it is time for the next one.
 */
import { X509Certificate } from 'node:crypto';

const dayMs = 24 * 60 * 60 * 1_000;

/** Of a certificate's life, after what share another one is issued. */
const renewAfter = 2 / 3;

/** Milliseconds since the epoch at which the next certificate is due. */
export function renewalTime({ validFromDate, validToDate }: X509Certificate): number {
  return validFromDate.getTime() + (validToDate.getTime() - validFromDate.getTime()) * renewAfter;
}

export function needsRenewal(certificate: X509Certificate, now: number): boolean {
  return now >= renewalTime(certificate);
}

/** Whole days that a certificate in PEM form has left; negative once it has expired. */
export function daysLeft(certificate: string, now: number): number {
  return Math.floor((expirationOf(certificate) - now) / dayMs);
}

/** Milliseconds since the epoch; the last few are remembered, since a status is told often. */
export function expirationOf(certificate: string): number {
  const known = remembered.get(certificate);
  if (known !== undefined) return known;
  const expiration = new X509Certificate(certificate).validToDate.getTime();
  if (remembered.size >= rememberedMost) remembered.clear();
  remembered.set(certificate, expiration);
  return expiration;
}

const rememberedMost = 1_000;
const remembered = new Map<string, number>();
