/**
 * The routing keys that a listener's connections go to, and which of them the next one gets: the first that is reachable
 * (priority), or each in proportion to its weight among those that are (weighted).
 */
import type { Address, Producer } from '../router/addresses.ts';
import type { Strategy } from '../router/protocol.ts';
import type { Router } from '../router/router.ts';

interface Key {
  name: string;
  address: Address;
  weight: number;
  /** What a key has over the others since it was last chosen (smooth weighted round robin). */
  credit: number;
}

export class RoutingKeys implements Producer {
  readonly via = null;
  readonly #router: Router;
  readonly #weighted: boolean;
  readonly #keys: Key[];
  readonly #onChange: () => void;

  /** `onChange`: one of the keys has become reachable, or is no longer. */
  constructor(strategy: Strategy, router: Router, onChange: () => void) {
    this.#router = router;
    this.#onChange = onChange;
    this.#weighted = 'weighted' in strategy;
    const weights: [string, number][] =
      'weighted' in strategy ? Object.entries(strategy.weighted) : strategy.priority.map((name) => [name, 1]);
    this.#keys = weights.map(([name, weight]) => {
      const address = router.addresses.addProducer(`M${name}`, this);
      return { name, address, weight, credit: 0 };
    });
  }

  /** The keys that somebody serves, in the strategy's order. */
  get reachable(): string[] {
    return this.#keys.filter((key) => this.#isReachable(key)).map(({ name }) => name);
  }

  get anyReachable(): boolean {
    return this.#keys.some((key) => this.#isReachable(key));
  }

  /** Where the next connection goes; null when nobody serves any of the keys. */
  next(): string | null {
    if (!this.#weighted) return this.#keys.find((key) => this.#isReachable(key))?.name ?? null;
    let best: Key | null = null;
    let total = 0;
    for (const key of this.#keys) {
      if (!this.#isReachable(key)) continue;
      total += key.weight;
      key.credit += key.weight;
      if (!best || key.credit > best.credit) best = key;
    }
    if (!best) return null;
    best.credit -= total;
    return best.name;
  }

  close(): void {
    for (const { address } of this.#keys) this.#router.addresses.removeProducer(address.key, this);
  }

  onConsumersChanged(): void {
    // What was owed to a key that went away is not made up for when it returns.
    for (const key of this.#keys) key.credit = 0;
    this.#onChange();
  }

  #isReachable({ address }: Key): boolean {
    return this.#router.reachable(address);
  }
}
