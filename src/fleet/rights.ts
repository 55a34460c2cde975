/**
 * What devices may offer and use in the network: what their documents are for, and what their group lets them besides.
 * The hub's router holds them to it.
 */
import { errorFact } from '../errors.ts';
import { log } from '../log.ts';
import type { DeviceRights } from '../router/protocol.ts';
import { routerId } from '../site/plan.ts';
import type { DeviceGroupSpec, Resource } from '../site/resources.ts';
import type { Site } from '../site/site.ts';
import type { JsonObject } from '../store/documents.ts';
import type { Store } from '../store/store.ts';
import { type Layer, valuesOf } from './render.ts';
import { fill } from './template.ts';

type StoredDevice = NonNullable<ReturnType<Store['devices']['get']>>;

export interface RightsOptions {
  store: Store;
  documents(): Resource[];
  grant(put: DeviceRights[], remove: string[]): void;
}

export class Rights {
  readonly #options: RightsOptions;
  /** What was granted, as JSON, by router id. */
  readonly #granted = new Map<string, string>();

  constructor(options: RightsOptions) {
    this.#options = options;
  }

  /** Grants all devices what they were to be when that was last written: to be called before anybody can come. */
  grantAll(): void {
    const { store, grant } = this.#options;
    const all = store.devices.all();
    const devices = all.filter(({ state }) => state === 'enrolled');
    this.#grant(devices.map((device) => this.#rightsAsWritten(device)));
    const others = all.filter(({ state }) => state !== 'enrolled').map(({ name, siteId }) => routerId(name, siteId));
    if (others.length > 0) grant([], others);
  }

  /** The device is to be this from now on. */
  update(device: StoredDevice, documents: JsonObject[]): void {
    this.#grant([this.#rightsOf(device, documents)]);
  }

  /** Turns out those who are not enrolled any more, or are somebody else, and lets in again who waited for approval. */
  settle(): void {
    const { store, grant } = this.#options;
    const devices = store.devices.all().filter(({ state }) => state === 'enrolled');
    const left = new Set(devices.map(({ name, siteId }) => routerId(name, siteId)));
    const gone = [...this.#granted.keys()].filter((device) => !left.has(device));
    for (const device of gone) this.#granted.delete(device);
    if (gone.length > 0) grant([], gone);
    const back = devices.filter(({ name, siteId }) => !this.#granted.has(routerId(name, siteId)));
    this.#grant(back.map((device) => this.#rightsAsWritten(device)));
  }

  #grant(rights: DeviceRights[]): void {
    const changed = rights.filter((each) => this.#granted.get(each.device) !== JSON.stringify(each));
    for (const each of changed) this.#granted.set(each.device, JSON.stringify(each));
    if (changed.length > 0) this.#options.grant(changed, []);
  }

  #rightsAsWritten(device: StoredDevice): DeviceRights {
    return this.#rightsOf(device, this.#options.store.desired.get(device.name)?.documents ?? []);
  }

  #rightsOf(device: StoredDevice, documents: JsonObject[]): DeviceRights {
    const all = this.#options.documents();
    const specOf = <T>(kind: Resource['kind'], name: string): T | undefined =>
      all.find((each) => each.kind === kind && each.name === name)?.spec as T | undefined;
    const group = specOf<DeviceGroupSpec>('DeviceGroup', device.group) ?? {};
    const { offers = [], uses = [] } = group;
    const granted: { offers: string[]; uses: string[] } = { offers: [], uses: [] };
    try {
      const values = valuesOf(device, [group as Layer, specOf<Layer>('Device', device.name) ?? {}]);
      Object.assign(granted, fill({ offers, uses }, values));
    } catch (error) {
      log.warn('fleet', `${device.name} gets no right besides its documents: ${errorFact(error).message}`);
    }
    return rightsOf(routerId(device.name, device.siteId), documents, granted);
  }
}

/** `device`: its router id; `granted`: what its group lets it besides its documents. */
export function rightsOf(
  device: string,
  documents: JsonObject[],
  granted: { offers: string[]; uses: string[] },
): DeviceRights {
  const offers = new Set(granted.offers);
  const uses = new Set(granted.uses);
  for (const { kind, spec } of documents as { kind: string; spec: Partial<Services> }[]) {
    if (kind === 'Connector' && spec.routingKey) offers.add(spec.routingKey);
    if (kind === 'Listener' && spec.routingKey) uses.add(spec.routingKey);
    if (kind !== 'MultiKeyListener' || !spec.strategy) continue;
    const { priority, weighted } = spec.strategy;
    for (const key of priority?.routingKeys ?? Object.keys(weighted?.routingKeys ?? {})) uses.add(key);
  }
  return { device, offers: [...offers].sort(), uses: [...uses].sort() };
}

/** Of documents, what says which routing keys they are for. */
interface Services {
  routingKey: string;
  strategy: { priority?: { routingKeys: string[] }; weighted?: { routingKeys: Record<string, number> } };
}

/** What the hub refuses to this device, as far as its documents show it; the hub itself knows all of it. */
export function refusedHere(site: Site): string[] {
  return (['Listener', 'Connector'] as const).flatMap((kind) =>
    site.list(kind, { showSecrets: false }).flatMap(({ spec, status }) => {
      const { error } = (status ?? {}) as { error?: { code: string } };
      if (error?.code !== 'address-refused') return [];
      return [`${kind === 'Listener' ? 'send' : 'receive'} ${(spec as { routingKey: string }).routingKey}`];
    }),
  );
}
