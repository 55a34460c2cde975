/**
 * A box that takes the place of another: it gets the name, the site id and the configuration of the old one, whose key
 * is good no more from then on. The new box may be waiting for approval already, or still be on its way.
 */
import { randomUUID } from 'node:crypto';
import { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { routerId } from '../site/plan.ts';
import type { Site } from '../site/site.ts';
import type { StoredDevice } from '../store/devices.ts';
import type { Store } from '../store/store.ts';
import type { Controller } from './controller.ts';

export interface ReplacingOptions {
  site: Site;
  store: Store;
  now: () => number;
  controller: () => Controller;
}

export class Replacing {
  readonly #options: ReplacingOptions;

  constructor(options: ReplacingOptions) {
    this.#options = options;
  }

  /** Says that the box with this serial is to be in the place of `name`. `done`: it has it already. */
  order(name: string, serial: string): { name: string; serial: string; done: boolean } {
    const { site, store, now } = this.#options;
    const old = store.devices.get(name);
    if (old?.state !== 'enrolled') {
      throw new SkiffError('not-found', `there is no enrolled device "${name}"`, {
        hint: 'skiff fleet devices shows them',
      });
    }
    const [here] = store.devices.withSerial(serial).filter(({ state }) => state === 'enrolled' || state === 'pending');
    if (here?.state === 'enrolled') {
      throw new SkiffError('already-enrolled', `the box with serial ${serial} is ${here.name} already`, {
        hint: `Wipe it with skiff device reset, and revoke ${here.name}; then it can come anew`,
      });
    }
    store.transaction(() => {
      store.replacements.put(serial, name);
      store.audit.add({ at: now(), event: 'device-replacement', device: name, detail: `serial ${serial}` });
      if (here) this.take(here, old);
    });
    if (here) {
      this.settled(old, serial);
      // What stood for it while it waited; nothing else is known by that name.
      if (site.documents.get({ kind: 'Device', name: here.name })) {
        void site.delete([{ kind: 'Device', name: here.name }], 'local');
      }
    }
    return { name, serial, done: here !== undefined };
  }

  /** The entry that a newcomer takes over; undefined when it is nobody's replacement. */
  placeFor({ serial }: StoredDevice): StoredDevice | undefined {
    const { store } = this.#options;
    const name = serial === null ? undefined : store.replacements.get(serial);
    const old = name === undefined ? undefined : store.devices.get(name);
    return old?.state === 'enrolled' ? old : undefined;
  }

  /** Puts a newcomer in the place of `old`; to be called in a transaction, and `settled` after it. */
  take(newcomer: StoredDevice, old: StoredDevice): StoredDevice {
    const { store, now, controller } = this.#options;
    for (const { fingerprint } of store.issued.forDevice(routerId(old.name, old.siteId))) {
      store.issued.revoke(fingerprint, now());
    }
    const { name, siteId, group } = old;
    const taken: StoredDevice = { ...newcomer, name, siteId, group, state: 'enrolled', reason: null, decidedAt: now() };
    if (newcomer.name !== name) store.devices.remove(newcomer.name);
    // The old key is remembered, as one that is good no more.
    const former = { name: this.#formerName(name), siteId: randomUUID(), state: 'revoked' as const, decidedAt: now() };
    store.devices.remove(name);
    store.devices.put({ ...old, ...former });
    store.devices.put(taken);
    store.replacements.remove(newcomer.serial ?? '');
    store.audit.add({ at: now(), event: 'device-replaced', device: name, detail: `now serial ${newcomer.serial}` });
    controller().forget(name);
    return taken;
  }

  /** After the transaction: who was cut off hears of it. */
  settled({ name }: StoredDevice, serial: string): void {
    this.#options.site.cutOff();
    log.info('fleet', `device ${name} is the box with serial ${serial} from now on`, { name });
  }

  #formerName(name: string): string {
    for (let nth = 1; ; nth++)
      if (!this.#options.store.devices.get(`${name}-former-${nth}`)) return `${name}-former-${nth}`;
  }
}
