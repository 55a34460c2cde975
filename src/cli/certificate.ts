/**
 * `certificate list` and `certificate revoke`: the certificates that this site has issued to others.
 */
import { ApiClient } from '../api/client.ts';
import { command, dataOption, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { formatOf, print, printDocuments, printRows } from './output.ts';

/** Octets of a fingerprint that are shown, and enough to name it by. */
const shown = 16;

export const certificateList = command({
  usage: 'skiff certificate list [-o table|json|yaml] [--data DIR]',
  description: 'Shows the certificates that this site has issued to others, with generated links and redeemed tokens.',
  options: { output: outputOption, data: dataOption },
  async run({ output, data }, positionals) {
    const format = formatOf(output);
    if (positionals.length) throw usageError(`unexpected argument "${positionals[0]}"`, 'All are shown');
    const certificates = await new ApiClient(dataDirectory(data)).issued();
    if (format !== 'table') return printDocuments(certificates, format);
    if (certificates.length === 0) return print('No certificate has been issued to others\n');
    printRows([
      ['NAME', 'STATUS', 'SUBJECT', 'ISSUED', 'EXPIRES', 'FINGERPRINT'],
      ...certificates.map(({ name, status, subject, issued, expiration, fingerprint }) => [
        name,
        status,
        subject,
        issued,
        expiration,
        fingerprint.slice(0, shown),
      ]),
    ]);
  },
});

export const certificateRevoke = command({
  usage: 'skiff certificate revoke FINGERPRINT|NAME … [--data DIR]',
  description: `Revokes certificates that this site has issued, for good. Who is linked with one is cut off at once, and it cannot be
renewed. A name stands for all certificates of that name, a fingerprint may be cut short.`,
  options: { data: dataOption },
  async run({ data }, words) {
    if (words.length === 0) throw usageError('nothing to revoke', 'skiff certificate list shows them');
    const revoked = await new ApiClient(dataDirectory(data)).revoke(words);
    print(
      revoked.map(({ name, fingerprint }) => `Certificate ${name} ${fingerprint.slice(0, shown)} revoked\n`).join(''),
    );
  },
});

export const certificateRoll = command({
  usage: 'skiff certificate roll [CA] [--finish] [--data DIR]',
  description: `Makes a new CA (skupper-site-ca) and lets the old one vouch for it: from now on the new one issues, and both are
believed. Sites of Skiff get to know it as they renew; the old one goes by itself when nobody needs it any more. Sites of
Skupper need new links before that. --finish ends the belief in the old one now: who has not renewed is cut off.`,
  options: { finish: { type: 'boolean', help: 'believe in the old one no more' }, data: dataOption },
  async run({ finish = false, data }, [name = 'skupper-site-ca', ...rest]) {
    if (rest.length) throw usageError('only one argument is allowed for this command', 'Give one CA');
    await new ApiClient(dataDirectory(data)).roll(name, finish);
    print(finish ? `The former CA ${name} is believed no more\n` : `The CA ${name} has been renewed\n`);
  },
});
