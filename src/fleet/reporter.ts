/**
 * A device's end of what is said between it and its controller: it reports how it is, signed with its own key, and
 * takes what the controller signed for it. Routers in between are not believed.
 */
import { createPublicKey, type KeyObject, randomUUID } from 'node:crypto';
import { errorFact } from '../errors.ts';
import { log } from '../log.ts';
import type { Mail, MailOutcome } from '../router/protocol.ts';
import type { Store } from '../store/store.ts';
import type { Applier } from './applier.ts';
import {
  type Acknowledgement,
  CONTROLLER,
  type DesiredMessage,
  deviceAddress,
  type OrderMessage,
  type Report,
  usualPace,
} from './messages.ts';
import { desiredText, digest, isSigned, orderText, reportText, signed } from './signing.ts';

/** Within these, in milliseconds, the hub may set another pace than the usual. */
const leastPace = 1_000;
const mostPace = 600_000;
/** Word that is urgent, such as after a reconnect: spread, for a whole fleet may have lost its hub. */
const soon = 2_000;
/** After a heartbeat that nobody took: from the first wait to the pace, doubled each time, with jitter. */
const firstRetry = 1_000;
/** Problems of documents that a report names. */
const mostProblems = 20;

/** Does what an order says, and hands back what came of it in a few words. */
export type Verbs = Record<string, () => Promise<string>>;

export interface ReporterOptions {
  /** The device's router id. */
  device: string;
  /** The key that it enrolled with. */
  key: KeyObject;
  controllerKey: KeyObject;
  version: string;
  store: Store;
  applier: Applier;
  now: () => number;
  takeMail(address: string, take: (mail: Mail) => void): () => void;
  sendMail(to: string, subject: string, body: string): Promise<MailOutcome>;
  /** Documents of this site that are in trouble. */
  problems(): Report['problems'];
  /** Addresses that the hub does not let this device use. */
  refused(): string[];
  verbs: Verbs;
  /** Shorter times for tests, as a share of the real ones. */
  share?: number;
}

export class Reporter {
  readonly #options: ReporterOptions;
  readonly #publicKey: string;
  readonly #boot = randomUUID();
  readonly #began = performance.now();
  #seq = 0;
  #pace = usualPace;
  #failures = 0;
  /** The digest of the parts that the controller knows. */
  #told: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #dueAt = Number.POSITIVE_INFINITY;
  #beating = false;
  #again = false;
  #unsubscribe: () => void = () => {};
  #closed = false;
  /** When the controller was last heard; null before. */
  heardAt: number | null = null;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#publicKey = createPublicKey(options.key).export({ type: 'spki', format: 'der' }).toString('base64');
  }

  start(): void {
    this.#unsubscribe = this.#options.takeMail(deviceAddress(this.#options.device), (mail) => this.#onMail(mail));
    this.beatSoon();
  }

  /** Something has happened that the controller should know, such as a link that is up again. */
  beatSoon(within = soon): void {
    this.#schedule(Math.random() * within);
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    if (this.#timer) clearTimeout(this.#timer);
  }

  #schedule(delay: number): void {
    const scaled = delay * (this.#options.share ?? 1);
    const at = performance.now() + scaled;
    if (this.#closed || at >= this.#dueAt) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#dueAt = at;
    this.#timer = setTimeout(() => void this.#beat(), scaled);
    // What keeps a site running are its sockets.
    this.#timer.unref();
  }

  async #beat(): Promise<void> {
    this.#dueAt = Number.POSITIVE_INFINITY;
    if (this.#beating) {
      this.#again = true;
      return;
    }
    this.#beating = true;
    this.#again = false;
    const outcome = await this.#options.sendMail(CONTROLLER, 'heartbeat', JSON.stringify(this.#report()));
    this.#beating = false;
    this.#failures = outcome === 'accepted' ? 0 : this.#failures + 1;
    const retry = Math.min(this.#pace, firstRetry * 2 ** Math.min(this.#failures - 1, 10));
    if (this.#again) this.beatSoon();
    else this.#schedule((this.#failures > 0 ? retry : this.#pace) * (0.8 + Math.random() * 0.4));
  }

  #report(): Report & { signature: string } {
    const { device, version, applier, key, store } = this.#options;
    const { parts, ...facts } = applier.facts;
    const hash = digest(parts);
    const report: Report = {
      ...{ device, key: this.#publicKey, boot: this.#boot, seq: ++this.#seq, version, ...facts, hash },
      ...(hash === this.#told ? {} : { parts }),
      uptime: Math.round(performance.now() - this.#began),
      problems: this.#options.problems().slice(0, mostProblems),
      refused: this.#options.refused(),
      orders: store.orders.doneHere(),
    };
    return { ...report, signature: signed(reportText(device, report), key) };
  }

  #onMail({ subject, body }: Mail): void {
    let message: unknown;
    try {
      message = JSON.parse(body);
    } catch {
      message = null;
    }
    if (typeof message !== 'object' || message === null) return;
    if (subject === 'desired') this.#onDesired(message as DesiredMessage);
    else if (subject === 'ack') this.#onAcknowledgement(message as Acknowledgement);
    else if (subject === 'order') {
      this.#onOrder(message as OrderMessage).catch((error: unknown) => {
        const { code, message } = errorFact(error);
        log.error('fleet', `an order cannot be noted, and is not carried out: ${message}`, { code });
      });
    }
  }

  #onDesired({ generation, documents, signature }: DesiredMessage): void {
    const { device, controllerKey, applier } = this.#options;
    if (!Number.isSafeInteger(generation) || !Array.isArray(documents)) return;
    if (!isSigned(desiredText({ device, generation, documents }), signature, controllerKey)) {
      log.warn('fleet', 'what came for this device is not signed by its controller', { code: 'not-signed' });
      return;
    }
    void applier.take(generation, documents);
  }

  #onAcknowledgement({ generation, hash, uptime, pace }: Acknowledgement): void {
    if (!Number.isFinite(generation) || !Number.isFinite(uptime)) return;
    this.heardAt = this.#options.now();
    if (typeof hash === 'string' || hash === null) {
      this.#told = hash;
      if (hash !== digest(this.#options.applier.facts.parts)) this.beatSoon();
    }
    if (Number.isFinite(pace)) this.#pace = Math.min(mostPace, Math.max(leastPace, pace));
    void this.#options.applier.acknowledged(generation, uptime);
  }

  async #onOrder({ id, verb, expires, signature }: OrderMessage): Promise<void> {
    const { device, controllerKey, store, now, verbs } = this.#options;
    if (typeof id !== 'string' || typeof verb !== 'string' || !Number.isSafeInteger(expires)) return;
    if (!isSigned(orderText({ device, id, verb, expires }), signature, controllerKey)) return;
    if (store.orders.doneHere().some((done) => done.id === id) || expires < now()) return;
    const run = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
    // Noted before it is done: an order that ends this process must not end the next one, too.
    store.transaction(() => store.orders.noteDone(id, run ? 'begun' : 'not known to this release', now()));
    log.info('fleet', `the controller orders: ${verb}`, { order: id });
    if (run) await this.#carryOut(id, run);
    this.beatSoon();
  }

  async #carryOut(id: string, run: () => Promise<string>): Promise<void> {
    const { store, now } = this.#options;
    const result = await run().catch((error: unknown) => `failed: ${error instanceof Error ? error.message : error}`);
    store.transaction(() => store.orders.noteDone(id, result, now()));
  }
}
