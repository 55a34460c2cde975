/**
 * Nonces that nobody has to remember: each carries its time, and only who has the key can have made it.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const goodForMs = 5 * 60_000;

export class Nonces {
  readonly #key = randomBytes(32);
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  next(): string {
    const text = `${this.#now()}.${randomBytes(12).toString('base64url')}`;
    return `${text}.${this.#mark(text)}`;
  }

  /** Whether it was made here, and lately. */
  isGood(nonce: string): boolean {
    const end = nonce.lastIndexOf('.');
    const [text, mark] = [nonce.slice(0, Math.max(0, end)), nonce.slice(end + 1)];
    const expected = this.#mark(text);
    if (mark.length !== expected.length || !timingSafeEqual(Buffer.from(mark), Buffer.from(expected))) return false;
    return Math.abs(this.#now() - Number.parseInt(text, 10)) <= goodForMs;
  }

  #mark(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url');
  }
}
