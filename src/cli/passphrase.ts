/**
 * Where a passphrase comes from: a file, the environment, or somebody at a terminal. Never from the command line, which
 * others can see.
 */
import { readFileSync } from 'node:fs';
import { SkiffError } from '../errors.ts';
import { type Option, usageError } from './command.ts';

const least = 8;

export const passphraseOption = {
  type: 'string',
  value: 'FILE|-',
  completion: 'file',
  help: 'a file with the passphrase in its first line; else it is $SKIFF_PASSPHRASE, else it is asked for',
} as const satisfies Option;

/** `anew`: it is being chosen, so it is asked for twice. */
export async function readPassphrase(file: string | undefined, anew: boolean): Promise<string> {
  const passphrase = file !== undefined ? fromFile(file) : (process.env.SKIFF_PASSPHRASE ?? (await ask(anew)));
  if (anew && passphrase.length < least) {
    throw usageError(`the passphrase has fewer than ${least} characters`, 'Choose a longer one');
  }
  return passphrase;
}

function fromFile(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8').split(/\r?\n/)[0];
  } catch (error) {
    throw new SkiffError('unreadable', `the passphrase cannot be read: ${(error as Error).message}`);
  }
}

async function ask(anew: boolean): Promise<string> {
  if (!process.stdin.isTTY) {
    throw usageError('there is no passphrase', 'Give --passphrase-file or $SKIFF_PASSPHRASE');
  }
  const passphrase = await unseen('Passphrase: ');
  if (anew && passphrase !== (await unseen('Once more: '))) throw usageError('the two are not the same', 'Try again');
  return passphrase;
}

/** A line that is typed and not shown. */
async function unseen(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  const { stdin } = process;
  const { promise, resolve } = Promise.withResolvers<string | null>();
  let typed = '';
  const onKeys = (keys: string) => {
    for (const key of keys) {
      if (key === '\u0003' || key === '\u0004') return resolve(null);
      if (key === '\r' || key === '\n') return resolve(typed);
      typed = key === '\u007f' || key === '\b' ? [...typed].slice(0, -1).join('') : typed + key;
    }
  };
  stdin.setRawMode(true).setEncoding('utf8').on('data', onKeys).resume();
  const line = await promise;
  stdin.off('data', onKeys).setRawMode(false).pause();
  process.stderr.write('\n');
  if (line === null) throw usageError('there is no passphrase', 'Nothing was done');
  return line;
}
