/** The real skupper-router as a process: `SKROUTERD` names its binary. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AmqpClient } from '../support/amqp.ts';
import type { Issued } from '../support/certificates.ts';
import { eventually, within } from '../support/eventually.ts';

const binary = process.env.SKROUTERD;
/** A directory for what the routers log with every frame in it, for whoever looks into a failure; none: they keep little. */
const traces = process.env.SKROUTERD_TRACES;

/** Whether there is one; says so where there is none, in the words that count as a skipped test. */
export function available(): boolean {
  if (!binary) console.log('SKIP interop: SKROUTERD is not set');
  return Boolean(binary);
}

export type Entity = [type: string, attributes: Record<string, string | number | boolean>];

interface Neighbour {
  host?: string;
  port: number;
  cost?: number;
}

export interface RouterConfig {
  id: string;
  mode: 'edge' | 'interior';
  /** The site it speaks for; without one it does as a router without Skupper does, and tells of none. */
  site?: { id: string; name: string };
  credentials: Issued;
  /** Where it listens and dials; loopback if not said. */
  host?: string;
  /** The name of an `ip netns` to run in. */
  namespace?: string;
  /** Where clients of AMQP connect. */
  normalPort: number;
  /** An interior router's: where edges connect, or an edge's: where its hub is. */
  edgePort?: number;
  /** An interior router's: where others connect. */
  interRouterPort?: number;
  /** Where it connects to, as what it is: other interior routers, or, an edge's, its hubs. */
  neighbours?: Neighbour[];
  /** What else it is configured with. */
  more?: Entity[];
}

const LOOPBACK = '127.0.0.1';
const running = new Set<SkupperRouter>();
/** How much of what it logs is kept, for whoever looks into a failure. */
const KEPT_LINES = 200;

export class SkupperRouter {
  readonly config: RouterConfig;
  readonly #entities = new Map<string, Entity>();
  readonly #file: string;
  #child: ChildProcess | null = null;
  #ended: Promise<void> = Promise.resolve();
  #log: string[] = [];

  constructor(config: RouterConfig) {
    this.config = config;
    const directory = mkdtempSync(join(tmpdir(), 'router-'));
    this.#file = join(directory, 'router.json');
    for (const part of ['ca', 'certificate', 'key'] as const)
      writeFileSync(join(directory, part), config.credentials[part]);
    const { id, mode, host = LOOPBACK, normalPort, edgePort, interRouterPort, neighbours = [], more = [] } = config;
    const tls = { caCertFile: 'ca', certFile: 'certificate', privateKeyFile: 'key' };
    const files = Object.fromEntries(Object.entries(tls).map(([name, file]) => [name, join(directory, file)]));
    this.#put(['router', { id, mode, workerThreads: 2 }]);
    if (config.site) this.#put(['site', { name: config.site.name, platform: 'linux', version: '2.0' }]);
    this.#put(['sslProfile', { name: 'mutual', ...files }]);
    // As Skupper configures every router of its own.
    this.#put(['address', { prefix: 'mc', distribution: 'multicast' }]);
    this.#put(['log', { module: 'DEFAULT', enable: 'info+', outputFile: 'stderr' }]);
    if (traces) {
      const outputFile = join(traces, `${id}-${process.pid}.log`);
      for (const module of ['PROTOCOL', 'TCP_ADAPTOR'])
        this.#put(['log', { name: `traces of ${module}`, module, enable: 'debug+', outputFile }]);
    }
    const clients = { host, port: `${normalPort}`, role: 'normal', saslMechanisms: 'ANONYMOUS' };
    this.#put(['listener', { name: 'clients', ...clients }]);
    const link = { sslProfile: 'mutual', saslMechanisms: 'EXTERNAL' };
    const strict = { authenticatePeer: true, requireSsl: true };
    const take = (role: string, port: number): void =>
      this.#put(['listener', { name: role, role, ...link, host, port: `${port}`, ...strict }]);
    const dial = (name: string, role: string, { host: to = LOOPBACK, port, cost = 1 }: Neighbour): void =>
      this.#put(['connector', { name, role, ...link, host: to, port: `${port}`, cost, verifyHostname: true }]);
    if (edgePort) {
      if (mode === 'edge') dial('to-hub', 'edge', { port: edgePort });
      else take('edge', edgePort);
    }
    if (interRouterPort) take('inter-router', interRouterPort);
    for (const each of neighbours) dial(`to-${each.port}`, mode === 'edge' ? 'edge' : 'inter-router', each);
    for (const entity of more) this.#put(entity);
  }

  static async stopAll(): Promise<void> {
    for (const router of [...running]) await router.kill();
  }

  async start(): Promise<void> {
    writeFileSync(this.#file, JSON.stringify([...this.#entities.values()]));
    const { namespace, site, normalPort, host = LOOPBACK } = this.config;
    const words = [binary as string, '-c', this.#file];
    const [program, ...all] = namespace === undefined ? words : ['ip', 'netns', 'exec', namespace, ...words];
    const child = spawn(program as string, all, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...(site ? { SKUPPER_SITE_ID: site.id } : {}) },
    });
    this.#child = child;
    running.add(this);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#log = [...this.#log, ...text.split('\n')].slice(-KEPT_LINES);
    });
    this.#ended = new Promise((resolve) => child.once('close', () => resolve()));
    await eventually(
      'the router takes clients',
      async () => {
        const client = await AmqpClient.connect(normalPort, { host });
        await client.close();
        return true;
      },
      { explain: () => this.#log },
    );
  }

  /** Ends it without a word. */
  async kill(): Promise<void> {
    running.delete(this);
    this.#child?.kill('SIGKILL');
    await within('the end of the router', this.#ended);
  }

  /** Adds an entity while it runs, as its management tool does; it is there after a restart, too. */
  async create(type: 'tcpConnector' | 'tcpListener', name: string, port: number, more: object = {}): Promise<void> {
    const attributes = { name, address: name, host: this.config.host ?? LOOPBACK, port: `${port}`, ...more };
    await this.#manage('CREATE', type, name, attributes);
    this.#put([type, attributes]);
  }

  async delete(type: 'tcpConnector' | 'tcpListener', name: string): Promise<void> {
    await this.#manage('DELETE', type, name, {});
    this.#entities.delete(`${type}/${name}`);
  }

  async #manage(operation: 'CREATE' | 'DELETE', type: string, name: string, body: object): Promise<void> {
    const client = await AmqpClient.connect(this.config.normalPort, { host: this.config.host ?? LOOPBACK });
    const replies = await client.receiver({ address: '', dynamic: true }, { autoaccept: true });
    const requests = await client.sender('$management');
    await requests.untilCredit();
    requests.link.send({
      reply_to: replies.address,
      correlation_id: 1,
      application_properties: { operation, type: `io.skupper.router.${type}`, name },
      body,
    });
    const { message } = await replies.next();
    const { statusCode, statusDescription } = message.application_properties as Record<string, unknown>;
    if (Number(statusCode) >= 300) throw new Error(`${operation} ${type} ${name}: ${statusDescription}`);
    await client.close();
  }

  #put(entity: Entity): void {
    const [type, { name }] = entity;
    this.#entities.set(`${type}/${name ?? ''}`, entity);
  }
}
