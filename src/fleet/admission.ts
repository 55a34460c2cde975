/**
 * The hub's side of enrolment: who comes with a claim is let in, has to wait, or is turned away. Asked again by the
 * same key, the answer is the same.
 */
import { verify } from 'node:crypto';
import { readPublicKey } from '../enrol/ed25519.ts';
import { Guesses } from '../enrol/guesses.ts';
import { Nonces } from '../enrol/nonces.ts';
import {
  derOf,
  type EnrolmentRequest,
  enrolmentPath,
  type IssuedAnswer,
  type NonceAnswer,
  noncePath,
  provenText,
  type RefusedAnswer,
  readEnrolmentRequest,
} from '../enrol/protocol.ts';
import { answerJson, type EnrolAnswer, type EnrolRequest } from '../enrol/server.ts';
import { wordsOf } from '../enrol/words.ts';
import { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { keyFingerprint } from '../pki/fingerprint.ts';
import { readSigningRequest } from '../pki/request.ts';
import type { SigningRequest } from '../pki/x509.ts';
import { renewals } from '../site/grants.ts';
import type { Admission } from '../site/links.ts';
import { routerId } from '../site/plan.ts';
import type { Site } from '../site/site.ts';
import type { StoredDevice } from '../store/devices.ts';
import type { Store } from '../store/store.ts';
import { type Claim, type ClaimState, claimFacts } from './claims.ts';
import type { Controller } from './controller.ts';
import type { DesiredMessage } from './messages.ts';
import { Pace } from './pace.ts';
import type { Applicant, PendingReason, Registry } from './registry.ts';
import type { Replacing } from './replacing.ts';

/** Seconds between two questions of one who waits. */
const retryAfter = 5;
/** Devices that are let in so fast, and so many at once; a certificate takes a hub some ten milliseconds. */
const admittedASecond = 25;
const admittedAtOnce = 50;
/** Of one claim; who comes when there are so many has to come again. */
const mostPending = 1_000;
const retryWhenFull = 600;

const claimRefusals: Record<Exclude<ClaimState, 'Active'>, [code: string, reason: string]> = {
  Revoked: ['claim-revoked', 'The claim was revoked'],
  Expired: ['claim-expired', 'The claim has expired'],
  Spent: ['claim-spent', 'As many devices have enrolled with the claim as it allows'],
};

export interface AdmissionOptions {
  site: Site;
  store: Store;
  registry: Registry;
  replacing: Replacing;
  controller: () => Controller;
  now: () => number;
}

export class AdmissionDesk {
  readonly #options: AdmissionOptions;
  readonly #nonces: Nonces;
  readonly #failures: Guesses;
  readonly #pace = new Pace(admittedASecond, admittedAtOnce);
  /** One after the other: two must not take the last place of a claim. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#nonces = new Nonces(options.now);
    this.#failures = new Guesses(options.now);
  }

  /** null: it is not about enrolment. */
  async answer(request: EnrolRequest): Promise<EnrolAnswer | null> {
    if (request.path === noncePath) {
      const wait = this.#pace.wait();
      return wait > 0 ? full('Very many devices come at once', wait) : answerJson(200, this.#nonce());
    }
    if (request.path !== enrolmentPath) return null;
    try {
      return await this.#enrol(readEnrolmentRequest(request.body ?? ''), request.address);
    } catch (error) {
      if (!(error instanceof SkiffError) || error.code !== 'bad-request') throw error;
      return refusal(400, error.code, error.message, false);
    }
  }

  #nonce(): NonceAnswer {
    return { nonce: this.#nonces.next(), time: new Date(this.#options.now()).toISOString() };
  }

  async #enrol(request: EnrolmentRequest, address: string): Promise<EnrolAnswer> {
    const { site } = this.#options;
    const claim = site.documents.get({ kind: 'EnrolmentClaim', name: request.claim }) as Claim | undefined;
    if (!claim) return refusal(403, 'claim-unknown', 'There is no such claim', true);
    const asker = `${address} ${claim.name}`;
    const wait = this.#failures.wait(asker);
    if (wait > 0) return full('Too many failed proofs', Math.ceil(wait / 1_000));
    if (!this.#nonces.isGood(request.nonce)) return refusal(401, 'nonce-stale', 'Ask for another nonce', false);
    const asked = await readSigningRequest(request.request);
    const text = Buffer.from(provenText(request, derOf(request.request)));
    if (!verify(null, text, readPublicKey(claim.spec.publicKey), Buffer.from(request.proof, 'base64'))) {
      this.#failures.failed(asker);
      log.warn('fleet', `a wrong proof was given for claim "${claim.name}"`, { claim: claim.name, address });
      return refusal(401, 'proof-failed', 'The proof is not of the secret of that claim', false);
    }
    const { identity, version } = request;
    const applicant = { claim, publicKey: keyFingerprint(asked.publicKey), identity, address, version };
    const decided = this.#last.then(() => this.#decide(applicant, asked));
    this.#last = decided.catch(() => {});
    return decided;
  }

  async #decide(applicant: Applicant, asked: SigningRequest): Promise<EnrolAnswer> {
    const { store } = this.#options;
    const known = store.devices.withKey(applicant.publicKey);
    if (known) return this.#again(known, applicant, asked);
    // The database may be older than the device, and than the end of it.
    if (store.revocations.has('device', applicant.publicKey)) {
      return refusal(403, 'device-revoked', 'This device was revoked', true);
    }
    return this.#first(applicant, asked);
  }

  /** Somebody who was here before: what was decided then counts. */
  async #again(
    device: StoredDevice,
    { claim, address, version }: Applicant,
    asked: SigningRequest,
  ): Promise<EnrolAnswer> {
    const { registry, site, store, controller } = this.#options;
    if (device.state === 'rejected') return refusal(403, 'device-rejected', 'This device was turned away', true);
    if (device.state === 'revoked') return refusal(403, 'device-revoked', 'This device was revoked', true);
    if (device.state === 'pending') {
      if (claim.spec.revoked) return refusal(403, ...claimRefusals.Revoked, true);
      return pending(device);
    }
    const before = await site.admitted(asked.publicKey);
    if (!before && !registry.mayRenew(device)) return pending({ ...device, reason: 'long-dark' });
    registry.seen(device.name, address, version);
    if (!before) return this.#certify(device, asked, 'device-certified');
    return this.#issued(
      device,
      before,
      store.transaction(() => controller().desiredOf(device)),
    );
  }

  async #first(applicant: Applicant, asked: SigningRequest): Promise<EnrolAnswer> {
    const { claim, identity } = applicant;
    const { registry, store, now, replacing } = this.#options;
    const facts = claimFacts(claim, store, now());
    if (facts.state !== 'Active') return refusal(403, ...claimRefusals[facts.state], true);
    const draft = registry.draft(applicant, null);
    const old = replacing.placeFor(draft);
    if (old) {
      // Somebody has said that it is expected: that is its approval.
      const taken = store.transaction(() => replacing.take(draft, old));
      replacing.settled(taken, taken.serial ?? '');
      return this.#certify(taken, asked, 'device-enrolled');
    }
    const { approve = 'auto', serials = [] } = claim.spec;
    const listed = draft.serial !== null && serials.includes(draft.serial);
    if (approve !== 'listed' && serials.length > 0 && !listed) {
      return refusal(403, 'serial-not-listed', `The claim is not for serial ${identity.serial ?? 'none'}`, true);
    }
    const twin =
      draft.serial !== null && store.devices.withSerial(draft.serial).some(({ state }) => state !== 'rejected');
    const reason: PendingReason | null = twin
      ? 'serial-known'
      : approve === 'manual'
        ? 'approval'
        : approve === 'listed' && !listed
          ? 'serial-not-listed'
          : null;
    if (!reason) return this.#certify(draft, asked, 'device-enrolled');
    if (facts.pending >= mostPending) return full('Too many devices wait for approval', retryWhenFull);
    return pending(registry.add(applicant, reason));
  }

  /** The certificate, the entry, and what the device is to be are written in one step. */
  async #certify(device: StoredDevice, { publicKey }: SigningRequest, event: string): Promise<EnrolAnswer> {
    const { site, registry } = this.#options;
    const id = routerId(device.name, device.siteId);
    let desired: DesiredMessage | undefined;
    const guest = { name: device.name, subject: device.name, publicKey, device: id, fleet: true };
    const admission = await site.admit(guest, (record) =>
      registry.write(device, event, () => {
        record();
        desired = this.#options.controller().desiredOf(device);
      }),
    );
    return this.#issued(device, admission, desired as DesiredMessage);
  }

  #issued({ name, siteId, group }: StoredDevice, admission: Admission, desired: DesiredMessage): EnrolAnswer {
    const answer: IssuedAnswer = {
      state: 'issued',
      device: { name, siteId, group },
      ca: admission.ca,
      certificate: admission.certificate,
      credentials: credentialsName(this.#options.site),
      renewal: `/${renewals}`,
      controller: { publicKey: this.#options.controller().publicKey },
      desired,
    };
    return answerJson(200, answer);
  }
}

/** What devices call the Secret with their certificate. */
export function credentialsName({ facts }: Site): string {
  return facts.site ?? 'hub';
}

function pending({ publicKey, reason }: StoredDevice): EnrolAnswer {
  const headers = { 'retry-after': String(retryAfter) };
  return answerJson(202, { state: 'pending', words: wordsOf(publicKey), reason, retryAfter }, headers);
}

function refusal(status: number, code: string, reason: string, permanent: boolean): EnrolAnswer {
  return answerJson(status, { state: 'refused', code, reason, permanent } satisfies RefusedAnswer);
}

function full(reason: string, seconds: number): EnrolAnswer {
  const body: RefusedAnswer = { state: 'refused', code: 'too-many-attempts', reason, permanent: false };
  return answerJson(429, body, { 'retry-after': String(seconds) });
}
