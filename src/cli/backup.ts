/**
 * `site backup` and `site restore`.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { SkiffError } from '../errors.ts';
import { command } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print } from './output.ts';
import { passphraseOption, readPassphrase } from './passphrase.ts';
import { withSite } from './site-access.ts';

export const siteBackup = command({
  description: `Writes all that the site keeps into one file, encrypted with a passphrase: documents, certificates, the keys of its
CAs. A running site goes on meanwhile. Whoever has the file and the passphrase can be this site.`,
  arguments: [{ name: 'FILE', completion: 'file', help: 'where to write it' }],
  options: { 'passphrase-file': passphraseOption },
  examples: [
    { for: 'and be asked for a passphrase', command: 'skiff site backup hub.skiff' },
    { for: 'every night', command: 'skiff site backup /backup/hub.skiff --passphrase-file /etc/skiff.passphrase' },
  ],
  async run({ 'passphrase-file': passphraseFile, data }, [file]) {
    const passphrase = await readPassphrase(passphraseFile, true);
    const options = { directory: dataDirectory(data), command: 'backup' };
    const backup = await withSite(options, (site) => site.backup(passphrase));
    const unfinished = `${file}.part`;
    try {
      writeFileSync(unfinished, backup, { mode: 0o600, flush: true });
      renameSync(unfinished, file);
    } catch (error) {
      rmSync(unfinished, { force: true });
      throw new SkiffError('unwritable', `the backup cannot be written: ${(error as Error).message}`);
    }
    print(`${file} written\n`);
  },
});

export const siteRestore = command({
  description: `Makes a site of a backup, in a data directory that no site runs on: with the same identity, documents and keys. What
was revoked, issued or redeemed here since the backup was made is kept. A database that is there is set aside.`,
  arguments: [{ name: 'FILE', completion: 'file', help: 'what skiff site backup wrote' }],
  options: {
    'passphrase-file': passphraseOption,
    force: { type: 'boolean', default: false, help: 'even if there is a site in the data directory' },
  },
  examples: [
    { for: 'on a new machine', command: 'skiff site restore hub.skiff' },
    { for: 'in place of what is there', command: 'skiff site restore hub.skiff --force' },
  ],
  async run({ 'passphrase-file': passphraseFile, force, data }, [file]) {
    const backup = read(file);
    const passphrase = await readPassphrase(passphraseFile, false);
    const { unseal } = await import('../store/sealed-backup.ts');
    const { facts, database } = await unseal(backup, passphrase, file);
    const { Store } = await import('../store/store.ts');
    const directory = dataDirectory(data);
    const { kept, aside } = Store.restore(directory, database, { force });
    print(`${facts.site === null ? 'The data directory' : `Site "${facts.site}"`} is as it was at ${facts.madeAt}\n`);
    for (const [table, count] of Object.entries(kept)) print(`${count} ${table} since then are kept\n`);
    if (aside) print(`What was there is in ${aside}\n`);
  },
});

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new SkiffError('unreadable', `the backup cannot be read: ${(error as Error).message}`);
  }
}
