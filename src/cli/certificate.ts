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
