/**
 * The schema of skiff.db, as the steps that lead to it. They are numbered by their place and only ever added to.
 * A step must leave the database readable by the release before it: add tables and columns, never take any away.
 */
import { log } from '../log.ts';
import type { Sqlite } from './sqlite.ts';
import type { Vault } from './vault.ts';

const migrations: (string | ((db: Sqlite, vault: Vault) => void))[] = [
  `CREATE TABLE facts (
     name TEXT PRIMARY KEY,
     value TEXT NOT NULL
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE documents (
     kind TEXT NOT NULL,
     name TEXT NOT NULL,
     api_version TEXT NOT NULL,
     labels TEXT NOT NULL,
     annotations TEXT NOT NULL,
     spec TEXT NOT NULL,
     origin TEXT NOT NULL CHECK (origin IN ('local', 'fleet', 'link')),
     generation INTEGER NOT NULL,
     created_at INTEGER NOT NULL,
     updated_at INTEGER NOT NULL,
     PRIMARY KEY (kind, name)
   ) STRICT, WITHOUT ROWID;`,

  `CREATE TABLE authorities (
     fingerprint TEXT PRIMARY KEY,
     name TEXT NOT NULL,
     certificate TEXT NOT NULL,
     key TEXT NOT NULL,
     cross_certificate TEXT,
     created_at INTEGER NOT NULL,
     retired_at INTEGER
   ) STRICT, WITHOUT ROWID;

   CREATE UNIQUE INDEX authorities_that_issue ON authorities (name) WHERE retired_at IS NULL;

   CREATE TABLE credentials (
     name TEXT PRIMARY KEY,
     ca TEXT NOT NULL,
     certificate TEXT NOT NULL,
     key TEXT NOT NULL,
     subject TEXT NOT NULL,
     authority TEXT NOT NULL
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE issued (
     fingerprint TEXT PRIMARY KEY,
     name TEXT NOT NULL,
     subject TEXT NOT NULL,
     certificate TEXT NOT NULL,
     issuer TEXT NOT NULL,
     authority TEXT NOT NULL,
     public_key TEXT NOT NULL,
     grant_uid TEXT,
     device TEXT,
     renews TEXT,
     not_after INTEGER NOT NULL,
     issued_at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;

   CREATE INDEX issued_by_key ON issued (public_key);
   CREATE INDEX issued_by_device ON issued (device);

   CREATE TABLE grants (
     name TEXT PRIMARY KEY,
     uid TEXT NOT NULL UNIQUE,
     code TEXT NOT NULL,
     expires_at INTEGER NOT NULL,
     redemptions INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE redemptions (
     token TEXT PRIMARY KEY,
     key TEXT NOT NULL,
     redeemed_at INTEGER
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE renewals (
     secret TEXT PRIMARY KEY,
     url TEXT NOT NULL,
     ca TEXT NOT NULL,
     key TEXT,
     previous TEXT
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE revocations (
     fingerprint TEXT PRIMARY KEY,
     at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,

  // From here on what is secret is sealed. The release before this one has to be given a backup that it made itself.
  (db, vault) => vault.sealAll(db),

  `CREATE TABLE devices (
     name TEXT PRIMARY KEY,
     site_id TEXT NOT NULL UNIQUE,
     public_key TEXT NOT NULL UNIQUE,
     group_name TEXT NOT NULL,
     serial TEXT,
     identity TEXT NOT NULL,
     claim TEXT NOT NULL,
     claim_key TEXT NOT NULL,
     state TEXT NOT NULL CHECK (state IN ('pending', 'enrolled', 'rejected', 'revoked')),
     reason TEXT,
     address TEXT,
     version TEXT,
     created_at INTEGER NOT NULL,
     decided_at INTEGER,
     seen_at INTEGER
   ) STRICT, WITHOUT ROWID;

   CREATE INDEX devices_by_serial ON devices (serial);
   CREATE INDEX devices_by_claim ON devices (claim_key, state);

   CREATE TABLE audit (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     at INTEGER NOT NULL,
     event TEXT NOT NULL,
     device TEXT,
     claim TEXT,
     address TEXT,
     detail TEXT
   ) STRICT;

   CREATE INDEX audit_by_device ON audit (device);

   CREATE TABLE enrolment (
     slot INTEGER PRIMARY KEY CHECK (slot = 1),
     token TEXT NOT NULL,
     key TEXT NOT NULL,
     answer TEXT,
     refusal TEXT,
     enrolled_at INTEGER
   ) STRICT;`,

  `CREATE TABLE controller (
     slot INTEGER PRIMARY KEY CHECK (slot = 1),
     key TEXT NOT NULL
   ) STRICT;

   CREATE TABLE desired (
     device TEXT PRIMARY KEY,
     generation INTEGER NOT NULL,
     documents TEXT NOT NULL,
     digest TEXT NOT NULL,
     problem TEXT,
     changed_at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE reports (
     device TEXT PRIMARY KEY,
     report TEXT NOT NULL,
     at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE orders (
     id TEXT PRIMARY KEY,
     device TEXT NOT NULL,
     verb TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     expires_at INTEGER NOT NULL,
     done_at INTEGER,
     result TEXT
   ) STRICT, WITHOUT ROWID;

   CREATE INDEX orders_by_device ON orders (device, created_at);

   CREATE TABLE applied (
     generation INTEGER PRIMARY KEY,
     documents TEXT NOT NULL,
     state TEXT NOT NULL CHECK (state IN ('good', 'trying', 'bad')),
     active INTEGER NOT NULL,
     reason TEXT,
     at INTEGER NOT NULL
   ) STRICT;

   CREATE TABLE replacements (
     serial TEXT PRIMARY KEY,
     device TEXT NOT NULL
   ) STRICT, WITHOUT ROWID;

   CREATE TABLE orders_done (
     id TEXT PRIMARY KEY,
     result TEXT NOT NULL,
     at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
];

/** Says whether anything was to be done. */
export function migrate(db: Sqlite, vault: Vault): boolean {
  const version = db.pragma('user_version', { simple: true }) as number;
  if (version > migrations.length) {
    log.warn('store', 'the database was written by a newer release', { schema: version, known: migrations.length });
    return false;
  }
  for (let step = version; step < migrations.length; step++) {
    db.transaction(() => {
      const work = migrations[step];
      if (typeof work === 'string') db.exec(work);
      else work(db, vault);
      db.pragma(`user_version = ${step + 1}`);
    })();
  }
  return version < migrations.length;
}
