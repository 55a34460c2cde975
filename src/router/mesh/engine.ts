/**
 * The routing engine of an interior router: who the neighbours are, which routers there are and by which link each is
 * reached, and who serves which address. It knows no sockets and no timers: time and messages come in by calls, messages
 * and news go out by hooks.
 */
import type { Treatment } from '../addresses.ts';
import type { Destination, RoutingMessage, ServedAddress } from './messages.ts';

/** A connection to a neighbour, by its control link. Whoever owns the connections numbers them; no number comes twice. */
export type LinkId = number;

/** The routers whose messages may be sent on to another by us: the path from them leads through us. */
export interface Origins {
  has(router: string): boolean;
  [Symbol.iterator](): Iterator<string>;
}

export interface RemoteRouterFacts {
  id: string;
  nextHop: LinkId;
  /** The router at the other end of `nextHop`. */
  neighbour: string;
  cost: number;
  /** skupper-router's valid origins. Computed when asked, and true as long as these facts are. */
  origins: Origins;
  instance: number;
}

export interface MeshProblem {
  code: string;
  message: string;
  router: string | null;
}

export interface MeshHooks {
  /** Send this on each of these control links, for the address that `wireAddress(message, to)` has. */
  send(message: RoutingMessage, to: Destination, links: readonly LinkId[]): void;
  /** Next hops, costs, valid origins or reachable routers are others than before: those that changed, and those gone. */
  onPaths(changed: RemoteRouterFacts[], gone: string[]): void;
  /** A remote router has come to serve `added`, and does not serve `removed` any more. */
  onMobile(router: string, added: ServedAddress[], removed: string[]): void;
  /** What somebody who looks after the network should see, once a cause. */
  onProblem(problem: MeshProblem): void;
}

/** What management shows of a router. */
export interface NodeFacts {
  id: string;
  /** null: this router itself. */
  nextHop: string | null;
  link: LinkId | null;
  cost: number;
  linkState: string[];
  instance: number;
  validOrigins: string[];
  lastTopologyChange: number;
}

export interface MeshEngineOptions {
  id: string;
  /** Another one than before each time the router starts: the seconds since 1970 then. */
  instance: number;
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  hooks: MeshHooks;
}

export class MeshEngine {
  /** Milliseconds, of the clock given, when `tick` has something to do next. */
  nextTickAt = 0;

  readonly id: string;

  constructor(options: MeshEngineOptions) {
    this.id = options.id;
  }

  /** The control link of a connection is attached in both directions. */
  linkUp(_link: LinkId, _cost: number): void {}

  linkDown(_link: LinkId): void {}

  /** Takes in a message that was for this router, or for the neighbour. */
  receive(_link: LinkId, _message: RoutingMessage): void {}

  /**
   * Takes in a message that was for all routers, and says on which control links it goes on as it is. `trace` is that
   * of its router annotations; whoever calls has made sure that this router is not in it, and adds it.
   */
  receiveFlooded(_link: LinkId, _message: RoutingMessage, _trace: readonly string[]): LinkId[] {
    return [];
  }

  /** The address has consumers here or on an edge of ours. */
  serve(_key: string, _treatment: Treatment): void {}

  unserve(_key: string): void {}

  tick(): void {}

  facts(): NodeFacts[] {
    return [];
  }
}
