/** The deliveries of a session that go in one direction, in the order of their ids. Why this is no Map: see `Bag`. */

export class Deliveries<T extends { readonly id: number }> {
  readonly #inOrder: T[] = [];

  get size(): number {
    return this.#inOrder.length;
  }

  get(id: number): T | undefined {
    const found = this.#inOrder[this.#placeOf(id)];
    return found?.id === id ? found : undefined;
  }

  /** Ids count up, so this is nearly always the last. */
  add(delivery: T): void {
    const { id } = delivery;
    if (this.#inOrder.length === 0 || isBefore((this.#inOrder.at(-1) as T).id, id)) this.#inOrder.push(delivery);
    else this.#inOrder.splice(this.#placeOf(id), 0, delivery);
  }

  delete(delivery: T): void {
    let place = this.#placeOf(delivery.id);
    // A peer whose ids do not count up may have brought the order into disorder.
    if (this.#inOrder[place] !== delivery) place = this.#inOrder.indexOf(delivery);
    if (place === 0) this.#inOrder.shift();
    else if (place > 0) this.#inOrder.splice(place, 1);
  }

  /** Those of `count` ids from `first` on that are known; the range may wrap past 2^32. */
  range(first: number, count: number): T[] {
    if (count === 1) {
      const one = this.get(first);
      return one ? [one] : [];
    }
    return this.#inOrder.filter(({ id }) => (id - first) >>> 0 < count);
  }

  /** Where the first lies that does not come before `id`. */
  #placeOf(id: number): number {
    let low = 0;
    let high = this.#inOrder.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore((this.#inOrder[middle] as T).id, id)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Ids wrap at 2^32. */
function isBefore(one: number, other: number): boolean {
  return ((one - other) | 0) < 0;
}
