/**
 * What operators want done at devices, once: at the hub until it is done or too late, at the device so that nothing is
 * done twice.
 */
import type { Sqlite } from './sqlite.ts';

export interface StoredOrder {
  id: string;
  /** The device's name. */
  device: string;
  verb: string;
  /** Milliseconds since the epoch. */
  createdAt: number;
  expiresAt: number;
  doneAt: number | null;
  /** In the device's words. */
  result: string | null;
}

const columns =
  'id, device, verb, created_at AS createdAt, expires_at AS expiresAt, done_at AS doneAt, result AS result';
/** Orders done that a device remembers. */
const remembered = 100;

export class OrderRepository {
  readonly #ofDevice;
  readonly #put;
  readonly #done;
  readonly #noteDone;
  readonly #allDone;
  readonly #forget;

  constructor(db: Sqlite) {
    this.#ofDevice = db.prepare<[string, number], StoredOrder>(
      `SELECT ${columns} FROM orders WHERE device = ? ORDER BY created_at DESC, id LIMIT ?`,
    );
    this.#put = db.prepare<[StoredOrder]>(
      `INSERT INTO orders (id, device, verb, created_at, expires_at, done_at, result)
       VALUES (@id, @device, @verb, @createdAt, @expiresAt, @doneAt, @result)`,
    );
    this.#done = db.prepare<[number, string, string, string]>(
      'UPDATE orders SET done_at = ?, result = ? WHERE id = ? AND device = ? AND done_at IS NULL',
    );
    this.#noteDone = db.prepare<[string, string, number]>(
      'INSERT OR REPLACE INTO orders_done (id, result, at) VALUES (?, ?, ?)',
    );
    this.#allDone = db.prepare<[], { id: string; result: string }>(
      'SELECT id, result FROM orders_done ORDER BY at DESC, id',
    );
    this.#forget = db.prepare<[number]>(
      'DELETE FROM orders_done WHERE id NOT IN (SELECT id FROM orders_done ORDER BY at DESC, id LIMIT ?)',
    );
  }

  /** The hub's: the latest first. */
  ofDevice(device: string, most: number): StoredOrder[] {
    return this.#ofDevice.all(device, most);
  }

  put(order: StoredOrder): void {
    this.#put.run(order);
  }

  /** The device says what came of it; true when that is news. */
  done(device: string, id: string, result: string, at: number): boolean {
    return this.#done.run(at, result, id, device).changes > 0;
  }

  /** The device's own memory. */
  noteDone(id: string, result: string, at: number): void {
    this.#noteDone.run(id, result, at);
    this.#forget.run(remembered);
  }

  doneHere(): { id: string; result: string }[] {
    return this.#allDone.all();
  }
}
