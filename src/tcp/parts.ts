/**
 * The running parts of a router: accesses, links, listeners and connectors, each under its kind and name. A change is
 * a difference: what it does not name goes on undisturbed.
 */
import type { Connection } from '../amqp/connection.ts';
import { type ErrorFact, errorFact } from '../errors.ts';
import type { LogRecord } from '../log.ts';
import { Access } from '../router/access.ts';
import { ContainerIds } from '../router/container-ids.ts';
import { Link } from '../router/link.ts';
import { Mailbox } from '../router/mailbox.ts';
import { ManagementAgent } from '../router/management/agent.ts';
import { ManagementClient } from '../router/management/client.ts';
import type { RunningPart } from '../router/management/entity.ts';
import { Mesh } from '../router/mesh/mesh.ts';
import type {
  DeviceRights,
  ManagementQuestion,
  ManagementReply,
  NetworkChange,
  PartConfig,
  PartKind,
  PartState,
  RouterIdentity,
  Traffic,
} from '../router/protocol.ts';
import { Router } from '../router/router.ts';
import { Uplinks } from '../router/uplinks.ts';
import { Connector } from './connector.ts';
import { Listener } from './listener.ts';
import { Reports } from './reports.ts';

/** Milliseconds from one look at streams that have come to stay to the next. */
const KEEP_ALIVE_EVERY = 15_000;

type Part = Access | Link | Listener | Connector;

export class Parts {
  readonly mailbox: Mailbox;
  /** What was logged last; whoever keeps that sets it. */
  recentLog: () => LogRecord[] = () => [];
  readonly #router: Router;
  readonly #ids = new ContainerIds();
  /** Of an interior router. */
  readonly #mesh: Mesh | null;
  readonly #parts = new Map<string, Part>();
  readonly #uplinks = new Uplinks(() => this.#links());
  /** Taken away, with streams that go on to their end. */
  readonly #leaving = new Set<Part>();
  readonly #reports: Reports;
  readonly #management: ManagementAgent;
  readonly #managing: ManagementClient;
  readonly #keepingAlive: NodeJS.Timeout;

  /** `onNetwork` hears what becomes known of the network; `now` is the clock by which certificates end. */
  constructor(
    identity: RouterIdentity,
    report: (states: PartState[]) => void,
    onNetwork: (change: NetworkChange) => void = () => {},
    now: () => number = Date.now,
  ) {
    this.#router = new Router(identity, now);
    this.#reports = new Reports(report);
    this.#mesh = this.#router.isEdge
      ? null
      : new Mesh(this.#router, (state) => this.#reports.note(state.kind, () => state, true));
    this.mailbox = new Mailbox(this.#router);
    this.#management = new ManagementAgent({
      router: this.#router,
      parts: () => this.#running(),
      nodes: () => this.#mesh?.facts() ?? [],
      topologyChange: () => this.#mesh?.changedAt ?? 0,
      log: () => this.recentLog(),
    });
    this.#managing = new ManagementClient(this.#router);
    this.#keepingAlive = setInterval(() => this.#keepAlive(), KEEP_ALIVE_EVERY);
    this.#router.addresses.onChange = (address) => {
      this.#mesh?.onAddressChange(address);
      if (!address.mobile) return;
      for (const link of this.#links()) link.uplink?.onAddressChange(address);
    };
    this.#router.records.onChange = onNetwork;
    this.#router.records.start();
  }

