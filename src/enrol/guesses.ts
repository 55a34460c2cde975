/**
 * A secret compared in constant time, and no more wrong guesses than a few a minute for each.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

const mostGuesses = 10;
const withinMs = 60_000;
/** Who has given a few wrong ones is forgotten when there are more of them than this. */
const mostKnown = 10_000;

export class Guesses {
  readonly #now: () => number;
  /** When the last wrong guesses were, for each secret by its id. */
  readonly #wrong = new Map<string, number[]>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Milliseconds until another guess is taken; 0 when one is taken now. */
  wait(id: string): number {
    const recent = this.#recent(id);
    return recent.length < mostGuesses ? 0 : recent[0] + withinMs - this.#now();
  }

  /** Whether it is the secret; a wrong one counts. */
  check(id: string, secret: string, guess: string): boolean {
    // Digests have one length, whatever was guessed.
    if (timingSafeEqual(digest(secret), digest(guess))) return true;
    this.failed(id);
    return false;
  }

  /** Counts a wrong one. */
  failed(id: string): void {
    if (this.#wrong.size >= mostKnown)
      for (const each of [...this.#wrong.keys()]) if (this.wait(each) === 0) this.forget(each);
    this.#wrong.set(id, [...this.#recent(id), this.#now()]);
  }

  forget(id: string): void {
    this.#wrong.delete(id);
  }

  #recent(id: string): number[] {
    const since = this.#now() - withinMs;
    return (this.#wrong.get(id) ?? []).filter((at) => at > since);
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
