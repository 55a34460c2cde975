/**
 * What makes a site the hub of a fleet: it lets devices in, and tells of claims, devices and groups.
 */
import type { Identity, IssuedAnswer } from '../enrol/protocol.ts';
import type { EnrolAnswer, EnrolRequest } from '../enrol/server.ts';
import { wordsOf } from '../enrol/words.ts';
import { errorFact, SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import type { PeerState } from '../router/protocol.ts';
import { type Finding, failed, met, pending, timestamp } from '../site/conditions.ts';
import type { Change } from '../site/documents.ts';
import { skiff, skupper } from '../site/kinds.ts';
import { routerId } from '../site/plan.ts';
import type { Kind, Resource } from '../site/resources.ts';
import type { FleetHooks, Site } from '../site/site.ts';
import type { FleetJudge, FleetResource } from '../site/status.ts';
import type { AuditEntry } from '../store/audit.ts';
import type { DeviceState, StoredDevice } from '../store/devices.ts';
import type { JsonObject } from '../store/documents.ts';
import type { Store } from '../store/store.ts';
import { AdmissionDesk, credentialsName } from './admission.ts';
import type { Agent } from './agent.ts';
import { type Claim, claimFacts } from './claims.ts';
import { Controller, type ShownDevice } from './controller.ts';
import type { GroupChange } from './group-documents.ts';
import { Member, type MemberFacts } from './member.ts';
import { Registry } from './registry.ts';
import { Replacing } from './replacing.ts';
import type { Verbs } from './reporter.ts';
import { Rights, refusedHere } from './rights.ts';

export interface FleetOptions {
  site: Site;
  store: Store;
  now: () => number;
  agent: Pick<Agent, 'judge' | 'datesInDoubt' | 'linkRefused'>;
}

/** Kinds of which what devices are to be depends. */
const tellsOfDevices: ReadonlySet<Kind> = new Set<Kind>(['EnrolmentService', 'RouterAccess', 'DeviceGroup', 'Device']);

/** A decision on devices, as somebody has it made. */
export type Decision = 'approve' | 'reject' | 'revoke';

/** Addresses that are kept of boxes that come as one device. */
const mostAddresses = 8;

export class Fleet implements FleetHooks {
  readonly #options: FleetOptions;
  readonly #registry: Registry;
  readonly #desk: AdmissionDesk;
  readonly #rights: Rights;
  /** Devices that several boxes come as, with where those came from. */
  readonly #clones = new Map<string, string[]>();
  readonly #replacing: Replacing;
  #controller: Controller | null = null;
  #member: Member | null = null;
  /** The answer of the hub that `#member` belongs to, as it is stored. */
  #belongsBy: string | null = null;
  #unsubscribe: () => void = () => {};

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#registry = new Registry(options);
    this.#replacing = new Replacing({ ...options, controller: () => this.controller });
    this.#desk = new AdmissionDesk({
      ...options,
      registry: this.#registry,
      replacing: this.#replacing,
      controller: () => this.controller,
    });
    const { site, store } = options;
    this.#rights = new Rights({
      store,
      documents: () => site.documents.all(),
      grant: (put, remove) => site.grant(put, remove),
    });
    site.join(this);
    // Before the router takes anybody in.
    this.#rights.grantAll();
  }

  /** To be called when the site has started. */
  start(): void {
    const { site } = this.#options;
    this.#unsubscribe = site.subscribe((event) => {
      if (event.event !== 'site' && event.event !== 'document') return;
      this.belong();
      // A new device is rendered as it is let in.
      const concerns = event.event === 'site' || (tellsOfDevices.has(event.kind) && event.action !== 'unchanged');
      if (concerns && !(event.event === 'document' && event.kind === 'Device' && event.action === 'added'))
        this.#update();
    });
    this.#update();
    this.belong();
  }

  close(): void {
    this.#unsubscribe();
    this.#controller?.close();
    this.#member?.close();
  }

  /** Made when it is first needed: most sites are no hub of a fleet. */
  get controller(): Controller {
    if (this.#controller) return this.#controller;
    const { site, store, now } = this.#options;
    this.#controller = new Controller({
      store,
      now,
      documents: () => site.documents.all(),
      base: (device) => this.#base(device),
      takeMail: (address, take) => site.takeMail(address, take),
      sendMail: (to, subject, body) => site.sendMail(to, subject, body),
      rights: this.#rights,
      onChange: () => {},
    });
    this.#controller.start();
    return this.#controller;
  }

  /** Begins to follow the controller of the hub that this device has enrolled with, if it has. */
  belong(): void {
    const { site, store } = this.#options;
    const { answer = null, key = '' } = store.enrolment.get() ?? {};
    if (answer === this.#belongsBy) return;
    this.#member?.close();
    this.#belongsBy = answer;
    const options = { ...this.#options, refused: () => refusedHere(site), verbs: verbsOf(site) };
    this.#member = answer === null ? null : new Member(options, JSON.parse(answer) as IssuedAnswer, key);
    if (this.#member) log.info('fleet', 'this device follows its controller');
  }

  /** How this device stands with its controller; null when it belongs to none. */
  get membership(): MemberFacts | null {
    return this.#member?.facts ?? null;
  }

  /** Tells the controller how this device is, now. */
  report(): void {
    this.#member?.report();
  }

  #update(): void {
    const { site, store } = this.#options;
    if (site.facts.mode !== 'interior') return;
    const isHub =
      site.documents.all().some(({ kind }) => kind === 'EnrolmentService') || store.devices.all().length > 0;
    if (isHub) this.controller.refresh();
  }

  /** What every device has: its Site, and the Links to this hub. */
  #base({ name, siteId }: StoredDevice): JsonObject[] {
    const { site } = this.#options;
    const own = { apiVersion: skupper, kind: 'Site', metadata: { name, uid: siteId }, spec: { edge: true } };
    return [own, ...(site.waysIn(credentialsName(site)) as unknown as JsonObject[])];
  }

  answer(request: EnrolRequest): Promise<EnrolAnswer | null> {
    return this.#desk.answer(request);
  }

  datesInDoubt(): void {
    void this.#options.agent.datesInDoubt();
  }

  linkRefused(): void {
    void this.#options.agent.linkRefused();
  }

  mayRenew(id: string): boolean {
    const device = this.#options.store.devices.all().find((each) => routerId(each.name, each.siteId) === id);
    const may = device !== undefined && this.#registry.mayRenew(device);
    // One that was away for too long waits from now on.
    if (!may) this.#rights.settle();
    return may;
  }

  /** Devices by their names or words: all of them or, if one is not there, none. */
  decide(decision: Decision, devices: string[]): { name: string; state: DeviceState }[] {
    const decided = this.#registry[decision](devices).map(({ name, state }) => ({ name, state }));
    this.#rights.settle();
    return decided;
  }

  /** Everything about one device. */
  show(name: string): ShownDevice {
    return this.controller.show(name);
  }

  /** Has something done at a device, at once or when it comes back within `withinMs`. */
  order(name: string, verb: string, withinMs: number): object {
    return this.controller.order(name, verb, this.#options.now() + withinMs);
  }

  /** Puts the box with this serial in the place of a device, at once or when it comes. */
  replace(name: string, serial: string): { name: string; serial: string; done: boolean } {
    return this.#replacing.order(name, serial);
  }

  /** Gives documents to all devices of a group, or to one: if all of them can take them. */
  async give(change: GroupChange): Promise<Change[]> {
    const { site } = this.#options;
    const kind = change.group === undefined ? 'Device' : 'DeviceGroup';
    const { withDocuments } = await import('./group-documents.ts');
    const before = site.documents.get({ kind, name: change.group ?? change.device ?? '' });
    const after = withDocuments(change, before as Resource<'DeviceGroup' | 'Device'> | undefined);
    this.controller.check(after as unknown as Resource<'DeviceGroup' | 'Device'>);
    return site.apply([after], 'local');
  }

  /** Nobody enrols with it any more, for good; who did stays. */
  revokeClaim(name: string): void {
    const { site, store, now } = this.#options;
    const claim = site.documents.get({ kind: 'EnrolmentClaim', name }) as Claim | undefined;
    if (!claim) {
      throw new SkiffError('not-found', `there is no claim "${name}"`, { hint: 'skiff claim list shows them' });
    }
    const spec = { ...claim.spec, revoked: true } as unknown as JsonObject;
    const { labels, annotations } = claim;
    site.keep([{ kind: 'EnrolmentClaim', name, apiVersion: skiff, labels, annotations, spec, place: () => '' }], () =>
      store.audit.add({ at: now(), event: 'claim-revoked', claim: name }),
    );
    log.warn('fleet', `claim ${name} was revoked`, { claim: name });
  }

  /**
   * Two boxes with one key, such as the copy of a disk: the one that is linked stays, and both are shown, unless the
   * group has such devices revoked.
   */
  onTwins(peers: PeerState[]): void {
    for (const peer of peers) {
      try {
        this.#onTwin(peer);
      } catch (error) {
        // The disk may be full: the other box comes again.
        log.error('fleet', `two boxes come as ${peer.id}, which cannot be written: ${errorFact(error).message}`);
      }
    }
  }

  #onTwin({ id, address, twin }: PeerState): void {
    const { store, now } = this.#options;
    const device = store.devices.all().find((each) => routerId(each.name, each.siteId) === id);
    if (!device || !twin) return;
    const { name } = device;
    const both = [hostOf(address), hostOf(twin.address)];
    const known = this.#clones.get(name) ?? [];
    const detail = `at ${both.join(' and ')}`;
    if (known.length === 0) {
      store.transaction(() => store.audit.add({ at: now(), event: 'device-cloned', device: name, detail }));
      const message = `two boxes come as the device ${name}, ${detail}: one has the key of the other`;
      log.error('fleet', message, { name, code: 'device-cloned' });
    }
    this.#clones.set(name, [...new Set([...known, ...both])].slice(-mostAddresses));
    if (device.state === 'enrolled' && this.#registry.group(device.group)?.spec.clones === 'revoke') {
      this.decide('revoke', [name]);
    }
  }

  /** What was decided last, the latest first. */
  audit(most: number): AuditEntry[] {
    return this.#options.store.audit.latest(most);
  }

  judge: FleetJudge = (resource) => {
    switch (resource.kind) {
      case 'EnrolmentClaim':
        return this.#judgeClaim(resource);
      case 'Device':
        return this.#judgeDevice(resource);
      case 'DeviceGroup':
        return this.#judgeGroup(resource);
      case 'EnrolmentToken':
        return this.#options.agent.judge(resource);
    }
  };

  #judgeClaim(claim: Claim): ReturnType<FleetJudge> {
    const { state, used, pending: waiting } = claimFacts(claim, this.#options.store, this.#options.now());
    const finding = state === 'Active' ? met('Active') : failed('Active', state);
    return { findings: [finding], details: { state, used, pending: waiting } };
  }

  #judgeDevice({ name }: FleetResource): ReturnType<FleetJudge> {
    const { store, site } = this.#options;
    const device = store.devices.get(name);
    if (!device) return { findings: [pending('Enrolled', 'No device of this name has enrolled')], details: {} };
    const news = this.#controller?.newsOf(name);
    const online = device.state === 'enrolled' && (news?.online ?? false);
    const seenAt = Math.max(device.seenAt ?? 0, news?.seenAt ?? 0);
    const clones = this.#clones.get(name);
    return {
      findings: [
        enrolled(device),
        ...(clones ? [cloned(clones)] : []),
        online ? met('Online') : pending('Online', 'Not heard of lately'),
      ],
      details: {
        ...factsOf({ ...device, version: news?.version ?? device.version, seenAt }),
        online,
        linked: site.isLinked(routerId(device.name, device.siteId)),
        ...(clones ? { clones } : {}),
        desired: news?.desired ?? null,
        applied: news?.applied ?? null,
        ...(news?.error ? { lastError: news.error } : {}),
        refused: [...new Set([...site.denialsOf(routerId(device.name, device.siteId)), ...(news?.refused ?? [])])],
      },
    };
  }

  #judgeGroup({ name }: FleetResource): ReturnType<FleetJudge> {
    const devices = this.#options.store.devices
      .all()
      .filter(({ group, state }) => group === name && state === 'enrolled');
    return { findings: [met('Configured')], details: { devices: devices.length } };
  }
}

