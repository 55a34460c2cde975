/** What OpenSSL says of a certificate, for it did not make it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
if (!hasOpenssl) console.log('SKIP what OpenSSL says: there is no openssl here');

/** `OK`, or what is wrong with a certificate (PEM, intermediates behind it) to one who believes in this CA. */
export function verdict(certificate: string, ca: string, purpose: 'sslserver' | 'sslclient' = 'sslclient'): string {
  if (!hasOpenssl) return 'OK';
  const directory = mkdtempSync(join(tmpdir(), 'openssl-'));
  writeFileSync(join(directory, 'ca.crt'), ca);
  writeFileSync(join(directory, 'tls.crt'), certificate);
  const args = ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'ca.crt', '-untrusted', 'tls.crt', 'tls.crt'];
  const { stdout, stderr } = spawnSync('openssl', args, { cwd: directory, encoding: 'utf8' });
  return stdout.trim() === 'tls.crt: OK' ? 'OK' : stdout + stderr;
}
