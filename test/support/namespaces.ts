/**
 * Machines of a small network, as network namespaces: each has a line to this one, on which tests reach it, and lines
 * to others that tests can cut. Needs root and iproute2.
 */
import { spawnSync } from 'node:child_process';
import { isRunning } from './skiff.ts';

const PREFIX = 'skt';

function ip(...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

/** Why there can be no namespaces here; null when there can. */
export function namespacesMissing(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  const name = `${PREFIX}${process.pid}probe`;
  try {
    removeLeftovers();
    ip('netns', 'add', name);
    ip('netns', 'del', name);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Those of test processes that were killed. */
function removeLeftovers(): void {
  for (const line of ip('netns', 'list').split('\n')) {
    const [name] = line.split(' ');
    const pid = new RegExp(`^${PREFIX}(\\d+)`).exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) ip('netns', 'del', name);
  }
}

/** Networks of 10.213.0.0/16, four addresses each. */
let networks = Math.floor(Math.random() * 8_000);

function nextNetwork(): [string, string] {
  const base = 4 * networks++;
  const address = (offset: number): string => `10.213.${(base >> 8) & 255}.${(base & 255) + offset}`;
  return [address(1), address(2)];
}

export class Machine {
  readonly namespace: string;
  /** Its address on the line to the tests. */
  readonly address: string;
  /** The tests' address on that line. */
  readonly outside: string;
  static #count = 0;

  constructor(name: string) {
    this.namespace = `${PREFIX}${process.pid}${name}`;
    [this.outside, this.address] = nextNetwork();
    ip('netns', 'add', this.namespace);
    ip('-n', this.namespace, 'link', 'set', 'lo', 'up');
    const here = `${PREFIX}${process.pid}v${Machine.#count++}`;
    ip('link', 'add', here, 'type', 'veth', 'peer', 'name', 'outside', 'netns', this.namespace);
    ip('addr', 'add', `${this.outside}/30`, 'dev', here);
    ip('link', 'set', here, 'up');
    ip('-n', this.namespace, 'addr', 'add', `${this.address}/30`, 'dev', 'outside');
    ip('-n', this.namespace, 'link', 'set', 'outside', 'up');
  }

  /** With its end of every line, the other ends go, too. */
  remove(): void {
    ip('netns', 'del', this.namespace);
  }
}

/** A line between two machines. */
export class Line {
  /** The address of each end. */
  readonly addresses: [string, string];
  readonly #ends: { machine: Machine; device: string }[];
  static #count = 0;

  constructor(one: Machine, other: Machine) {
    const device = `line${Line.#count++}`;
    this.addresses = nextNetwork();
    this.#ends = [one, other].map((machine) => ({ machine, device }));
    ip('-n', one.namespace, 'link', 'add', device, 'type', 'veth', 'peer', 'name', device, 'netns', other.namespace);
    for (const [index, { machine }] of this.#ends.entries()) {
      ip('-n', machine.namespace, 'addr', 'add', `${this.addresses[index]}/30`, 'dev', device);
      ip('-n', machine.namespace, 'link', 'set', device, 'up');
    }
  }

  /** As when the plug is drawn at the second end. */
  unplug(): void {
    const [, { machine, device }] = this.#ends;
    ip('-n', machine.namespace, 'link', 'set', device, 'down');
  }

  plug(): void {
    const [, { machine, device }] = this.#ends;
    ip('-n', machine.namespace, 'link', 'set', device, 'up');
  }

  /** The line stands, and whatever is sent on it vanishes: both ends send to a machine that does not exist. */
  drop(): void {
    for (const [index, { machine, device }] of this.#ends.entries()) {
      const to = this.addresses[1 - index];
      ip(
        '-n',
        machine.namespace,
        'neigh',
        'replace',
        to,
        'lladdr',
        '02:00:00:00:00:99',
        'dev',
        device,
        'nud',
        'permanent',
      );
    }
  }

  pass(): void {
    for (const [index, { machine, device }] of this.#ends.entries()) {
      ip('-n', machine.namespace, 'neigh', 'del', this.addresses[1 - index], 'dev', device);
    }
  }
}
