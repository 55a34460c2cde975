/**
 * The device's side: a site that is nobody yet looks for a claim, asks until somebody decides, and becomes what it is
 * told. What it has once been told it needs no hub for.
 */
import { createPublicKey, X509Certificate } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { applyToHub, correctClock } from '../enrol/applicant.ts';
import { readPublicKey } from '../enrol/ed25519.ts';
import type { IssuedAnswer, RefusedAnswer } from '../enrol/protocol.ts';
import { type Places, searchClaim, type Tried } from '../enrol/search.ts';
import { wordsOf } from '../enrol/words.ts';
import { type ErrorFact, errorFact, SkiffError } from '../errors.ts';
import type { HardwareIdentity } from '../health/identity.ts';
import { log } from '../log.ts';
import { keyFingerprint } from '../pki/fingerprint.ts';
import { failed, met, pending, timestamp } from '../site/conditions.ts';
import { routerId } from '../site/plan.ts';
import { type ReadDocument, readDocuments } from '../site/read.ts';
import type { EnrolmentTokenSpec, Resource } from '../site/resources.ts';
import type { Site } from '../site/site.ts';
import type { FleetJudge } from '../site/status.ts';
import type { JsonObject } from '../store/documents.ts';
import type { StoredEnrolment } from '../store/enrolment.ts';
import type { Store } from '../store/store.ts';
import { desiredText, isSigned } from './signing.ts';

/** Between two looks for a claim, in milliseconds: somebody may plug in a stick. */
const lookEvery = 5_000;
/** Between two questions while the hub cannot be reached, and while somebody has to decide: doubled, with jitter. */
const unreachable = { first: 1_000, last: 60_000 };
const waiting = { first: 5_000, last: 10 * 60_000 };

/** Between two questions what time it is. */
const doubtEvery = 10_000;
/** Between two questions whether the hub knows this device any more. */
const standingEvery = 30_000;
/** What a hub says of a device that it has let in once and never will again. */
const forGood: ReadonlySet<string> = new Set(['device-revoked', 'device-rejected']);

/**
 * `revoked`: it was enrolled, and its hub has ended that for good; `by-hand`: a site that nobody enrolled, and that looks
 * for nothing.
 */
export type AgentState = 'unclaimed' | 'asking' | 'pending' | 'refused' | 'enrolled' | 'revoked' | 'by-hand';

/** What a device knows of itself. */
export interface DeviceFacts {
  state: AgentState;
  /** Of its key, as the hub shows them, too; null while it has none. */
  words: string | null;
  claim: string | null;
  /** The hub: where it asks, or enrolled. */
  hub: string[];
  device: IssuedAnswer['device'] | null;
  identity: HardwareIdentity | null;
  /** Where it looked for a claim. */
  tried: Tried[];
  attempts: number;
  error: ErrorFact | null;
  /** RFC 3339 */
  nextAttemptTime: string | null;
  enrolledTime: string | null;
}

export interface AgentOptions {
  site: Site;
  store: Store;
  now: () => number;
  clock: Clock;
  version: string;
  places: Places;
  identity: () => Promise<HardwareIdentity>;
}

/** What the hub gave, as far as it is kept; the rest of it are documents. */
type Membership = Pick<IssuedAnswer, 'device' | 'credentials' | 'controller'> & {
  /** Where it enrolled. */
  url: string;
};

/** A claim as it was found. */
interface Token {
  document: ReadDocument;
  spec: EnrolmentTokenSpec;
}