/** What a controller may order of a device. */
function verbsOf(site: Site): Verbs {
  return {
    renew: async () => {
      await site.renewNow();
      return 'renewed';
    },
  };
}

function enrolled({ state, reason }: StoredDevice): Finding {
  if (state === 'enrolled') return met('Enrolled');
  if (state === 'pending') return pending('Enrolled', `Waits for approval: ${reason}`);
  return failed('Enrolled', state === 'revoked' ? 'Revoked' : 'Rejected');
}

function cloned(addresses: string[]): Finding {
  return failed('Unique', `Two boxes have the key of this device, at ${addresses.join(' and ')} [device-cloned]`);
}

function hostOf(address: string): string {
  return address.replace(/:\d+$/, '');
}

function factsOf(device: StoredDevice): JsonObject {
  const { name, siteId, state, reason, publicKey, claim, address, version, seenAt, decidedAt } = device;
  return {
    state,
    ...(reason === null ? {} : { reason }),
    site: { name, id: siteId },
    fingerprint: wordsOf(publicKey),
    identity: { ...(JSON.parse(device.identity) as Identity) },
    claim,
    ...(address === null ? {} : { address }),
    ...(version === null ? {} : { version }),
    ...(seenAt === null ? {} : { lastSeen: timestamp(seenAt) }),
    ...(decidedAt === null ? {} : { decided: timestamp(decidedAt) }),
  };
}
