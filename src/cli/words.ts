/**
 * Words of a command line that stand for more than themselves, and what is said of those that do not.
 */
import { metadataFields } from '../site/kinds.ts';
import { usageError } from './command.ts';

export function documentName(what: string, word: string): string {
  const { name } = metadataFields;
  const complaint = name.type === 'string' ? name.check?.(word) : undefined;
  if (complaint) throw usageError(`${what} is not valid: ${complaint}`, 'Such as link-hub');
  return word;
}

export function costOf(word: string): number {
  if (!/^\d{1,9}$/.test(word)) throw usageError(`link cost is not valid: "${word}"`, 'Give a whole number, such as 1');
  return Number(word);
}