export class Agent {
  readonly #options: AgentOptions;
  #stored: StoredEnrolment | undefined;
  #state: AgentState = 'unclaimed';
  #identity: HardwareIdentity | null = null;
  #tried: Tried[] = [];
  /** What DNS said of the hub's address, when it had to be asked. */
  #discovered: Tried | null = null;
  #attempts = 0;
  #error: ErrorFact | null = null;
  #timer: NodeJS.Timeout | null = null;
  #nextAt: number | null = null;
  #closed = false;
  #doubtAgainAt = 0;
  /** The secrets of claims that were refused for good. */
  readonly #refused = new Set<string>();
  #askAgainAt = 0;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#stored = options.store.enrolment.get();
  }

  /** To be called when the site has started. */
  start(): void {
    if (this.#stored?.answer != null) this.#beMember();
    else if (this.#options.site.facts.site !== null) this.#state = 'by-hand';
    else void this.#look();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer ?? undefined);
  }

  get facts(): DeviceFacts {
    const token = this.#stored && (JSON.parse(this.#stored.token) as EnrolmentTokenSpec);
    const membership = this.#membership;
    const time = (at: number | null | undefined) => (at == null ? null : timestamp(at));
    return {
      state: this.#state,
      words: this.#stored ? wordsOf(keyFingerprint(createPublicKey(this.#stored.key))) : null,
      claim: token?.id ?? null,
      hub: membership ? [membership.url] : (token?.urls ?? []),
      device: membership?.device ?? null,
      identity: this.#identity,
      tried: [...this.#tried, ...(this.#discovered ? [this.#discovered] : [])],
      attempts: this.#attempts,
      error: this.#error,
      nextAttemptTime: time(this.#nextAt),
      enrolledTime: time(this.#stored?.enrolledAt),
    };
  }

  /** What the machine says of itself; read once. */
  async identity(): Promise<HardwareIdentity> {
    this.#identity ??= await this.#options.identity();
    return this.#identity;
  }

  judge({ name, spec }: Resource<'EnrolmentToken'>): ReturnType<FleetJudge> {
    const own = this.#stored && JSON.parse(this.#stored.token).secret === spec.secret;
    if (this.#state === 'by-hand') return { findings: [failed('Enrolled', 'This is a site already')], details: {} };
    if (!own) return { findings: [pending('Enrolled', `Claim "${name}" is not in use`)], details: {} };
    if (this.#state === 'enrolled') return { findings: [met('Enrolled')], details: {} };
    const error = this.#error;
    const details: JsonObject = error ? { error: { ...error } } : {};
    if (error && (this.#state === 'refused' || this.#state === 'revoked'))
      return { findings: [failed('Enrolled', error.message)], details };
    return { findings: [pending('Enrolled', error?.message ?? 'Asking')], details };
  }

  /** Whether this is nobody yet. */
  get takesClaims(): boolean {
    return this.#stored?.answer == null && this.#options.site.facts.site === null;
  }

  /** Takes a claim that somebody brings, such as by a form. */
  take(text: string): DeviceFacts {
    if (this.#membership || this.#state === 'by-hand') {
      throw new SkiffError('already-exists', 'this is a site already', {
        hint: 'skiff device relink takes it to another hub',
      });
    }
    this.#keepToken(readToken(text, 'the claim'));
    this.#soon(0);
    return this.facts;
  }

  /** Leaves the hub that there is, if there is one, for that of another claim. Nothing changes unless that takes it. */
  async relink(text: string): Promise<DeviceFacts> {
    const token = readToken(text, 'the claim');
    const { store } = this.#options;
    const { newKey } = await import('../pki/request.ts');
    const key = this.#stored?.key ?? (await newKey());
    const before = this.#stored;
    const stored = { token: JSON.stringify(token.spec), key, answer: null, refusal: null, enrolledAt: null };
    // The key is kept in any case: should somebody have to decide, the next try is the same device's.
    if (!before) store.transaction(() => store.enrolment.put(stored));
    const outcome = await this.#ask(stored);
    if (outcome.answer.state === 'issued') {
      await this.#become(stored, outcome.answer, outcome.url);
      return this.facts;
    }
    if (!before) store.transaction(() => store.enrolment.remove());
    if (outcome.answer.state === 'refused') throw refusedBy(outcome.answer);
    const { words } = outcome.answer;
    throw new SkiffError('enrolment-pending', `the other hub has to approve this device first: ${words}`, {
      hint: 'Nothing was changed here; try again when it is approved',
    });
  }

  /** The dates of a link's certificates are wrong: they are, or the clock is. Its hub is asked, once in a while. */
  async datesInDoubt(): Promise<void> {
    const membership = this.#membership;
    if (!membership || !this.#stored || performance.now() < this.#doubtAgainAt) return;
    this.#doubtAgainAt = performance.now() + doubtEvery;
    try {
      const { ca } = JSON.parse(this.#stored.token) as EnrolmentTokenSpec;
      await correctClock(membership.url, ca, this.#options.clock);
    } catch (error) {
      const { message, code } = errorFact(error);
      log.warn('enrol', `the hub cannot be asked for the time: ${message}`, { code });
    }
  }

  /** The hub does not take this device's link. Why, it says to who asks with the device's key. */
  async linkRefused(): Promise<void> {
    const stored = this.#stored;
    if (this.#state !== 'enrolled' || !stored || performance.now() < this.#askAgainAt) return;
    this.#askAgainAt = performance.now() + standingEvery;
    try {
      const { answer } = await this.#ask(stored);
      if (this.#closed || this.#stored !== stored || answer.state !== 'refused' || !forGood.has(answer.code)) return;
      this.#refusedForGood(stored, refusedBy(answer).toFact());
      this.#beMember();
    } catch (error) {
      const { message, code } = errorFact(error);
      log.warn('enrol', `the hub cannot be asked why it refuses the link: ${message}`, { code });
    }
  }

  get #membership(): Membership | null {
    return this.#stored?.answer == null ? null : (JSON.parse(this.#stored.answer) as Membership);
  }

  /** One round: looks for a claim, and asks with the one there is. */
  async #look(): Promise<void> {
    this.#timer = null;
    this.#nextAt = null;
    const { site } = this.#options;
    if (this.#closed || this.#membership) return;
    if (site.facts.site !== null) {
      this.#set('by-hand', null);
      return;
    }
    try {
      const token = this.#search();
      if (token) await this.#keepTokenWithKey(token);
      if (!this.#stored || this.#stored.refusal !== null) this.#idle();
      else await this.#try(this.#stored);
    } catch (error) {
      this.#again(errorFact(error), unreachable);
    }
  }

  /** A claim that is another than the one in use. */
  #search(): Token | null {
    const { found, tried } = searchClaim(this.#options.places, readToken);
    const documents = this.#options.site.documents.all().filter((document) => document.kind === 'EnrolmentToken');
    const applied = documents.toSorted((a, b) => b.updatedAt - a.updatedAt).at(0);
    const before = this.#tried.map(({ place, outcome }) => `${place}: ${outcome}`).join(', ');
    this.#tried = [...tried, { place: 'documents', outcome: applied ? `found (${applied.name})` : 'nothing there' }];
    const now = this.#tried.map(({ place, outcome }) => `${place}: ${outcome}`).join(', ');
    if (now !== before) log.info('enrol', `looked for a claim: ${now}`);
    const known = this.#stored && (JSON.parse(this.#stored.token) as EnrolmentTokenSpec).secret;
    // One that is in use already, or was refused, does not stand in the way of the next.
    const isNews = ({ spec: { secret } }: Token) => secret !== known && !this.#refused.has(secret);
    const tokens = [found, applied ? tokenOf(applied) : null].filter((token) => token !== null);
    return tokens.find(isNews) ?? null;
  }

  async #keepTokenWithKey(token: Token): Promise<void> {
    const { newKey } = await import('../pki/request.ts');
    this.#keepToken(token, this.#stored?.key ?? (await newKey()));
  }

  /** Kept before anything is asked: asking again after a lost answer is asking for the same. */
  #keepToken({ document, spec }: Token, key?: string): void {
    const { site, store } = this.#options;
    const own = key ?? this.#stored?.key;
    if (own === undefined) {
      site.keep([document], () => {});
      return;
    }
    const stored = { token: JSON.stringify(spec), key: own, answer: null, refusal: null, enrolledAt: null };
    site.keep([document], () => store.enrolment.put(stored));
    this.#stored = stored;
    this.#attempts = 0;
  }

  async #try(stored: StoredEnrolment): Promise<void> {
    if (this.#state !== 'pending') this.#set('asking', this.#error);
    this.#attempts++;
    const { answer, url, retryAfter } = await this.#ask(stored);
    if (this.#closed || this.#stored !== stored) return;
    if (answer.state === 'issued') return this.#become(stored, answer, url);
    if (answer.state === 'pending') {
      const message = `waits for approval (${answer.reason}): ${answer.words}`;
      if (this.#state !== 'pending') this.#attempts = 1;
      this.#set('pending', { code: 'enrolment-pending', message });
      return this.#again(this.#error, waiting, retryAfter);
    }
    const fact = refusedBy(answer).toFact();
    if (!answer.permanent) return this.#again(fact, unreachable, retryAfter);
    this.#refusedForGood(stored, fact);
    this.#idle();
  }

  #refusedForGood(stored: StoredEnrolment, fact: ErrorFact): void {
    const refused = { ...stored, refusal: JSON.stringify(fact) };
    this.#options.store.transaction(() => this.#options.store.enrolment.put(refused));
    this.#stored = refused;
    this.#refused.add((JSON.parse(stored.token) as EnrolmentTokenSpec).secret);
    log.error('enrol', `${fact.message}; it is not tried again with this claim`, { code: fact.code });
  }

  async #ask(stored: StoredEnrolment) {
    const { requestFor } = await import('../pki/request.ts');
    const token = JSON.parse(stored.token) as EnrolmentTokenSpec;
    const { version, clock } = this.#options;
    const identity = await this.identity();
    const onDiscovered = (addresses: { host: string; port: number }[]) => {
      const outcome = addresses.map(({ host, port }) => `${host}:${port}`).join(', ') || 'nothing there';
      this.#discovered = { place: 'DNS', outcome };
    };
    return applyToHub({ token, request: await requestFor(stored.key, ''), identity, version, clock, onDiscovered });
  }

  /** All of it in one step: who it is, what it is to be, and where its certificate is renewed. */
  async #become(stored: StoredEnrolment, answer: IssuedAnswer, url: string): Promise<void> {
    const { site, store, now } = this.#options;
    const { device, credentials, controller, desired } = answer;
    checkAnswer(stored, answer);
    const membership: Membership = { device, credentials, controller, url };
    const enrolled = { ...stored, answer: JSON.stringify(membership), refusal: null, enrolledAt: now() };
    const texts = { 'ca.crt': answer.ca, 'tls.crt': answer.certificate, 'tls.key': stored.key };
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: credentials },
      type: 'kubernetes.io/tls',
      stringData: texts,
    };
    const documents = readDocuments([{ name: url, text: JSON.stringify([secret, ...desired.documents]) }]);
    const row = { generation: desired.generation, documents: desired.documents, state: 'good', active: true } as const;
    const taken = site.becomeDevice(documents, () => {
      store.enrolment.put(enrolled);
      store.applied.replace([{ ...row, reason: null, at: now() }] as Parameters<Store['applied']['replace']>[0]);
      site.renewAt(credentials, new URL(answer.renewal, url).href, (JSON.parse(stored.token) as EnrolmentTokenSpec).ca);
    });
    this.#stored = enrolled;
    log.info('enrol', `enrolled as ${device.name} in group ${device.group}`, { name: device.name, hub: url });
    await taken;
    this.#beMember();
  }

  #beMember(): void {
    this.#nextAt = null;
    const refusal = this.#refusal;
    this.#set(refusal ? 'revoked' : 'enrolled', refusal);
  }

  get #refusal(): ErrorFact | null {
    return this.#stored?.refusal == null ? null : (JSON.parse(this.#stored.refusal) as ErrorFact);
  }

  #set(state: AgentState, error: ErrorFact | null): void {
    this.#state = state;
    if (error && error.message !== this.#error?.message && state !== 'refused' && state !== 'revoked') {
      log.warn('enrol', error.message, { code: error.code });
    }
    this.#error = error;
    this.#options.site.fleetChanged();
  }

  /** There is nothing to ask with: somebody may bring another claim. */
  #idle(): void {
    const refusal = this.#refusal;
    this.#set(refusal ? 'refused' : 'unclaimed', refusal);
    this.#soon(lookEvery);
  }

  #again(error: ErrorFact | null, { first, last }: typeof waiting, leastSeconds: number | null = null): void {
    this.#set(this.#state, error);
    const longest = Math.min(last, first * 2 ** Math.min(this.#attempts - 1, 12));
    const delay = Math.max(longest * (0.2 + 0.8 * Math.random()), (leastSeconds ?? 0) * 1_000);
    this.#nextAt = this.#options.now() + delay;
    this.#soon(delay);
  }

  #soon(delay: number): void {
    clearTimeout(this.#timer ?? undefined);
    if (!this.#closed) this.#timer = setTimeout(() => void this.#look(), delay);
  }
}

/** The claim in a text; throws when it is none. */
function readToken(text: string, place: string): Token {
  const documents = readDocuments([{ name: place, text }]);
  const [document] = documents;
  if (documents.length !== 1 || document.kind !== 'EnrolmentToken') {
    throw new SkiffError('bad-claim', 'it is not one EnrolmentToken', { hint: 'skiff claim create prints one' });
  }
  return { document, spec: document.spec as unknown as EnrolmentTokenSpec };
}

function tokenOf({ kind, name, apiVersion, labels, annotations, spec }: Resource<'EnrolmentToken'>): Token {
  const body = spec as unknown as ReadDocument['spec'];
  return { document: { kind, name, apiVersion, labels, annotations, spec: body, place: () => '' }, spec };
}

/** The hub is who the claim names; but what it says must fit together, or the device would be cut off by it. */
function checkAnswer({ key }: StoredEnrolment, { certificate, controller, desired, device }: IssuedAnswer): void {
  const bad = (what: string) => new SkiffError('bad-answer', `the hub's answer is of no use: ${what}`);
  const own = keyFingerprint(createPublicKey(key));
  if (keyFingerprint(new X509Certificate(certificate).publicKey) !== own)
    throw bad('the certificate is for another key');
  const text = desiredText({ device: routerId(device.name, device.siteId), ...desired } as Parameters<
    typeof desiredText
  >[0]);
  if (!isSigned(text, desired.signature, readPublicKey(controller.publicKey))) throw bad('it is not signed');
}

function refusedBy({ code, reason }: RefusedAnswer): SkiffError {
  return new SkiffError(code, `the hub refuses this device: ${reason}`, {
    hint: 'Bring another claim, or ask whoever runs the hub',
  });
}
