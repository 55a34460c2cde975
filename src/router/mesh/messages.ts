/**
 * The six messages by which interior routers find each other, the paths between them, and who serves which address.
 * HELLO goes from neighbour to neighbour; RA, LSR and LSU speak of links, MAR and MAU of mobile addresses.
 */
import type { Treatment } from '../addresses.ts';

/** An address that a router serves. `key` has its class letter: `Mecho:7`, `Hstore1`. */
export interface ServedAddress {
  key: string;
  treatment: Treatment;
}

/** "I am here, and these I hear." Who finds itself in `seen` knows that the line works both ways. */
export interface Hello {
  opcode: 'HELLO';
  id: string;
  instance: number;
  seen: string[];
}

/** "This is how far my link state and my addresses have got." Goes to everybody, now and then. */
export interface RouterAdvertisement {
  opcode: 'RA';
  id: string;
  instance: number;
  linkSequence: number;
  mobileSequence: number;
}

/** "Send me your link state." */
export interface LinkStateRequest {
  opcode: 'LSR';
  id: string;
}

/** "These are my neighbours, at this cost." */
export interface LinkStateUpdate {
  opcode: 'LSU';
  id: string;
  instance: number;
  linkSequence: number;
  peers: ReadonlyMap<string, number>;
}

/** "I know your addresses up to this sequence; send me what there is now." */
export interface MobileAddressRequest {
  opcode: 'MAR';
  id: string;
  haveSequence: number;
}

/** "I serve these addresses": all of them (`exist`), or what has changed since the sequence before. */
export interface MobileAddressUpdate {
  opcode: 'MAU';
  id: string;
  mobileSequence: number;
  change: { exist: ServedAddress[] } | { add: ServedAddress[]; del: string[] };
}

export type RoutingMessage =
  | Hello
  | RouterAdvertisement
  | LinkStateRequest
  | LinkStateUpdate
  | MobileAddressRequest
  | MobileAddressUpdate;

/** Whom a routing message is for: the neighbour at the other end of a link, one router, or all of them. */
export type Destination = 'neighbour' | { router: string } | 'all';

/** The address that a routing message has on the wire. */
export function wireAddress(message: RoutingMessage, to: Destination): string {
  if (to === 'neighbour') return 'amqp:/_local/qdhello';
  const mobile = message.opcode === 'MAR' || message.opcode === 'MAU';
  return `amqp:/_topo/0/${to === 'all' ? 'all' : to.router}/qdrouter${mobile ? '.ma' : ''}`;
}
