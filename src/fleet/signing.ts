/**
 * What the controller and its devices sign. The routers between the two are not believed: a device takes only what the
 * controller signed for it, and the controller only what the device signed itself.
 */
import { createHash, type KeyObject, sign, verify } from 'node:crypto';
import { canonical } from '../enrol/canonical.ts';
import type { JsonObject } from '../store/documents.ts';

/** What a device is to be, whole. */
export interface Desired {
  /** The device's router id. */
  device: string;
  generation: number;
  documents: JsonObject[];
}

/** Something that an operator wants done once. */
export interface Order {
  device: string;
  id: string;
  verb: string;
  /** Milliseconds since the epoch. */
  expires: number;
}

/** SHA-256 of what something says, in hexadecimal. */
export function digest(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex');
}

/** Keys of Ed25519 sign as they are; those of a device, on a curve of NIST, with SHA-256. */
export function signed(text: string, key: KeyObject): string {
  return sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', Buffer.from(text), key).toString('base64');
}

export function isSigned(text: string, signature: unknown, key: KeyObject): boolean {
  if (typeof signature !== 'string') return false;
  const algorithm = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return verify(algorithm, Buffer.from(text), key, Buffer.from(signature, 'base64'));
}

export function desiredText({ device, generation, documents }: Desired): string {
  return ['skiff-desired-v1', device, generation, digest(documents)].join('\n');
}

export function orderText({ device, id, verb, expires }: Order): string {
  return ['skiff-order-v1', device, id, verb, expires].join('\n');
}

export function reportText(device: string, report: object): string {
  return ['skiff-report-v1', device, digest(report)].join('\n');
}
