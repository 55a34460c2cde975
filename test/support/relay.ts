/**
 * A line between two TCP ports that a test can make long, hold up, and cut. What is under way on a line that is held up
 * arrives when it is released, as TCP would have sent it again.
 */
import net, { type Socket } from 'node:net';
import { serve, track } from './tcp.ts';

/** Octets on their way in one direction, beyond which the sender has to wait. */
const ON_THE_WAY = 256 * 1024;

export interface RelayOptions {
  /** Where it listens. */
  host?: string;
  /** Where it leads. */
  target: { host?: string; port: number };
  /** Milliseconds that so many octets take longer than the delay. */
  stallOf?: (octets: number) => number;
}

export class Relay {
  readonly port: number;
  /** Milliseconds from one end to the other. */
  delay = 0;
  /** Connections that there have been. */
  count = 0;
  readonly #options: RelayOptions;
  readonly #sockets = new Set<Socket>();
  readonly #directions = new Set<Direction>();
  readonly #close: () => Promise<void>;
  #isCut = false;
  #held = false;
  /** Before that, nothing that is sent now arrives. */
  #opensAt = 0;

  private constructor(options: RelayOptions, server: { port: number; close(): Promise<void> }) {
    this.#options = options;
    this.port = server.port;
    this.#close = server.close;
  }

  static async open(options: RelayOptions): Promise<Relay> {
    const { host = '127.0.0.1' } = options;
    const server = await serve((socket) => relay.#join(socket), { host });
    const relay = new Relay(options, server);
    return relay;
  }

  /** Ends every connection, and takes none until it is restored. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Nothing gets through until it is restored, and nobody is told. */
  hold(): void {
    this.#held = true;
  }

  /** Nothing gets through for as long. */
  interrupt(milliseconds: number): void {
    this.#opensAt = performance.now() + milliseconds;
  }

  restore(): void {
    this.#isCut = false;
    this.#held = false;
    for (const direction of this.#directions) direction.deliver();
  }

  async close(): Promise<void> {
    this.cut();
    await this.#close();
  }

  get held(): boolean {
    return this.#held;
  }

  /** When octets that are sent now arrive, as far as the line knows. */
  dueOf(octets: number): number {
    const stall = octets > 0 ? (this.#options.stallOf?.(octets) ?? 0) : 0;
    return Math.max(performance.now() + this.delay + stall, this.#opensAt + this.delay);
  }

  #join(near: Socket): void {
    this.count++;
    if (this.#isCut) {
      near.resetAndDestroy();
      return;
    }
    const { host = '127.0.0.1', port } = this.#options.target;
    const far = track(net.connect({ host, port, allowHalfOpen: true, noDelay: true }));
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.once('close', () => this.#sockets.delete(from));
      const direction = new Direction(this, from, to, () => this.#directions.delete(direction));
      this.#directions.add(direction);
    }
  }
}

/** One direction of a connection. */
class Direction {
  readonly #relay: Relay;
  // One timer for all: two of Node's may come in another order than they were set for.
  readonly #queue: { due: number; act: () => void }[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(relay: Relay, from: Socket, to: Socket, onOver: () => void) {
    this.#relay = relay;
    let onTheWay = 0;
    from.on('data', (chunk: Buffer) => {
      onTheWay += chunk.length;
      if (onTheWay > ON_THE_WAY) from.pause();
      this.#arrive(chunk.length, () => {
        onTheWay -= chunk.length;
        if (!to.destroyed) to.write(chunk);
        from.resume();
      });
    });
    from.on('end', () => this.#arrive(0, () => to.end()));
    const end = (): void => {
      to.destroy();
      this.#drop();
      onOver();
    };
    // Nothing arrives where nobody is, however long it would have been under way.
    from.on('close', () => (to.destroyed ? end() : this.#arrive(0, end)));
    to.on('close', () => {
      this.#drop();
      if (from.destroyed) onOver();
    });
    from.on('error', () => {});
  }

  #arrive(octets: number, act: () => void): void {
    this.#queue.push({ due: Math.max(this.#queue.at(-1)?.due ?? 0, this.#relay.dueOf(octets)), act });
    if (this.#queue.length === 1) this.deliver();
  }

  #drop(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#queue.length = 0;
  }

  deliver(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#relay.held) return;
    while (this.#queue[0] && this.#queue[0].due <= performance.now()) this.#queue.shift()?.act();
    const [next] = this.#queue;
    if (next) this.#timer = setTimeout(() => this.deliver(), Math.max(1, next.due - performance.now()));
  }
}
