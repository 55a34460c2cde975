/** The processes of a run: each started here, ended here by its id, and none outliving the run. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';

/** How long a process may take to end by itself before it is killed, in milliseconds. */
const END_WITHIN = 7_000;

export class Process {
  readonly name: string;
  readonly pid: number;
  /** Of `performance.now()`. */
  readonly startedAt = performance.now();
  readonly #child: ChildProcess;
  readonly #log: string;
  readonly #waiting: { match: (line: string) => boolean; found: (line: string) => void }[] = [];
  readonly #lines: string[] = [];
  /** Resolves with its exit code, or -1 after a signal. */
  readonly exited: Promise<number>;
  #code: number | null = null;

  constructor(name: string, child: ChildProcess, log: string) {
    if (child.pid === undefined) throw new Error(`${name} could not be started`);
    this.name = name;
    this.pid = child.pid;
    this.#child = child;
    this.#log = log;
    this.exited = new Promise((resolve) => {
      child.once('close', (code) => {
        this.#code = code ?? -1;
        resolve(this.#code);
      });
    });
    let rest = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) this.#onLine(line);
    });
  }

  get alive(): boolean {
    return this.#code === null;
  }

  /** Everything it has printed. */
  get output(): string {
    return this.#lines.join('\n');
  }

  /** The first line it prints, or has printed, that is the one. */
  line(match: (line: string) => boolean, withinMs: number): Promise<string> {
    const known = this.#lines.find(match);
    if (known !== undefined) return Promise.resolve(known);
    const line = new Promise<string>((found) => this.#waiting.push({ match, found }));
    const ended = this.exited.then(() => Promise.reject(this.failure('ended too early')));
    return within(Promise.race([line, ended]), withinMs, () => this.failure('did not say that it is ready'));
  }

  /** Waits for it to end by itself; kills it when that takes too long. */
  async finish(withinMs: number): Promise<string> {
    const code = await within(this.exited, withinMs, () => this.failure(`did not end within ${withinMs} ms`)).catch(
      async (error) => {
        this.#child.kill('SIGKILL');
        await this.exited;
        throw error;
      },
    );
    if (code !== 0) throw this.failure(`ended with code ${code}`);
    return this.output;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.alive) this.#child.kill(signal);
  }

  async stop(): Promise<void> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), END_WITHIN);
    await this.exited;
    clearTimeout(timer);
  }

  failure(what: string): Error {
    let log = '';
    try {
      log = readFileSync(this.#log, 'utf8').trim().split('\n').slice(-5).join('\n');
    } catch {
      // It never wrote one.
    }
    return new Error([`${this.name} ${what}`, this.output.slice(-500), log].filter(Boolean).join('\n'));
  }

  #onLine(line: string): void {
    this.#lines.push(line);
    for (const { match, found } of [...this.#waiting]) if (match(line)) found(line);
  }
}

export interface StartOptions {
  env?: NodeJS.ProcessEnv;
}

export class Processes {
  readonly #directory: string;
  /** What runs the programs, such as `taskset`. */
  readonly #prefix: string[];
  readonly #running = new Set<Process>();
  #count = 0;

  constructor(directory: string, prefix: string[] = []) {
    this.#directory = directory;
    this.#prefix = prefix;
  }

  start(name: string, program: string, args: string[], options: StartOptions = {}): Process {
    const log = join(this.#directory, `${name.replaceAll(/\W+/g, '-')}-${++this.#count}.log`);
    const [first, ...rest] = [...this.#prefix, program, ...args];
    const child = spawn(first, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: options.env ?? process.env,
      cwd: this.#directory,
    });
    // Without it, a program that is not there would end this one.
    child.on('error', () => {});
    const process_ = new Process(name, child, log);
    child.stderr?.pipe(createWriteStream(log));
    this.#running.add(process_);
    void process_.exited.then(() => this.#running.delete(process_));
    return process_;
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running].map((each) => each.stop()));
  }

  /** For the end of this process, which cannot wait. */
  killAll(): void {
    for (const each of this.#running) each.signal('SIGKILL');
  }
}

export async function within<T>(promise: Promise<T>, milliseconds: number, failure: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(failure()), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

const taken = new Set<number>();

/** A port that nobody has, below those that Linux gives to outgoing connections. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (taken.has(port)) continue;
    taken.add(port);
    const server = net.createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** Whether somebody takes connections on a port of this machine. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Whether a request on a port of this machine is answered. */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: bench\r\n\r\n'));
    const done = (good: boolean) => {
      socket.destroy();
      resolve(good);
    };
    socket.setTimeout(1_000, () => done(false));
    socket.once('data', () => done(true));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
  });
}

/** Tries until it is so. */
export async function until(attempt: () => Promise<boolean>, withinMs: number, failure: () => Error): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await attempt())) {
    if (performance.now() > deadline) throw failure();
    await sleep(5);
  }
}
