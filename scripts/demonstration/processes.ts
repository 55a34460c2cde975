/** The processes of the demo: started, waited for, and ended by their ids, whatever way the demo ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long anything that should happen soon is waited for. */
const PATIENCE_MS = 30_000;
const POLL_MS = 25;
/** A site may take 5 s to end its streams. */
const END_MS = 7_000;

export class Service {
  /** The demo is being ended: nothing more is to be started. */
  static ending = false;
  readonly name: string;
  readonly logFile: string;
  readonly #eventsFile: string;
  readonly #program: string;
  readonly #args: string[];
  #child: ChildProcess | null = null;
  /** Where in the events file those of the present process begin. */
  #offset = 0;

  /** Events (stdout) go to DIRECTORY/NAME.events, the log (stderr) to DIRECTORY/NAME.log. */
  constructor(directory: string, name: string, program: string, args: string[]) {
    this.name = name;
    this.logFile = join(directory, `${name}.log`);
    this.#eventsFile = join(directory, `${name}.events`);
    this.#program = program;
    this.#args = args;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts it, and resolves with its first event when it is ready. */
  async start(...moreArgs: string[]): Promise<Record<string, unknown>> {
    if (Service.ending) throw new Fatal('the demo is being ended');
    const [events, log] = [this.#eventsFile, this.logFile].map((file) => openSync(file, 'a', 0o600));
    this.#offset = statSync(this.#eventsFile).size;
    // In a session of its own: Ctrl-C reaches the demo alone, which then ends the others in order.
    const child = spawn(this.#program, [...this.#args, ...moreArgs], {
      detached: true,
      stdio: ['ignore', events, log],
    });
    child.on('error', () => {});
    child.unref();
    this.#child = child;
    closeSync(events);
    closeSync(log);
    const line = await until(`${this.name} is ready`, () => {
      this.checkAlive();
      const [first, rest] = readFileSync(this.#eventsFile).subarray(this.#offset).toString().split('\n', 2);
      return rest === undefined ? undefined : first;
    });
    return JSON.parse(line);
  }

  /** Throws when it was started and has ended. */
  checkAlive(): void {
    if (!this.#child) return;
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined) throw new Fatal(`${this.name} could not be started`);
    if (exitCode !== null) throw new Fatal(`${this.name} ended by itself with exit code ${exitCode}`);
    if (signalCode !== null) throw new Fatal(`${this.name} was ended by ${signalCode}`);
  }

  /** As a power cut would. */
  async kill(): Promise<void> {
    await this.#signal('SIGKILL');
    this.#child = null;
  }

  async end(): Promise<void> {
    if (!(await this.#signal('SIGTERM', END_MS))) await this.kill();
  }

  /** Whether it is gone. */
  async #signal(signal: NodeJS.Signals, withinMs?: number): Promise<boolean> {
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return true;
    child.ref();
    const gone = once(child, 'exit').then(() => true);
    child.kill(signal);
    return withinMs === undefined ? gone : Promise.race([gone, sleep(withinMs, false, { ref: false })]);
  }

  /** The last lines of its log. */
  logTail(lines = 15): string[] {
    try {
      const text = readFileSync(this.logFile, 'utf8').trimEnd();
      return text === '' ? [] : text.split('\n').slice(-lines);
    } catch {
      return [];
    }
  }
}

/** What waiting longer will not mend. */
export class Fatal extends Error {}

/** Tries until there is a result that is not undefined. */
export async function until<T>(what: string, probe: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  let reason = '';
  do {
    try {
      const result = await probe();
      if (result !== undefined) return result;
      reason = '';
    } catch (error) {
      if (error instanceof Fatal) throw error;
      reason = `: ${(error as Error).message}`;
    }
    await sleep(POLL_MS);
  } while (performance.now() < deadline);
  throw new Error(`waited ${PATIENCE_MS / 1_000} s in vain until ${what}${reason}`);
}
