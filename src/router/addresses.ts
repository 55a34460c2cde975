/**
 * The address table. Addresses are keyed as skupper-router keys them, by a class letter and the name:
 * M mobile (routing keys), L local to this router (reply addresses), H an edge router, R an interior router.
 */
import type { ErrorFact } from '../errors.ts';
import { type Arrival, type Consumer, isRemote, type Sink, type Source, type Way } from './forwarding.ts';

/** Something that sends to an address, and wants to know whether anybody is there. */
export interface Producer {
  /** The connection behind it; null for this site's own listeners. */
  readonly via: Way | null;
  /** The address gained or lost consumers, or is refused to those who send to it. */
  onConsumersChanged(): void;
}

/**
 * How the messages of an address are spread over its consumers: a copy to each (multicast), or each to one of them: to
 * the nearest (closest), or to the least busy, as long as it is not too far (balanced).
 */
export type Treatment = 'multicast' | 'closest' | 'balanced';

/** Why the network beyond this router lets it not take messages for an address, or not send them there. */
export interface Refusals {
  offer: ErrorFact | null;
  use: ErrorFact | null;
}

export class Address {
  readonly key: string;
  readonly treatment: Treatment;
  readonly consumers: Consumer[] = [];
  readonly refusals: Refusals = { offer: null, use: null };
  /** Messages under way to other routers, of those that are counted, by the neighbours that have them. */
  #sent: Map<Way, number> | null = null;
  /** Most addresses are those of one reply: nothing is attached to them, and nothing counted. */
  #producers: Set<Producer> | null = null;
  /** Messages that have come, but for those from other interior routers, and where all went. */
  readonly carried = { ingress: 0, egress: 0, transit: 0, toRouter: 0 };
  /** Counts choices, so that equals take turns. */
  turn = 0;

  constructor(key: string, treatment: Treatment) {
    this.key = key;
    this.treatment = treatment;
  }

  /** The name without its class letter. */
  get name(): string {
    return this.key.slice(1);
  }

  get mobile(): boolean {
    return this.key.charCodeAt(0) === MOBILE;
  }

  get multicast(): boolean {
    return this.treatment === 'multicast';
  }

  /** Whether a consumer is at this site, or at an edge of it: then other interior routers are told of the address. */
  get servedHere(): boolean {
    return this.consumers.some(({ cost }) => cost === 0);
  }

  get producers(): ReadonlySet<Producer> {
    return this.#producers ?? NOBODY;
  }

  attach(producer: Producer): void {
    this.#producers ??= new Set();
    this.#producers.add(producer);
  }

  /** False when it was not attached. */
  detach(producer: Producer): boolean {
    return this.#producers?.delete(producer) ?? false;
  }

  /** Messages of this address that the neighbour has, and has said nothing final of. */
  sentBy(way: Way): number {
    return this.#sent?.get(way) ?? 0;
  }

  countSent(way: Way, change: 1 | -1): void {
    const count = this.sentBy(way) + change;
    this.#sent ??= new Map();
    if (count > 0) this.#sent.set(way, count);
    else this.#sent.delete(way);
  }

  /** A message has come. */
  countArrival({ via }: Arrival): void {
    if (via?.neighbour === undefined) this.carried.ingress++;
  }

  /** Gives a message, or a copy of it, to one of its consumers. */
  give(consumer: Consumer, arrival: Arrival, source: Source): Sink {
    if (isRemote(consumer)) this.carried.transit++;
    else if (consumer.partOfRouter) this.carried.toRouter++;
    else this.carried.egress++;
    return consumer.deliver(arrival, source);
  }

  /** Whether somebody takes messages that come by `via`: they are not sent back where they came from. */
  reachableFrom(via: Way | null): boolean {
    return via === null ? this.consumers.length > 0 : this.consumers.some((consumer) => consumer.via !== via);
  }
}

const NOBODY: ReadonlySet<never> = new Set();
const MOBILE = 'M'.charCodeAt(0);

