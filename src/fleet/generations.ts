/**
 * What each device is to be, rendered from its group and its own document, and numbered: a change of what comes out is
 * the device's next generation.
 */
import { errorFact } from '../errors.ts';
import { DocumentsError } from '../site/problems.ts';
import type { Resource } from '../site/resources.ts';
import type { JsonObject } from '../store/documents.ts';
import type { Store } from '../store/store.ts';
import type { HeardReports } from './heard.ts';
import { renderDevice } from './render.ts';
import type { Rights } from './rights.ts';
import { digest } from './signing.ts';

type StoredDevice = NonNullable<ReturnType<Store['devices']['get']>>;
type StoredDesired = NonNullable<ReturnType<Store['desired']['get']>>;

/** Devices that an apply which is refused names. */
const mostProblems = 10;

export interface GenerationsOptions {
  store: Store;
  now: () => number;
  documents(): Resource[];
  /** What every device has: its Site and the way to this hub. */
  base(device: StoredDevice): JsonObject[];
  rights: Pick<Rights, 'update' | 'settle'>;
}

export class Generations {
  readonly #options: GenerationsOptions;
  readonly #heard: HeardReports;

  constructor(options: GenerationsOptions, heard: HeardReports) {
    this.#options = options;
    this.#heard = heard;
  }

  /** Throws when a device could not be given what these would make of it. */
  check(changed: Resource<'DeviceGroup' | 'Device'>): void {
    const { store, documents } = this.#options;
    const all = [...documents().filter((each) => each.kind !== changed.kind || each.name !== changed.name), changed];
    const concerned = store.devices
      .all()
      .filter(({ state }) => state === 'enrolled')
      .filter(({ name, group }) => changed.name === (changed.kind === 'DeviceGroup' ? group : name));
    const problems = concerned.flatMap((device) => {
      try {
        this.#documentsOf(device, all);
        return [];
      } catch (error) {
        const fact = errorFact(error);
        return [{ ...fact, message: `${device.name}: ${fact.message}` }];
      }
    });
    if (problems.length > 0) throw new DocumentsError(problems.slice(0, mostProblems));
  }

  /** What a device is to be by now, written when that has changed. To be called in a transaction. */
  render(device: StoredDevice): StoredDesired {
    const { store, now, documents } = this.#options;
    const before = store.desired.get(device.name);
    const unchanged = { device: device.name, generation: 0, documents: [], digest: '', changedAt: now(), ...before };
    let after: StoredDesired;
    try {
      const rendered = this.#documentsOf(device, documents());
      const [hash, least] = [digest(rendered), this.least(device.name)];
      const same = before?.digest === hash && before.generation >= least;
      const generation = same ? before.generation : Math.max((before?.generation ?? 0) + 1, least);
      after = { ...unchanged, generation, documents: rendered, digest: hash, problem: null };
      if (!same) after.changedAt = now();
    } catch (error) {
      after = { ...unchanged, problem: errorFact(error).message };
    }
    this.#options.rights.update(device, after.documents);
    if (after.generation === before?.generation && after.problem === before.problem) return before;
    store.desired.put(after);
    const event = after.problem === null ? 'desired-changed' : 'desired-refused';
    store.audit.add({
      at: now(),
      event,
      device: device.name,
      detail: after.problem ?? `generation ${after.generation}`,
    });
    return after;
  }

  #documentsOf(device: StoredDevice, all: Resource[]): JsonObject[] {
    const group = all.find((each) => each.kind === 'DeviceGroup' && each.name === device.group);
    const own = all.find((each) => each.kind === 'Device' && each.name === device.name);
    const layers = [group, own].flatMap((each) => (each ? [each.spec as object] : []));
    return renderDevice(device, this.#options.base(device), layers);
  }

  /**
   * The generation that a device has to be given at least; 0: any. A hub whose database comes from a backup may be behind
   * its devices, which take nothing older than they have.
   */
  least(name: string): number {
    const report = this.#heard.of(name)?.report;
    const known = [
      report?.applied ?? 0,
      report?.trying ?? 0,
      ...(report?.bad ?? []).map(({ generation }) => generation),
    ];
    const highest = Math.max(...known);
    return highest > (this.#options.store.desired.head(name)?.generation ?? 0) ? highest + 1 : 0;
  }
}
