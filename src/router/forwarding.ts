/**
 * How a message travels through this router: it arrives from a source, is given to a consumer, and from then on its
 * octets flow to the consumer's sink while word of its fate flows back to the source. Sources and sinks are AMQP links
 * and TCP sockets alike.
 */
import type { MessageHead } from '../amqp/message.ts';
import type { DeliveryState } from '../amqp/performatives.ts';
import type { ErrorFact } from '../errors.ts';
import type { Chunk } from '../net/chunk.ts';
import type { Guard } from './guard.ts';

/** Where a message comes from, as the rest of the router sees it. */
export interface Source {
  /** The consumer's word: progress (`received`) or an outcome; `settled`: the last word. */
  onOutcome(state: DeliveryState, settled: boolean): void;
  /** A sink that was `blocked` takes more. */
  onWritable(): void;
}

/** Where a message goes. */
export interface Sink {
  /** Octets written now would only wait. They are taken all the same. */
  readonly blocked: boolean;
  /** Takes the chunk. */
  write(chunk: Chunk): void;
  /** The message is whole; `settled`: the source awaits no outcome. */
  end(settled: boolean): void;
  /** The message will never be whole. */
  abort(): void;
}

/** A message at the moment it is routed: its head is read, and some of it may still be on its way. */
export interface Arrival {
  head: MessageHead;
  /** The message without router annotations, as far as it has come. */
  first: Chunk;
  /** Octets of `first` in front of the body. */
  bodyOffset: number;
  /** `first` is all of it. */
  complete: boolean;
  /** The source awaits no outcome. */
  settled: boolean;
  /** The address it is routed by. */
  address: string;
  /** The address is that of the link it came by, not one the message carries. */
  byLink: boolean;
  /** The connection of the router it came from, to which it is not sent back; null for what begins at this router. */
  via: Way | null;
}

/**
 * What messages come and go by: the connection of a peer, or, for the interior routers, the neighbour that is next on the
 * way, whichever of its connections a message takes.
 */
export interface Way {
  /** What stands between it and the network. */
  readonly guard?: Guard | null;
  /** The id of the interior router at its other end, when it leads to one. */
  readonly neighbour?: string;
}

/** Something that takes messages for an address: at this site, at an edge of it, or at another interior router. */
export interface Consumer {
  /** What its messages go by; null for this site's own parts. A message is not sent back by where it came from. */
  readonly via: Way | null;
  /** Messages and streams it has in hand, or, of another interior router, the neighbour on the way there. */
  readonly outstanding: number;
  /** What the way there costs: that of the path to another interior router, 0 here and on edges. */
  readonly cost: number;
  /** The id of the interior router where it is, when it is at another one. */
  readonly routerId?: string;
  /** Which part of this site it is, for people. */
  readonly label?: string;
  /** It is the router itself that takes these messages, for its own purposes. */
  readonly partOfRouter?: boolean;
  /**
   * Whether a message may go there, after all the routers that it has passed: it would come to none of them again. Only
   * other interior routers say this and the next.
   */
  mayTake?(arrival: Arrival): boolean;
  /**
   * Whether the shortest path from the router where the message entered the network leads there through this one, as it
   * always does from this one itself; never from a router that is not known.
   */
  isOnPath?(arrival: Arrival): boolean;
  /** Whether it would not give this message back (`released`) for another to have: then nothing of it need be kept. */
  takesForGood?(arrival: Arrival): boolean;
  /** The network beyond this router does not let it offer the address; null: it does again. */
  onOfferRefused?(refusal: ErrorFact | null): void;
  deliver(arrival: Arrival, source: Source): Sink;
}

/** Whether it is at another interior router: at this site and on its edges nothing has a cost. */
export function isRemote({ cost }: Consumer): boolean {
  return cost > 0;
}

/** A message goes neither back where it came from, nor in circles. */
export function mayGoTo(consumer: Consumer, arrival: Arrival): boolean {
  if (arrival.via !== null && consumer.via === arrival.via) return false;
  return consumer.mayTake?.(arrival) ?? true;
}

export const DEAF: Source = { onOutcome: () => {}, onWritable: () => {} };

/** Takes everything and drops it. */
export const DISCARD: Sink = {
  blocked: false,
  write: (chunk) => chunk.release(),
  end: () => {},
  abort: () => {},
};
