/**
 * What the devices of a fleet may offer and use, by their certificates. A box may be stolen: one whose certificate is
 * marked as a fleet's gets what its entry says and nothing else, and without an entry nothing at all.
 */
import { stripScheme } from './addresses.ts';
import type { Denial, DeviceRights } from './protocol.ts';

/** Refusals that are kept of a device: one that tries everything must not fill the memory. */
const MAX_DENIALS = 32;

export class Privileges {
  readonly #entries = new Map<string, Entry>();
  /** Devices that are of the fleet no more, whatever their certificates say. */
  readonly #expelled = new Set<string>();
  /** Sources of flow records, and the devices that speak for them. */
  readonly #speakers = new Map<string, string>();

  /** Entries to add or replace, and devices that are let in no more. Returns what each of them was refused before. */
  change(put: DeviceRights[], remove: string[]): ReadonlyMap<string, readonly Denial[]> {
    const none = remove.map((device) => ({ device, offers: [], uses: [] }));
    const changed = new Map<string, readonly Denial[]>();
    for (const { device } of put) this.#expelled.delete(device);
    for (const device of remove) {
      this.#expelled.add(device);
      changed.set(device, []);
    }
    for (const { device, offers, uses } of [...put, ...none]) {
      const entry = new Entry(offers, uses);
      const before = this.of(device);
      if (entry.key === before.key) continue;
      changed.set(device, before.denials);
      entry.inherit(before);
      this.#entries.set(device, entry);
    }
    return changed;
  }

  /** Whether the device is let in. */
  admits(device: string): boolean {
    return !this.#expelled.has(device);
  }

  of(device: string): Entry {
    let entry = this.#entries.get(device);
    if (!entry) {
      entry = new Entry([], []);
      this.#entries.set(device, entry);
    }
    return entry;
  }

  /** The device that speaks for this source. */
  speakerOf(source: string): string | undefined {
    return this.#speakers.get(source);
  }

  /** The device speaks for this source, and for no other any more. */
  appoint(device: string, source: string): void {
    for (const [other, by] of this.#speakers) if (by === device) this.#speakers.delete(other);
    this.#speakers.set(source, device);
  }
}

/** What one device may do, and what it was refused. */
export class Entry {
  readonly offers: RoutingKeySet;
  readonly uses: RoutingKeySet;
  /** The same for all devices that may do the same. */
  readonly key: string;
  readonly #denials = new Map<string, Denial>();

  constructor(offers: string[], uses: string[]) {
    this.offers = new RoutingKeySet(offers);
    this.uses = new RoutingKeySet(uses);
    this.key = JSON.stringify([[...offers].sort(), [...uses].sort()]);
  }

  get denials(): Denial[] {
    return [...this.#denials.values()];
  }

  /** What was refused before and still is stays known: the device does not ask again all the time. */
  inherit(before: Entry): void {
    for (const [cause, denial] of before.#denials) {
      const rights = denial.action === 'send' ? this.uses : this.offers;
      if (!rights.has(stripScheme(denial.address))) this.#denials.set(cause, denial);
    }
  }

  /** Notes a refusal; returns whether it is the first of its kind, and there is room for it. */
  deny(action: Denial['action'], address: string): boolean {
    const cause = `${action} ${address}`;
    const known = this.#denials.get(cause);
    if (known) {
      known.count++;
      known.at = Date.now();
    } else if (this.#denials.size < MAX_DENIALS) {
      this.#denials.set(cause, { action, address, at: Date.now(), count: 1 });
    }
    return !known && this.#denials.has(cause);
  }
}

/** Routing keys, some of them with `*` for whatever may follow. */
export class RoutingKeySet {
  readonly #whole = new Set<string>();
  readonly #beginnings: string[] = [];

  constructor(patterns: string[]) {
    for (const pattern of patterns) {
      if (pattern.endsWith('*')) this.#beginnings.push(pattern.slice(0, -1));
      else this.#whole.add(pattern);
    }
  }

  has(name: string): boolean {
    if (isReserved(name)) return false;
    if (this.#whole.has(name)) return true;
    // Multicast reaches very many: whoever means that has to say so.
    const least = name.startsWith(MULTICAST) ? MULTICAST : '';
    return this.#beginnings.some((beginning) => beginning.startsWith(least) && name.startsWith(beginning));
  }
}

const MULTICAST = 'mc/';
/** Names that are the routers' own, or the fleet's: no right to a routing key is one to these. */
const RESERVED = ['_', '$', 'qdrouter', 'qdhello', 'sfe.', 'vfcr.', 'mc/sfe.', 'skiff.'];

function isReserved(name: string): boolean {
  return name === '' || RESERVED.some((beginning) => name.startsWith(beginning));
}
