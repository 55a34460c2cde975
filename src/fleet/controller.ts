/**
 * The hub's side of desired state: what each device is to be follows from its group and its own document, is numbered
 * and signed, and goes to the device whenever that says that it has something else.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
} from 'node:crypto';
import { SkiffError } from '../errors.ts';
import type { Mail, MailOutcome } from '../router/protocol.ts';
import { routerId } from '../site/plan.ts';
import type { Resource } from '../site/resources.ts';
import type { JsonObject } from '../store/documents.ts';
import type { Store } from '../store/store.ts';
import { partsOf } from './applier.ts';
import { Generations, type GenerationsOptions } from './generations.ts';
import { guarded } from './guarded.ts';
import { HeardReports } from './heard.ts';
import {
  type Acknowledgement,
  CONTROLLER,
  type DesiredMessage,
  deviceAddress,
  type OrderMessage,
  type Report,
  readReport,
  usualPace,
} from './messages.ts';
import { desiredText, digest, isSigned, orderText, reportText, signed } from './signing.ts';

type StoredDevice = NonNullable<ReturnType<Store['devices']['get']>>;
type StoredDesired = NonNullable<ReturnType<Store['desired']['get']>>;

/** Heartbeats a second that a hub asks for at most. */
const mostBeats = 400;
/** Heartbeats that may be missed before a device counts as offline. */
const missed = 2.5;
/** What devices are to be is looked at again this soon after a change, so many devices at a time. */
const renderSoon = 50;
const renderAtATime = 50;
/** After it could not be written down. */
const renderAgain = 5_000;
/** Orders of a device that are looked at. */
const mostOrders = 50;

export interface ControllerOptions extends GenerationsOptions {
  takeMail(address: string, take: (mail: Mail) => void): () => void;
  sendMail(to: string, subject: string, body: string): Promise<MailOutcome>;
  /** Something else is known of a device. */
  onChange(device: string): void;
}

/** What is known of a device beside who it is. */
export interface DeviceNews {
  online: boolean;
  /** Milliseconds since the epoch. */
  seenAt: number | null;
  desired: number | null;
  applied: number | null;
  trying: number | null;
  /** Why its group's documents cannot be for it, or why it could not take them. */
  error: string | null;
  refused: string[];
  version: string | null;
}

/** Everything about one device. Times are milliseconds since the epoch. */
export interface ShownDevice {
  device: Omit<StoredDevice, 'identity'> & { identity: object };
  desired: { generation: number | null; documents: JsonObject[]; changedAt: number | null; problem: string | null };
  /** What it last said; null when it never has. */
  reported: (Report & { at: number }) | null;
  /** Documents that are not at the device as they are to be. */
  difference: { document: string; is: 'missing' | 'surplus' | 'different' }[];
  news: DeviceNews;
  orders: (ReturnType<Store['orders']['ofDevice']>[number] & { state: 'waiting' | 'done' | 'expired' })[];
  /** The latest first. */
  history: ReturnType<Store['audit']['ofDevice']>;
}

