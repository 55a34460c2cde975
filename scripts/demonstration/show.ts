/** The demo itself, step by step. Every step is checked, and says what it found. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { command, fetchHash, fetchText, freePorts, isRefused, sound, talk } from './clients.ts';
import { hostPort, hubDocuments, type Place, type Ports } from './documents.ts';
import { Service, until } from './processes.ts';

const fileOctets = 100_000_000;

export interface Data {
  hub: string;
  store: string;
}

export class Demo {
  /** All that the demo writes. */
  readonly directory = mkdtempSync(join(tmpdir(), 'skiff-demo-'));
  /** The sites' data directories. */
  readonly data: Data = { hub: join(this.directory, 'hub'), store: join(this.directory, 'store1') };
  readonly hub: Service;
  readonly store: Service;
  /** In the order in which they are best ended. */
  readonly services: Service[];
  ports: Ports = { link: 0, enrolment: 0, shop: 0, printer: 0, spare: 0 };
  shopSpeaksHttp = true;
  /** What it is at, for whoever has to mend it. */
  step = '';
  readonly #skiff: string;
  readonly #file = join(this.directory, 'file');
  readonly #shop: Service;
  readonly #printer: Service;
  /** What the store reaches: a service of the user's, or else the demo's own HTTP server. */
  readonly #given: Place | null;
  /** The commands under way: they write into the directory. */
  readonly #running = new Set<Promise<unknown>>();
  readonly #commands = new AbortController();

  constructor(root: string, skiff: string, given: Place | null) {
    this.#skiff = skiff;
    this.#given = given;
    const script = join(root, 'scripts/demonstration/services.ts');
    const service = (name: string, program: string, ...args: string[]) =>
      new Service(this.directory, name, program, args);
    this.hub = service('hub', skiff, 'run', '--http', 'off', '--data', this.data.hub);
    this.store = service('store1', skiff, 'run', '--http', 'off', '--data', this.data.store);
    this.#shop = service('shop', process.execPath, script, 'shop', this.#file);
    this.#printer = service('printer', process.execPath, script, 'printer', this.directory);
    this.services = [this.store, this.hub, this.#shop, this.#printer];
  }

  async show(): Promise<void> {
    const given = this.#given;
    const [link, enrolment, shop, printer, spare] = await freePorts(5);
    this.ports = { link, enrolment, shop, printer, spare };

    let hash = '';
    let printerAt: Place | null = null;
    let shopAt = given;
    await this.#do('Start the services', async () => {
      const port = async (service: Service) => Number((await service.start()).port);
      if (!given) {
        hash = this.#makeFile();
        shopAt = { host: '127.0.0.1', port: await port(this.#shop) };
      }
      printerAt = { host: '127.0.0.1', port: await port(this.#printer) };
      const what = given ? 'your service' : 'an HTTP server';
      return `${what} (${hostPort(shopAt!)}) beside the hub, a TCP echo (${hostPort(printerAt)}) beside the store`;
    });

    await this.#do('Start the hub', async () => {
      const started = performance.now();
      writeFileSync(this.#path('hub.yaml'), hubDocuments(this.ports, shopAt!, printerAt!));
      await this.hub.start('--apply', this.#path('hub.yaml'));
      return `process ${this.hub.pid}, ready after ${since(started)}`;
    });

    await this.#do('Make a claim for one store', async () => {
      const data = ['--data', this.data.hub];
      const claim = await this.#run(this.#skiff, 'claim', 'create', 'spring', '--group', 'stores', ...data);
      writeFileSync(this.#path('claim.yaml'), claim, { mode: 0o600 });
      return 'all that the store will be given is this file';
    });

    await this.#do('Start a blank store with the claim', async () => {
      const started = performance.now();
      writeFileSync(this.#path('identity.json'), JSON.stringify({ serial: 'DEMO-1' }));
      await this.store.start('--claim', this.#path('claim.yaml'), '--identity', this.#path('identity.json'));
      await this.#untilReady('store', 'link', 'hub');
      const { name } = await this.#enrolled();
      return `process ${this.store.pid}: made its key, enrolled as ${name} and linked over mutual TLS, after ${since(started)}`;
    });

    await this.#do(given ? 'Reach your service from the store' : "Fetch the hub's page from the store", async () => {
      await this.#untilReady('store', 'listener', 'shop');
      return this.#reachShop();
    });

    await this.#do("Reach the store's service from the hub, over the same link", async () => {
      await this.#untilReady('hub', 'listener', 'printer');
      return this.#reachPrinter();
    });

    if (!given) await this.#do('Fetch a file of 100 MB from the store', () => this.#fetchFile(hash));

    const { pid } = this.store;
    await this.#do('Kill the hub (SIGKILL)', async () => {
      const killed = performance.now();
      await this.hub.kill();
      await until("the store's port refuses connections", async () => ((await isRefused(shop)) ? true : undefined));
      const took = Math.round(performance.now() - killed);
      return `${took} ms later the store's port refuses connections: callers fail at once, they do not hang`;
    });

    await this.#do('Start the hub again, from what it has stored', async () => {
      const started = performance.now();
      await this.hub.start();
      const ready = since(started);
      const heard = await until('traffic flows again', () => this.#reachShop());
      const again = since(started);
      await until('traffic flows the other way', () => this.#reachPrinter());
      if (this.store.pid !== pid) throw new Error('the store was started again');
      return `ready after ${ready}, traffic after ${again}, with the store untouched\n      ${heard}`;
    });
  }

  async end(): Promise<void> {
    this.#commands.abort();
    await Promise.allSettled(this.#running);
    await Promise.all(this.services.map((service) => service.end()));
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #do(title: string, work: () => Promise<string>): Promise<void> {
    this.step = title;
    process.stdout.write(`  ${title} ... `);
    const found = await work();
    for (const service of this.services) service.checkAlive();
    console.log(`ok\n      ${found}`);
  }

  async #run(program: string, ...args: string[]): Promise<string> {
    const running = promisify(execFile)(program, args, { signal: this.#commands.signal });
    this.#running.add(running);
    try {
      return (await running).stdout;
    } finally {
      this.#running.delete(running);
    }
  }

  #path(name: string): string {
    return join(this.directory, name);
  }

  async #statusOf(site: keyof Data, kind: string, name: string): Promise<Record<string, unknown>> {
    const text = await this.#run(this.#skiff, 'get', kind, name, '--data', this.data[site], '-o', 'json');
    return JSON.parse(text).status;
  }

  async #enrolled(): Promise<{ name: string }> {
    const text = await this.#run(this.#skiff, 'device', 'status', '--data', this.data.store, '-o', 'json');
    return JSON.parse(text).device;
  }

  async #untilReady(site: keyof Data, kind: string, name: string): Promise<void> {
    await until(`${kind} "${name}" is ready`, async () => {
      const { status, message } = await this.#statusOf(site, kind, name);
      if (status !== 'Ready') throw new Error(String(message));
      return true;
    });
  }

  async #reachShop(): Promise<string> {
    const { shop } = this.ports;
    if (!this.#given) {
      const url = `http://127.0.0.1:${shop}/`;
      const page = await fetchText(url);
      if (!page.includes('Price list')) throw new Error(`this is not the page: ${page.slice(0, 100)}`);
      return `${command(url)} → ${page.trim().split('\n').at(-1)}`;
    }
    const carried = async () => Number((await this.#statusOf('hub', 'connector', 'shop')).connectionsTotal);
    const before = await carried();
    const { said, http } = await sound({ host: '127.0.0.1', port: shop }, hostPort(this.#given));
    if ((await carried()) === before) throw new Error('the hub carried no connection to it');
    this.shopSpeaksHttp = http;
    return `127.0.0.1:${shop} → ${said}`;
  }

  async #reachPrinter(): Promise<string> {
    const { printer } = this.ports;
    const text = 'Receipt 1042: coffee 2.20\n';
    const answer = await talk(printer, text);
    if (answer !== text) throw new Error(`sent ${JSON.stringify(text)}, got ${JSON.stringify(answer)}`);
    return `127.0.0.1:${printer} → sent ${JSON.stringify(text)}, and got it back`;
  }

  async #fetchFile(hash: string): Promise<string> {
    const started = performance.now();
    const received = await fetchHash(`http://127.0.0.1:${this.ports.shop}/file`);
    const took = performance.now() - started;
    if (received.octets !== fileOctets) throw new Error(`${received.octets} of ${fileOctets} octets came`);
    if (received.hash !== hash) throw new Error(`its SHA-256 is ${received.hash}, not ${hash}`);
    const rate = Math.round(fileOctets / 1_000 / took);
    return `${since(started)} (${rate} MB/s), and the SHA-256 is the same, ${hash.slice(0, 16)}…`;
  }

  /** Writes the file, and says what its SHA-256 is. */
  #makeFile(): string {
    const hash = createHash('sha256');
    for (let written = 0; written < fileOctets; written += 1_000_000) {
      const chunk = randomBytes(1_000_000);
      appendFileSync(this.#file, chunk);
      hash.update(chunk);
    }
    return hash.digest('hex');
  }
}

export function since(start: number): string {
  return `${((performance.now() - start) / 1_000).toFixed(2)} s`;
}
