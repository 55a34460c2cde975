/** The router: who it is, what addresses it knows, and where a message goes. */
import { randomBytes, randomFillSync } from 'node:crypto';
import type { RouterAnnotations } from '../amqp/message.ts';
import { type Address, AddressTable, addressKey } from './addresses.ts';
import { forwardToOne } from './anycast.ts';
import type { Arrival, Consumer, Sink, Source } from './forwarding.ts';
import { Multicast } from './multicast.ts';
import type { Peer } from './peer.ts';
import { Privileges } from './privileges.ts';
import type { RouterIdentity } from './protocol.ts';
import { Records } from './records/records.ts';
import { Totals } from './totals.ts';
import { Unanswered } from './unanswered.ts';
import { WaysBack } from './ways-back.ts';

export class Router {
  readonly identity: RouterIdentity;
  readonly addresses = new AddressTable();
  /** The mesh an edge says it is in; a mesh of its own, since edges of ours do not link to each other. */
  readonly meshId: string | null;
  /** Five characters that begin every record id of this router (`xxxxx:N`): where peers send word of our streams. */
  readonly recordPrefix = randomName(5, ALPHANUMERIC);
  /** Tells the connections of this process from those of another that poses as this router. */
  readonly instance = randomBytes(16).toString('hex');
  /** Fingerprints of certificates that are good no more. */
  revoked: ReadonlySet<string> = new Set();
  readonly privileges = new Privileges();
  /** Whoever is connected to this router, or about to be. */
  readonly peers = new Set<Peer>();
  /** What the connections carried that are gone. */
  readonly totals = new Totals();
  readonly unanswered = new Unanswered();
  readonly waysBack = new WaysBack(this);
  /** An edge's way to everything it does not know itself; null while no uplink is active. */
  uplink: Consumer | null = null;
  #nextRecord = 0;
  readonly records: Records;

  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** When it began, `performance.now()`. */
  readonly since = performance.now();

  constructor(identity: RouterIdentity, now: () => number = Date.now) {
    this.identity = identity;
    this.now = now;
    this.meshId = identity.mode === 'edge' ? randomName(15) : null;
    this.records = new Records(this);
  }

  get id(): string {
    return this.identity.id;
  }

  get isEdge(): boolean {
    return this.identity.mode === 'edge';
  }

  /** An id for a record of this router, never given twice. */
  nextRecordId(): string {
    return `${this.recordPrefix}:${this.#nextRecord++}`;
  }

  /** A reply address nobody else has: as others write it, and its key here. */
  newReplyAddress(): { address: string; key: string } {
    const name = `temp.${randomName(15)}`;
    const where = this.isEdge ? `_edge/${this.id}` : `_topo/0/${this.id}`;
    return { address: `amqp:/${where}/${name}`, key: `L${name}` };
  }

  /**
   * Sends a message on its way. Returns where its further octets go, or null when nobody takes it; `arrival.first`
   * is the caller's only in that case.
   */
  route(arrival: Arrival, source: Source): Sink | null {
    if (this.#looped(arrival.head.annotations)) return null;
    this.unanswered.onMessage(arrival.head.to);
    const address = this.addresses.get(addressKey(arrival.address, this.id));
    address?.countArrival(arrival);
    if (address?.multicast) return new Multicast(address, () => this.#consumersOf(address), arrival, source);
    const sink = address ? forwardToOne(address, arrival, source) : null;
    return sink ?? this.#viaUplink(address, arrival, source) ?? this.waysBack.wait(arrival, source);
  }

  /** Whether a message to this address, sent here by one of this site's own parts, would find somebody. */
  reachable(address: Address): boolean {
    return address.consumers.length > 0;
  }

  /** What an edge does not know goes up, unless it came from there or is meant for this very router. */
  #viaUplink(address: Address | undefined, arrival: Arrival, source: Source): Sink | null {
    const uplink = this.uplink;
    if (!uplink?.mayTake?.(arrival)) return null;
    if ((address?.key ?? addressKey(arrival.address, this.id)).startsWith('L')) return null;
    return uplink.deliver(arrival, source);
  }

  /** What an edge knows of a multicast address is for itself, unless a producer has asked its hub: then that is known, too. */
  #consumersOf(address: Address): Iterable<Consumer> {
    const { uplink } = this;
    return !uplink || address.producers.size > 0 ? address.consumers : [...address.consumers, uplink];
  }

  #looped(annotations: RouterAnnotations | null): boolean {
    return annotations?.trace.includes(`0/${this.id}`) ?? false;
  }
}

const ALPHANUMERIC = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Random octets, drawn many at a time: a stream needs a name, and each draw costs more than the name. */
const random = Buffer.alloc(4096);
let drawn = random.length;

/** A random name of `length` characters, in the alphabet skupper-router uses for its own. */
export function randomName(length: number, alphabet = `${ALPHANUMERIC}+_`): string {
  if (drawn + length > random.length) {
    randomFillSync(random);
    drawn = 0;
  }
  let name = '';
  for (const end = drawn + length; drawn < end; drawn++) name += alphabet[(random[drawn] as number) % alphabet.length];
  return name;
}
