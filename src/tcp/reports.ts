/** Gathers what changes of the running parts, so that the main thread hears of it a few times a second at most. */
import type { PartState } from '../router/protocol.ts';

/** Says that a state has changed, which is looked at when it is told; `soon`: in more than how much goes on. */
export type Report<State> = (look: () => State, soon: boolean) => void;

/** Milliseconds within which a change is told. */
const SOON = 50;
const LATER = 250;

export class Reports {
  readonly #tell: (states: PartState[]) => void;
  readonly #looks = new Map<string, () => PartState>();
  readonly #changed = new Set<string>();
  #timer: NodeJS.Timeout | null = null;
  #soon = false;

  constructor(tell: (states: PartState[]) => void) {
    this.#tell = tell;
  }

  note(key: string, look: () => PartState, soon: boolean): void {
    this.#looks.set(key, look);
    this.#changed.add(key);
    if (this.#timer && (this.#soon || !soon)) return;
    this.close();
    this.#soon = soon;
    this.#timer = setTimeout(() => this.flush(), soon ? SOON : LATER);
  }

  /** The part is no more, and its state of no interest. */
  forget(key: string): void {
    this.#looks.delete(key);
    this.#changed.delete(key);
  }

  /** As it is at this moment; null: it has not said anything yet. */
  stateOf(key: string): PartState | null {
    return this.#looks.get(key)?.() ?? null;
  }

  flush(): void {
    this.close();
    if (this.#changed.size === 0) return;
    const states = [...this.#changed].map((key) => this.stateOf(key) as PartState);
    this.#changed.clear();
    this.#tell(states);
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
