/** An edge linked to a hub over mutual TLS, one of them ours and one skupper-router, each with something to offer. */
import type { PartConfig, PartState, RouterIdentity } from '../../src/router/protocol.ts';
import type { FlowRecord } from '../../src/router/records/encoding.ts';
import { Parts } from '../../src/tcp/parts.ts';
import { type Issued, makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/tcp.ts';
import { SkupperRouter } from './skupper-router.ts';

export type Place = 'edge' | 'hub';
export const otherPlace = (place: Place): Place => (place === 'edge' ? 'hub' : 'edge');
export const PLACES: Place[] = ['edge', 'hub'];

const HOST = '127.0.0.1';

export class Pair {
  /** Where our router is. */
  readonly ours: Place;
  /** Where clients of AMQP connect. */
  readonly normalPorts: Record<Place, number> = { edge: 0, hub: 0 };
  #peer: SkupperRouter | null = null;
  readonly #parts: Parts;
  readonly #states = new Map<string, PartState>();
  /** What ours has collected, by source. */
  readonly network = new Map<string, FlowRecord[]>();

  private constructor(ours: Place) {
    this.ours = ours;
    const identity: RouterIdentity = {
      id: `ours-${ours}`,
      mode: ours === 'edge' ? 'edge' : 'interior',
      siteId: '00000000-0000-4000-8000-000000000001',
      siteName: ours,
      version: '0',
    };
    this.#parts = new Parts(
      identity,
      (states) => {
        for (const state of states) this.#states.set(`${state.kind}/${state.name}`, state);
      },
      ({ put, remove }) => {
        for (const { source, records } of put) this.network.set(source, records);
        for (const source of remove) this.network.delete(source);
      },
    );
  }

  static async start(ours: Place): Promise<Pair> {
    const ca = makeCa('interop');
    const theirs = otherPlace(ours);
    const pair = new Pair(ours);
    const tls = ca.issue({ commonName: ours, hosts: [HOST] });
    pair.normalPorts[ours] = await pair.#access('normal', null);
    pair.normalPorts[theirs] = await freePort();
    const edgePort = ours === 'hub' ? await pair.#access('edge', tls) : await freePort();
    pair.#peer = new SkupperRouter({
      id: `theirs-${theirs}`,
      mode: theirs === 'edge' ? 'edge' : 'interior',
      site: { id: `site-of-theirs-${theirs}`, name: `their-${theirs}` },
      credentials: ca.issue({ commonName: theirs, hosts: [HOST] }),
      normalPort: pair.normalPorts[theirs],
      edgePort,
    });
    await pair.peer.start();
    if (ours === 'edge') {
      const endpoints = [{ host: HOST, port: edgePort }];
      await pair.put({ kind: 'link', name: 'to-hub', role: 'edge', endpoints, cost: 1, tls });
    }
    await pair.untilLinked();
    return pair;
  }

  async stop(): Promise<void> {
    await this.#parts.stop(1000);
    await this.peer.kill();
  }

  get peer(): SkupperRouter {
    if (!this.#peer) throw new Error('the other router has not been started');
    return this.#peer;
  }

  put(...configs: PartConfig[]): Promise<void> {
    return this.#parts.apply(configs, []);
  }

  state(kind: PartState['kind'], name: string): PartState | undefined {
    return this.#states.get(`${kind}/${name}`);
  }

  /** Opens an access; returns its port. */
  async #access(role: 'edge' | 'normal', tls: Issued | null): Promise<number> {
    await this.put({ kind: 'access', name: role, role, host: HOST, port: 0, tls });
    const state = this.state('access', role);
    if (state?.kind !== 'access' || state.port === null) throw new Error(`the ${role} access is not open`);
    return state.port;
  }

  /** Whether a router of the other kind is at the other end. */
  get linked(): boolean {
    const access = this.state('access', 'edge');
    if (access?.kind === 'access') return access.peers.some(({ product }) => product === 'skupper-router');
    const link = this.state('link', 'to-hub');
    return link?.kind === 'link' && link.status === 'up';
  }

  async untilLinked(linked = true): Promise<void> {
    await eventually(linked ? 'the link is up' : 'the link is down', () => this.linked === linked, {
      withinMs: 60_000,
      explain: () => [...this.#states.values()],
    });
  }

  /** Offers a server of this machine at `place`. */
  async connector(place: Place, name: string, port: number): Promise<void> {
    if (place !== this.ours) await this.peer.create('tcpConnector', name, port);
    else await this.put({ kind: 'connector', name, routingKey: name, host: HOST, port });
  }

  async listener(place: Place, name: string, port: number): Promise<void> {
    if (place !== this.ours) await this.peer.create('tcpListener', name, port);
    else await this.put({ kind: 'listener', name, routingKey: name, host: HOST, port });
  }

  async withdraw(place: Place, kind: 'connector' | 'listener', name: string): Promise<void> {
    if (place === this.ours) await this.#parts.apply([], [{ kind, name }]);
    else await this.peer.delete(kind === 'connector' ? 'tcpConnector' : 'tcpListener', name);
  }

  /** Waits until our parts have no stream in hand. One that was withdrawn before says nothing more of its streams. */
  async untilNoStreams(): Promise<void> {
    await eventually('no stream is open', () => this.#busy().length === 0, { explain: () => this.#busy() });
  }

  #busy(): PartState[] {
    return [...this.#states.values()].filter(
      (state) => (state.kind === 'connector' || state.kind === 'listener') && state.connectionsOpen > 0,
    );
  }
}
