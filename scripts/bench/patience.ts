/** How long a run waits for others to leave the machine alone. */
import { watchMachine } from './proc.ts';
import { sleep } from './processes.ts';

/** The share of the CPUs that others may have in a measurement that is to be relied on. */
export const QUIET = 0.1;

const LOOK_FOR_MS = 200;

export class Patience {
  #left: number;

  constructor(seconds: number) {
    this.#left = seconds * 1_000;
  }

  /** Waits for a quiet moment, as long as there is patience left. */
  async untilQuiet(): Promise<void> {
    while (this.#left > 0) {
      const shares = watchMachine();
      await sleep(LOOK_FOR_MS);
      this.#left -= LOOK_FOR_MS;
      if (shares().others <= QUIET) return;
    }
  }

  /** Whether there is patience for doing again what took so long. */
  again(milliseconds: number): boolean {
    if (this.#left < milliseconds) return false;
    this.#left -= milliseconds;
    return true;
  }
}
