/**
 * The devices of a hub's fleet: who each is, and what was decided of it. Nothing is ever taken out of it but who was
 * never let in.
 */
import type { RevocationFile } from './revocations.ts';
import type { Sqlite } from './sqlite.ts';

/** `pending`: somebody has to decide; `rejected`: somebody has, and it was never let in. */
export type DeviceState = 'pending' | 'enrolled' | 'rejected' | 'revoked';

export interface StoredDevice {
  /** Of its site. */
  name: string;
  siteId: string;
  /** SHA-256 of the key it enrolled with, hexadecimal. */
  publicKey: string;
  group: string;
  /** null when it has none that tells it from others. */
  serial: string | null;
  /** What it says of its hardware, as JSON. */
  identity: string;
  /** The claim it came with, by name and by its own key: another may have that name later. */
  claim: string;
  claimKey: string;
  state: DeviceState;
  /** Why it is pending. */
  reason: string | null;
  /** Where it was last seen from, and with which release. */
  address: string | null;
  version: string | null;
  /** Milliseconds since the epoch. */
  createdAt: number;
  decidedAt: number | null;
  seenAt: number | null;
}

const fields = {
  name: 'name',
  siteId: 'site_id',
  publicKey: 'public_key',
  group: 'group_name',
  serial: 'serial',
  identity: 'identity',
  claim: 'claim',
  claimKey: 'claim_key',
  state: 'state',
  reason: 'reason',
  address: 'address',
  version: 'version',
  createdAt: 'created_at',
  decidedAt: 'decided_at',
  seenAt: 'seen_at',
} satisfies Record<keyof StoredDevice, string>;

const columns = Object.entries(fields)
  .map(([field, column]) => `${column} AS "${field}"`)
  .join(', ');

export class DeviceRepository {
  readonly #all;
  readonly #get;
  readonly #byKey;
  readonly #bySerial;
  readonly #count;
  readonly #put;
  readonly #remove;

  readonly #file: RevocationFile;

  constructor(db: Sqlite, file: RevocationFile) {
    this.#file = file;
    this.#all = db.prepare<[], StoredDevice>(`SELECT ${columns} FROM devices ORDER BY name`);
    this.#get = db.prepare<[string], StoredDevice>(`SELECT ${columns} FROM devices WHERE name = ?`);
    this.#byKey = db.prepare<[string], StoredDevice>(`SELECT ${columns} FROM devices WHERE public_key = ?`);
    this.#bySerial = db.prepare<[string], StoredDevice>(`SELECT ${columns} FROM devices WHERE serial = ?`);
    this.#count = db.prepare<[string], { state: DeviceState; count: number }>(
      'SELECT state, count(*) AS count FROM devices WHERE claim_key = ? GROUP BY state',
    );
    const updates = Object.values(fields).map((column) => `${column} = excluded.${column}`);
    this.#put = db.prepare<[StoredDevice]>(
      `INSERT INTO devices (${Object.values(fields).join(', ')})
       VALUES (${Object.keys(fields).map((field) => `@${field}`)})
       ON CONFLICT (name) DO UPDATE SET ${updates.join(', ')}`,
    );
    this.#remove = db.prepare<[string]>('DELETE FROM devices WHERE name = ?');
  }

  all(): StoredDevice[] {
    return this.#all.all();
  }

  get(name: string): StoredDevice | undefined {
    return this.#get.get(name);
  }

  withKey(publicKey: string): StoredDevice | undefined {
    return this.#byKey.get(publicKey);
  }

  withSerial(serial: string): StoredDevice[] {
    return this.#bySerial.all(serial);
  }

  /** How many devices of each state came with a claim. */
  countOf(claimKey: string): Record<DeviceState, number> {
    const counts = { pending: 0, enrolled: 0, rejected: 0, revoked: 0 };
    for (const { state, count } of this.#count.all(claimKey)) counts[state] = count;
    return counts;
  }

  /** One that is revoked is so for good, even where the database is lost. */
  put(device: StoredDevice): void {
    if (device.state === 'revoked') this.#file.add('device', device.publicKey, device.decidedAt ?? 0);
    this.#put.run(device);
  }

  remove(name: string): void {
    this.#remove.run(name);
  }
}
