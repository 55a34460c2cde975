/** A message for the router itself, or for its main thread: gathered until it is whole. */
import type { Chunk } from '../net/chunk.ts';
import type { Arrival, Sink } from './forwarding.ts';

export class Letter implements Sink {
  readonly blocked = false;
  readonly #limit: number;
  readonly #done: (octets: Buffer | null) => void;
  #parts: Buffer[] = [];
  #octets = 0;

  /** `done` gets the message once it has come whole; null when it is longer than `limit` octets. */
  constructor({ first }: Arrival, limit: number, done: (octets: Buffer | null) => void) {
    this.#limit = limit;
    this.#done = done;
    this.write(first);
  }

  write(chunk: Chunk): void {
    this.#octets += chunk.length;
    // A copy: the octets lie in a slab that is used again.
    if (this.#octets <= this.#limit) this.#parts.push(Buffer.from(chunk.view()));
    else this.#parts = [];
    chunk.release();
  }

  end(): void {
    this.#done(this.#octets <= this.#limit ? Buffer.concat(this.#parts) : null);
  }

  abort(): void {
    this.#parts = [];
  }
}
