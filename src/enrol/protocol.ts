/**
 * What a device and its hub say to each other before the device is anybody: docs/enrolment.md has it in full, with
 * examples.
 */
import { createHash } from 'node:crypto';
import { SkiffError } from '../errors.ts';
import { canonical } from './canonical.ts';

export const enrolmentPath = '/enrolment';
export const noncePath = '/enrolment/nonce';

/** What a device says of its hardware. None of it is proven. */
export interface Identity {
  serial: string | null;
  uuid: string | null;
  macs: string[];
  model: string | null;
  /** Serial numbers. */
  disks: string[];
}

export interface NonceAnswer {
  nonce: string;
  /** The hub's clock, RFC 3339. */
  time: string;
}

export interface EnrolmentRequest {
  /** The name of the claim. */
  claim: string;
  nonce: string;
  /** PEM: a signing request for the device's key. */
  request: string;
  identity: Identity;
  /** Of Skiff. */
  version: string;
  /** base64: what `provenText` says, signed with the secret of the claim. */
  proof: string;
}

export interface IssuedAnswer {
  state: 'issued';
  device: { name: string; siteId: string; group: string };
  /** PEM: whom to believe, and the device's certificate. */
  ca: string;
  certificate: string;
  /** What its Secret is to be called: the Links name it. */
  credentials: string;
  /** The path at which the certificate is renewed. */
  renewal: string;
  /** Whose word counts from now on: an Ed25519 key, SPKI in base64. */
  controller: { publicKey: string };
  /** What the device is to be, its Site and Links first, and the controller's signature. */
  desired: { generation: number; documents: object[]; signature: string };
}

export interface PendingAnswer {
  state: 'pending';
  /** The fingerprint of the device's key, which the operator sees, too. */
  words: string;
  reason: string;
  /** Seconds. */
  retryAfter: number;
}

export interface RefusedAnswer {
  state: 'refused';
  code: string;
  reason: string;
  /** Asking again will not help. */
  permanent: boolean;
}

export type EnrolmentAnswer = IssuedAnswer | PendingAnswer | RefusedAnswer;

/** What the secret of the claim signs; `requestDer`: the signing request in DER. */
export function provenText({ claim, nonce, identity }: EnrolmentRequest, requestDer: Buffer): string {
  return ['skiff-enrolment-v1', claim, nonce, digest(requestDer), digest(canonical(identity))].join('\n');
}

function digest(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

/** The octets between the lines of PEM. */
export function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
}

const longestText = 200;
const longestRequest = 4_096;
const mostOfAKind = 32;

/** The request in a body; what is not known is refused, as it would not be signed. */
export function readEnrolmentRequest(body: string): EnrolmentRequest {
  const bad = (what: string): never => {
    throw new SkiffError('bad-request', `${what} of the enrolment request is not valid`);
  };
  const text = (value: unknown, what: string, longest = longestText): string =>
    typeof value === 'string' && value !== '' && value.length <= longest ? value : bad(what);
  const optional = (value: unknown, what: string): string | null => (value === null ? null : text(value, what));
  const list = (value: unknown, what: string): string[] =>
    Array.isArray(value) && value.length <= mostOfAKind ? value.map((each) => text(each, what)) : bad(what);
  const { claim, nonce, request, identity, version, proof } = parsed(body);
  const { serial, uuid, macs, model, disks, ...unknown } = (identity ?? {}) as Record<keyof Identity, unknown>;
  if (Object.keys(unknown).length > 0) bad('identity');
  return {
    claim: text(claim, 'claim'),
    nonce: text(nonce, 'nonce'),
    request: text(request, 'request', longestRequest),
    identity: {
      serial: optional(serial, 'identity.serial'),
      uuid: optional(uuid, 'identity.uuid'),
      macs: list(macs, 'identity.macs'),
      model: optional(model, 'identity.model'),
      disks: list(disks, 'identity.disks'),
    },
    version: text(version, 'version'),
    proof: text(proof, 'proof'),
  };
}

function parsed(body: string): Partial<Record<keyof EnrolmentRequest, unknown>> {
  try {
    return (JSON.parse(body) ?? {}) as object;
  } catch (error) {
    throw new SkiffError('bad-request', 'the enrolment request is not JSON', { cause: error });
  }
}
