/**
 * Networks of many routers, ours and skupper-router's in any position: each a machine of its own, in a network namespace,
 * with a line between any two that a test can cut, hold up, make longer and restore.
 */
import { type Entity, SkupperRouter } from '../interop/skupper-router.ts';
import { AmqpClient } from './amqp.ts';
import { type Ca, type Issued, makeCa } from './certificates.ts';
import { Machine } from './namespaces.ts';
import { connector, document, listener, secret } from './network.ts';
import { Relay } from './relay.ts';
import { Skiff } from './skiff.ts';

export type Kind = 'skiff' | 'skupper-router';

/** A line from one router to another, by their places in the list. */
export interface Span {
  from: number;
  to: number;
  cost?: number;
}

export interface Plan {
  /** The interior routers. */
  hubs: Kind[];
  /** Which of them dials which. */
  links: Span[];
  /** Edges, each with the hubs that it links to, the one that it prefers first. */
  edges: number[][];
  edgeKind?: Kind;
}

const NORMAL = 5671;
const EDGE = 45671;
const INTER_ROUTER = 55671;
const METRICS = 8080;
/** Messages that a client may send while one before them has no outcome: that may be on a line that is held up. */
const MOST_BEHIND = 1_000_000;
/** Where each edge listens for the service of the first one; that for the second is the next, and so on. */
const FIRST_LISTENER = 10_000;

/** An interior router. */
export class Hub {
  readonly kind: Kind;
  readonly name: string;
  readonly machine: Machine;
  readonly #documents: object[];
  readonly #router: SkupperRouter | null;
  readonly #client: Issued;
  site: Skiff | null = null;

  constructor(kind: Kind, name: string, machine: Machine, { client, documents, router }: HubParts) {
    this.kind = kind;
    this.name = name;
    this.machine = machine;
    this.#client = client;
    this.#documents = documents;
    this.#router = router;
  }

