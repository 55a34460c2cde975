/** A real browser, Chromium, driven over its own protocol through a pipe. `CHROMIUM` names it where it is not on the path. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { within } from './eventually.ts';

const names = ['chromium', 'chromium-browser', 'google-chrome'];

function find(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const all = folders.flatMap((folder) => names.map((name) => join(folder, name)));
  return process.env.CHROMIUM ?? all.find((file) => existsSync(file));
}

/** Whether there is one; says so where there is none, in the words that count as a skipped test. */
export function available(): boolean {
  if (!find()) console.log('SKIP chromium: it is not installed');
  return find() !== undefined;
}

interface Message {
  id?: number;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: { message: string };
  sessionId?: string;
}

export class Browser {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, PromiseWithResolvers<Record<string, unknown>>>();
  readonly #tabs = new Map<string, Tab>();
  #next = 0;

  private constructor(child: ChildProcess, profile: string) {
    this.#child = child;
    this.#profile = profile;
    let rest = '';
    (child.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => {
      const messages = (rest + text).split('\0');
      rest = messages.pop() ?? '';
      for (const message of messages) this.#receive(JSON.parse(message));
    });
  }

  static async open(): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'];
    const args = [...flags, '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'];
    const stdio = ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] as const;
    const browser = new Browser(spawn(find() as string, args, { stdio: [...stdio] }), profile);
    await browser.send('Browser.getVersion');
    return browser;
  }

  /** Opens a page and waits until it is there. */
  async visit(url: string, { javaScript = true, width = 800, height = 1_200 } = {}): Promise<Tab> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const tab = new Tab(this, sessionId as string);
    this.#tabs.set(sessionId as string, tab);
    for (const domain of ['Page', 'Runtime', 'Log']) await tab.send(`${domain}.enable`);
    await tab.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
    if (!javaScript) await tab.send('Emulation.setScriptExecutionDisabled', { value: true });
    await tab.go(url);
    return tab;
  }

  send(method: string, params: object = {}, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.#next;
    const answer = Promise.withResolvers<Record<string, unknown>>();
    this.#waiting.set(id, answer);
    const message = { id, method, params, ...(sessionId ? { sessionId } : {}) };
    (this.#child.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    return within(`the answer of Chromium to ${method}`, answer.promise);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGTERM');
    await within('the end of Chromium', closed);
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #receive({ id, method, params, result, error, sessionId }: Message): void {
    if (id === undefined) {
      if (method && sessionId) this.#tabs.get(sessionId)?.onEvent(method, params ?? {});
      return;
    }
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result ?? {});
  }
}

export class Tab {
  /** What the browser found wrong with the page: exceptions, what its policy forbids, what could not be loaded. */
  readonly complaints: string[] = [];
  readonly #browser: Browser;
  readonly #session: string;
  #loaded = Promise.withResolvers<void>();

  constructor(browser: Browser, session: string) {
    this.#browser = browser;
    this.#session = session;
  }

  send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    return this.#browser.send(method, params, this.#session);
  }

  async go(url: string): Promise<void> {
    this.#loaded = Promise.withResolvers();
    await this.send('Page.navigate', { url });
    await within(`the page ${url}`, this.#loaded.promise);
  }

  /** The value of an expression in the page, with JavaScript of its own or without. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result } = await this.send('Runtime.evaluate', { expression, returnByValue: true });
    return (result as { value: T }).value;
  }

  /** What somebody sees of it. */
  text(): Promise<string> {
    return this.evaluate<string>('document.body.innerText');
  }

  async screenshot(file: string): Promise<void> {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
    writeFileSync(file, Buffer.from(data as string, 'base64'));
  }

  onEvent(method: string, params: Record<string, unknown>): void {
    if (method === 'Page.loadEventFired') this.#loaded.resolve();
    if (method === 'Runtime.exceptionThrown') this.complaints.push(JSON.stringify(params.exceptionDetails));
    if (method === 'Log.entryAdded') this.complaints.push((params.entry as { text: string }).text);
  }
}
