/**
 * Stands between a fleet's device and the network, on one connection of the device: says what may be attached and sent,
 * and ends what is under way when a right is lost. Links are looked at once, and so is each address of messages that
 * carry their own.
 */
import { AmqpError, Condition } from '../amqp/error.ts';
import type { MessageHead } from '../amqp/message.ts';
import type { Chunk } from '../net/chunk.ts';
import { addressKey, stripScheme } from './addresses.ts';
import type { Arrival } from './forwarding.ts';
import type { Entry } from './privileges.ts';
import type { Denial } from './protocol.ts';
import type { FlowRecord } from './records/encoding.ts';
import { BEACONS, readBeacon, readMessage } from './records/messages.ts';
import type { Router } from './router.ts';

/** Where a fleet's controller takes messages, and, before its router id, where a device does. */
const CONTROLLER = 'skiff.fleet';
const DEVICE = 'skiff.device.';
/** Addresses of which is known whether they may be sent to. */
const MAX_JUDGED = 256;
/** Reply addresses that may be answered, and that the device waits at: of the messages that came and went last. */
const MAX_REPLIES = 8_192;

/** A message under way to or from the device. */
export interface UnderWay {
  /** Ends it: the right is lost. */
  cut(): void;
}

export class Guard {
  readonly device: string;
  readonly #router: Router;
  readonly #onDenied: (action: Denial['action'], address: string) => void;
  readonly #judged = new Map<string, boolean>();
  /** Where those who sent to the device await its answers, each with the key of the address they sent to. */
  readonly #issued = new Map<string, string>();
  /** Where the device awaits answers, each with the address that it sent to. */
  readonly #asked = new Map<string, string>();
  /** What is under way because the device may offer an address, or use one: that address. */
  readonly #byOffer = new Map<UnderWay, string>();
  readonly #byUse = new Map<UnderWay, string>();
  readonly #ownReplies: string;
  /** The source of flow records that the device is. */
  #source: string | null = null;

  /** `onDenied` hears of every refusal that is the first of its kind. */
  constructor(device: string, router: Router, onDenied: (action: Denial['action'], address: string) => void) {
    this.device = device;
    this.#router = router;
    this.#onDenied = onDenied;
    this.#ownReplies = `_edge/${device}/temp.`;
  }

  get entry(): Entry {
    return this.#router.privileges.of(this.device);
  }

  /** Whether the device may be a consumer of the address with this key. */
  mayReceive(key: string): boolean {
    if (key.charCodeAt(0) !== MOBILE) return false;
    const name = key.slice(1);
    if (name === `${DEVICE}${this.device}`) return true;
    const source = /^(?:sfe|vfcr)\.(.+)$/.exec(name)?.[1];
    return source === undefined ? this.entry.offers.has(name) : this.#isOwnSource(source);
  }

