/**
 * Ed25519 keys in the forms in which documents carry them: a seed and a public key (SPKI), both in base64.
 */
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';

const seedOctets = 32;
/** What PKCS#8 has before the seed. */
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex');

export function newSeed(): string {
  return randomBytes(seedOctets).toString('base64');
}

/** Throws when it is no seed. */
export function privateKeyOf(seed: string): KeyObject {
  const octets = Buffer.from(seed, 'base64');
  return createPrivateKey({ key: Buffer.concat([pkcs8Head, octets]), format: 'der', type: 'pkcs8' });
}

export function publicKeyOf(seed: string): string {
  return createPublicKey(privateKeyOf(seed)).export({ type: 'spki', format: 'der' }).toString('base64');
}

/** As a document carries it. Throws when it is none. */
export function readPublicKey(text: string): KeyObject {
  return createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' });
}
