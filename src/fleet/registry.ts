/**
 * The devices of this hub's fleet: entries that are made, decided upon and ended. Every decision is one row in the
 * audit, written in the same step.
 */
import { randomUUID } from 'node:crypto';
import type { Identity } from '../enrol/protocol.ts';
import { wordsOf } from '../enrol/words.ts';
import { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { parseSpan } from '../site/duration.ts';
import { skiff } from '../site/kinds.ts';
import { routerId } from '../site/plan.ts';
import type { Resource } from '../site/resources.ts';
import type { Site } from '../site/site.ts';
import type { AuditEntry } from '../store/audit.ts';
import type { DeviceState, StoredDevice } from '../store/devices.ts';
import type { Store } from '../store/store.ts';
import type { Claim } from './claims.ts';
import { deviceName } from './names.ts';
import { meaningfulSerial } from './serials.ts';

/** One who proved to have a claim's secret. */
export interface Applicant {
  claim: Claim;
  /** SHA-256 of its key. */
  publicKey: string;
  identity: Identity;
  address: string;
  version: string;
}

/** Why a device waits for somebody to decide. */
export type PendingReason = 'approval' | 'serial-known' | 'serial-not-listed' | 'long-dark';

export interface RegistryOptions {
  site: Site;
  store: Store;
  now: () => number;
}

const defaultLongestDark = '400d';

export class Registry {
  readonly #options: RegistryOptions;

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** A new entry, enrolled or pending; `record` is written in the same step. */
  add(applicant: Applicant, reason: PendingReason | null, record: () => void = () => {}): StoredDevice {
    const { store, now } = this.#options;
    const device = this.draft(applicant, reason);
    this.#keep(device, () => {
      record();
      store.audit.add({ ...auditOf(device, reason ? 'device-pending' : 'device-enrolled', now()), detail: reason });
    });
    return device;
  }

  /** The entry of one who is new here, not yet written. */
  draft({ claim, publicKey, identity, address, version }: Applicant, reason: PendingReason | null): StoredDevice {
    const { store, now, site } = this.#options;
    const { group } = claim.spec;
    const serial = meaningfulSerial(identity.serial);
    const all = store.devices.all();
    const taken = new Set([...all.map(({ name }) => name), site.facts.site]);
    const template = this.group(group)?.spec.nameTemplate;
    const count = all.filter((each) => each.group === group).length;
    const state: DeviceState = reason ? 'pending' : 'enrolled';
    return {
      name: deviceName(template, group, { ...identity, serial }, count, (name) => taken.has(name)),
      siteId: randomUUID(),
      publicKey,
      group,
      serial,
      identity: JSON.stringify(identity),
      claim: claim.name,
      claimKey: claim.spec.publicKey,
      state,
      reason,
      address,
      version,
      createdAt: now(),
      decidedAt: reason ? null : now(),
      seenAt: now(),
    };
  }

  /** Writes an entry, its Device document if it has none, and whatever belongs into the same step. */
  write(device: StoredDevice, event: string, record: () => void = () => {}, detail: string | null = null): void {
    const { store, now } = this.#options;
    this.#keep(device, () => {
      record();
      store.audit.add({ ...auditOf(device, event, now()), detail });
    });
  }

  /** Notes where a device was seen; nothing that anybody decided. */
  seen(name: string, address: string, version: string): void {
    const { store, now } = this.#options;
    const device = store.devices.get(name);
    if (device) store.transaction(() => store.devices.put({ ...device, address, version, seenAt: now() }));
  }

  /** Lets devices in, named as they are called or by their words. */
  approve(names: string[]): StoredDevice[] {
    return this.#decide(names, ['pending'], (device, now) => {
      const decided: StoredDevice = { ...device, state: 'enrolled', reason: null, decidedAt: now, seenAt: now };
      this.write(decided, 'device-approved');
      return decided;
    });
  }

  /** Turns away devices that were never let in. */
  reject(names: string[]): StoredDevice[] {
    return this.#decide(names, ['pending'], (device, now) => {
      const decided: StoredDevice = { ...device, state: 'rejected', reason: null, decidedAt: now };
      this.write(decided, 'device-rejected');
      return decided;
    });
  }

  /** Ends what devices may do, for good. */
  revoke(names: string[]): StoredDevice[] {
    const { site, store } = this.#options;
    const revoked = this.#decide(names, ['enrolled', 'pending'], (device, now) => {
      const decided: StoredDevice = { ...device, state: 'revoked', reason: null, decidedAt: now };
      const certificates = store.issued.forDevice(routerId(device.name, device.siteId));
      this.write(decided, 'device-revoked', () => {
        for (const { fingerprint } of certificates) store.issued.revoke(fingerprint, now);
      });
      return decided;
    });
    site.cutOff();
    return revoked;
  }

  /** Whether a device may have its next certificate by itself; one that was away for too long waits from now on. */
  mayRenew(device: StoredDevice): boolean {
    const { now } = this.#options;
    if (device.state !== 'enrolled') return false;
    const longest = parseSpan(this.group(device.group)?.spec.longestDark ?? defaultLongestDark) ?? 0;
    if (now() - (device.seenAt ?? device.createdAt) <= longest) return true;
    this.write({ ...device, state: 'pending', reason: 'long-dark' }, 'device-pending', undefined, 'long-dark');
    return false;
  }

  group(name: string): Resource<'DeviceGroup'> | undefined {
    return this.#options.site.documents.get({ kind: 'DeviceGroup', name }) as Resource<'DeviceGroup'> | undefined;
  }

  #decide(
    words: string[],
    from: DeviceState[],
    decide: (device: StoredDevice, now: number) => StoredDevice,
  ): StoredDevice[] {
    const { store, now } = this.#options;
    const all = store.devices.all();
    const found = words.map((word) => {
      const device = all.find(({ name, publicKey }) => name === word || wordsOf(publicKey) === word);
      if (!device) {
        throw new SkiffError('not-found', `there is no device "${word}"`, {
          hint: 'Nothing was changed; skiff fleet devices shows them',
        });
      }
      if (!from.includes(device.state)) {
        throw new SkiffError('wrong-state', `device ${device.name} is ${device.state}`, {
          hint: `Nothing was changed; this is for devices that are ${from.join(' or ')}`,
        });
      }
      return device;
    });
    return [...new Set(found)].map((device) => decide(device, now()));
  }

  #keep(device: StoredDevice, along: () => void): void {
    const { site, store } = this.#options;
    const write = () => {
      store.devices.put(device);
      along();
    };
    if (site.documents.get({ kind: 'Device', name: device.name })) store.transaction(write);
    else site.keep([deviceDocument(device)], write);
    const { name, state, reason, address } = device;
    log.info('fleet', `device ${name} is ${state}${reason ? `: ${reason}` : ''}`, { name, state, address });
  }
}

function deviceDocument({ name, group }: StoredDevice) {
  const around = { apiVersion: skiff, labels: {}, annotations: {} };
  return { kind: 'Device', name, ...around, spec: { group }, place: () => '' } as const;
}

function auditOf(device: StoredDevice, event: string, at: number): AuditEntry {
  return { at, event, device: device.name, claim: device.claim, address: device.address, detail: null };
}
