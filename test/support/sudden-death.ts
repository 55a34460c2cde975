/** The death of a process in the middle of its work: by the kernel, at a system call that can be told in advance. */
import { spawn, spawnSync } from 'node:child_process';
import { eventually } from './eventually.ts';
import type { Skiff } from './skiff.ts';

/** Whether strace is here and may look into processes. */
export function canKillAtWrites(): boolean {
  return spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0;
}

/**
 * From now on a site dies, by SIGKILL, as it enters its `nth` write to the disk (`pwrite64`), or when it is to have it
 * there (`fdatasync`); hands back how to call that off.
 */
export async function dieAt(site: Skiff, call: 'pwrite64' | 'fdatasync', nth: number): Promise<() => Promise<void>> {
  const inject = `inject=${call}:signal=KILL:when=${nth}`;
  const args = ['-f', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject, '-p', String(site.pid)];
  const tracer = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  tracer.stderr.setEncoding('utf8').on('data', (text) => {
    said += text;
  });
  const gone = new Promise<void>((resolve) => tracer.once('close', () => resolve()));
  await eventually('strace looks in', () => said.includes('attached'), { explain: () => said });
  return async () => {
    tracer.kill('SIGINT');
    await gone;
  };
}
