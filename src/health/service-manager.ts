/**
 * What systemd wants to hear of a service (sd_notify): that it is ready, that it is alive, that it ends.
 *
 * Its socket takes datagrams, which Node cannot send on a Unix socket, so the program `systemd-notify`, which comes with
 * systemd, is run for each message. The unit has to say `NotifyAccess=all`, because that is another process.
 */
import { execFile } from 'node:child_process';
import { log } from '../log.ts';

/** A message that takes longer is given up, in milliseconds. */
const patienceMs = 5_000;

export class ServiceManager {
  readonly #selfCheck: () => Promise<unknown>;
  readonly #listening: boolean;
  /** Milliseconds within which it wants a sign of life; 0: none. */
  readonly #watchdogMs: number;
  #timer: NodeJS.Timeout | null = null;
  #failing = false;

  /** `environment`: as the service manager made it. A sign of life is given when `selfCheck` succeeds. */
  constructor(environment: NodeJS.ProcessEnv, selfCheck: () => Promise<unknown>) {
    this.#selfCheck = selfCheck;
    this.#listening = Boolean(environment.NOTIFY_SOCKET);
    this.#watchdogMs = Math.floor(Number(environment.WATCHDOG_USEC ?? 0) / 1_000) || 0;
  }

  /** From now on the watchdog is fed, too. */
  async ready(status: string): Promise<void> {
    if (!this.#listening) return;
    await this.#say('READY=1', `STATUS=${status}`);
    if (this.#watchdogMs > 0) this.#timer = setInterval(() => void this.#feed(), this.#watchdogMs / 3);
  }

  async stopping(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    if (this.#listening) await this.#say('STOPPING=1');
  }

  async #feed(): Promise<void> {
    try {
      await this.#selfCheck();
      this.#failing = false;
    } catch (error) {
      // Said once: the watchdog has its own way of ending this.
      if (!this.#failing) log.error('watchdog', `the self-check fails: ${(error as Error).message}`);
      this.#failing = true;
      return;
    }
    if (this.#timer) await this.#say('WATCHDOG=1');
  }

  async #say(...assignments: string[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    execFile('systemd-notify', assignments, { timeout: patienceMs }, (error) => {
      if (error) log.warn('watchdog', `systemd does not hear "${assignments[0]}": ${error.message.trim()}`);
      resolve();
    });
    await promise;
  }
}
