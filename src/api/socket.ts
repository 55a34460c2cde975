/**
 * Where the local API of a site is found.
 */
import { join } from 'node:path';
import { SkiffError } from '../errors.ts';

/** What fits into a socket's address on Linux, beside the zero that ends it. */
const longestPath = 107;

export function socketPath(directory: string): string {
  return join(directory, 'control.sock');
}

export function checkSocketPath(path: string): void {
  const length = Buffer.byteLength(path);
  if (length <= longestPath) return;
  throw new SkiffError(
    'socket-path-too-long',
    `the path of the control socket has ${length} octets, ${longestPath} are possible (${path})`,
    { hint: 'Give a shorter directory with --data' },
  );
}
