/**
 * Things under way that come and go all the time, such as streams and deliveries, in no order.
 *
 * Not a Set, nor a Map: V8 gives those a new table every few changes, and the old table, with all that was in it then,
 * refers to the new one. Once a table is old enough to be looked at seldom by the garbage collector, so are all those
 * after it, with every stream that was ever under way when they were replaced.
 */

export interface BagItem {
  /** Where it lies in the bag that holds it, which is one at most; -1: in none. */
  place: number;
}

export class Bag<T extends BagItem> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  add(item: T): void {
    item.place = this.#items.length;
    this.#items.push(item);
  }

  /** Takes an item out; false when it is not in here. */
  delete(item: T): boolean {
    const { place } = item;
    if (this.#items[place] !== item) return false;
    item.place = -1;
    const last = this.#items.pop() as T;
    if (last !== item) {
      this.#items[place] = last;
      last.place = place;
    }
    return true;
  }

  /** Takes everything out. */
  empty(): T[] {
    const items = this.#items.splice(0);
    for (const item of items) item.place = -1;
    return items;
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#items.values();
  }
}
