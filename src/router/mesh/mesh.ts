/**
 * This router among the other interior routers of the network: joins the routing engine, the ways to the neighbours, and
 * the table of addresses, in which each remote router stands for what it serves.
 */
import { AmqpError } from '../../amqp/error.ts';
import { readHead, writeAnnotations } from '../../amqp/message.ts';
import { SkiffError } from '../../errors.ts';
import { log } from '../../log.ts';
import { hostPort } from '../../net/failure.ts';
import { type Address, stripScheme, type Treatment } from '../addresses.ts';
import type { MeshProblemState, MeshState } from '../protocol.ts';
import type { Router } from '../router.ts';
import { AcceptedTrunks } from './accepted-trunks.ts';
import { readRouting, writeRouting } from './encoding.ts';
import { type LinkId, MeshEngine, type NodeFacts, type RemoteRouterFacts } from './engine.ts';
import type { InteriorPeer } from './interior-peer.ts';
import type { Destination as Recipient, RoutingMessage, ServedAddress } from './messages.ts';
import { Problems } from './problems.ts';
import { Destination, RemoteRouter } from './remote-router.ts';
import { Trunk } from './trunk.ts';

/** Lines of the log for routers that come or go together. */
const MOST_LOGGED = 10;
/** Addresses of routing messages, by who they are for. */
const HELLO = '_local/qdhello';
const ROUTING = /^_topo\/0\/([^/]+)\/qdrouter(?:\.ma)?$/;

export class Mesh {
  readonly accepted = new AcceptedTrunks(this);
  readonly #router: Router;
  readonly #problems: Problems;
  readonly #engine: MeshEngine;
  readonly #trunks = new Map<LinkId, Trunk>();
  readonly #remotes = new Map<string, RemoteRouter>();
  /** What we tell the others that we serve. */
  readonly #served = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  /** When `#timer` goes off. */
  #wakeAt = Number.POSITIVE_INFINITY;
  #links = 0;
  /** Nothing is said or heard any more. */
  #over = false;