  async start(): Promise<void> {
    if (this.#router) await this.#router.start();
    else {
      const { namespace } = this.machine;
      // What was applied once is stored.
      const again = this.site ? { data: this.site.data } : { documents: this.#documents };
      this.site = await Skiff.run({ namespace, ...again, args: metricsAt(this.machine) });
    }
  }

  /** Without a word, or, on SIGTERM, in order. */
  async stop(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    if (this.#router) await this.#router.kill();
    else await this.site?.stop(signal);
  }

  /** A client of AMQP at this router. */
  client(): Promise<AmqpClient> {
    const options = { host: this.machine.address, session_buffer_size: { outgoing: MOST_BEHIND } };
    if (this.#router) return AmqpClient.connect(NORMAL, options);
    const { ca, certificate: cert, key } = this.#client;
    const tls = { transport: 'tls' as const, ca: [ca], cert, key, enable_sasl_external: true };
    return AmqpClient.connect(NORMAL, { ...options, ...tls });
  }

  /** The entities of a type, as management shows them. */
  async query(type: string): Promise<Record<string, unknown>[]> {
    const client = await this.client();
    try {
      const replies = await client.receiver({ address: '', dynamic: true }, { autoaccept: true });
      const requests = await client.sender('$management');
      await requests.untilCredit();
      requests.link.send({
        reply_to: replies.address,
        correlation_id: 1,
        application_properties: { operation: 'QUERY', type: 'org.amqp.management', entityType: type, name: 'self' },
        body: { attributeNames: [] },
      });
      const { message } = await replies.next();
      const { statusCode, statusDescription } = message.application_properties as Record<string, unknown>;
      if (statusCode !== 200) throw new Error(`QUERY ${type}: ${statusCode} ${statusDescription}`);
      const { attributeNames, results } = message.body as { attributeNames: string[]; results: unknown[][] };
      return results.map((row) => Object.fromEntries(attributeNames.map((name, index) => [name, row[index]])));
    } finally {
      await client.close();
    }
  }
}

interface HubParts {
  client: Issued;
  documents: object[];
  router: SkupperRouter | null;
}

/** An edge router, with a service of its own and listeners for those of all. */
export interface Edge {
  name: string;
  machine: Machine;
  /** Where it listens for the service of the first edge, the second, … */
  ports: number[];
  site: Skiff | null;
  start(): Promise<void>;
}

/** A site tells its metrics where tests reach it. */
const metricsAt = ({ address }: Machine): string[] => ['--http', `${address}:${METRICS}`];

/** Starts routers, no more at once than a small machine can in time. */
async function inTurn(routers: { start(): Promise<void> }[]): Promise<void> {
  for (let next = 0; next < routers.length; next += 3)
    await Promise.all(routers.slice(next, next + 3).map((router) => router.start()));
}

/** Between two routers. */
export interface Line {
  name: string;
  relay: Relay;
}

/** A line that one machine dials, and that leads to a port of another. */
async function lay(name: string, from: Machine, to: Machine, port: number): Promise<Line> {
  return { name, relay: await Relay.open({ host: from.outside, target: { host: to.address, port } }) };
}

export class Topology {
  readonly hubs: Hub[] = [];
  readonly edges: Edge[] = [];
  /** Between hubs, in the order of the plan. */
  readonly trunks: Line[] = [];
  /** From edges to hubs. */
  readonly uplinks: Line[] = [];
  readonly #machines: Machine[] = [];
  readonly #ca: Ca = makeCa('topology');
  readonly #hosts: string[];
  readonly plan: Plan;

  private constructor(plan: Plan) {
    this.plan = plan;
    for (let index = 0; index < plan.hubs.length; index++) this.#machines.push(new Machine(`h${index}`));
    for (let index = 0; index < plan.edges.length; index++) this.#machines.push(new Machine(`e${index}`));
    this.#hosts = this.#machines.flatMap(({ address, outside }) => [address, outside]);
  }

  /** `backendOf` opens the server that an edge offers. */
  static async open(plan: Plan, backendOf: (host: string) => Promise<{ port: number }>): Promise<Topology> {
    const topology = new Topology(plan);
    try {
      for (let index = 0; index < plan.hubs.length; index++) topology.hubs.push(await topology.#hub(index));
      await inTurn(topology.hubs);
      for (let index = 0; index < plan.edges.length; index++) {
        const { port } = await backendOf(topology.#edgeMachine(index).outside);
        topology.edges.push(await topology.#edge(index, port));
      }
      await inTurn(topology.edges);
      return topology;
    } catch (error) {
      await topology.close();
      throw error;
    }
  }

  /** Those of ours. */
  get sites(): Skiff[] {
    return [...this.hubs, ...this.edges].flatMap(({ site }) => site ?? []);
  }

  get lines(): Line[] {
    return [...this.trunks, ...this.uplinks];
  }

  async close(): Promise<void> {
    for (const { relay } of this.lines) await relay.close();
    await SkupperRouter.stopAll();
    await Skiff.stopAll();
    for (const machine of this.#machines) machine.remove();
  }

  #edgeMachine(index: number): Machine {
    return this.#machines[this.plan.hubs.length + index] as Machine;
  }

  async #hub(index: number): Promise<Hub> {
    const { hubs, links } = this.plan;
    const kind = hubs[index] as Kind;
    const name = `hub${index}`;
    const machine = this.#machines[index] as Machine;
    const dials: Dial[] = [];
    for (const { to, cost = 1 } of links.filter(({ from }) => from === index)) {
      const line = await lay(`${name}-hub${to}`, machine, this.#machines[to] as Machine, INTER_ROUTER);
      this.trunks.push(line);
      dials.push({ to, cost, port: line.relay.port });
    }
    const credentials = this.#ca.issue({ commonName: name, hosts: this.#hosts });
    const client = this.#ca.issue({ commonName: `client of ${name}` });
    const host = machine.address;
    const router = kind === 'skiff' ? null : this.#theirHub(name, machine, credentials, dials);
    const access = (access: string, roles: object[]): object =>
      document('RouterAccess', access, { bindHost: host, tlsCredentials: 'own', roles });
    const documents = [
      document('Site', name, {}),
      secret('own', credentials),
      access('clients', [{ name: 'normal', port: NORMAL }]),
      access('links', [
        { name: 'edge', port: EDGE },
        { name: 'inter-router', port: INTER_ROUTER },
      ]),
      ...dials.map((dial) => linkTo(dial, 'inter-router', machine.outside)),
    ];
    return new Hub(kind, name, machine, { client, documents, router });
  }

  #theirHub(id: string, { namespace, address: host, outside }: Machine, credentials: Issued, dials: Dial[]) {
    const neighbours = dials.map(({ cost, port }) => ({ host: outside, cost, port }));
    const ports = { normalPort: NORMAL, edgePort: EDGE, interRouterPort: INTER_ROUTER };
    return new SkupperRouter({ id, mode: 'interior', credentials, host, namespace, ...ports, neighbours });
  }

  async #edge(index: number, backend: number): Promise<Edge> {
    const { edges, edgeKind = 'skiff' } = this.plan;
    const name = `edge${index}`;
    const machine = this.#edgeMachine(index);
    const { outside, address, namespace } = machine;
    const credentials = this.#ca.issue({ commonName: name, hosts: this.#hosts });
    const ports = edges.map((_, other) => FIRST_LISTENER + other);
    const dials: Dial[] = [];
    for (const [rank, to] of (edges[index] ?? []).entries()) {
      const line = await lay(`${name}-hub${to}`, machine, this.#machines[to] as Machine, EDGE);
      this.uplinks.push(line);
      dials.push({ to, cost: 1 + 4 * rank, port: line.relay.port });
    }
    if (edgeKind === 'skupper-router') {
      const router = this.#theirEdge(name, machine, credentials, dials, backend);
      return { name, machine, ports, site: null, start: () => router.start() };
    }
    const documents = [
      document('Site', name, { edge: true }),
      secret('own', credentials),
      ...dials.map((dial) => linkTo(dial, 'edge', outside)),
      connector(name, backend, name, outside),
      ...edges.map((_, other) => listener(`to-edge${other}`, ports[other] as number, `edge${other}`, address)),
    ];
    const edge: Edge = {
      ...{ name, machine, ports, site: null },
      async start() {
        edge.site = await Skiff.run({ namespace, documents, args: metricsAt(machine) });
      },
    };
    return edge;
  }

  #theirEdge(id: string, machine: Machine, credentials: Issued, dials: Dial[], backend: number): SkupperRouter {
    const { outside, address: host, namespace } = machine;
    const neighbours = dials.map(({ cost, port }) => ({ host: outside, cost, port }));
    const more: Entity[] = [
      ['tcpConnector', { name: id, address: id, host: outside, port: `${backend}` }],
      ...this.plan.edges.map((_, other): Entity => {
        const port = `${FIRST_LISTENER + other}`;
        return ['tcpListener', { name: `to-edge${other}`, address: `edge${other}`, host, port }];
      }),
    ];
    const where = { host, namespace, normalPort: NORMAL };
    return new SkupperRouter({ id, mode: 'edge', credentials, ...where, neighbours, more });
  }
}

/** What a router dials: the place of another, and where the line to that begins. */
interface Dial {
  to: number;
  cost: number;
  port: number;
}

function linkTo({ to, cost, port }: Dial, role: string, host: string): object {
  const endpoints = [{ name: role, host, port: String(port) }];
  return document('Link', `hub${to}`, { tlsCredentials: 'own', endpoints, cost });
}
