/** What is known of a link over all its connections: how long its line is, how much it has carried, what went wrong. */
import { X509Certificate } from 'node:crypto';
import type { Connection } from '../amqp/connection.ts';
import type { ErrorFact } from '../errors.ts';
import type { LinkFacts as Facts } from './protocol.ts';

/** How often the round trip is measured, and all of it told, in milliseconds. */
const MEASURE_EVERY = 10_000;
const DAY = 24 * 60 * 60 * 1_000;

export class LinkFacts {
  readonly #onMeasured: () => void;
  #certificateExpires: number | null = null;
  /** The connection that stands. */
  #connection: Connection | null = null;
  /** With those that another has taken over from, and that still carry something. */
  readonly #carrying = new Set<Connection>();
  /** The connection whose round trip is being measured. */
  #measuring: Connection | null = null;
  #timer: NodeJS.Timeout | null = null;
  #roundTrip: number | null = null;
  #connections = 0;
  /** Times that the link was up and then was not. */
  downCount = 0;
  #lastError: Facts['lastError'] = null;
  /** Of the connections that are gone. */
  #octetsIn = 0;
  #octetsOut = 0;

  /** `onMeasured`: there is something new to tell. */
  constructor(onMeasured: () => void) {
    this.#onMeasured = onMeasured;
  }

  /** The site's own certificate, in PEM; null when it shows none. */
  set certificate(pem: string | null) {
    this.#certificateExpires = pem === null ? null : new X509Certificate(pem).validToDate.getTime();
  }

  /** A connection carries something beside the one that stands. */
  carry(connection: Connection): void {
    this.#carrying.add(connection);
  }

  /** A connection is open in both directions. */
  begin(connection: Connection): void {
    this.#connection = connection;
    this.#carrying.add(connection);
    this.#connections++;
    this.measure();
    this.#timer = setInterval(() => this.measure(), MEASURE_EVERY);
  }

  /** The connection stands no more, or another takes over from it. */
  end(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    this.#connection = null;
    this.#roundTrip = null;
  }

  /** A connection, if it ever stood, carries nothing any more. */
  gone(connection: Connection): void {
    if (!this.#carrying.delete(connection)) return;
    this.#octetsIn += connection.octetsIn;
    this.#octetsOut += connection.octetsOut;
  }

  failed(fact: ErrorFact, permanent: boolean): void {
    this.#lastError = { ...fact, class: permanent ? 'permanent' : 'transient', at: Date.now() };
  }

  get now(): Facts {
    const expires = this.#certificateExpires;
    let [octetsIn, octetsOut] = [this.#octetsIn, this.#octetsOut];
    for (const connection of this.#carrying) {
      octetsIn += connection.octetsIn;
      octetsOut += connection.octetsOut;
    }
    return {
      roundTripMs: this.#roundTrip,
      octetsIn,
      octetsOut,
      reconnects: Math.max(0, this.#connections - 1),
      downCount: this.downCount,
      lastError: this.#lastError,
      certificateExpires: expires,
      certificateDaysLeft: expires === null ? null : Math.floor((expires - Date.now()) / DAY),
    };
  }

  /**
   * Begins a session and ends it: every peer answers a begin at once, while a flow that asks for an echo gets none from
   * skupper-router.
   */
  measure(): void {
    const connection = this.#connection;
    // A line that is longer than the interval is measured once at a time.
    if (!connection || connection.closing || this.#measuring === connection) return;
    const begun = performance.now();
    this.#measuring = connection;
    try {
      const session = connection.openSession();
      session.onBegan = () => {
        this.#measuring = null;
        session.end();
        if (this.#connection !== connection) return;
        this.#roundTrip = Math.round((performance.now() - begun) * 10) / 10;
        this.#onMeasured();
      };
    } catch {
      // As many sessions as both ends take: streams come before measuring.
      this.#measuring = null;
    }
  }
}
