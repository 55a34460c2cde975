/**
 * Links for streams: every delivery that is not whole when it is forwarded goes on an anonymous link with a session of
 * its own, so that its window and credit are nobody else's. They are kept and used again when the stream has ended.
 */
import type { Connection } from '../amqp/connection.ts';
import type { Link, Sender } from '../amqp/link.ts';
import { terminus } from '../amqp/performatives.ts';
import { randomName } from './router.ts';

/** Idle links kept for a connection, as many as skupper-router keeps. */
const MAX_IDLE = 128;
/**
 * Milliseconds for which a link is left alone that leads to a router which is not ours, when it is not known that its last
 * TCP stream is through. skupper-router (3.5.1) keeps seven pieces for a socket that is slower; once it gets to take the
 * rest, it does not look whether the next stream has begun behind that, and leaves it there until more of it comes.
 */
const REST = 10_000;

export class StreamingLinks {
  readonly #connection: Connection;
  readonly #capabilities: string[];
  readonly #isForeign: boolean;
  readonly #idle: Sender[] = [];
  /** The one that was given back first comes first. */
  readonly #resting: { sender: Sender; until: number }[] = [];

  constructor(connection: Connection, capabilities: string[], isForeign: boolean) {
    this.#connection = connection;
    this.#capabilities = capabilities;
    this.#isForeign = isForeign;
  }

  /** A link with no stream on it. Throws `SkiffError` when the peer allows no more sessions. */
  take(): Sender {
    for (let sender = this.#nextIdle(); sender; sender = this.#nextIdle()) {
      if (!sender.closed && !sender.detaching) return sender;
    }
    const session = this.#connection.openSession();
    const end = { ...LINK_DETACH, capabilities: this.#capabilities };
    const options = { name: linkName(), source: terminus(null, end), target: terminus(null, end) };
    return session.openSender(options, { onDetached: () => session.end() });
  }

  /** Whether the link is kept for a stream to come. */
  isIdle(link: Link): boolean {
    return this.#idle.includes(link as Sender) || this.#resting.some(({ sender }) => sender === link);
  }

  /** Gives a link back, its stream finished and settled; `isThrough`: the other end has taken all of that. */
  giveBack(sender: Sender, isThrough: boolean): void {
    if (sender.closed || sender.detaching || this.#connection.closed) return;
    if (isThrough || !this.#isForeign) {
      this.#keep(sender);
      return;
    }
    this.#resting.push({ sender, until: performance.now() + REST });
    if (this.#resting.length > MAX_IDLE) this.#keep((this.#resting.shift() as { sender: Sender }).sender);
  }

  #nextIdle(): Sender | undefined {
    const [rested] = this.#resting;
    if (this.#idle.length > 0 || !rested || performance.now() < rested.until) return this.#idle.pop();
    this.#resting.shift();
    return rested.sender;
  }

  /** When there are too many, the one goes that has been idle the longest: on the last there may be something left. */
  #keep(sender: Sender): void {
    this.#idle.push(sender);
    if (this.#idle.length > MAX_IDLE) this.#idle.shift()?.session.end();
  }
}

export const LINK_DETACH = { expiryPolicy: 'link-detach' };

/** Link names as skupper-router makes them. */
export function linkName(): string {
  return `qdlink.${randomName(15)}`;
}