  /** `report` hears what is amiss. */
  constructor(router: Router, report: (state: MeshState) => void) {
    this.#router = router;
    this.#problems = new Problems({
      now: () => performance.now(),
      onChange: logProblem,
      onState: (problems) => report({ kind: 'mesh', name: 'mesh', problems }),
    });
    this.#engine = new MeshEngine({
      id: router.id,
      // Not in seconds, as skupper-router's is: a process may come back within the second in which it went.
      instance: Math.floor(router.now()),
      now: () => performance.now(),
      hooks: {
        send: (message, to, links) => this.#send(message, to, links),
        onPaths: (changed, gone) => this.#onPaths(changed, gone),
        onMobile: (id, added, removed) => this.#onMobile(id, added, removed),
        onProblem: (problem) => this.#problems.report(problem),
        onTwin: (twin, other) => this.#refuse(twin, other),
      },
    });
    this.#wake();
  }

  close(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#wakeAt = Number.NEGATIVE_INFINITY;
  }

  /** Whether there is any neighbour. */
  get isJoined(): boolean {
    return this.#trunks.size > 0;
  }

  /** The neighbours find paths without this router. What still comes here goes on as before, by the paths there were. */
  leave(): void {
    this.close();
    for (const { control } of this.#trunks.values()) control.deactivate();
  }

  /** What is known of every router of the network. */
  facts(): NodeFacts[] {
    return this.#engine.facts();
  }

  /** When the topology last changed, in seconds since 1970; 0: never. */
  get changedAt(): number {
    const ago = performance.now() - this.#engine.lastTopologyChange;
    return Number.isFinite(ago) ? Math.floor((this.#router.now() - ago) / 1_000) : 0;
  }

  /** A connection by which routers may talk is open, to this neighbour. */
  join(peer: InteriorPeer, neighbour: string, cost: number): Trunk {
    return new Trunk(this, ++this.#links, peer, neighbour, cost);
  }

  linkUp(trunk: Trunk): void {
    if (this.#over) return;
    this.#trunks.set(trunk.link, trunk);
    const skiff = !trunk.control.isForeign;
    this.#engine.linkUp(trunk.link, trunk.cost, { peer: trunk.neighbour, skiff });
    this.#wake();
  }

  linkDown(trunk: Trunk): void {
    if (this.#over) return;
    this.#engine.linkDown(trunk.link);
    this.#trunks.delete(trunk.link);
    this.#wake();
  }

  /** A message has come by a control link: for this router, for all of them, or on its way to another. False: too many. */
  receive(trunk: Trunk, octets: Buffer): boolean {
    if (this.#over) return true;
    if (!this.#engine.admits(trunk.link, octets.length)) return false;
    try {
      this.#take(trunk, octets);
    } catch (error) {
      if (!(error instanceof AmqpError)) throw error;
      trunk.control.connection.close(error);
    }
    this.#wake();
    return true;
  }

  /** What is served here, or at our edges, is told to the others. */
  onAddressChange(address: Address): void {
    const { key } = address;
    if (!key.startsWith('M') && !key.startsWith('H')) return;
    const served = address.servedHere;
    if (served === this.#served.has(key)) return;
    if (served) {
      this.#served.add(key);
      this.#engine.serve(key, address.treatment);
    } else {
      this.#served.delete(key);
      this.#engine.unserve(key);
    }
    this.#wake();
  }

  /** Has the engine do what it has to, when it has to. Called when it may have come to want that sooner. */
  #wake(): void {
    const at = this.#engine.nextTickAt;
    if (at >= this.#wakeAt) return;
    clearTimeout(this.#timer);
    this.#wakeAt = at;
    const wait = Math.max(0, at - performance.now());
    this.#timer = setTimeout(() => {
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.#engine.tick();
      this.#problems.look();
      this.#cutSilent();
      this.#wake();
    }, wait);
  }

  /**
   * Streams on a line that is dead have no end before its idle timeout, unless it comes to life again. Where its other
   * end is reached by another way they end now: whoever began them goes by that.
   */
  #cutSilent(): void {
    for (const trunk of this.#trunks.values()) {
      const way = this.#remotes.get(trunk.neighbour)?.trunk ?? trunk;
      if (way !== trunk && trunk.isSilent) trunk.cut();
    }
  }

  #take({ link }: Trunk, octets: Buffer): void {
    const head = readHead(octets, 0, octets.length, true);
    const { toOverride = null, ingress = null, trace = [] } = head?.annotations ?? {};
    if (!head || trace.includes(`0/${this.#router.id}`)) return;
    const address = stripScheme(toOverride ?? head.to ?? '');
    const bare = octets.subarray(head.bareStart);
    const recipient = address === HELLO ? this.#router.id : ROUTING.exec(address)?.[1];
    if (recipient === this.#router.id) {
      this.#engine.receive(link, readRouting(bare), trace);
    } else if (recipient === 'all') {
      this.#relay(bare, ingress, trace, this.#engine.receiveFlooded(link, readRouting(bare), trace));
    } else if (recipient !== undefined) {
      const next = this.#remotes.get(recipient)?.trunk.link;
      if (next !== undefined && next !== link) this.#relay(bare, ingress, trace, [next]);
    }
  }

  #send(message: RoutingMessage, to: Recipient, links: readonly LinkId[]): void {
    this.#relay(writeRouting(message, to), `0/${this.#router.id}`, [], links);
  }

  #relay(bare: Buffer, ingress: string | null, trace: string[], links: readonly LinkId[]): void {
    const here = `0/${this.#router.id}`;
    const annotations = { flags: 0, toOverride: null, ingress, trace: [...trace, here], mesh: null };
    const octets = Buffer.concat([writeAnnotations(annotations), bare]);
    for (const link of links) this.#trunks.get(link)?.control.sendControl(octets);
  }

  #onPaths(changed: RemoteRouterFacts[], gone: string[]): void {
    const come: string[] = [];
    for (const id of gone) this.#forget(id);
    for (const facts of changed) {
      const trunk = this.#trunks.get(facts.nextHop);
      if (!trunk) continue;
      const remote = this.#remotes.get(facts.id);
      if (remote) {
        remote.facts = facts;
        remote.trunk = trunk;
      } else {
        come.push(facts.id);
        const added = new RemoteRouter(facts, trunk);
        this.#remotes.set(facts.id, added);
        this.#add(added, `R${facts.id}`);
      }
    }
    logRouters(come, 'reachable');
    logRouters(gone, 'not reachable any more');
  }

  #forget(id: string): void {
    const remote = this.#remotes.get(id);
    if (!remote) return;
    for (const key of [...remote.destinations.keys()]) this.#remove(remote, key);
    this.#remotes.delete(id);
  }

  #onMobile(id: string, added: ServedAddress[], removed: string[]): void {
    const remote = this.#remotes.get(id);
    if (!remote) return;
    for (const key of removed) this.#remove(remote, key);
    for (const { key, treatment } of added) this.#add(remote, key, treatment);
  }

  #add(remote: RemoteRouter, key: string, treatment?: Treatment): void {
    if (remote.destinations.has(key)) return;
    const destination = new Destination(remote);
    remote.destinations.set(key, destination);
    this.#router.addresses.addConsumer(key, destination, treatment);
  }

  #remove(remote: RemoteRouter, key: string): void {
    const destination = remote.destinations.get(key);
    if (!destination) return;
    remote.destinations.delete(key);
    this.#router.addresses.removeConsumer(key, destination);
  }

  /** A second router of the same id as a neighbour's is not let in beside it. */
  #refuse(twin: LinkId, other: LinkId): void {
    const trunk = this.#trunks.get(twin);
    if (!trunk) return;
    const id = trunk.neighbour;
    const { remoteAddress = '?', remotePort = 0 } = this.#trunks.get(other)?.control.connection.socket ?? {};
    const first = `another router with the id ${id} is linked, at ${hostPort(remoteAddress, remotePort)}`;
    const message = `${first}: give one of the two sites a data directory of its own`;
    trunk.control.end(new SkiffError('duplicate-router-id', message));
  }
}

/** One line each, unless half a network comes or goes. */
function logRouters(ids: string[], what: string): void {
  if (ids.length <= MOST_LOGGED) for (const id of ids) log.info('mesh', `${id} is ${what}`);
  else log.info('mesh', `${ids.slice(0, MOST_LOGGED).join(', ')} and ${ids.length - MOST_LOGGED} others are ${what}`);
}

function logProblem({ code, message, hint, router, active }: MeshProblemState): void {
  if (active) log.warn('mesh', message, { code, router, hint });
  else log.info('mesh', `it is over: ${message}`, { code, router });
}
