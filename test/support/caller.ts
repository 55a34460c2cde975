/** Opens connection after connection, and notes who or what answers each: null for one that failed. */
import { sleep } from './eventually.ts';
import { exchange } from './tcp.ts';

export class Caller {
  readonly answers: (string | null)[] = [];
  #calling = true;
  readonly #done: Promise<void>;

  /** `says`: what it sends on each. */
  constructor(port: number, says = '') {
    this.#done = this.#call(port, says);
  }

  async end(): Promise<(string | null)[]> {
    this.#calling = false;
    await this.#done;
    return this.answers;
  }

  async #call(port: number, says: string): Promise<void> {
    while (this.#calling) {
      this.answers.push(await exchange(port, says).catch(() => null));
      await sleep(2);
    }
  }
}
