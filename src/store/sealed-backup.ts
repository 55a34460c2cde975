/**
 * A backup as a file: a line that says what it is, a line of JSON with all that is needed to open it but the passphrase,
 * then the database, compressed and encrypted (AES-256-GCM under a key that scrypt makes of the passphrase). Both lines
 * are authenticated together with the rest.
 */
import { createCipheriv, createDecipheriv, randomBytes, type ScryptOptions, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { SkiffError } from '../errors.ts';

const mark = 'SKIFF-BACKUP 1\n';
const tagOctets = 16;
/** 64 MB and some hundred milliseconds for each guess; what a small device can still spare. */
const cost = { N: 65_536, r: 8, p: 2 };
/** What a file may ask of us: half a gigabyte. */
const mostCost = { N: 524_288, r: 8, p: 16 };

/** What a backup says about itself without a passphrase. */
export interface BackupFacts {
  /** The version of the program that made it. */
  version: string;
  /** RFC 3339 */
  madeAt: string;
  site: string | null;
}

interface Header extends BackupFacts {
  scrypt: typeof cost & { salt: string };
  nonce: string;
}

export async function seal(database: Buffer, passphrase: string, facts: BackupFacts): Promise<Buffer> {
  const [salt, nonce] = [randomBytes(16), randomBytes(12)];
  const header: Header = {
    ...facts,
    scrypt: { ...cost, salt: salt.toString('base64') },
    nonce: nonce.toString('base64'),
  };
  const head = Buffer.from(`${mark}${JSON.stringify(header)}\n`);
  const cipher = createCipheriv('aes-256-gcm', await keyOf(passphrase, header.scrypt), nonce).setAAD(head);
  const body = cipher.update(await promisify(gzip)(database));
  return Buffer.concat([head, body, cipher.final(), cipher.getAuthTag()]);
}

/** `name` is what errors call it. */
export async function unseal(
  file: Buffer,
  passphrase: string,
  name: string,
): Promise<{ facts: BackupFacts; database: Buffer }> {
  const { header, headOctets } = readHeader(file, name);
  const key = await keyOf(passphrase, header.scrypt);
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(header.nonce, 'base64'), {
    authTagLength: tagOctets,
  });
  decipher.setAAD(file.subarray(0, headOctets)).setAuthTag(file.subarray(-tagOctets));
  try {
    const body = Buffer.concat([decipher.update(file.subarray(headOctets, -tagOctets)), decipher.final()]);
    const { version, madeAt, site } = header;
    return { facts: { version, madeAt, site }, database: await promisify(gunzip)(body) };
  } catch {
    throw new SkiffError('backup-unreadable', `the passphrase is wrong, or the backup was changed (${name})`, {
      hint: 'Nothing was changed',
    });
  }
}

function readHeader(file: Buffer, name: string): { header: Header; headOctets: number } {
  const no = (why: string) => new SkiffError('backup-unreadable', `${why} (${name})`, { hint: 'Nothing was changed' });
  if (!file.subarray(0, mark.length).equals(Buffer.from(mark))) throw no('it is no backup that this version knows');
  const end = file.indexOf('\n', mark.length) + 1;
  if (end === 0 || file.length < end + tagOctets) throw no('the backup is cut short');
  try {
    const header = JSON.parse(file.toString('utf8', mark.length, end)) as Header;
    const asked = header.scrypt;
    const bearable = (['N', 'r', 'p'] as const).every((each) => asked[each] >= 1 && asked[each] <= mostCost[each]);
    if (bearable && typeof asked.salt === 'string' && Buffer.from(header.nonce, 'base64').length === 12) {
      return { header, headOctets: end };
    }
  } catch {
    // The same as a header that says nothing good.
  }
  throw no('the head of the backup cannot be read');
}

function keyOf(passphrase: string, { N, r, p, salt }: Header['scrypt']): Promise<Buffer> {
  const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);
  return derive(passphrase.normalize('NFC'), Buffer.from(salt, 'base64'), 32, { N, r, p, maxmem: 256 * N * r });
}
