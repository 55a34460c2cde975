/** The addresses that this router serves, and what of them the other routers have not been told. */
import type { Treatment } from '../addresses.ts';
import type { MobileAddressUpdate, ServedAddress } from './messages.ts';

export class OwnAddresses {
  sequence = 0;
  readonly #id: string;
  readonly #served = new Map<string, Treatment>();
  /** Keys that changed, with what the others know of each. */
  readonly #untold = new Map<string, Treatment | null>();

  constructor(id: string) {
    this.#id = id;
  }

  get changed(): boolean {
    return this.#untold.size > 0;
  }

  serve(key: string, treatment: Treatment): void {
    this.#change(key);
    this.#served.set(key, treatment);
    this.#compare(key);
  }

  unserve(key: string): void {
    this.#change(key);
    this.#served.delete(key);
    this.#compare(key);
  }

  /** What has changed, for all others; from now on they know. */
  takeChange(): MobileAddressUpdate {
    const add: ServedAddress[] = [];
    const del: string[] = [];
    for (const key of this.#untold.keys()) {
      const treatment = this.#served.get(key);
      if (treatment) add.push({ key, treatment });
      else del.push(key);
    }
    this.#untold.clear();
    return { opcode: 'MAU', id: this.#id, mobileSequence: ++this.sequence, change: { add, del } };
  }

  /** All of them, for one that is behind. */
  whole(): MobileAddressUpdate {
    const exist = [...this.#served].map(([key, treatment]) => ({ key, treatment }));
    return { opcode: 'MAU', id: this.#id, mobileSequence: this.sequence, change: { exist } };
  }

  #change(key: string): void {
    if (!this.#untold.has(key)) this.#untold.set(key, this.#served.get(key) ?? null);
  }

  /** What changed back before it was told was no change. */
  #compare(key: string): void {
    if (this.#untold.get(key) === (this.#served.get(key) ?? null)) this.#untold.delete(key);
  }
}
