/**
 * Which data directory a command is about.
 */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export function dataDirectory(option: string | undefined): string {
  const given = option ?? process.env.SKIFF_DATA;
  if (given) return resolve(given);
  return process.getuid?.() === 0 ? '/var/lib/skiff' : join(homedir(), '.local/share/skiff');
}
