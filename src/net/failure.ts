/**
 * What can go wrong with a socket, said once: a stable code, a sentence, and a way on. Link states, refusals of an
 * access and the log all use these words.
 */
import { SkiffError } from '../errors.ts';

interface Wording {
  code: string;
  message: string;
  hint?: string;
}

const BY_CODE: Record<string, Wording> = {
  ECONNREFUSED: {
    code: 'connection-refused',
    message: 'nothing accepts connections there',
    hint: 'Check that the peer runs and that host and port are right',
  },
  ECONNRESET: { code: 'connection-lost', message: 'the peer reset the connection' },
  EPIPE: { code: 'connection-lost', message: 'the peer closed the connection' },
  ETIMEDOUT: { code: 'timed-out', message: 'no answer', hint: 'Check the network between the two' },
  EHOSTUNREACH: { code: 'unreachable', message: 'no route to that host' },
  ENETUNREACH: { code: 'unreachable', message: 'no route to that network' },
  ENOTFOUND: { code: 'name-not-found', message: 'that name has no address', hint: 'Check the host name and the DNS' },
  EAI_AGAIN: { code: 'name-not-found', message: 'the DNS does not answer' },
  EADDRINUSE: {
    code: 'port-taken',
    message: 'another program holds that port',
    hint: 'Choose another port or stop the other program; it is tried again by itself',
  },
  EADDRNOTAVAIL: { code: 'address-not-here', message: 'this machine has no such address' },
  EACCES: { code: 'port-forbidden', message: 'this user may not open that port' },
  CERT_HAS_EXPIRED: {
    code: 'certificate-expired',
    message: 'the certificate has expired',
    hint: 'Renew it, and check the clock of this machine',
  },
  CERT_NOT_YET_VALID: {
    code: 'certificate-not-yet-valid',
    message: 'the certificate is not valid yet',
    hint: 'Check the clock of this machine',
  },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    code: 'hostname-mismatch',
    message: 'the certificate is not made out for that host',
    hint: 'Use a host that the certificate names, or have it made out for this one',
  },
  HOSTNAME_MISMATCH: { code: 'hostname-mismatch', message: 'the certificate is not made out for that host' },
  ERR_SSL_WRONG_VERSION_NUMBER: { code: 'not-tls', message: 'the other side does not speak TLS' },
  ERR_SSL_HTTP_REQUEST: { code: 'not-tls', message: 'it speaks HTTP where TLS is expected' },
  ERR_SSL_PACKET_LENGTH_TOO_LONG: { code: 'not-tls', message: 'the other side does not speak TLS' },
  ERR_SSL_UNSUPPORTED_PROTOCOL: { code: 'tls-version', message: 'the other side offers only TLS older than 1.2' },
  // What the peer says of us. In TLS 1.3 it says so once the connection stands.
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: {
    code: 'tls-version',
    message: 'the other side speaks only TLS older than 1.2',
  },
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: { code: 'no-certificate', message: 'the peer asks for a certificate' },
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: {
    code: 'certificate-refused',
    message: "the peer does not trust the CA of this site's certificate",
    hint: "Compare the CA (ca.crt) of both ends' tlsCredentials",
  },
  'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED': {
    code: 'certificate-refused',
    message: "to the peer, this site's certificate has expired",
    hint: 'Renew it, and check the clocks of both machines',
  },
  'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_REVOKED': {
    code: 'certificate-refused',
    message: "to the peer, this site's certificate is revoked",
  },
  'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE': {
    code: 'certificate-refused',
    message: "the peer does not accept this site's certificate",
    hint: 'It may not be valid yet: check the clocks of both machines',
  },
};

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
]);

/** The error for a failed socket operation on `where` (`host:port`, or whatever names the place). */
export function socketFailure(error: unknown, where: string): SkiffError {
  const code = codeOf(error);
  const known = BY_CODE[code] ?? (UNTRUSTED.has(code) ? untrusted(code) : undefined);
  if (known) {
    const options = known.hint === undefined ? { cause: error } : { hint: known.hint, cause: error };
    return new SkiffError(known.code, `${where}: ${known.message}`, options);
  }
  if (code.startsWith('ERR_SSL_')) {
    const reason =
      (error as { reason?: string }).reason ?? code.slice('ERR_SSL_'.length).toLowerCase().replaceAll('_', ' ');
    return new SkiffError('tls-failed', `${where}: the TLS handshake failed (${reason})`, { cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new SkiffError(code === '' ? 'socket-failed' : code.toLowerCase(), `${where}: ${message}`, { cause: error });
}

/** A write that waits for the handshake fails with EPROTO, and only its message has OpenSSL's reason. */
function codeOf(error: unknown): string {
  const { code = '', message = '' } = (error ?? {}) as NodeJS.ErrnoException;
  const reason = code === 'EPROTO' ? /:SSL routines:[^:]*:([^:]+):/.exec(message)?.[1] : undefined;
  return reason ? `ERR_SSL_${reason.toUpperCase().replaceAll(' ', '_')}` : code;
}

function untrusted(code: string): Wording {
  return {
    code: 'certificate-untrusted',
    message: `the certificate is not from the CA that is trusted here (${code.toLowerCase().replaceAll('_', ' ')})`,
    hint: "Compare the CA (ca.crt) of both ends' tlsCredentials",
  };
}

/** Whether trying again soon is useless: an operator has to change something first. It is tried again, but rarely. */
export function isPermanent(code: string): boolean {
  return PERMANENT.has(code);
}

const PERMANENT = new Set([
  'not-interior',
  'duplicate-router-id',
  'certificate-expired',
  'certificate-untrusted',
  'hostname-mismatch',
  'not-tls',
  'tls-version',
  'no-certificate',
  'certificate-refused',
  'authentication-failed',
  'proxy-authentication',
  'proxy-refused',
]);

/** `host:port`, with brackets around an IPv6 address, and mapped IPv4 addresses as what they are. */
export function hostPort(host: string, port: number): string {
  // A socket that takes both families shows IPv4 peers as mapped addresses.
  const plain = host.startsWith('::ffff:') && host.includes('.') ? host.slice(7) : host;
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`;
}
