/** Another interior router of the network, and what it serves, as those who send messages here see it. */
import type { Arrival, Consumer, Sink, Source } from '../forwarding.ts';
import type { RemoteRouterFacts } from './engine.ts';
import type { Trunk } from './trunk.ts';

export class RemoteRouter {
  readonly id: string;
  /** How it is reached at present. */
  facts: RemoteRouterFacts;
  /** The way to the next router on the path. */
  trunk: Trunk;
  /** What takes messages for it, by the keys of their addresses. */
  readonly destinations = new Map<string, Destination>();

  constructor(facts: RemoteRouterFacts, trunk: Trunk) {
    this.id = facts.id;
    this.facts = facts;
    this.trunk = trunk;
  }
}

/** An address at another interior router. */
export class Destination implements Consumer {
  readonly router: RemoteRouter;
  #outstanding = 0;

  constructor(router: RemoteRouter) {
    this.router = router;
  }

  get routerId(): string {
    return this.router.id;
  }

  get via(): Trunk {
    return this.router.trunk;
  }

  get cost(): number {
    return this.router.facts.cost;
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  mayTake({ head }: Arrival): boolean {
    const trace = head.annotations?.trace;
    return !trace || trace.length === 0 || !trace.includes(`0/${this.router.trunk.neighbour}`);
  }

  isOnPath({ head }: Arrival): boolean {
    const ingress = head.annotations?.ingress;
    return !ingress || this.router.facts.origins.has(ingress.slice(AREA.length));
  }

  deliver(arrival: Arrival, source: Source): Sink {
    this.#outstanding++;
    return this.router.trunk.send(arrival, source, () => this.#outstanding--);
  }
}

/** In front of the id of a router in annotations. */
const AREA = '0/';
