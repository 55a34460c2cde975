/**
 * Sites as processes of the built executable: `await Skiff.run({ documents })` starts one on a data directory of its
 * own and hands it back when it is ready. `Skiff.stopAll` belongs into every file's `test.after`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ApiClient } from '../../src/api/client.ts';
import type { RenderedDocument } from '../../src/site/render.ts';
import type { Kind } from '../../src/site/resources.ts';
import { eventually, within } from './eventually.ts';

export const executable = join(import.meta.dirname, '../../dist/skiff');
const main = join(import.meta.dirname, '../../src/main.ts');
const env = { PATH: process.env.PATH, HOME: '/nonexistent', TMPDIR: tmpdir() };

export interface RunOptions {
  /** A new directory if not said. */
  data?: string;
  /** Given with --apply. */
  documents?: object[];
  args?: string[];
  /** Run from source, which lets a test into the process: the executable lets nobody in. */
  fromSource?: boolean;
  /** Added to the environment. */
  env?: Record<string, string>;
  /** The name of an `ip netns` to run in. */
  namespace?: string;
  /** A program, with its arguments, that runs the executable. */
  under?: string[];
}

export interface LogLine {
  level: string;
  part: string;
  message: string;
  code?: string;
  [field: string]: unknown;
}

export interface Ready {
  event: 'ready';
  site: string | null;
  mode: 'edge' | 'interior' | null;
  id: string | null;
  pid: number;
}

/** What a command printed, and how it ended. */
export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A rendered document whose fields a test looks into. */
export interface Shown extends RenderedDocument {
  status: RenderedDocument['status'] & {
    status: string;
    message: string;
    conditions: { type: string; status: string; reason: string; message: string }[];
    [detail: string]: unknown;
  };
}

const running = new Set<Skiff>();

export const newDirectory = (): string => mkdtempSync(join(tmpdir(), 'd-'));

/** A file with these documents, in a directory of its own. */
export function fileOf(...documents: object[]): string {
  const file = join(newDirectory(), 'documents.yaml');
  writeFileSync(file, documents.map((each) => stringify(each)).join('---\n'));
  return file;
}

function command(args: string[], namespace: string | undefined): [string, string[]] {
  if (namespace === undefined) return [executable, args];
  return ['ip', ['netns', 'exec', namespace, executable, ...args]];
}

/** Runs a command of the executable to its end. */
export async function skiff(args: string[], options: { namespace?: string; input?: string } = {}): Promise<Outcome> {
  const [program, all] = command(args, options.namespace);
  const child = spawn(program, all, { env, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  const outcome: Outcome = { code: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    outcome.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    outcome.stderr += text;
  });
  const closed = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      outcome.code = code;
      resolve();
    });
  });
  try {
    await within(`skiff ${args.join(' ')}`, closed);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  return outcome;
}

export class Skiff {
  readonly data: string;
  readonly api: ApiClient;
  /** The lines of stdout. */
  readonly events: Record<string, unknown>[] = [];
  /** The lines of stderr that are records of the log. */
  readonly log: LogLine[] = [];
  /** Every other line of stderr. */
  readonly errors: string[] = [];
  /** How the process ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  ready: Ready = { event: 'ready', site: null, mode: null, id: null, pid: 0 };
  readonly #namespace: string | undefined;
  readonly #child: ChildProcess;

  private constructor({
    data = newDirectory(),
    documents = [],
    args = [],
    namespace,
    fromSource,
    under = [],
    env: more,
  }: RunOptions) {
    this.data = data;
    this.#namespace = namespace;
    this.api = new ApiClient(data);
    const apply = documents.length > 0 ? ['--apply', fileOf(...documents)] : [];
    const http = args.includes('--http') ? [] : ['--http', 'off'];
    const words = ['run', '--data', data, '--log-format', 'json', ...http, ...apply, ...args];
    const plain = fromSource ? [process.execPath, main, ...words] : command(words, namespace).flat();
    const [program, ...all] = [...under, ...plain];
    const child = spawn(program, all, { env: { ...env, ...more }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    running.add(this);
    eachLine(child.stdout, (line) => this.events.push(JSON.parse(line)));
    eachLine(child.stderr, (line) => {
      if (line.startsWith('{')) this.log.push(JSON.parse(line));
      else this.errors.push(line);
    });
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        running.delete(this);
        resolve({ code, signal });
      });
    });
  }

  /** Starts a site; resolves once it is ready. */
  static async run(options: RunOptions = {}): Promise<Skiff> {
    const site = Skiff.start(options);
    await site.untilReady();
    return site;
  }

