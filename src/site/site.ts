/**
 * A running site: its documents, the router that carries them out, and what is to be said of both.
 */
import type { KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { dateFailures } from '../chain.ts';
import { errorFact, SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import type {
  DeviceRights,
  Mail,
  MailOutcome,
  ManagementQuestion,
  ManagementReply,
  Measurement,
  PartState,
  PeerState,
  RouterIdentity,
  TlsMaterial,
} from '../router/protocol.ts';
import type { Store } from '../store/store.ts';
import { Authorities } from './authorities.ts';
import type { Reason } from './conditions.ts';
import { Credentials } from './credentials.ts';
import { derive, grantServer, issuerOf, localHosts, takesLinks } from './derived.ts';
import { type Change, Documents } from './documents.ts';
import { type FleetDoor, Grants } from './grants.ts';
import { type IssuedFact, IssuedToOthers } from './issued.ts';
import { type Admission, type Entrance, type Guest, type LinkRequest, Links, linksTo, type Step } from './links.ts';
import { type Observation, observationOf } from './observation.ts';
import { makePlan, nothing, type Plan, partKey } from './plan.ts';
import type { ReadDocument } from './read.ts';
import { Reconciler } from './reconciler.ts';
import { Redeemer, tokensAmong } from './redeemer.ts';
import { type RenderedDocument, type RenderOptions, render, renderForExport } from './render.ts';
import { Renewals } from './renewals.ts';
import { type Kind, keyOf, type Origin, type Reference, type Resource } from './resources.ts';
import type { RouterPort } from './router.ts';
import { tlsMaterial } from './secret.ts';
import { endpointsOf, type FleetJudge, lastingEndpointsOf, type View } from './status.ts';
import { Statuses } from './statuses.ts';
import { Tokens } from './tokens.ts';

export interface SiteOptions {
  store: Store;
  version: string;
  startRouter: () => RouterPort;
  now: () => number;
  /** How others reach this machine, the best first; its own addresses and name if not said. */
  hosts?: () => string[];
  /** The router is gone: there is no way on for this process. */
  onFailure: (error: SkiffError) => void;
}

/** What the fleet does within a site, which itself knows nothing of fleets. */
export interface FleetHooks extends FleetDoor {
  judge: FleetJudge;
  /** A link fails for the dates of a certificate, or for the clock's sake. */
  datesInDoubt(): void;
  /** Somebody came as one who is linked already. */
  onTwins(peers: PeerState[]): void;
  /** The other end of a link does not take this site. */
  linkRefused(): void;
}

const noFleet: FleetHooks = {
  judge: () => ({ findings: [], details: {} }),
  datesInDoubt: () => {},
  linkRefused: () => {},
  answer: async () => null,
  mayRenew: () => false,
  onTwins: () => {},
};

/** Which site this is; all null while it is unclaimed. */
export type SiteFacts =
  | { site: string; mode: RouterIdentity['mode']; id: string }
  | { site: null; mode: null; id: null };

export type SiteEvent =
  | ({ event: 'site' } & SiteFacts)
  | { event: 'document'; kind: Kind; name: string; action: Change['action'] }
  | { event: 'status'; kind: Kind; name: string; status: Reason; message: string };

/** How long a change waits for the router to try it, so that a status read right after it tells the outcome. */
const takeUpMs = 2_000;
const upkeepEveryMs = 10 * 60_000;
/** A site whose certificate ended while its line was cut is to be back soon after that is mended. */
const renewEveryMs = 15_000;

/** Kinds of which there may be thousands, and whose status changes without a word of the router. */
const judgedWhenRead: ReadonlySet<Kind> = new Set<Kind>(['EnrolmentClaim', 'Device', 'DeviceGroup']);

/** Kinds whose status depends on what is elsewhere in the network. */
const tellOfNetwork: ReadonlySet<Kind> = new Set<Kind>(['Site', 'RouterAccess', 'Link', 'Connector']);

export class Site {
  readonly documents: Documents;
  readonly #version: string;
  readonly #store: Store;
  readonly #reconciler: Reconciler;
  readonly #statuses: Statuses;
  readonly #listeners = new Set<(event: SiteEvent) => void>();
  readonly #credentials: Credentials;
  readonly #authorities: Authorities;
  readonly #links: Links;
  readonly #grants: Grants;
  readonly #redeemer: Redeemer;
  readonly #renewals: Renewals;
  readonly #issued: View['issued'];
  readonly #issuedToOthers: IssuedToOthers;
  #upkeepTimer: NodeJS.Timeout | null = null;
  #renewalTimer: NodeJS.Timeout | null = null;
  readonly #tokens: Tokens;
  readonly #now: () => number;
  readonly #localHosts: () => string[];
  #hosts: string[] = [];
  /** The documents, and what follows from them. */
  #resources: Resource[] = [];
  #plan: Plan = nothing;
  #fleet: FleetHooks = noFleet;
  #measuring: Promise<Measurement> | null = null;

  constructor({ store, version, startRouter, now, hosts = localHosts, onFailure }: SiteOptions) {
    this.documents = new Documents(store, now);
    this.#now = now;
    this.#store = store;
    this.#localHosts = hosts;
    const authorities = new Authorities(store, now);
    this.#authorities = authorities;
    this.#credentials = new Credentials(store, authorities, now);
    this.#links = new Links({
      store,
      authorities,
      now,
      entrances: () => this.#entrances(),
      documents: () => this.#resources,
    });
    this.#grants = new Grants({
      store,
      now,
      links: this.#links,
      onChange: () => this.#refresh(this.#resources),
      fleet: () => this.#fleet,
    });
    this.#renewals = new Renewals({
      store,
      documents: this.documents,
      now,
      random: Math.random,
      onRenewed: (changes) => void this.#changed(changes),
    });
    this.#issued = {
      get: (name) => this.#credentials.get(name),
      problem: (name) => this.#credentials.problem(name),
      certificate: (name) => this.#credentials.certificate(name),
      previous: (name) => this.#renewals.previous(name),
    };
    this.#redeemer = new Redeemer(store, this.documents, now, (...where) => this.#renewals.note(...where));
    this.#issuedToOthers = new IssuedToOthers(store, now);
    this.#tokens = new Tokens({
      redeemer: this.#redeemer,
      now,
      onRedeemed: (changes) => void this.#changed(changes).then(() => this.#refresh(this.#resources)),
      onChange: (token) => this.#refresh([token]),
    });
    this.#version = version;
    this.#statuses = new Statuses(now);
    this.#reconciler = new Reconciler(startRouter, {
      onStates: (states) => this.#onStates(states),
      onNetwork: () => this.#refresh(this.#resources.filter(({ kind }) => tellOfNetwork.has(kind))),
      onFailure,
    });
  }

  /** To be called before the start. */
  join(fleet: FleetHooks): void {
    this.#fleet = fleet;
  }

  /** The clock was corrected: links are tried by it at once, and what is due by it is renewed. */
  setClock(time: number): void {
    this.#reconciler.setClock(time);
    void this.upkeep();
  }

  /** Done when every access and listener has been tried once. */
  async start(): Promise<void> {
    this.#reconciler.revoke(this.#issuedToOthers.revoked());
    await this.#carryOut();
    this.#upkeepTimer = setInterval(() => this.#tend(), upkeepEveryMs);
    // What keeps a site running are its sockets.
    this.#upkeepTimer.unref();
    this.#renewalTimer = setInterval(() => void this.#renewals.renewDue(), renewEveryMs);
    this.#renewalTimer.unref();
    this.#tend();
  }

  /** What is not done now, such as on a disk that is full, is done at the next turn. */
  #tend(): void {
    this.upkeep().catch((error) => {
      const { code, message } = errorFact(error);
      log.error('site', `what is due is not done: ${message}`, { code });
    });
  }

  /** Renews what is due: certificates that others gave, and its own. */
  async upkeep(): Promise<void> {
    this.#noteTime();
    await this.#renewals.renewDue();
    this.#authorities.forget();
    if (await this.#credentials.ensure(this.#resources)) await this.#carryOut();
    this.#refresh(this.#resources);
  }

  /** Renews the certificates that others gave, due or not. Throws when one cannot be. */
  async renewNow(): Promise<void> {
    const failed = await this.#renewals.renewAll();
    if (failed.length > 0) throw new SkiffError('not-renewed', `the certificate of ${failed.join()} was not renewed`);
  }

  /** No clock is believed that is behind this, when the site starts again. */
  #noteTime(): void {
    const time = String(Math.round(this.#now()));
    try {
      this.#store.transaction(() => this.#store.facts.set('last-time', time));
    } catch (error) {
      // The disk may be full: it goes on with what it has.
      const { code, message } = errorFact(error);
      log.warn('site', `the time was not noted: ${message}`, { code });
    }
  }

  async stop(withinMs: number): Promise<void> {
    this.#tokens.close();
    this.#renewals.close();
    if (this.#upkeepTimer) clearInterval(this.#upkeepTimer);
    if (this.#renewalTimer) clearInterval(this.#renewalTimer);
    await Promise.all([this.#grants.close(), this.#reconciler.stop(withinMs)]);
  }

  get facts(): SiteFacts {
    const { identity } = this.#plan;
    return identity
      ? { site: identity.siteName, mode: identity.mode, id: identity.siteId }
      : { site: null, mode: null, id: null };
  }

  /** Acknowledged once on disk; then waits a little for it to take effect. */
  async apply(documents: ReadDocument[], origin: Origin): Promise<Change[]> {
    return this.#changed(this.documents.apply(documents, origin));
  }

  /** Makes these all that the fleet gives to this site, but for those to `keep`; `along` is written in the same step. */
  async replaceFleet(
    documents: ReadDocument[],
    keep: (document: Resource) => boolean,
    along: () => void,
  ): Promise<Change[]> {
    return this.#changed(this.documents.replace(documents, 'fleet', keep, along));
  }

  /** Makes this the site that a fleet says it is, and these all that the fleet gives to it. */
  async becomeDevice(documents: ReadDocument[], along: () => void): Promise<Change[]> {
    return this.#changed(this.documents.become(documents, 'fleet', along));
  }

  /** Notes where a Secret's certificate is renewed; to be called in the step in which the Secret is written. */
  renewAt(secret: string, url: string, ca: string): void {
    this.#renewals.note(secret, url, ca);
  }

  /** Something else is to be said of the fleet's own documents. */
  fleetChanged(): void {
    this.#refresh(this.#resources.filter(({ kind }) => kind === 'EnrolmentToken'));
  }

  async delete(references: Reference[], origin: Origin): Promise<Change[]> {
    return this.#changed(this.documents.delete(references, origin));
  }

  list(kind: Kind, options: RenderOptions): RenderedDocument[] {
    if (judgedWhenRead.has(kind)) this.#judgeAll(kind);
    return this.#resources
      .filter((resource) => resource.kind === kind)
      .map((resource) => this.#render(resource, options));
  }

  get(reference: Reference, options: RenderOptions): RenderedDocument | undefined {
    const resource = this.#resources.find((each) => each.name === reference.name && each.kind === reference.kind);
    if (resource && judgedWhenRead.has(resource.kind)) this.#statuses.refresh([resource], this.#view());
    return resource && this.#render(resource, options);
  }

  export(options: RenderOptions): RenderedDocument[] {
    return this.documents.all().map((resource) => renderForExport(resource, this.documents.siteId, options));
  }

  /** Writes documents that concern no part of the router, with what belongs into the same step. */
  keep(documents: ReadDocument[], along: () => void): void {
    this.#tell(this.documents.apply(documents, 'local', along));
    this.#resources = derive(this.documents.all(), this.#hosts);
  }

  /** Links for devices to this site, whether its ports are open at this moment or not. */
  waysIn(credentials: string): RenderedDocument[] {
    const accesses = this.#resources.filter((document) => document.kind === 'RouterAccess').filter(takesLinks);
    const endpoints = accesses.flatMap((access) => lastingEndpointsOf(access, this.#view()));
    if (endpoints.length > 0) return linksTo(credentials, endpoints);
    throw new SkiffError('no-link-access', 'No valid endpoints found for site', {
      hint: 'Set linkAccess: default in the Site, or apply a RouterAccess',
    });
  }

  /** A certificate for somebody who is to be let in; `step` writes its record, together with what belongs to it. */
  admit(guest: Guest, step: Step): Promise<Admission> {
    return this.#links.admit(guest, step);
  }

  /** What somebody with this key was given before, if it is still good. */
  admitted(publicKey: KeyObject): Promise<Admission | null> {
    return this.#links.admitted(publicKey, () => true);
  }

  /** Whether a router is linked to this one, by its id. */
  isLinked(id: string): boolean {
    return this.#reconciler.hasPeer(id);
  }

  /** Documents for another site to link to this one, with a certificate made for it alone. */
  async generateLink(request: LinkRequest): Promise<RenderedDocument[]> {
    if (!this.#plan.identity) throw new SkiffError('no-site', 'there is no active site', { hint: 'Apply a Site' });
    return this.#links.generate(request);
  }

  /** The certificates that other sites have from this one. */
  issued(): IssuedFact[] {
    return this.#issuedToOthers.list();
  }

  /** Revokes certificates by name or fingerprint, for good; who is linked with one is cut off. */
  revoke(words: string[]): IssuedFact[] {
    const revoked = this.#issuedToOthers.revoke(words);
    this.cutOff();
    return revoked;
  }

  /** Has the router end what is linked with certificates that are revoked by now. */
  cutOff(): void {
    this.#reconciler.revoke(this.#issuedToOthers.revoked());
  }

  /** Puts a new CA in the place of one, or ends the time in which the old one is believed, too. */
  async rollAuthority(name: string, finish: boolean): Promise<void> {
    if (!finish) await this.#authorities.roll(name, this.#resources);
    else if (!this.#authorities.forget(name)) {
      throw new SkiffError('not-found', `there is no former CA ${name}`, { hint: 'Nothing was changed' });
    }
    await this.#carryOut();
  }

  /** Redeems tokens without keeping them; all of them, or none that cannot be. */
  async redeem(tokens: ReadDocument[]): Promise<Change[]> {
    const changes: Change[] = [];
    for (const { name, spec } of tokensAmong(tokens)) {
      changes.push(...(await this.#changed(await this.#redeemer.redeem({ name, spec }))));
    }
    return changes;
  }

  /** The RouterAccesses that take links, as far as they have credentials. */
  #entrances(): Entrance[] {
    const site = this.documents.site;
    const view = this.#view();
    return this.#resources.flatMap((access) => {
      if (!site || access.kind !== 'RouterAccess' || !takesLinks(access)) return [];
      const [part] = (this.#plan.partsOf.get(keyOf(access)) ?? []).map((key) => this.#plan.parts.get(key));
      const tls = part?.kind === 'access' ? part.tls : null;
      if (!tls?.certificate) return [];
      const endpoints = endpointsOf(access, view).filter(({ name }) => name !== 'normal');
      return [{ access, issuer: issuerOf(access, site), trust: tls.ca, certificate: tls.certificate, endpoints }];
    });
  }

  /** What each part carries, and how the router thread is. All who ask at a time get one answer. */
  measure(): Promise<Measurement> {
    this.#measuring ??= this.#reconciler.measure().finally(() => {
      this.#measuring = null;
    });
    return this.#measuring;
  }

  /** What a device of the fleet is refused at this hub: `send ADDRESS` and `receive ADDRESS`. */
  denialsOf(id: string): string[] {
    return this.#reconciler.denialsOf(id);
  }

  /** What devices of the fleet may do, and those that are let in no more. */
  grant(put: DeviceRights[], remove: string[]): void {
    this.#reconciler.grant(put, remove);
  }

  /** Takes the messages of an address of the network, until what is returned is called. */
  takeMail(address: string, take: (mail: Mail) => void): () => void {
    return this.#reconciler.takeMail(address, take);
  }

  /** Sends a message into the network, and hands back what becomes of it. */
  sendMail(to: string, subject: string, body: string): Promise<MailOutcome> {
    return this.#reconciler.sendMail(to, subject, body);
  }

  /** Asks the management of a router of the network; rejects when there is no answer. */
  manage(question: ManagementQuestion): Promise<ManagementReply> {
    return this.#reconciler.manage(question);
  }

  /** Everything that metrics tell of. */
  async observe(): Promise<Observation> {
    // What the router has to tell comes with that, so the view is taken after it.
    const measurement = await this.measure();
    return observationOf(this.facts, this.#view(), measurement);
  }

  /** Hands back the way to end it. */
  subscribe(listener: (event: SiteEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #render(resource: Resource, options: RenderOptions): RenderedDocument {
    return render(resource, this.documents.siteId, this.#statuses.get(keyOf(resource)), options);
  }

  async #changed(changes: Change[]): Promise<Change[]> {
    const effective = changes.filter(({ action }) => action !== 'unchanged');
    if (effective.length === 0) return changes;
    this.#tell(effective);
    const patience = new AbortController();
    const overdue = sleep(takeUpMs, undefined, { signal: patience.signal }).catch(() => {});
    await Promise.race([this.#carryOut(), overdue]);
    patience.abort();
    return changes;
  }

  #tell(changes: Change[]): void {
    for (const { kind, name, action } of changes.filter((change) => change.action !== 'unchanged')) {
      log.info('site', `${kind} "${name}" ${action}`, { kind, name });
      this.#emit({ event: 'document', kind, name, action });
    }
  }

  async #carryOut(): Promise<void> {
    const before = this.facts;
    this.#hosts = this.#localHosts();
    this.#resources = derive(this.documents.all(), this.#hosts);
    const issued = this.#credentials.ensure(this.#resources);
    // What needs no certificate does not wait for one.
    await this.#takeUp();
    if (await issued) await this.#takeUp();
    await this.#grants.update(this.#resources, this.#grantCredentials());
    if (this.#plan.identity) this.#tokens.update(this.#resources);
    this.#refresh(this.#resources);
    const { facts } = this;
    if (!isDeepStrictEqual(before, facts)) this.#emit({ event: 'site', ...facts });
  }

  async #takeUp(): Promise<void> {
    this.#plan = makePlan(this.#resources, this.documents.siteId, this.#version, this.#issued, this.#plan);
    this.#statuses.retain(this.#resources);
    this.#refresh(this.#resources);
    await this.#reconciler.update(this.#plan);
    this.#refresh(this.#resources);
  }

  /** What the server of tokens shows; an edge has none. */
  #grantCredentials(): TlsMaterial | undefined {
    if (this.#plan.identity?.mode !== 'interior') return undefined;
    const secret = this.#resources.find(({ kind, name }) => kind === 'Secret' && name === grantServer);
    return secret ? tlsMaterial((secret as Resource<'Secret'>).spec) : this.#credentials.get(grantServer);
  }

  #onStates(states: PartState[]): void {
    const links = states.filter((state) => state.kind === 'link');
    if (links.some(({ error }) => error && dateFailures.has(error.code))) {
      this.#fleet.datesInDoubt();
      void this.#renewals.renewExpired();
    } else if (links.some(({ status }) => status === 'refused')) {
      this.#fleet.linkRefused();
    }
    if (this.#renewals.onLinks(links, this.#resources)) void this.#carryOut();
    const peers = states.flatMap((state) => (state.kind === 'access' ? state.peers.filter(({ twin }) => twin) : []));
    if (peers.length > 0) this.#fleet.onTwins(peers);
    const concerned = new Set(states.map((state) => this.#plan.ownerOf.get(partKey(state))));
    this.#refresh(
      // The Site's own status shows the endpoints of its accesses.
      this.#resources.filter((resource) => resource.kind === 'Site' || concerned.has(keyOf(resource))),
    );
  }

  #judgeAll(kind: Kind): void {
    this.#statuses.refresh(
      this.#resources.filter((resource) => resource.kind === kind),
      this.#view(),
    );
  }

  #refresh(resources: Resource[]): void {
    const view = this.#view();
    const others = resources.filter(({ kind }) => !judgedWhenRead.has(kind));
    for (const { kind, name } of this.#statuses.refresh(others, view)) {
      const status = this.#statuses.get(keyOf({ kind, name }));
      if (status) this.#emit({ event: 'status', kind, name, status: status.status, message: status.message });
    }
  }

  #view(): View {
    return {
      resources: this.#resources,
      plan: this.#plan,
      states: this.#reconciler.states,
      network: this.#reconciler.network.view,
      running: isDeepStrictEqual(this.#reconciler.current.identity, this.#plan.identity),
      issued: this.#issued,
      grants: this.#grants,
      tokens: this.#tokens,
      fleet: this.#fleet.judge,
      hosts: this.#hosts,
      now: this.#now(),
    };
  }

  #emit(event: SiteEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
