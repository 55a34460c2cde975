/** What Linux says of processes and of the machine, under /proc. */
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, getPriority } from 'node:os';

/** The unit of /proc's times: fixed by Linux's interface with programs, whatever the kernel's own tick. */
const TICKS_PER_SECOND = 100;

/** Fields of /proc/PID/stat that follow the program's name, by their number in proc(5) less 3. */
const UTIME = 11;
const STIME = 12;
const CUTIME = 13;
const CSTIME = 14;

/** The fields after the name, which may itself contain blanks and brackets. */
function statFields(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
}

/** CPU-seconds that a process has used, all its threads together. */
export function cpuSeconds(pid: number): number {
  const fields = statFields(pid);
  return (fields[UTIME] + fields[STIME]) / TICKS_PER_SECOND;
}

/** The same, with those of its children that have ended and been waited for. */
function cpuSecondsWithEnded(pid: number): number {
  const fields = statFields(pid);
  return (fields[UTIME] + fields[STIME] + fields[CUTIME] + fields[CSTIME]) / TICKS_PER_SECOND;
}

/** Resident memory in MB (10^6 octets). */
export function residentMegabytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return match ? (Number(match[1]) * 1_024) / 1e6 : 0;
}

/**
 * CPU-seconds of the whole machine: those that processes used or its host took away from it, and those unused. What
 * runs at a lower priority than we do gives way to us, so it counts as neither.
 */
function machineSeconds(): { used: number; unused: number } {
  const [user, nice, system, idle, wait, , , steal] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  const giveWay = getPriority() > 0 ? 0 : nice;
  return {
    used: (user + nice - giveWay + system + steal) / TICKS_PER_SECOND,
    unused: (idle + wait) / TICKS_PER_SECOND,
  };
}

/** Live children of this process and of its children. */
function descendants(): number[] {
  const children = (pid: number): number[] => {
    try {
      return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
        readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
      );
    } catch {
      return [];
    }
  };
  const all: number[] = [];
  for (const queue = children(process.pid); queue.length > 0; ) {
    const pid = queue.pop()!;
    all.push(pid);
    queue.push(...children(pid));
  }
  return all;
}

function ownSeconds(): number {
  let sum = cpuSecondsWithEnded(process.pid);
  for (const pid of descendants()) {
    try {
      sum += cpuSecondsWithEnded(pid);
    } catch {
      // It ended since it was listed.
    }
  }
  return sum;
}

export interface Shares {
  /** What others have had of the machine's CPUs. */
  others: number;
  /** What nobody used. */
  unused: number;
}

/** Says, when called, who has had the machine's CPUs since. */
export function watchMachine(): () => Shares {
  const started = performance.now();
  const before = machineSeconds();
  const ownBefore = ownSeconds();
  return () => {
    const available = ((performance.now() - started) / 1_000) * availableParallelism();
    const { used, unused } = machineSeconds();
    return {
      others: Math.max(0, (used - before.used - (ownSeconds() - ownBefore)) / available),
      unused: Math.min(1, (unused - before.unused) / available),
    };
  };
}
