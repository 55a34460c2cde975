import { SkiffError } from '../errors.ts';
import { readSources } from '../site/sources.ts';
import { command } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print } from './output.ts';
import { withSite } from './site-access.ts';
import { timeoutOf, timeoutOption, withinTime } from './words.ts';

export const tokenRedeem = command({
  description: `Redeems a token that another site issued, Skiff or Skupper: a Secret and a Link to that site are added. The key is
made here and does not leave this machine when the other site is a Skiff. After a lost answer it can be done again.`,
  arguments: [{ name: 'FILE', completion: 'file', help: 'the token' }],
  incomplete: 'token file name must be configured',
  options: { timeout: timeoutOption },
  examples: [{ for: 'a link to the site that issued it', command: 'skiff token redeem store1.token' }],
  async run({ timeout, data }, [file]) {
    const withinMs = timeoutOf(timeout);
    const sources = readSources(file);
    const { readReferences } = await import('../site/read.ts');
    const references = readReferences(sources);
    if (references.every(({ kind }) => kind !== 'AccessToken')) {
      throw new SkiffError('bad-token', `there is no AccessToken in it (${file})`, { hint: 'Ask for another token' });
    }
    const options = { directory: dataDirectory(data), command: 'token redeem' };
    await withinTime(
      withinMs,
      'the token has not been redeemed',
      withSite(options, (site) => site.redeem(sources)),
    );
    print(references.map(({ name }) => `Token "${name}" has been redeemed.\n`).join(''));
  },
});