  maySend(address: string): boolean {
    if (this.#issued.has(address)) return true;
    let may = this.#judged.get(address);
    if (may === undefined) {
      may = this.#judge(addressKey(address, this.#router.id));
      if (this.#judged.size >= MAX_JUDGED) this.#judged.clear();
      this.#judged.set(address, may);
    }
    return may;
  }

  /** Whether a message may go to this address; `judged`: it is that of a link that was let through. */
  admits({ head, first, complete, address }: Arrival, judged: boolean): boolean {
    if (!judged && !this.maySend(address)) {
      this.deny('send', address);
      return false;
    }
    if (stripScheme(address) === BEACONS && !(complete && this.#isOwnBeacon(first))) {
      this.deny('send', address);
      return false;
    }
    if (head.replyTo === null) return true;
    // Whoever answers is trusted with more than the device is: it must not be made to send elsewhere.
    const replyTo = stripScheme(head.replyTo);
    if (!replyTo.startsWith(this.#ownReplies) && !this.mayReceive(addressKey(replyTo, this.#router.id))) {
      this.deny('receive', head.replyTo);
      return false;
    }
    keep(this.#asked, head.replyTo, address);
    return true;
  }

  /** A message goes to the device: it may answer to where that says. */
  delivering(head: MessageHead, address: string): void {
    const { replyTo, correlationId } = head;
    if (replyTo === null) return;
    const name = stripScheme(replyTo);
    if (REPLY_ADDRESS.test(name)) keep(this.#issued, replyTo, address);
    // Of a stream, word on its flow record goes to the router at its other end.
    const source = typeof correlationId === 'string' ? /^[\w+]{5}(?=:\d+$)/.exec(correlationId)?.[0] : undefined;
    if (source !== undefined) keep(this.#issued, `vfcr.${source}:0`, address);
  }

  /** Whether what the device's source says of this record can be true. */
  vouches({ type, identity, name }: FlowRecord): boolean {
    if (type === 'SITE') return this.device.endsWith(`-${identity.slice(0, 8)}`);
    return type !== 'ROUTER' || name === undefined || name === `0/${this.device}`;
  }

  /** Notes a refusal, and makes the error of it. */
  deny(action: Denial['action'], address: string): AmqpError {
    const shown = address.slice(0, 256);
    if (this.entry.deny(action, shown)) this.#onDenied(action, shown);
    return new AmqpError(Condition.unauthorizedAccess, denial(this.device, action, shown));
  }

  /** A message comes from the device: to use an address, or in answer to one who uses what the device offers. */
  trackIncoming(message: UnderWay, address: string): void {
    const offered = this.#issued.get(address);
    if (offered === undefined) this.#byUse.set(message, address);
    else this.#byOffer.set(message, offered);
  }

  /** A message goes to the device: because it offers an address, or in answer to it. */
  trackOutgoing(message: UnderWay, address: string): void {
    const used = this.#asked.get(address);
    if (used === undefined) this.#byOffer.set(message, address);
    else this.#byUse.set(message, used);
  }

  forget(message: UnderWay): void {
    this.#byOffer.delete(message);
    this.#byUse.delete(message);
  }

  /** The rights are others: ends the messages that may not be any more. */
  reconsider(): void {
    this.#judged.clear();
    for (const [replyTo, address] of this.#issued) if (!this.#mayStillTake(address)) this.#issued.delete(replyTo);
    for (const [message, address] of [...this.#byOffer]) if (!this.#mayStillTake(address)) message.cut();
    for (const [message, address] of [...this.#byUse]) if (!this.maySend(address)) message.cut();
  }

  /** What goes to the device itself is no matter of rights. */
  #mayStillTake(address: string): boolean {
    const key = addressKey(address, this.#router.id);
    return key === `H${this.device}` || this.mayReceive(key);
  }

  #judge(key: string): boolean {
    if (key.charCodeAt(0) !== MOBILE) return false;
    const name = key.slice(1);
    if (name === CONTROLLER || name === BEACONS) return true;
    const source = /^mc\/sfe\.([^.]+)(?:\.(?:flows|logs|heartbeats))?$/.exec(name)?.[1];
    return source === undefined ? this.entry.uses.has(name) : this.#isOwnSource(source);
  }

  /** A router is one source for life: the device's is the first that it speaks for, unless that is somebody else. */
  #isOwnSource(source: string): boolean {
    if (this.#source === null && this.#isFree(source)) this.#source = source;
    return this.#source === source;
  }

  #isFree(source: string): boolean {
    const { privileges, records } = this.#router;
    const speaker = privileges.speakerOf(source);
    if (speaker !== undefined) return speaker === this.device;
    if (!SOURCE.test(source)) return false;
    // One that is known already may be this very device, as it was before it joined the fleet.
    if (records.knows(source) && records.routerOf(source) !== `0/${this.device}`) return false;
    privileges.appoint(this.device, source);
    return true;
  }

  #isOwnBeacon(first: Chunk): boolean {
    const beacon = readBeacon(readMessage(first.view())?.applicationProperties ?? new Map());
    return beacon !== null && this.#isOwnSource(beacon.id);
  }
}

/** What a device was refused, in words. */
export function denial(device: string, action: Denial['action'], address: string): string {
  return action === 'send' ? `${device} may not send to ${address}` : `${device} may not receive from ${address}`;
}

const MOBILE = 'M'.charCodeAt(0);
/** A reply address that a router gave, behind any scheme. */
const REPLY_ADDRESS = /^_(?:edge|topo\/0)\/[^/]+\/temp\.[^/]+$/;
/** A source that is a router. */
const SOURCE = /^[\w+]{5}:0$/;

/** Keeps the newest. */
function keep(replies: Map<string, string>, replyTo: string, address: string): void {
  if (replies.size >= MAX_REPLIES && !replies.has(replyTo)) replies.delete(replies.keys().next().value as string);
  replies.set(replyTo, address);
}
