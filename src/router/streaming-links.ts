/**
 * Links for streams: every delivery that is not whole when it is forwarded goes on an anonymous link with a session of
 * its own, so that its window and credit are nobody else's. They are kept and used again when the stream has ended.
 */
import type { Connection } from '../amqp/connection.ts';
import type { Sender } from '../amqp/link.ts';
import { terminus } from '../amqp/performatives.ts';
import { randomName } from './router.ts';

/** Idle links kept for a connection, as many as skupper-router keeps. */
const MAX_IDLE = 128;

export class StreamingLinks {
  readonly #connection: Connection;
  readonly #capabilities: string[];
  readonly #idle: Sender[] = [];

  constructor(connection: Connection, capabilities: string[]) {
    this.#connection = connection;
    this.#capabilities = capabilities;
  }

  /** A link with no stream on it. Throws `SkiffError` when the peer allows no more sessions. */
  take(): Sender {
    for (let sender = this.#idle.pop(); sender; sender = this.#idle.pop()) {
      if (!sender.closed && !sender.detaching) return sender;
    }
    const session = this.#connection.openSession();
    const end = { ...LINK_DETACH, capabilities: this.#capabilities };
    const options = { name: linkName(), source: terminus(null, end), target: terminus(null, end) };
    return session.openSender(options, { onDetached: () => session.end() });
  }

  /** Gives a link back, its stream finished and settled. */
  giveBack(sender: Sender): void {
    if (sender.closed || sender.detaching || this.#connection.closed) return;
    if (this.#idle.length < MAX_IDLE) this.#idle.push(sender);
    else sender.session.end();
  }
}

export const LINK_DETACH = { expiryPolicy: 'link-detach' };

/** Link names as skupper-router makes them. */
export function linkName(): string {
  return `qdlink.${randomName(15)}`;
}
