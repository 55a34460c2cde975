/** A hub and devices whose mail goes by hand: the store, the documents and all that is said is real, the network is not. */
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { Applier } from '../../src/fleet/applier.ts';
import { Controller } from '../../src/fleet/controller.ts';
import type { DesiredMessage, Report } from '../../src/fleet/messages.ts';
import { Reporter, type Verbs } from '../../src/fleet/reporter.ts';
import { Rights } from '../../src/fleet/rights.ts';
import { newKey } from '../../src/pki/request.ts';
import type { DeviceRights, Mail, MailOutcome } from '../../src/router/protocol.ts';
import { Documents } from '../../src/site/documents.ts';
import { routerId } from '../../src/site/plan.ts';
import type { JsonObject } from '../../src/store/documents.ts';
import { document, newStore, read } from '../site/setup.ts';

/** Of real times: what takes 40 s takes 200 ms. */
const share = 0.005;

type Take = (mail: Mail) => void;

function takers() {
  const all = new Map<string, Take>();
  return {
    all,
    take: (address: string, take: Take) => {
      all.set(address, take);
      return () => all.delete(address);
    },
  };
}

/** The way to the hub that works. */
export const wayTo = (host: string): JsonObject =>
  document('Link', 'hub', { endpoints: [{ name: 'edge', host, port: '45671' }] }) as JsonObject;

export function group(documents: object[], variables: Record<string, string> = {}): object {
  return {
    apiVersion: 'skiff/v1alpha1',
    kind: 'DeviceGroup',
    metadata: { name: 'stores' },
    spec: { documents, variables },
  };
}

export class Hub {
  readonly store = newStore();
  readonly documents = new Documents(this.store, Date.now);
  readonly changed: string[] = [];
  /** What devices may do, by router id. */
  readonly granted = new Map<string, DeviceRights>();
  devices: Device[] = [];
  up = true;
  /** Whether it is gone as soon as it has told a device what to be. */
  endsWithDesired = false;
  controller: Controller;
  readonly #takers = takers();

  constructor() {
    this.documents.apply(read(document('Site', 'hub', {}), group([])), 'local');
    this.controller = this.#start();
  }

  /** As a hub that is killed and comes back. */
  restart(): void {
    this.controller.close();
    this.controller = this.#start();
    this.endsWithDesired = false;
    this.up = true;
  }

  #start(): Controller {
    const controller = new Controller({
      store: this.store,
      now: Date.now,
      documents: () => this.documents.all(),
      base: ({ name }) => [document('Site', name, { edge: true }) as JsonObject, wayTo('hub.example')],
      takeMail: this.#takers.take,
      sendMail: async (to, subject, body) => {
        const device = this.devices.find(({ linked }) => linked(to));
        if (device && subject === 'desired' && this.endsWithDesired) this.up = false;
        return device ? device.receive({ address: to, subject, body, from: null }) : 'released';
      },
      rights: new Rights({
        store: this.store,
        documents: () => this.documents.all(),
        grant: (put, remove) => {
          for (const rights of put) this.granted.set(rights.device, rights);
          for (const device of remove) this.granted.delete(device);
        },
      }),
      onChange: (name) => this.changed.push(name),
    });
    controller.start();
    return controller;
  }

  apply(...documents: object[]): void {
    this.documents.apply(read(...documents), 'local');
    this.controller.refresh();
  }

  receive(mail: Mail): MailOutcome {
    const take = this.#takers.all.get(mail.address);
    if (!this.up || !take) return 'released';
    take(mail);
    return 'accepted';
  }

  /** A device of the group `stores`, enrolled. */
  async enrol(name: string, verbs: Verbs = {}): Promise<Device> {
    const key = await newKey();
    const spki = createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'der' });
    const siteId = `5a17f1e1-0000-4000-8000-${String(this.devices.length).padStart(12, '0')}`;
    this.store.devices.put({
      ...{ name, siteId, group: 'stores', serial: name, identity: '{}', claim: 'c', claimKey: 'k', state: 'enrolled' },
      publicKey: createHash('sha256').update(spki).digest('hex'),
      ...{ reason: null, address: null, version: null, createdAt: 0, decidedAt: 0, seenAt: null },
    });
    const desired = this.store.transaction(() => this.controller.desiredOf(this.store.devices.get(name) as never));
    const device = new Device(this, routerId(name, siteId), key, desired, verbs);
    this.devices.push(device);
    device.start();
    return device;
  }

  close(): void {
    this.controller.close();
    for (const device of this.devices) device.close();
    for (const device of this.devices) device.store.close();
    this.store.close();
  }
}

export class Device {
  readonly store = newStore();
  readonly documents = new Documents(this.store, Date.now);
  readonly id: string;
  /** Whether its line is there at all. */
  line = true;
  /** Everything that it has said. */
  readonly said: Report[] = [];
  applier!: Applier;
  reporter!: Reporter;
  readonly #hub: Hub;
  readonly #key: string;
  readonly #verbs: Verbs;
  #takers = takers();

  constructor(hub: Hub, id: string, key: string, { generation, documents }: DesiredMessage, verbs: Verbs) {
    this.#hub = hub;
    this.id = id;
    this.#key = key;
    this.#verbs = verbs;
    this.documents.apply(read(...documents), 'fleet', () =>
      this.store.applied.replace([{ generation, documents, state: 'good', active: true, reason: null, at: 0 }]),
    );
  }

  start(): void {
    this.applier = new Applier({
      store: this.store,
      replace: async (documents, along) => {
        const before = this.#way;
        this.documents.replace(documents, 'fleet', () => false, along);
        if (before !== this.#way) this.reporter.beatSoon();
      },
      now: Date.now,
      onChange: () => this.reporter.beatSoon(),
      share,
    });
    this.reporter = new Reporter({
      device: this.id,
      key: createPrivateKey(this.#key),
      controllerKey: createPublicKey({
        key: Buffer.from(this.#hub.controller.publicKey, 'base64'),
        format: 'der',
        type: 'spki',
      }),
      version: '1',
      store: this.store,
      applier: this.applier,
      now: Date.now,
      takeMail: this.#takers.take,
      sendMail: async (address, subject, body) => {
        this.said.push(JSON.parse(body));
        if (!this.linked()) return 'released';
        return this.#hub.receive({ address, subject, body, from: this.id });
      },
      problems: () => [],
      refused: () => [],
      verbs: this.#verbs,
      share,
    });
    this.reporter.start();
  }

  /** As a device that is switched off. */
  close(): void {
    this.reporter.close();
    this.applier.close();
  }

  /** Whether what is sent to this address gets here. */
  readonly linked = (to = `skiff.device.${this.id}`): boolean =>
    this.line && this.#hub.up && this.#way === 'hub.example' && to === `skiff.device.${this.id}`;

  receive(mail: Mail): MailOutcome {
    const take = this.#takers.all.get(mail.address);
    if (!take) return 'released';
    take(mail);
    return 'accepted';
  }

  get names(): string[] {
    return this.documents.all().map(({ kind, name }) => `${kind}/${name}`);
  }

  get #way(): string | undefined {
    const link = this.documents.get({ kind: 'Link', name: 'hub' });
    return (link?.spec as { endpoints?: { host: string }[] })?.endpoints?.[0]?.host;
  }
}
