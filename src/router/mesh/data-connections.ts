/**
 * The data connections of a trunk that we have dialled: as many as are wanted, each dialled again when it is lost. What
 * such a connection carries ends with it; all else goes on by the others.
 */
import type net from 'node:net';
import type { Connection } from '../../amqp/connection.ts';
import { AmqpError, Condition } from '../../amqp/error.ts';
import type { Open } from '../../amqp/performatives.ts';
import { SkiffError } from '../../errors.ts';
import { log } from '../../log.ts';
import { InteriorPeer } from './interior-peer.ts';
import type { Trunk } from './trunk.ts';

/** Back-off between tries, in milliseconds, doubled each time, with full jitter. */
const BACKOFF_FIRST = 1_000;
const BACKOFF_LAST = 60_000;
/** How often it is looked whether a connection that is to go carries nothing any more. */
const DRAIN_EVERY = 500;

/** How connections are made to where the control connection goes. */
export interface DataLine {
  /** Who dials, for the log. */
  name: string;
  /** Returns what gives up. */
  dial(onSocket: (socket: net.Socket) => void, onFailed: (error: SkiffError) => void): () => void;
  /** Opens a connection on a socket. */
  open(socket: net.Socket, peer: InteriorPeer): void;
  /** A connection is gone. */
  gone(connection: Connection): void;
}

export class DataConnections {
  readonly #each: DataConnection[];
  #closing = false;

  constructor(trunk: Trunk, count: number, line: DataLine) {
    this.#each = Array.from({ length: count }, () => new DataConnection(trunk, line));
  }

  get connections(): Connection[] {
    return this.#each.flatMap(({ connection }) => connection ?? []);
  }

  /** Closed, and nothing is left. */
  get over(): boolean {
    return this.#closing && this.connections.length === 0;
  }

  /** Dials no more; connections go when what they carry has ended, or at once. */
  close(atOnce: boolean): void {
    this.#closing = true;
    for (const each of this.#each) each.close(atOnce);
  }
}

class DataConnection {
  readonly #trunk: Trunk;
  readonly #line: DataLine;
  #peer: InteriorPeer | null = null;
  /** Ends what is about to happen. */
  #stop: () => void = () => {};
  #failures = 0;
  #error: string | null = null;
  #closing = false;

  constructor(trunk: Trunk, line: DataLine) {
    this.#trunk = trunk;
    this.#line = line;
    this.#dial();
  }

  get connection(): Connection | null {
    return this.#peer?.connection ?? null;
  }

  close(atOnce: boolean): void {
    this.#closing = true;
    this.#stop();
    if (this.#peer) this.#trunk.remove(this.#peer);
    if (atOnce) this.connection?.close();
    else this.#drain();
  }

  #drain(): void {
    const { connection } = this;
    if (!connection) return;
    if (connection.deliveryCount === 0) connection.close();
    else this.#after(DRAIN_EVERY, () => this.#drain());
  }

  #dial(): void {
    this.#stop = this.#line.dial(
      (socket) => this.#open(socket),
      (error) => this.#failed(error),
    );
  }

  #open(socket: net.Socket): void {
    this.#stop = () => {};
    const peer = new InteriorPeer(this.#trunk.control.router, true, {
      onOpened: (_, open) => this.#onOpened(peer, open),
      onGone: (_, error) => this.#onGone(peer, error),
    });
    this.#peer = peer;
    this.#line.open(socket, peer);
  }

  #onOpened(peer: InteriorPeer, { containerId }: Open): void {
    const { neighbour } = this.#trunk;
    // Behind a load balancer, say: a trunk does not lead to two routers.
    if (containerId !== neighbour) {
      const message = `this connection is for ${neighbour}, and has come to ${containerId}`;
      peer.connection.close(new AmqpError(Condition.notAllowed, message));
      return;
    }
    this.#failures = 0;
    this.#error = null;
    this.#trunk.add(peer);
  }

  #onGone(peer: InteriorPeer, error: SkiffError | null): void {
    this.#peer = null;
    this.#trunk.remove(peer);
    this.#line.gone(peer.connection);
    this.#failed(error ?? new SkiffError('connection-closed', 'the peer closed the connection'));
  }

  #failed(error: SkiffError): void {
    this.#stop();
    if (this.#closing) return;
    if (this.#error !== error.message)
      log.warn('link', `${this.#line.name}: a data connection failed: ${error.message}`, { code: error.code });
    this.#error = error.message;
    const ceiling = Math.min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** Math.min(this.#failures++, 10));
    this.#after(Math.random() * ceiling, () => this.#dial());
  }

  #after(delay: number, work: () => void): void {
    const timer = setTimeout(work, delay);
    this.#stop = () => clearTimeout(timer);
  }
}
