/**
 * The routing keys that a listener's connections go to, and which of them the next one gets: the first that is reachable
 * (priority), or each in proportion to its weight among those that are (weighted).
 */
import type { ErrorFact } from '../errors.ts';
import type { Address, Producer } from '../router/addresses.ts';
import type { Strategy } from '../router/protocol.ts';
import type { Attributes } from '../router/records/encoding.ts';
import type { OwnRecord } from '../router/records/own.ts';
import type { Router } from '../router/router.ts';

interface Key {
  name: string;
  address: Address;
  weight: number;
  /** What a key has over the others since it was last chosen (smooth weighted round robin). */
  credit: number;
  /** Tells the network that somebody listens to it, and how many connections came. */
  record: OwnRecord;
  flowCount: number;
}

export class RoutingKeys implements Producer {
  readonly via = null;
  readonly #router: Router;
  readonly #weighted: boolean;
  readonly #keys: Key[];
  readonly #onChange: () => void;

  /** `record`: what is the same in the flow records of all keys. `onChange`: one has become reachable, or is no longer. */
  constructor(strategy: Strategy, router: Router, record: Attributes, onChange: () => void) {
    this.#router = router;
    this.#onChange = onChange;
    this.#weighted = 'weighted' in strategy;
    const weights: [string, number][] =
      'weighted' in strategy ? Object.entries(strategy.weighted) : strategy.priority.map((name) => [name, 1]);
    this.#keys = weights.map(([name, weight]) => {
      const address = router.addresses.addProducer(`M${name}`, this);
      const own = router.records.add('LISTENER', { ...record, address: name, flowCount: 0 });
      return { name, address, weight, credit: 0, record: own, flowCount: 0 };
    });
  }

  /** The keys that somebody serves, in the strategy's order. */
  get reachable(): string[] {
    return this.#keys.filter((key) => this.#isReachable(key)).map(({ name }) => name);
  }

  /** Why the network does not let this site use one of the keys, when none can be reached. */
  get refusal(): ErrorFact | null {
    return this.anyReachable
      ? null
      : (this.#keys.find(({ address }) => address.refusals.use)?.address.refusals.use ?? null);
  }

  get anyReachable(): boolean {
    return this.#keys.some((key) => this.#isReachable(key));
  }

  /** Where the next connection goes; null when nobody serves any of the keys. */
  next(): string | null {
    const key = this.#weighted ? this.#nextByWeight() : this.#keys.find((one) => this.#isReachable(one));
    if (!key) return null;
    key.record.count({ flowCount: ++key.flowCount });
    return key.name;
  }

  #nextByWeight(): Key | null {
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
    return best;
  }

  close(): void {
    for (const { address, record } of this.#keys) {
      this.#router.addresses.removeProducer(address.key, this);
      record.end();
    }
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
