/**
 * What a site keeps on disk: `skiff.db` in its data directory, held by one process at a time.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { AppliedRepository } from './applied.ts';
import { AuditRepository } from './audit.ts';
import { AuthorityRepository } from './authorities.ts';
import { copyOf, type Restored, removeLeftCopies, restore } from './backup.ts';
import { CredentialsRepository } from './credentials.ts';
import { DesiredRepository } from './desired.ts';
import { DeviceRepository } from './devices.ts';
import { DocumentRepository } from './documents.ts';
import { EnrolmentRepository } from './enrolment.ts';
import { FactRepository } from './facts.ts';
import { GrantRepository } from './grants.ts';
import { IssuedRepository } from './issued.ts';
import { DirectoryLock, type LockOptions } from './lock.ts';
import { migrate } from './migrations.ts';
import { OrderRepository } from './orders.ts';
import { RedemptionRepository } from './redemptions.ts';
import { RenewalRepository } from './renewals.ts';
import { ReplacementRepository } from './replacements.ts';
import { RevocationFile } from './revocations.ts';
import { type BackupFacts, seal } from './sealed-backup.ts';
import { isDamaged, openSqlite, type Sqlite, storeError } from './sqlite.ts';
import { type Vault, vaultIn, vaultOf } from './vault.ts';

const databaseName = 'skiff.db';
const badPrefix = `${databaseName}.bad-`;

export class Store {
  readonly documents: DocumentRepository;
  readonly facts: FactRepository;
  readonly authorities: AuthorityRepository;
  readonly credentials: CredentialsRepository;
  readonly revocations: RevocationFile;
  readonly issued: IssuedRepository;
  readonly grants: GrantRepository;
  readonly redemptions: RedemptionRepository;
  readonly renewals: RenewalRepository;
  readonly devices: DeviceRepository;
  readonly audit: AuditRepository;
  readonly enrolment: EnrolmentRepository;
  readonly desired: DesiredRepository;
  readonly orders: OrderRepository;
  readonly applied: AppliedRepository;
  readonly replacements: ReplacementRepository;
  readonly directory: string;
  readonly #db: Sqlite;
  readonly #vault: Vault;
  readonly #lock: DirectoryLock;

  private constructor(directory: string, { db, vault }: Opened, lock: DirectoryLock) {
    this.directory = directory;
    this.#db = db;
    this.#vault = vault;
    this.#lock = lock;
    this.documents = new DocumentRepository(db, vault);
    this.facts = new FactRepository(db);
    this.authorities = new AuthorityRepository(db, vault);
    this.credentials = new CredentialsRepository(db, vault);
    this.revocations = new RevocationFile(directory);
    this.revocations.reconcile(db);
    this.issued = new IssuedRepository(db, this.revocations);
    this.grants = new GrantRepository(db, vault);
    this.redemptions = new RedemptionRepository(db, vault);
    this.renewals = new RenewalRepository(db, vault);
    this.devices = new DeviceRepository(db, this.revocations);
    this.audit = new AuditRepository(db);
    this.enrolment = new EnrolmentRepository(db, vault);
    this.desired = new DesiredRepository(db, vault);
    this.orders = new OrderRepository(db);
    this.applied = new AppliedRepository(db, vault);
    this.replacements = new ReplacementRepository(db);
  }

  /** Makes the data directory and the database where there are none. */
  static open(directory: string, options: LockOptions): Store {
    try {
      makeDirectory(directory);
    } catch (error) {
      throw storeError(error, directory);
    }
    const lock = DirectoryLock.take(directory, options);
    const file = join(directory, databaseName);
    try {
      removeLeftCopies(directory);
      return new Store(directory, openDatabase(file, lock.afterCrash), lock);
    } catch (error) {
      lock.release();
      throw storeError(error, file);
    }
  }

  /** Puts a copy of a database in place of what is there. Fails while a site or a command holds the directory. */
  static restore(directory: string, database: Buffer, { force }: { force: boolean }): Restored {
    const file = join(directory, databaseName);
    try {
      makeDirectory(directory);
    } catch (error) {
      throw storeError(error, directory);
    }
    const lock = DirectoryLock.take(directory, { command: 'restore', waitMs: 0 });
    try {
      if (existsSync(file) && !force) {
        throw new SkiffError('already-exists', `there is a site already (${file})`, {
          hint: 'Give another directory with --data, or --force to set it aside',
        });
      }
      return restore(file, database, vaultIn(directory));
    } catch (error) {
      throw storeError(error, file);
    } finally {
      lock.release();
    }
  }

  static exists(directory: string): boolean {
    return existsSync(join(directory, databaseName));
  }

  /** All of `work` or nothing; on disk when it returns. */
  transaction<T>(work: () => T): T {
    try {
      return this.#db.transaction(work).immediate();
    } catch (error) {
      throw storeError(error, join(this.directory, databaseName));
    }
  }

  /** A copy of everything, as of one moment, encrypted. */
  async backup(passphrase: string, facts: BackupFacts): Promise<Buffer> {
    const file = join(this.directory, databaseName);
    try {
      return await seal(await copyOf(this.#db, file, this.#vault), passphrase, facts);
    } catch (error) {
      throw storeError(error, file);
    }
  }

  /** Everything is gone, and cannot be read from the file any more. What is in memory of it is not to be used again. */
  wipe(): void {
    this.#db.pragma('secure_delete = ON');
    const tables = this.#db
      .prepare<[], { name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
      .all();
    this.transaction(() => {
      for (const { name } of tables) this.#db.exec(`DELETE FROM "${name}"`);
      // What comes to be is sealed as before.
      this.#vault.sealAll(this.#db);
    });
    this.#db.exec('VACUUM');
    this.#db.pragma('wal_checkpoint(TRUNCATE)');
    this.revocations.remove();
  }

  /** SQLite's own word on the whole database: `ok`, or the first thing that is wrong. */
  check(): string {
    return this.#db.pragma('quick_check(1)', { simple: true }) as string;
  }

  /** What the database takes on the disk. */
  octets(): number {
    const file = join(this.directory, databaseName);
    const sizes = ['', '-wal'].map((suffix) => statSync(file + suffix, { throwIfNoEntry: false })?.size ?? 0);
    return sizes[0] + sizes[1];
  }

  /** Damaged databases that were moved aside and still lie in the directory. */
  movedAside(): string[] {
    return readdirSync(this.directory)
      .filter((name) => name.startsWith(badPrefix) && !/-(wal|shm)$/.test(name))
      .map((name) => join(this.directory, name))
      .sort();
  }

  close(): void {
    this.#db.close();
    this.#lock.release();
  }
}

/** Node's own way to make the parents too never returns where a parent is there and takes nothing, as in /proc. */
function makeDirectory(directory: string): void {
  if (existsSync(directory)) return;
  makeDirectory(dirname(directory));
  mkdirSync(directory, { mode: 0o700 });
}

interface Opened {
  db: Sqlite;
  vault: Vault;
}

function openDatabase(file: string, check: boolean): Opened {
  try {
    return prepare(file, check);
  } catch (error) {
    if (!isDamaged(error)) throw error;
    moveAside(file, (error as Error).message);
    return prepare(file, false);
  }
}

function prepare(file: string, check: boolean): Opened {
  const db = openSqlite(file, 0);
  try {
    // The copies that SQLite makes beside it (-wal, -shm) take over its mode.
    chmodSync(file, 0o600);
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('foreign_keys = ON');
    if (check) quickCheck(db);
    // What is deleted or overwritten is not left lying in the file.
    db.pragma('secure_delete = ON');
    const vault = vaultOf(db, dirname(file));
    if (migrate(db, vault)) {
      db.exec('VACUUM');
      db.pragma('wal_checkpoint(TRUNCATE)');
    }
    return { db, vault };
  } catch (error) {
    db.close();
    throw error;
  }
}

function quickCheck(db: Sqlite): void {
  const finding = db.pragma('quick_check(1)', { simple: true }) as string;
  if (finding !== 'ok') throw Object.assign(new Error(finding), { code: 'SQLITE_CORRUPT' });
}

/** The file is kept, with its log: somebody may still want to read it. */
function moveAside(file: string, reason: string): void {
  const aside = join(file, '..', `${badPrefix}${new Date().toISOString().replaceAll(':', '')}`);
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  }
  const error = new SkiffError('database-damaged', `the database is damaged and was moved aside: ${reason} (${aside})`);
  log.error('store', error.message, { code: error.code });
}
