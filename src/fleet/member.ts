/**
 * A device that belongs to a fleet: it becomes what its controller wants and tells how it is, for as long as it belongs
 * to that hub.
 */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { IssuedAnswer } from '../enrol/protocol.ts';
import { routerId } from '../site/plan.ts';
import type { Kind } from '../site/resources.ts';
import type { Site } from '../site/site.ts';
import type { Store } from '../store/store.ts';
import { version } from '../version.ts';
import { Applier } from './applier.ts';
import type { Report } from './messages.ts';
import { Reporter, type Verbs } from './reporter.ts';

/** Kinds whose trouble is told to the controller. */
const told: Kind[] = ['Link', 'Listener', 'MultiKeyListener', 'Connector'];

export interface MemberOptions {
  site: Site;
  store: Store;
  now: () => number;
  /** Addresses that the hub does not let this device use. */
  refused: () => string[];
  verbs: Verbs;
}

/** What a device shows of how it stands with its controller. */
export interface MemberFacts {
  /** When the controller was last heard: milliseconds since the epoch. */
  heardAt: number | null;
  applied: number;
  trying: number | null;
  error: string | null;
}

export class Member {
  readonly #options: MemberOptions;
  readonly #applier: Applier;
  readonly #reporter: Reporter;
  readonly #unsubscribe: () => void;

  /** `answer`: what the hub gave; `key`: the PEM of the key it was given for. */
  constructor(options: MemberOptions, { device, credentials, controller }: IssuedAnswer, key: string) {
    this.#options = options;
    const { site, store, now, refused, verbs } = options;
    this.#applier = new Applier({
      store,
      now,
      // The Secret came with the enrolment, and its key never left here.
      replace: (documents, along) =>
        site.replaceFleet(documents, ({ kind, name }) => kind === 'Secret' && name === credentials, along),
      onChange: () => this.#reporter.beatSoon(),
    });
    this.#reporter = new Reporter({
      device: routerId(device.name, device.siteId),
      key: createPrivateKey(key),
      controllerKey: createPublicKey({
        key: Buffer.from(controller.publicKey, 'base64'),
        format: 'der',
        type: 'spki',
      }),
      ...{ version, store, now, refused, verbs },
      applier: this.#applier,
      takeMail: (address, take) => site.takeMail(address, take),
      sendMail: (to, subject, body) => site.sendMail(to, subject, body),
      problems: () => this.#problems(),
    });
    this.#unsubscribe = site.subscribe((event) => {
      if (event.event === 'status' && event.kind === 'Link' && event.status === 'Ready') this.#reporter.beatSoon();
    });
    this.#reporter.start();
  }

  get facts(): MemberFacts {
    const { applied, trying, failure, bad } = this.#applier.facts;
    const lastBad = bad.at(-1);
    const rolledBack = lastBad && lastBad.generation > applied ? `rolled back: ${lastBad.reason}` : null;
    return { heardAt: this.#reporter.heardAt, applied, trying, error: failure?.error.message ?? rolledBack };
  }

  /** Tells the controller how this device is, now. */
  report(): void {
    this.#reporter.beatSoon(0);
  }

  close(): void {
    this.#unsubscribe();
    this.#reporter.close();
    this.#applier.close();
  }

  #problems(): Report['problems'] {
    const documents = told.flatMap((kind) => this.#options.site.list(kind, { showSecrets: false }));
    return documents.flatMap(({ kind, metadata, status }) =>
      status?.status === 'Error' ? [{ kind: String(kind), name: metadata.name, message: status.message }] : [],
    );
  }
}
