/** TLS for links and accesses: contexts from PEM texts, the check of host names, and what a peer's certificate says. */
import crypto, { type X509Certificate } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import { SkiffError } from '../errors.ts';

/** PEM texts. */
export interface PemMaterial {
  ca: string;
  certificate?: string;
  key?: string;
}

/**
 * No session tickets: a certificate is looked at in every handshake, so that one revoked meanwhile cannot come back
 * by resumption.
 */
const NO_TICKETS = crypto.constants.SSL_OP_NO_TICKET;

export function secureContext(material: PemMaterial, what: string): tls.SecureContext {
  try {
    return tls.createSecureContext({
      ca: material.ca,
      ...(material.certificate === undefined ? {} : { cert: material.certificate }),
      ...(material.key === undefined ? {} : { key: material.key }),
      minVersion: 'TLSv1.2',
      secureOptions: NO_TICKETS,
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SkiffError('tls-material', `the TLS credentials of ${what} cannot be used: ${reason}`, {
      hint: 'ca.crt, tls.crt and tls.key must be PEM, and the key must belong to the certificate',
      cause: error,
    });
  }
}

/**
 * Node's host name check, and Skupper's custom besides: it writes IP addresses as DNS names too, because Proton looks
 * nowhere else, and some certificates have them only there.
 */
export function checkHost(host: string, certificate: tls.PeerCertificate): Error | undefined {
  const failure = tls.checkServerIdentity(host, certificate);
  if (!failure || net.isIP(host) === 0) return failure;
  const names = alternativeNames(certificate.subjectaltname);
  return names.includes(`DNS:${host}`) ? undefined : failure;
}

/** Who is at the other end of a TLS connection. */
export interface PeerCertificate {
  /** SHA-256 of the certificate, hexadecimal. */
  fingerprint: string;
  subject: string;
  /** The router id that a device's certificate carries; null for certificates that are no device's. */
  deviceId: string | null;
  /** The certificate is that of a fleet's device, which may do what the fleet says and nothing else. */
  fleet: boolean;
}

/** The URI that marks a certificate as a device's: `urn:skiff:device:<router id>` among its alternative names. */
export const DEVICE_URN = 'urn:skiff:device:';
/** Another one, that marks the device as one of a fleet. */
export const FLEET_URN = 'urn:skiff:fleet';

export function peerCertificate(socket: tls.TLSSocket): PeerCertificate | null {
  const certificate = socket.getPeerX509Certificate();
  return certificate ? describeCertificate(certificate) : null;
}

export function describeCertificate(certificate: X509Certificate): PeerCertificate {
  const names = alternativeNames(certificate.subjectAltName);
  const mark = names.find((name) => name.startsWith(`URI:${DEVICE_URN}`));
  return {
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    subject: certificate.subject?.replaceAll('\n', ', ') ?? '',
    deviceId: mark === undefined ? null : decoded(mark.slice(`URI:${DEVICE_URN}`.length)),
    fleet: names.includes(`URI:${FLEET_URN}`),
  };
}

/**
 * A certificate's alternative names as `TYPE:value`. Node separates them with ", " and puts a value that has anything
 * unusual in it in quotes, as JSON, so that a name cannot pose as several.
 */
function alternativeNames(text = ''): string[] {
  const names: string[] = [];
  for (let start = 0; start < text.length; ) {
    const value = text.indexOf(':', start) + 1;
    if (value === 0) break;
    const quoted = text[value] === '"';
    let end = quoted ? value + 1 : text.indexOf(', ', value);
    if (quoted) {
      while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
      end++;
    } else if (end === -1) {
      end = text.length;
    }
    names.push(text.slice(start, value) + (quoted ? unquoted(text.slice(value, end)) : text.slice(value, end)));
    start = end + ', '.length;
  }
  return names;
}

/** Whoever made the certificate may have written anything into it: what is no JSON stands for itself. */
function unquoted(text: string): string {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** As above: a name that is wrongly encoded is still a name, of nobody. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