  /** Applies a difference; resolves when each access and listener it names has been tried once. */
  async apply(put: PartConfig[], remove: { kind: PartKind; name: string }[]): Promise<void> {
    for (const { kind, name } of remove) this.#take(keyOf(kind, name));
    const tries = put.map((config) => this.#put(config));
    await Promise.all(tries);
    this.#reports.flush();
  }

  /** From now on nobody gets in with these certificates, and who is in is cut off. */
  revoke(fingerprints: string[]): void {
    this.#router.revoked = new Set(fingerprints);
    for (const part of this.#parts.values()) if (part instanceof Access) part.cutRevoked();
  }

  /** What time it is has changed: what failed for that may succeed now. */
  retryLinks(): void {
    for (const link of this.#links()) link.retry();
  }

  /** From now on devices of the fleet may do this and no more. */
  grant(put: DeviceRights[], remove: string[]): void {
    const changed = this.#router.privileges.change(put, remove);
    for (const part of this.#parts.values()) if (part instanceof Access) part.reconsider(changed);
  }

  /** What each part carries, after telling how each is; of those that were taken away nothing is told any more. */
  measure(): Traffic[] {
    this.#reports.flush();
    return [...this.#parts.values()].map((part) => {
      const { kind, name } = part.config;
      return { kind, name, ...part.traffic };
    });
  }

  /** What all of them have in hand at this moment. */
  get load(): { connections: number; sessions: number; deliveries: number } {
    const connections = connectionsOf([...this.#parts.values()]);
    return {
      connections: connections.length,
      sessions: sum(connections.map(({ sessionCount }) => sessionCount)),
      deliveries: sum(connections.map(({ deliveryCount }) => deliveryCount)),
    };
  }

  /** Asks the management of this router, or of another. */
  async manage(question: ManagementQuestion): Promise<ManagementReply | ErrorFact> {
    try {
      return await this.#managing.ask(question);
    } catch (error) {
      return errorFact(error);
    }
  }

  /** Takes nothing new, waits for streams to end, and closes everything, within `withinMs` milliseconds. */
  async stop(withinMs: number): Promise<void> {
    const parts = [...this.#parts.values(), ...this.#leaving];
    for (const part of parts) if (part instanceof Listener) part.close(false);
    const deadline = performance.now() + withinMs * DRAIN_SHARE;
    const passes = await this.#leaveMesh(parts, deadline);
    const isCarrying = (): boolean =>
      parts.some(hasStreams) || (passes && connectionsOf(parts).some(({ deliveryCount }) => deliveryCount > 0));
    while (performance.now() < deadline && isCarrying()) await sleep(20);
    const connections = connectionsOf(parts);
    clearInterval(this.#keepingAlive);
    this.#router.records.stop();
    this.mailbox.close();
    this.#management.close();
    this.#managing.close();
    for (const key of [...this.#parts.keys()]) this.#take(key, true);
    for (const part of this.#leaving) part.close(true);
    this.#ids.close();
    this.#mesh?.close();
    this.#router.waysBack.close();
    this.#uplinks.close();
    const end = performance.now() + withinMs * (1 - DRAIN_SHARE);
    while (performance.now() < end && connections.some((connection) => !connection.closed)) await sleep(10);
    for (const connection of connections) connection.destroy();
    this.#reports.close();
  }

  /**
   * The network goes on without this router: its edges go over to other hubs, then its neighbours find other paths, and
   * until then all that comes is passed on. Returns whether there is anybody to pass on to.
   */
  async #leaveMesh(parts: Part[], deadline: number): Promise<boolean> {
    if (!this.#mesh?.isJoined) return false;
    const until = (most: number): number => Math.min(deadline, performance.now() + most);
    const edges = parts.flatMap((part) => (part instanceof Access ? part.leave() : []));
    const end = until(EDGES_LEAVE_WITHIN);
    while (performance.now() < end && edges.some(({ hasLeft }) => !hasLeft)) await sleep(20);
    this.#mesh.leave();
    await sleep(Math.max(0, until(NEIGHBOURS_TURN_WITHIN) - performance.now()));
    return true;
  }

  #put(config: PartConfig): Promise<void> {
    const key = keyOf(config.kind, config.name);
    const running = this.#parts.get(key);
    if (running instanceof Listener && running.update(config)) return running.settled;
    if (running instanceof Connector && running.update(config)) return Promise.resolve();
    if (running instanceof Access && config.kind === 'access' && running.update(config)) return Promise.resolve();
    if (running instanceof Link && config.kind === 'link' && running.update(config)) return Promise.resolve();
    this.#take(key);
    const report = (state: PartState): void => this.#reports.note(key, () => state, true);
    const note = (look: () => PartState, soon: boolean): void => this.#reports.note(key, look, soon);
    switch (config.kind) {
      case 'access': {
        const access = new Access(config, this.#router, { ids: this.#ids, mesh: this.#mesh }, report);
        this.#parts.set(key, access);
        return access.open();
      }
      case 'link': {
        const hooks = { report, onUplinkChange: () => this.#uplinks.elect() };
        const link = new Link(config, this.#router, this.#mesh, hooks);
        this.#parts.set(key, link);
        link.start();
        return Promise.resolve();
      }
      case 'listener':
      case 'multiKeyListener': {
        const listener = new Listener(config, this.#router, note);
        this.#parts.set(key, listener);
        return listener.settled;
      }
      case 'connector':
        this.#parts.set(key, new Connector(config, this.#router, note));
        return Promise.resolve();
    }
  }

  /** Streams of a part that is taken away go on to their end: only the offer ends. A stop cuts them. */
  #take(key: string, cut = false): void {
    const part = this.#parts.get(key);
    if (!part) return;
    this.#parts.delete(key);
    this.#reports.forget(key);
    part.close(cut);
    for (const other of this.#leaving) if (!hasStreams(other)) this.#leaving.delete(other);
    if (hasStreams(part)) this.#leaving.add(part);
  }

  #running(): RunningPart[] {
    return [...this.#parts].map(([key, part]) => {
      const { config, traffic } = part;
      const connections = part instanceof Listener || part instanceof Connector ? part.streams : [];
      return { config, traffic, connections, state: this.#reports.stateOf(key) };
    });
  }

  #links(): Link[] {
    return [...this.#parts.values()].filter((part) => part instanceof Link);
  }

  #keepAlive(): void {
    for (const part of [...this.#parts.values(), ...this.#leaving]) {
      if (part instanceof Listener || part instanceof Connector) part.keepAlive();
    }
  }
}

/** How long an edge takes to go over to another hub, and a neighbour to find another path, in milliseconds. */
const EDGES_LEAVE_WITHIN = 2_500;
const NEIGHBOURS_TURN_WITHIN = 300;
/** Of the time for a stop, the share that streams have to end by themselves. */
const DRAIN_SHARE = 0.8;

function keyOf(kind: PartKind, name: string): string {
  return `${kind}/${name}`;
}

function connectionsOf(parts: Part[]): Connection[] {
  return parts.flatMap((part) => (part instanceof Access || part instanceof Link ? part.connections : []));
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function hasStreams(part: Part): boolean {
  return (part instanceof Listener && part.connectionsOpen > 0) || (part instanceof Connector && part.outstanding > 0);
}

const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
