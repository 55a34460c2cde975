/**
 * The certificates that a site has issued to others, and which of them are revoked. Nothing is ever taken out of it.
 */
import type { RevocationFile } from './revocations.ts';
import type { Sqlite } from './sqlite.ts';

export interface IssuedCertificate {
  /** SHA-256, hexadecimal. */
  fingerprint: string;
  /** The name of the link it was made for. */
  name: string;
  subject: string;
  /** PEM. */
  certificate: string;
  /** The name of the CA. */
  issuer: string;
  /** SHA-256 of the CA's certificate, hexadecimal. */
  authority: string;
  /** SHA-256 of the public key, hexadecimal. */
  publicKey: string;
  /** The AccessGrant, by its uid, whose redemption it came from; null for one made by hand. */
  grantUid: string | null;
  /** The router id it is for, and for no other; null when it does not say. */
  device: string | null;
  /** The fingerprint of the certificate that it renews. */
  renews: string | null;
  /** Milliseconds since the epoch. */
  notAfter: number;
  issuedAt: number;
  revokedAt: number | null;
}

const columns = `issued.fingerprint, name, subject, certificate, issuer, authority, public_key AS publicKey, grant_uid AS grantUid,
  device, renews, not_after AS notAfter, issued_at AS issuedAt, revocations.at AS revokedAt`;
const tables = 'issued LEFT JOIN revocations ON revocations.fingerprint = issued.fingerprint';

export class IssuedRepository {
  readonly #all;
  readonly #get;
  readonly #byKey;
  readonly #byDevice;
  readonly #put;
  readonly #revoke;
  readonly #revoked;

  readonly #file: RevocationFile;

  constructor(db: Sqlite, file: RevocationFile) {
    this.#file = file;
    this.#all = db.prepare<[], IssuedCertificate>(`SELECT ${columns} FROM ${tables} ORDER BY issued_at, name`);
    this.#get = db.prepare<[string], IssuedCertificate>(
      `SELECT ${columns} FROM ${tables} WHERE issued.fingerprint = ?`,
    );
    this.#byKey = db.prepare<[string], IssuedCertificate>(
      `SELECT ${columns} FROM ${tables} WHERE public_key = ? ORDER BY issued_at DESC`,
    );
    this.#byDevice = db.prepare<[string], IssuedCertificate>(`SELECT ${columns} FROM ${tables} WHERE device = ?`);
    this.#put = db.prepare<[Omit<IssuedCertificate, 'revokedAt'>]>(
      `INSERT INTO issued
         (fingerprint, name, subject, certificate, issuer, authority, public_key, grant_uid, device, renews, not_after, issued_at)
       VALUES
         (@fingerprint, @name, @subject, @certificate, @issuer, @authority, @publicKey, @grantUid, @device, @renews, @notAfter, @issuedAt)`,
    );
    this.#revoke = db.prepare<[string, number]>('INSERT OR IGNORE INTO revocations (fingerprint, at) VALUES (?, ?)');
    this.#revoked = db.prepare<[], { fingerprint: string }>('SELECT fingerprint FROM revocations ORDER BY fingerprint');
  }

  all(): IssuedCertificate[] {
    return this.#all.all();
  }

  get(fingerprint: string): IssuedCertificate | undefined {
    return this.#get.get(fingerprint);
  }

  /** Those for one key, the latest first. */
  forKey(publicKey: string): IssuedCertificate[] {
    return this.#byKey.all(publicKey);
  }

  /** Those that are for one router. */
  forDevice(device: string): IssuedCertificate[] {
    return this.#byDevice.all(device);
  }

  put(certificate: Omit<IssuedCertificate, 'revokedAt'>): void {
    this.#put.run(certificate);
  }

  /** Any certificate may be revoked, by its fingerprint; once is for good. */
  revoke(fingerprint: string, at: number): void {
    this.#file.add('certificate', fingerprint, at);
    this.#revoke.run(fingerprint, at);
  }

  /** The fingerprints of all that are revoked. */
  revoked(): string[] {
    return this.#revoked.all().map(({ fingerprint }) => fingerprint);
  }
}
