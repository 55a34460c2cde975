/**
 * AccessGrants: who redeems one here gets a certificate and the way to this site. Skupper's protocol, check by check;
 * a redeemer that sends a signing request keeps its key to itself, and may ask again when the answer was lost.
 */
import { randomInt, randomUUID, X509Certificate } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { Guesses } from '../enrol/guesses.ts';
import {
  type EnrolAnswer,
  type EnrolConfig,
  type EnrolRequest,
  EnrolServer,
  refuse,
  renewalHeader,
  requestHeader,
} from '../enrol/server.ts';
import { type ErrorFact, SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { fingerprintOf } from '../pki/fingerprint.ts';
import type { SigningRequest } from '../pki/x509.ts';
import type { TlsMaterial } from '../router/protocol.ts';
import type { StoredGrant } from '../store/grants.ts';
import type { Store } from '../store/store.ts';
import { parseDuration } from './duration.ts';
import { type Admission, fleetUrn, invitation, type Links } from './links.ts';
import type { AccessGrantSpec, Resource } from './resources.ts';
import { enrolmentPort } from './rules.ts';

/** The path at which certificates are renewed. */
export const renewals = 'renewals';
const defaultWindowMs = 10 * 60_000;
const codeLength = 24;
const alphanumeric = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const longestName = 253;

/** The way in for those who come to the fleet. */
export interface FleetDoor {
  /** null: not for it. */
  answer(request: EnrolRequest): Promise<EnrolAnswer | null>;
  /** Whether a device's certificate may be renewed without anybody's leave. */
  mayRenew(device: string): boolean;
}

export interface GrantsOptions {
  store: Store;
  now: () => number;
  links: Links;
  /** What is to be said of grants may have changed. */
  onChange: () => void;
  /** Who else answers at the server, and has a say in renewals. */
  fleet: () => FleetDoor;
}

export class Grants {
  readonly #options: GrantsOptions;
  readonly #server: EnrolServer;
  readonly #guesses: Guesses;
  #grants: StoredGrant[];
  #documents: Resource[] = [];
  #config: EnrolConfig | null = null;

  constructor(options: GrantsOptions) {
    this.#options = options;
    this.#grants = options.store.grants.all();
    this.#guesses = new Guesses(options.now);
    this.#server = new EnrolServer((request) => this.#answer(request), options.onChange);
  }

  get(name: string): StoredGrant | undefined {
    return this.#grants.find((grant) => grant.name === name);
  }

  /** Where redeemers come to. */
  get port(): number | null {
    return this.#server.port;
  }

  get error(): ErrorFact | null {
    return this.#server.error;
  }

  /** Takes up the documents; resolves when the server has been tried, if there is to be one. */
  async update(documents: Resource[], credentials: TlsMaterial | undefined): Promise<void> {
    this.#documents = documents;
    this.#keepGrants(documents.filter((document) => document.kind === 'AccessGrant'));
    const { certificate, key } = credentials ?? {};
    const service = documents.find((document) => document.kind === 'EnrolmentService')?.spec;
    const needed = service !== undefined || this.#grants.length > 0;
    const config =
      needed && certificate && key
        ? { host: service?.bindHost ?? '', port: service?.port ?? enrolmentPort, certificate, key }
        : null;
    if (isDeepStrictEqual(config, this.#config)) return;
    this.#config = config;
    await this.#server.update(config);
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  /** A grant's code and expiry are made when its document is first seen, and stay. */
  #keepGrants(documents: Resource<'AccessGrant'>[]): void {
    const { store, now } = this.#options;
    const names = new Set(documents.map(({ name }) => name));
    const gone = this.#grants.filter(({ name }) => !names.has(name));
    const changed = documents.flatMap(({ name, spec }) => {
      const before = this.get(name);
      if (before && (spec.code === undefined || spec.code === before.code)) return [];
      const window = (spec.expirationWindow && parseDuration(spec.expirationWindow)) || defaultWindowMs;
      const fresh = { name, uid: randomUUID(), expiresAt: now() + window, redemptions: 0 };
      return [{ ...(before ?? fresh), code: spec.code ?? newCode() }];
    });
    if (gone.length === 0 && changed.length === 0) return;
    store.transaction(() => {
      for (const { name } of gone) store.grants.remove(name);
      for (const grant of changed) store.grants.put(grant);
    });
    for (const { uid } of gone) this.#guesses.forget(uid);
    this.#grants = store.grants.all();
  }

  async #answer(request: EnrolRequest): Promise<EnrolAnswer> {
    const { links, now } = this.#options;
    if (request.method !== 'POST') return refuse(405, 'Only POST is supported');
    if (request.body === null) return refuse(400, 'Request body not valid');
    if (request.key === renewals) return this.#renew(request);
    const answered = await this.#options.fleet().answer(request);
    if (answered) return answered;
    const grant = this.#grants.find(({ uid }) => uid === request.key);
    if (!grant) return refuse(404, 'No such claim');
    const asked = await signingRequestOf(request);
    if (asked === undefined) return refuse(400, 'Signing request not valid');
    // Who has been let in and asks again takes nobody's place.
    const again = asked && (await links.admitted(asked.publicKey, ({ grantUid }) => grantUid === grant.uid));
    if (!again) {
      if (now() >= grant.expiresAt) return refuse(404, 'No such claim');
      if (grant.redemptions >= this.#allowed(grant)) return refuse(404, 'No such access granted');
    }
    const wait = this.#guesses.wait(grant.uid);
    if (wait > 0) return refuse(429, 'Too many attempts', { 'retry-after': String(Math.ceil(wait / 1_000)) });
    if (!this.#guesses.check(grant.uid, grant.code, request.body)) {
      log.warn('enrol', `a wrong code was given for AccessGrant "${grant.name}"`, { name: grant.name });
      return refuse(403, 'Redemption of access token refused');
    }
    const name = word(request.header('name')) ?? grant.name;
    if (again) return answer(name, again);
    return this.#admit(grant, name, word(request.header('subject')) ?? name, asked);
  }

  /**
   * The certificate after one that was issued here and is shown in the handshake, expired or not: who has its key is
   * who it was issued to. Asked again, the answer is the same.
   */
  async #renew(request: EnrolRequest): Promise<EnrolAnswer> {
    const { links, store } = this.#options;
    const shown = request.certificate && store.issued.get(fingerprintOf(request.certificate));
    if (!shown || shown.revokedAt !== null) return refuse(403, 'Renewal of certificate refused');
    const fleet = ofFleet(shown.certificate);
    if (fleet && !this.#options.fleet().mayRenew(shown.device ?? '')) {
      return refuse(403, 'Renewal of certificate waits for approval');
    }
    const asked = await signingRequestOf(request);
    if (!asked) return refuse(400, 'Signing request not valid');
    const name = word(request.header('name')) ?? shown.name;
    const again = await links.admitted(asked.publicKey, ({ renews }) => renews === shown.fingerprint);
    if (again) return answer(name, again);
    const admission = await links.admit({
      name: shown.name,
      subject: shown.subject,
      issuer: shown.issuer,
      publicKey: asked.publicKey,
      renews: shown.fingerprint,
      fleet,
      ...(shown.grantUid === null ? {} : { grantUid: shown.grantUid }),
      ...(shown.device === null ? {} : { device: shown.device }),
    });
    log.info('enrol', `the certificate of ${shown.subject} was renewed`, { name: shown.name });
    return answer(name, admission);
  }

  #allowed(grant: StoredGrant): number {
    return this.#specOf(grant)?.redemptionsAllowed || 1;
  }

  #issuerOf(grant: StoredGrant): { issuer?: string } {
    const issuer = this.#specOf(grant)?.issuer;
    return issuer === undefined ? {} : { issuer };
  }

  #specOf({ name }: StoredGrant): AccessGrantSpec | undefined {
    const document = this.#documents.find((each) => each.kind === 'AccessGrant' && each.name === name);
    return (document as Resource<'AccessGrant'> | undefined)?.spec;
  }

  async #admit(grant: StoredGrant, name: string, subject: string, asked: SigningRequest | null): Promise<EnrolAnswer> {
    try {
      this.#count(grant, 1);
    } catch {
      return refuse(503, 'Internal error');
    }
    try {
      const admission = await this.#options.links.admit({
        name,
        subject,
        grantUid: grant.uid,
        publicKey: asked?.publicKey ?? null,
        ...(asked?.commonName ? { device: asked.commonName } : {}),
        ...this.#issuerOf(grant),
      });
      log.info('enrol', `AccessGrant "${grant.name}" was redeemed`, { name: grant.name, subject });
      this.#options.onChange();
      return await answer(name, admission);
    } catch (error) {
      // Nobody was let in, so nothing has been used.
      this.#count(grant, -1);
      if (!(error instanceof SkiffError)) throw error;
      log.error('enrol', `AccessGrant "${grant.name}": ${error.message}`, { code: error.code });
      return refuse(500, error.message);
    }
  }

  #count(grant: StoredGrant, change: 1 | -1): void {
    this.#options.store.transaction(() => this.#options.store.grants.count(grant.uid, change));
    grant.redemptions += change;
  }
}

