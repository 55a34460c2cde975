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
