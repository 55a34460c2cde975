/** Opens connection after connection, and notes who or what answers each: null for one that failed. */
import { sleep } from './eventually.ts';
import { exchange } from './tcp.ts';

export class Caller {
  readonly answers: (string | null)[] = [];
  /** What those that failed met, and how often. */
  readonly #failures = new Map<string, number>();
  #calling = true;
  readonly #done: Promise<void>;

  /** `says`: what it sends on each. */
  constructor(port: number, says = '') {
    this.#done = this.#call(port, says);
  }

  /** In words; empty when none failed. */
  get failures(): string {
    return [...this.#failures].map(([message, times]) => `${message} (${times} of ${this.answers.length})`).join(', ');
  }

  async end(): Promise<(string | null)[]> {
    this.#calling = false;
    await this.#done;
    return this.answers;
  }

  async #call(port: number, says: string): Promise<void> {
    while (this.#calling) {
      this.answers.push(await exchange(port, says).catch((error: Error) => this.#note(error)));
      await sleep(2);
    }
  }

  #note({ message }: Error): null {
    this.#failures.set(message, (this.#failures.get(message) ?? 0) + 1);
    return null;
  }
}
