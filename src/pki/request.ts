/**
 * A key made here and a request that somebody else certify it: the key never leaves this machine.
 */
import { createPrivateKey, createPublicKey, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { SkiffError } from '../errors.ts';
import type { SigningRequest } from './x509.ts';

/** A new key on the curve P-256, in PEM (PKCS#8). */
export async function newKey(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** A signing request for a key, in PEM. */
export async function requestFor(key: string, commonName: string): Promise<string> {
  const { makeRequest } = await import('./x509.ts');
  const privateKey = createPrivateKey(key);
  return makeRequest(commonName, createPublicKey(privateKey), privateKey);
}

/** What a request asks for, once its signature has shown that the one who asks has the key. */
export async function readSigningRequest(request: string): Promise<SigningRequest> {
  const { readRequest } = await import('./x509.ts');
  try {
    return readRequest(request);
  } catch (error) {
    throw new SkiffError('bad-request', `the signing request cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
