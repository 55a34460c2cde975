/** A stream that never rests while a test does its worst, and must not notice. */
import type { Socket } from 'node:net';
import { sleep, within } from './eventually.ts';
import { connect, read } from './tcp.ts';

export class SteadyStream {
  readonly #socket: Socket;
  readonly #done: Promise<void>;
  #ending = false;
  #count = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#done = this.#run();
    this.#done.catch(() => {});
  }

  /** Through a listener whose server echoes. */
  static async begin(port: number): Promise<SteadyStream> {
    return new SteadyStream(await connect(port));
  }

  /** It is still there, and goes on. */
  async check(): Promise<void> {
    const before = this.#count;
    const moved = (async () => {
      while (this.#count < before + 3) await sleep(5);
    })();
    await within('the steady stream goes on', Promise.race([moved, this.#done]), 10_000);
    if (this.#count < before + 3) throw new Error('the steady stream has ended');
  }

  async end(): Promise<void> {
    this.#ending = true;
    await this.#done;
    this.#socket.destroy();
  }

  async #run(): Promise<void> {
    while (!this.#ending) {
      const text = `${this.#count} `.padEnd(1_000, 'x');
      this.#socket.write(text);
      const answer = (await read(this.#socket, text.length)).toString();
      if (answer !== text) throw new Error(`the steady stream got ${answer.slice(0, 20)} for ${text.slice(0, 20)}`);
      this.#count++;
      await sleep(5);
    }
  }
}