export class Controller {
  readonly #options: ControllerOptions;
  readonly #key: KeyObject;
  readonly #began = performance.now();
  readonly #heard: HeardReports;
  readonly #generations: Generations;
  #unsubscribe: () => void = () => {};
  #rendering: NodeJS.Timeout | null = null;
  /** Devices that are yet to be looked at. */
  #due: string[] = [];
  #closed = false;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#key = keyOf(options.store);
    this.#heard = new HeardReports(options.store, options.now);
    this.#generations = new Generations(options, this.#heard);
  }

  /** SPKI in base64: what devices know it by. */
  get publicKey(): string {
    return createPublicKey(this.#key).export({ type: 'spki', format: 'der' }).toString('base64');
  }

  start(): void {
    this.#unsubscribe = this.#options.takeMail(CONTROLLER, (mail) => guarded(() => this.#onMail(mail)));
    this.#heard.start();
    this.refresh();
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    if (this.#rendering) clearTimeout(this.#rendering);
    this.#heard.close();
  }

  /** Groups, devices, or the ways to this hub have changed: what devices are to be is looked at again. */
  refresh(): void {
    if (this.#closed) return;
    this.#options.rights.settle();
    this.#due = this.#options.store.devices.all().flatMap(({ name, state }) => (state === 'enrolled' ? [name] : []));
    this.#rendering ??= setTimeout(() => this.#renderSome(), renderSoon);
  }

  /** Throws when a device could not be given what these would make of it. */
  check(changed: Resource<'DeviceGroup' | 'Device'>): void {
    this.#generations.check(changed);
  }

  /** What a device is to be, rendered and written when that has changed. To be called in a transaction. */
  desiredOf(device: StoredDevice): DesiredMessage {
    const desired = this.#generations.render(device);
    if (desired.problem !== null && desired.generation === 0) {
      throw new SkiffError('not-rendered', `${device.name} cannot be given its documents: ${desired.problem}`);
    }
    return this.#signed(device, desired);
  }

  /** What a device is to be by now; undefined when it never was to be anything. */
  stored(name: string): StoredDesired | undefined {
    return this.#options.store.desired.get(name);
  }

  newsOf(name: string): DeviceNews {
    const desired = this.#options.store.desired.head(name);
    const heard = this.#heard.of(name);
    const { report } = heard ?? {};
    const problem = desired?.problem ?? null;
    const bad = report?.bad.find(({ generation }) => generation === desired?.generation);
    const failed = report?.failure?.generation === desired?.generation ? report?.failure?.error.message : undefined;
    return {
      online: heard?.tick != null && performance.now() - heard.tick < this.#pace * missed,
      seenAt: heard?.at ?? null,
      desired: desired?.generation ?? null,
      applied: report?.applied ?? null,
      trying: report?.trying ?? null,
      error: problem ?? (bad ? `rolled back: ${bad.reason}` : null) ?? failed ?? report?.problems[0]?.message ?? null,
      refused: report?.refused ?? [],
      version: report?.version ?? null,
    };
  }

  /** Everything about one device, for whoever looks into it. */
  show(name: string): ShownDevice {
    const { store, now } = this.#options;
    const device = this.#device(name);
    const desired = this.stored(name);
    const heard = this.#heard.of(name);
    const { generation = null, documents = [], changedAt = null, problem = null } = desired ?? {};
    return {
      device: { ...device, identity: JSON.parse(device.identity) },
      desired: { generation, documents: documents.map(withoutSecrets), changedAt, problem },
      reported: heard ? { ...heard.report, parts: heard.parts, at: heard.at } : null,
      difference: difference(partsOf(documents), heard?.parts ?? {}),
      news: this.newsOf(name),
      orders: store.orders.ofDevice(name, mostOrders).map((order) => ({ ...order, state: stateOf(order, now()) })),
      history: store.audit.ofDevice(name, mostOrders),
    };
  }

  /** Has something done at a device, at once or when it comes back before `expiresAt`. */
  order(name: string, verb: string, expiresAt: number): object {
    const { store, now } = this.#options;
    const device = this.#device(name);
    const order = { id: randomUUID(), device: name, verb, createdAt: now(), expiresAt, doneAt: null, result: null };
    store.transaction(() => {
      store.orders.put(order);
      store.audit.add({ at: now(), event: 'device-ordered', device: name, detail: verb });
    });
    this.#sendOrder(device, order);
    return { ...order, state: stateOf(order, now()) };
  }

  /** A device is somebody else now, or nobody any more: what was heard of it is not true of it. */
  forget(name: string): void {
    this.#heard.forget(name);
  }

  get #pace(): number {
    return Math.max(usualPace, (this.#heard.count * 1_000) / mostBeats);
  }

  #device(name: string): StoredDevice {
    const device = this.#options.store.devices.get(name);
    if (!device)
      throw new SkiffError('not-found', `there is no device "${name}"`, { hint: 'skiff fleet devices shows them' });
    return device;
  }

  #renderSome(): void {
    this.#rendering = null;
    const { store } = this.#options;
    const changed: StoredDevice[] = [];
    const names = this.#due.slice(0, renderAtATime);
    const written = guarded(() =>
      store.transaction(() => {
        for (const name of names) {
          const device = store.devices.get(name);
          if (device?.state !== 'enrolled') continue;
          const before = store.desired.get(name);
          const after = this.#generations.render(device);
          if (after.generation !== before?.generation || after.problem !== before.problem) changed.push(device);
        }
      }),
    );
    if (!written) {
      if (!this.#closed) this.#rendering = setTimeout(() => this.#renderSome(), renderAgain);
      return;
    }
    this.#due.splice(0, names.length);
    for (const device of changed) {
      this.#options.onChange(device.name);
      if (this.#heard.of(device.name)?.tick != null) this.#sendDesired(device);
    }
    if (this.#due.length > 0 && !this.#closed) this.#rendering = setTimeout(() => this.#renderSome(), renderSoon);
  }

  #onMail({ subject, body, from }: Mail): void {
    if (subject !== 'heartbeat' || from === null) return;
    const read = readReport(body);
    if (!read) return;
    const { report, signature, signed: text } = read;
    const device = this.#options.store.devices.get(from.slice(0, -9));
    // It came by this device's own certificate, and is signed with the key that this device is known by.
    if (!device || report.device !== from || routerId(device.name, device.siteId) !== from) return;
    const key = Buffer.from(report.key, 'base64');
    if (device.state !== 'enrolled' || createHash('sha256').update(key).digest('hex') !== device.publicKey) return;
    if (!isSigned(reportText(from, text), signature, createPublicKey({ key, format: 'der', type: 'spki' }))) return;
    this.#take(device, report);
  }

  #take(device: StoredDevice, report: Report): void {
    const { name } = device;
    const before = this.#heard.of(name);
    const heard = this.#heard.take(name, report);
    if (!heard) return;
    this.#note(device, before?.report, report);
    const acknowledgement: Acknowledgement = {
      generation: report.applied,
      hash: digest(heard.parts) === report.hash ? report.hash : null,
      uptime: Math.round(performance.now() - this.#began),
      pace: this.#pace,
    };
    this.#send(device, 'ack', acknowledgement);
    this.#sendDesired(device);
    for (const order of this.#options.store.orders.ofDevice(name, mostOrders)) this.#sendOrder(device, order);
    this.#options.onChange(name);
  }

  /** What has changed since the device was last heard goes into its history. */
  #note({ name }: StoredDevice, before: Report | undefined, report: Report): void {
    const { store, now } = this.#options;
    const events: { event: string; detail: string }[] = [];
    if (report.applied !== before?.applied)
      events.push({ event: 'desired-applied', detail: `generation ${report.applied}` });
    for (const { generation, reason } of report.bad) {
      if (before?.bad.some((each) => each.generation === generation)) continue;
      events.push({ event: 'desired-rolled-back', detail: `generation ${generation}: ${reason}` });
    }
    const waiting = store.orders.ofDevice(name, mostOrders).filter(({ doneAt }) => doneAt === null);
    const done = report.orders.filter(({ id, result }) => result !== 'begun' && waiting.some((each) => each.id === id));
    if (events.length === 0 && done.length === 0) return;
    store.transaction(() => {
      for (const each of events) store.audit.add({ at: now(), device: name, ...each });
      for (const { id, result } of done) {
        if (store.orders.done(name, id, result, now())) {
          store.audit.add({ at: now(), event: 'order-done', device: name, detail: result });
        }
      }
    });
  }

  /** Sends what the device is to be, when it has something else and does not know that already. */
  #sendDesired(device: StoredDevice): void {
    const report = this.#heard.of(device.name)?.report;
    if (!report) return;
    if (this.#generations.least(device.name) > 0)
      this.#options.store.transaction(() => this.#generations.render(device));
    const { generation = 0 } = this.#options.store.desired.head(device.name) ?? {};
    const known = [report.applied, report.trying, ...report.bad.map((each) => each.generation)].includes(generation);
    const desired = known || generation === 0 ? undefined : this.stored(device.name);
    if (desired) this.#send(device, 'desired', this.#signed(device, desired));
  }

  #signed({ name, siteId }: StoredDevice, { generation, documents }: StoredDesired): DesiredMessage {
    const device = routerId(name, siteId);
    return { generation, documents, signature: signed(desiredText({ device, generation, documents }), this.#key) };
  }

  #sendOrder(
    device: StoredDevice,
    { id, verb, expiresAt: expires, doneAt }: ReturnType<Store['orders']['ofDevice']>[number],
  ): void {
    if (doneAt !== null || expires < this.#options.now()) return;
    // It has it, and will say what came of it.
    if (this.#heard.of(device.name)?.report.orders.some((each) => each.id === id)) return;
    const address = routerId(device.name, device.siteId);
    const signature = signed(orderText({ device: address, id, verb, expires }), this.#key);
    this.#send(device, 'order', { id, verb, expires, signature } satisfies OrderMessage);
  }

  /** Whoever is away gets it when it is heard again. */
  #send({ name, siteId }: StoredDevice, subject: string, message: object): void {
    void this.#options.sendMail(deviceAddress(routerId(name, siteId)), subject, JSON.stringify(message));
  }
}

/** Made once, with the first device or at the first start of a hub with a fleet. */
function keyOf(store: Store): KeyObject {
  const known = store.desired.key();
  if (known !== undefined) return createPrivateKey(known);
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  store.transaction(() => store.desired.keepKey(pem));
  return privateKey;
}

/** What stands in a Secret is for the device alone. */
function withoutSecrets(document: JsonObject): JsonObject {
  const { data: _data, stringData: _stringData, ...rest } = document;
  return document.kind === 'Secret' ? rest : document;
}

function difference(desired: Record<string, string>, reported: Record<string, string>): ShownDevice['difference'] {
  const names = [...new Set([...Object.keys(desired), ...Object.keys(reported)])].sort();
  return names.flatMap((document) => {
    if (desired[document] === reported[document]) return [];
    return [{ document, is: !(document in desired) ? 'surplus' : document in reported ? 'different' : 'missing' }];
  });
}

function stateOf(
  { doneAt, expiresAt }: { doneAt: number | null; expiresAt: number },
  now: number,
): ShownDevice['orders'][number]['state'] {
  if (doneAt !== null) return 'done';
  return expiresAt < now ? 'expired' : 'waiting';
}
