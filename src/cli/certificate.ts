/**
 * `certificate list` and `certificate revoke`: the certificates that this site has issued to others.
 */
import { ApiClient } from '../api/client.ts';
import type { IssuedFact } from '../site/issued.ts';
import { command, outputOption } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { type Column, print, printDocuments, printTable } from './output.ts';

/** Octets of a fingerprint that are shown, and enough to name it by. */
const shown = 16;

const columns: Column<IssuedFact>[] = [
  { header: 'NAME', value: ({ name }) => name },
  { header: 'STATUS', value: ({ status }) => status },
  { header: 'SUBJECT', value: ({ subject }) => subject },
  { header: 'ISSUED', value: ({ issued }) => issued },
  { header: 'EXPIRES', value: ({ expiration }) => expiration },
  { header: 'FINGERPRINT', value: ({ fingerprint }) => fingerprint.slice(0, shown) },
];

export const certificateList = command({
  description: 'Shows the certificates that this site has issued to others, with generated links and redeemed tokens.',
  options: { output: outputOption },
  examples: [{ for: 'who has a certificate', command: 'skiff certificate list' }],
  async run({ output, data }) {
    const certificates = await new ApiClient(dataDirectory(data)).issued();
    if (output !== 'table') return printDocuments(certificates, output);
    if (certificates.length === 0) return print('No certificate has been issued to others\n');
    printTable(columns, certificates);
  },
});

export const certificateRevoke = command({
  description: `Revokes certificates that this site has issued, for good. Who is linked with one is cut off at once, and it cannot be
renewed. A name stands for all certificates of that name, a fingerprint may be cut short.`,
  arguments: [{ name: 'FINGERPRINT|NAME', many: true, help: 'as skiff certificate list shows them' }],
  incomplete: 'nothing to revoke',
  options: {},
  examples: [{ for: 'a store that was given up', command: 'skiff certificate revoke store1' }],
  async run({ data }, words) {
    const revoked = await new ApiClient(dataDirectory(data)).revoke(words);
    print(
      revoked.map(({ name, fingerprint }) => `Certificate ${name} ${fingerprint.slice(0, shown)} revoked\n`).join(''),
    );
  },
});

export const certificateRoll = command({
  description: `Makes a new CA (skupper-site-ca) and lets the old one vouch for it: from now on the new one issues, and both are
believed. Sites of Skiff get to know it as they renew; the old one goes by itself when nobody needs it any more. Sites of
Skupper need new links before that. --finish ends the belief in the old one now: who has not renewed is cut off.`,
  arguments: [{ name: 'CA', optional: true, help: 'which one (skupper-site-ca)' }],
  options: { finish: { type: 'boolean', default: false, help: 'believe in the old one no more' } },
  examples: [
    { for: 'a new CA', command: 'skiff certificate roll' },
    { for: 'to be done with the old one', command: 'skiff certificate roll --finish' },
  ],
  async run({ finish, data }, [name = 'skupper-site-ca']) {
    await new ApiClient(dataDirectory(data)).roll(name, finish);
    print(finish ? `The former CA ${name} is believed no more\n` : `The CA ${name} has been renewed\n`);
  },
});
