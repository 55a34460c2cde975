/** Holds back a neighbour that sends more routing messages than a network has reason to. */

/** Messages a second that a neighbour may send for ever, and in one go, as when a large network starts. */
const RATE = 2_000;
const BURST = 20_000;
/** Octets that count as one message more. */
const OCTETS_A_MESSAGE = 4_096;

export class Gate {
  #left = BURST;
  #at: number;

  constructor(now: number) {
    this.#at = now;
  }

  admits(octets: number, now: number): boolean {
    this.#left = Math.min(BURST, this.#left + ((now - this.#at) / 1000) * RATE);
    this.#at = now;
    if (this.#left < 0) return false;
    this.#left -= 1 + octets / OCTETS_A_MESSAGE;
    return true;
  }
}