/** What routing keys are where nobody says otherwise, as in the configuration of Skupper's routers. */
function treatmentOf(key: string): Treatment | null {
  // Every hub of a fleet listens at the same address, and a device is that of the hub it is linked to.
  if (key.charCodeAt(0) !== MOBILE || key.startsWith('skiff.', 1)) return 'closest';
  return key.startsWith('mc/', 1) ? 'multicast' : null;
}

export class AddressTable {
  /** Called after any change of consumers or producers of an address. */
  onChange: (address: Address) => void = () => {};
  readonly #addresses = new Map<string, Address>();

  get(key: string): Address | undefined {
    return this.#addresses.get(key);
  }

  all(): IterableIterator<Address> {
    return this.#addresses.values();
  }

  /** `treatment`: what another router says of the address; it holds where nothing else is known of it. */
  addConsumer(key: string, consumer: Consumer, treatment?: Treatment): void {
    const address = this.#obtain(key, treatment);
    address.consumers.push(consumer);
    this.#changed(address);
  }

  removeConsumer(key: string, consumer: Consumer): void {
    const address = this.#addresses.get(key);
    const index = address?.consumers.indexOf(consumer) ?? -1;
    if (!address || index < 0) return;
    address.consumers.splice(index, 1);
    this.#changed(address);
    this.#dropIfUnused(address);
  }

  addProducer(key: string, producer: Producer): Address {
    const address = this.#obtain(key);
    address.attach(producer);
    this.onChange(address);
    return address;
  }

  removeProducer(key: string, producer: Producer): void {
    const address = this.#addresses.get(key);
    if (!address?.detach(producer)) return;
    this.onChange(address);
    this.#dropIfUnused(address);
  }

  /** The network beyond refuses an address, or, with null, does so no more. */
  setRefusal(key: string, what: keyof Refusals, refusal: ErrorFact | null): void {
    const address = this.#addresses.get(key);
    if (!address || address.refusals[what] === refusal) return;
    address.refusals[what] = refusal;
    if (what === 'use') for (const producer of [...address.producers]) producer.onConsumersChanged();
    else for (const consumer of [...address.consumers]) consumer.onOfferRefused?.(refusal);
  }

  #obtain(key: string, treatment: Treatment = 'balanced'): Address {
    let address = this.#addresses.get(key);
    if (!address) {
      address = new Address(key, treatmentOf(key) ?? treatment);
      this.#addresses.set(key, address);
    }
    return address;
  }

  #changed(address: Address): void {
    if (address.producers.size > 0) for (const producer of [...address.producers]) producer.onConsumersChanged();
    this.onChange(address);
  }

  #dropIfUnused(address: Address): void {
    if (address.consumers.length === 0 && address.producers.size === 0) this.#addresses.delete(address.key);
  }
}

/** The part of an address behind `amqp:` and slashes: `amqp:/_edge/x/temp.y` is `_edge/x/temp.y`. */
export function stripScheme(address: string): string {
  let name = address;
  if (name.startsWith('amqp:')) name = name.slice(5);
  let start = 0;
  while (name.charCodeAt(start) === SLASH) start++;
  return start === 0 ? name : name.slice(start);
}

const SLASH = '/'.charCodeAt(0);

/** The management agent's key. Everybody's `$management` is that of the router they are connected to. */
export const MANAGEMENT_KEY = 'L$management';

/** The table's key for an address, seen from router `id`. */
export function addressKey(address: string, id: string): string {
  const name = stripScheme(address);
  if (name.charCodeAt(0) !== UNDERSCORE) return name === '$management' ? MANAGEMENT_KEY : `M${name}`;
  if (name.startsWith('_local/')) return `L${name.slice(7)}`;
  if (name.startsWith('_topo/0/')) return routerKey(name.slice(8), id, 'R');
  if (name.startsWith('_edge/')) return routerKey(name.slice(6), id, 'H');
  return `M${name}`;
}

const UNDERSCORE = '_'.charCodeAt(0);

function routerKey(rest: string, id: string, letter: 'R' | 'H'): string {
  const slash = rest.indexOf('/');
  const router = slash < 0 ? rest : rest.slice(0, slash);
  if (router !== id) return `${letter}${router}`;
  return `L${slash < 0 ? '' : rest.slice(slash + 1)}`;
}
