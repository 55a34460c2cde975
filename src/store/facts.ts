/**
 * Single facts a site keeps for life.
 */
import type { Sqlite } from './sqlite.ts';

export type FactName = 'site-id' | 'last-time';

export class FactRepository {
  readonly #get;
  readonly #set;

  constructor(db: Sqlite) {
    this.#get = db.prepare<[FactName], { value: string }>('SELECT value FROM facts WHERE name = ?');
    this.#set = db.prepare<[FactName, string]>(
      'INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    );
  }

  get(name: FactName): string | undefined {
    return this.#get.get(name)?.value;
  }

  /** A moment that has surely been, in milliseconds since the epoch. */
  lastTime(): number {
    return Number(this.get('last-time') ?? 0);
  }

  set(name: FactName, value: string): void {
    this.#set.run(name, value);
  }
}