  /** Starts a site that may never be ready. */
  static start(options: RunOptions = {}): Skiff {
    return new Skiff(options);
  }

  async untilReady(): Promise<void> {
    const early = this.ended.then(({ code, signal }) => {
      throw new Error(`ended with ${code ?? signal} before it was ready: ${this.#said()}`);
    });
    early.catch(() => {});
    await Promise.race([early, eventually('the ready line', () => this.events[0], { explain: () => this.#said() })]);
    this.ready = this.events[0] as unknown as Ready;
  }

  /** Kills whatever a test left running. */
  static async stopAll(): Promise<void> {
    for (const site of [...running]) await site.stop('SIGKILL');
  }

  get pid(): number {
    return this.ready.pid;
  }

  /** A command on this site's data directory. */
  cli(...args: string[]): Promise<Outcome> {
    return skiff([...args, '--data', this.data], { namespace: this.#namespace });
  }

  async apply(...documents: object[]): Promise<void> {
    await this.api.apply([{ name: 'test', text: JSON.stringify(documents) }]);
  }

  async delete(kind: Kind, ...names: string[]): Promise<void> {
    await this.api.delete(names.map((name) => ({ kind, name })));
  }

  async get(kind: Kind, name: string): Promise<Shown> {
    return (await this.api.get({ kind, name }, { showSecrets: false })) as Shown;
  }

  /** Waits until a document is as `wanted` says: a word is its status. */
  until(kind: Kind, name: string, wanted: string | ((document: Shown) => unknown), withinMs?: number): Promise<Shown> {
    const holds = typeof wanted === 'string' ? ({ status }: Shown) => status.status === wanted : wanted;
    return eventually(
      `${kind} ${name}: ${wanted}`,
      async () => {
        const document = await this.get(kind, name);
        return holds(document) ? document : null;
      },
      {
        ...(withinMs === undefined ? {} : { withinMs }),
        explain: async () => ({ status: (await this.get(kind, name)).status, log: this.#lastLogged() }),
      },
    );
  }

  /** Waits until the log has a line with all of this: a text is a part of the message. */
  untilLogged(wanted: string | ((line: LogLine) => boolean), withinMs?: number): Promise<LogLine> {
    const holds = typeof wanted === 'string' ? ({ message }: LogLine) => message.includes(wanted) : wanted;
    return eventually(`a line in the log: ${wanted}`, () => this.log.find(holds), {
      ...(withinMs === undefined ? {} : { withinMs }),
      explain: () => this.#lastLogged(),
    });
  }

  kill(signal: NodeJS.Signals): void {
    // Within a namespace the child is `ip`, which has become the executable itself: it execs.
    this.#child.kill(signal);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.kill(signal);
    return await within(`the end on ${signal}`, this.ended);
  }

  /** The open file descriptors, as what they refer to. */
  descriptors(): string[] {
    return descriptorsOf(this.pid);
  }

  /** Octets of memory in use. */
  memory(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  #lastLogged(): string[] {
    return this.log.slice(-20).map(({ level, part, message }) => `${level} ${part}: ${message}`);
  }

  #said(): string {
    return [...this.errors, ...this.log.map((line) => JSON.stringify(line))].join('\n');
  }
}

function descriptorsOf(pid: number): string[] {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).flatMap((name) => {
    try {
      return [readlinkSync(join(directory, name))];
    } catch {
      // Closed since.
      return [];
    }
  });
}

export function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}/stat`) && !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

function eachLine(stream: NodeJS.ReadableStream | null, take: (line: string) => void): void {
  let rest = '';
  stream?.setEncoding('utf8');
  stream?.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') take(line);
  });
}