/** The documents, one after another; who sent a signing request is told where the certificate is renewed. */
async function answer(name: string, admission: Admission): Promise<EnrolAnswer> {
  const { stringify } = await import('yaml');
  const body = invitation(name, admission).map((document) => `---\n${stringify(document, { lineWidth: 0 })}`);
  return {
    status: 200,
    body: body.join(''),
    headers: admission.key === null ? { [renewalHeader]: `/${renewals}` } : {},
  };
}

function ofFleet(certificate: string): boolean {
  return new X509Certificate(certificate).subjectAltName?.split(', ').includes(`URI:${fleetUrn}`) ?? false;
}

/** null: there is none; undefined: there is, and it is no good. */
async function signingRequestOf(request: EnrolRequest): Promise<SigningRequest | null | undefined> {
  const header = request.header(requestHeader);
  if (header === undefined) return null;
  const { readSigningRequest } = await import('../pki/request.ts');
  try {
    return await readSigningRequest(Buffer.from(header, 'base64').toString('utf8'));
  } catch (error) {
    if (error instanceof SkiffError) return undefined;
    throw error;
  }
}

/** A header's text, if it is one that a certificate or a document may have. */
function word(text: string | undefined): string | undefined {
  return text && text.length <= longestName && /^[\x20-\x7e]+$/.test(text) ? text : undefined;
}

function newCode(): string {
  return Array.from({ length: codeLength }, () => alphanumeric[randomInt(alphanumeric.length)]).join('');
}
