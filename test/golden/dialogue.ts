/** What two sides of an AMQP connection have said so far: their links, and the deliveries on them. */
import { createHash } from 'node:crypto';
import { type MessageHead, readBody, readHead, streamStart } from '../../src/amqp/message.ts';
import type { Attach, DeliveryState, Open, Terminus } from '../../src/amqp/performatives.ts';
import { ADDRESS_TRACKING, MESH_DISCOVERY } from '../../src/router/edge-peer.ts';
import { type Frame, otherSide, type Side } from './capture.ts';

export interface SessionSeen {
  opener: Side;
  channels: Partial<Record<Side, number>>;
  handles: Record<Side, Map<number, LinkSeen>>;
  links: LinkSeen[];
  /** Transfers sent by a side. */
  transfers: Record<Side, number>;
  /** Delivery-ids given by a side. */
  ids: Record<Side, Map<number, DeliverySeen>>;
}

export interface LinkSeen {
  /** The same for the same link of another conversation. */
  key: string;
  /** An anonymous link for streams, of which there may be many. */
  stream: boolean;
  session: SessionSeen;
  initiator: Side;
  sender: Side;
  name: string;
  address: string | null;
  attaches: Partial<Record<Side, Attach>>;
  handles: Partial<Record<Side, number>>;
  detached: Partial<Record<Side, string>>;
  /** The receiver's last word on credit. */
  credit: number;
  deliveries: DeliverySeen[];
  /** What each side said, in its own order. */
  said: Record<Side, unknown[]>;
}

export interface DeliverySeen {
  key: string;
  link: LinkSeen;
  id: number;
  octets: Buffer;
  head: MessageHead | null;
  complete: boolean;
  settled: boolean;
  aborted: boolean;
  /** Outcomes told, progress apart, by the receiver and by the sender. */
  states: Record<Side, { state: DeliveryState | null; settled: boolean }[]>;
}

export interface Event {
  side: Side;
  frame: Frame;
  link?: LinkSeen;
  delivery?: DeliverySeen;
  deliveries?: DeliverySeen[];
  /** Of a transfer: it is the first of its delivery; the octets of the body so far; it is the last. */
  first?: boolean;
  bodyOctets?: number;
  complete?: boolean;
  /** Of a session's begin and end, and of what is said on it. */
  session?: SessionSeen;
}

export class Dialogue {
  readonly opens: Partial<Record<Side, Open>> = {};
  readonly links = new Map<string, LinkSeen>();
  readonly deliveries = new Map<string, DeliverySeen>();
  readonly closed: Partial<Record<Side, boolean>> = {};
  readonly #sessions: Record<Side, Map<number, SessionSeen>> = { connector: new Map(), listener: new Map() };
  readonly #counts = new Map<string, number>();

  take(side: Side, frame: Frame): Event {
    const event: Event = { side, frame };
    switch (frame.type) {
      case 'open':
        this.opens[side] = frame.body;
        return event;
      case 'begin':
        return { ...event, session: this.#begin(side, frame.channel, frame.remoteChannel) };
      case 'close':
        this.closed[side] = true;
        return event;
      case 'header':
      case 'sasl':
      case 'empty':
        return event;
    }
    const session = this.#session(side, frame.channel);
    event.session = session;
    switch (frame.type) {
      case 'end':
        this.#sessions[side].delete(frame.channel);
        return event;
      case 'attach':
        return { ...event, link: this.#attach(side, session, frame.body) };
      case 'detach': {
        const link = linkOf(session, side, frame.body.handle);
        link.detached[side] = frame.body.error?.condition ?? 'no error';
        link.said[side].push({ detach: link.detached[side], closed: frame.body.closed });
        session.handles[side].delete(frame.body.handle);
        return { ...event, link };
      }
      case 'flow':
        return frame.body.handle === -1 ? event : { ...event, link: this.#flow(side, session, frame.body) };
      case 'transfer':
        session.transfers[side]++;
        return { ...event, ...this.#transfer(side, linkOf(session, side, frame.body.handle), frame) };
      case 'disposition':
        return { ...event, deliveries: disposed(side, session, frame.body) };
    }
  }

  #session(side: Side, channel: number): SessionSeen {
    const session = this.#sessions[side].get(channel);
    if (!session) throw new Error(`no session on channel ${channel} of the ${side}`);
    return session;
  }

  #begin(side: Side, channel: number, remote: number | null): SessionSeen {
    const session: SessionSeen =
      remote !== null
        ? this.#session(otherSide(side), remote)
        : {
            opener: side,
            channels: {},
            handles: { connector: new Map(), listener: new Map() },
            links: [],
            transfers: { connector: 0, listener: 0 },
            ids: { connector: new Map(), listener: new Map() },
          };
    session.channels[side] = channel;
    this.#sessions[side].set(channel, session);
    return session;
  }

  #attach(side: Side, session: SessionSeen, attach: Attach): LinkSeen {
    let link = session.links.find(
      (each) => each.name === attach.name && each.initiator !== side && !each.attaches[side],
    );
    if (!link) {
      const sender = attach.role ? otherSide(side) : side;
      const terminus = attach.role ? attach.source : attach.target;
      const address = terminus?.address || null;
      // The first anonymous link of the connector is for messages; all others are for streams.
      const anonymous = address === null && !terminus?.dynamic && !attach.role;
      const stream = anonymous && (side === 'listener' || this.links.has('connector sends to anyone 1'));
      const what = stream ? 'streams' : terminus?.dynamic ? 'dynamic' : (address ?? 'anyone');
      link = {
        key: this.#numbered(`${side} ${sender === side ? 'sends to' : 'receives from'} ${what}`),
        stream,
        session,
        initiator: side,
        sender,
        name: attach.name,
        address,
        attaches: {},
        handles: {},
        detached: {},
        credit: 0,
        deliveries: [],
        said: { connector: [], listener: [] },
      };
      session.links.push(link);
      this.links.set(link.key, link);
    }
    link.attaches[side] = attach;
    link.handles[side] = attach.handle;
    session.handles[side].set(attach.handle, link);
    link.said[side].push({ attach: meaningOfAttach(attach) });
    return link;
  }

  #flow(side: Side, session: SessionSeen, flow: { handle: number; linkCredit: number; drain: boolean }): LinkSeen {
    const link = linkOf(session, side, flow.handle);
    if (side === link.sender) return link;
    // How often and how far credit is topped up is each side's own affair; whether there is any, is not.
    // So is whether credit is taken back when nobody is left to take messages: we do, skupper-router does not.
    link.credit = Math.max(flow.linkCredit, 0);
    if (link.credit > 0 && !link.said[side].includes('gives credit')) link.said[side].push('gives credit');
    if (flow.drain) link.said[side].push('drains');
    return link;
  }

  #transfer(side: Side, link: LinkSeen, frame: Frame & { type: 'transfer' }): Partial<Event> {
    const { body, payload } = frame;
    let delivery = link.deliveries.at(-1);
    const first = !delivery || delivery.complete;
    if (!delivery || delivery.complete) {
      const key = this.#numbered(link.stream ? `stream of the ${side}` : `${link.key}, delivery`);
      delivery = {
        key,
        link,
        id: body.deliveryId,
        octets: Buffer.alloc(0),
        head: null,
        complete: false,
        settled: false,
        aborted: false,
        states: { connector: [], listener: [] },
      };
      link.deliveries.push(delivery);
      this.deliveries.set(key, delivery);
      link.session.ids[side].set(body.deliveryId, delivery);
      link.said[side].push(delivery);
    }
    delivery.octets = Buffer.concat([delivery.octets, payload]);
    delivery.complete = !body.more || body.aborted;
    delivery.aborted ||= body.aborted;
    delivery.settled ||= body.settled === 1;
    if (!delivery.aborted) delivery.head ??= readHead(delivery.octets, 0, delivery.octets.length, delivery.complete);
    return { link, delivery, first, bodyOctets: bodyOctets(delivery), complete: delivery.complete };
  }

  #numbered(name: string): string {
    const number = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, number);
    return `${name} ${number}`;
  }
}

function linkOf(session: SessionSeen, side: Side, handle: number): LinkSeen {
  const link = session.handles[side].get(handle);
  if (!link) throw new Error(`no link has the handle ${handle} of the ${side}`);
  return link;
}

function disposed(
  side: Side,
  session: SessionSeen,
  {
    role,
    first,
    last,
    settled,
    state,
  }: { role: boolean; first: number; last: number; settled: boolean; state: DeliveryState | null },
): DeliverySeen[] {
  const found: DeliverySeen[] = [];
  for (let id = first; id <= last; id++) {
    const delivery = session.ids[role ? otherSide(side) : side].get(id);
    if (!delivery) continue;
    found.push(delivery);
    // Progress is told at each end's own octet counts.
    if (state?.outcome === 'received' && !settled) continue;
    delivery.states[side].push({ state, settled });
    if (!role && settled && state?.outcome === 'modified') {
      // The end of a stream that was cut short: settled at once, or told and settled a moment later. Both are recorded.
      delivery.settled = true;
      continue;
    }
    const number = delivery.link.deliveries.indexOf(delivery) + 1;
    delivery.link.said[side].push({ disposition: state, settled, of: `delivery ${number}` });
  }
  return found;
}

/** Where a stream's own octets begin, or a message's body. */
function bodyStart({ head, octets }: DeliverySeen): number {
  if (!head) return octets.length;
  const start = streamStart(octets, head.bodyStart, octets.length);
  return start < 0 ? head.bodyStart : start;
}

export function bodyOctets(delivery: DeliverySeen): number {
  return delivery.octets.length - bodyStart(delivery);
}

export function bodyOf(delivery: DeliverySeen): Buffer {
  return delivery.octets.subarray(bodyStart(delivery));
}

/** The sections of a message without router annotations: of a stream, or of a part of a message, those that are whole. */
export function sectionsOf(delivery: DeliverySeen): Buffer {
  const { head, octets, complete, aborted } = delivery;
  if (!head) return octets.subarray(0, 0);
  const start = bodyStart(delivery);
  const partial = !complete || aborted;
  return octets.subarray(head.bareStart, start > head.bodyStart || partial ? start : octets.length);
}

/**
 * An open without what differs on purpose: product and version, properties of our own, our larger frames, and what
 * tells connections and records apart.
 */
export function meaningOfOpen(open: Open | undefined): unknown {
  if (!open) return null;
  const { containerId, channelMax, idleTimeOut, offeredCapabilities, desiredCapabilities, properties } = open;
  const counted = new Set<unknown>(['product', 'version', 'qd.conn-id', 'qd.access-id', 'qd.group-correlator']);
  const told = [...(properties ?? [])].filter(([key]) => !String(key).startsWith('skiff.'));
  const sorted = told.map(([key, value]) => [key, counted.has(key) ? '*' : value]).sort();
  return { containerId, channelMax, idleTimeOut, offeredCapabilities, desiredCapabilities, properties: sorted };
}

function meaningOfAttach({ role, sndSettleMode, rcvSettleMode, source, target }: Attach): unknown {
  const settling = { snd: sndSettleMode ?? 2, rcv: rcvSettleMode ?? 0 };
  // A hub of skupper-router answers the sender to mesh discovery with its address as the source's; ours, as the target's.
  if (role && [source, target].some((each) => each?.address === MESH_DISCOVERY))
    return { role: 'receiver', ...settling };
  return {
    role: role ? 'receiver' : 'sender',
    ...settling,
    source: meaningOfTerminus(source),
    target: meaningOfTerminus(target),
  };
}

/** Without an address nothing can expire: what skupper-router says then ('session-end' in answers) means nothing. */
function meaningOfTerminus(terminus: Terminus | null): Terminus | null {
  return terminus && !terminus.address && !terminus.dynamic ? { ...terminus, expiryPolicy: null } : terminus;
}

/** Addresses that routers make up, and ids of records, differ in every run. */
export function masked<T>(value: T): T {
  if (typeof value === 'string') return value.replace(/temp\.[\w+]{15}/, 'temp.*').replace(/\b\w{5}:\d+$/, '*:*') as T;
  return value;
}

function meaningOfDelivery(delivery: DeliverySeen): unknown {
  const { head, settled, aborted, complete } = delivery;
  const ends = { settled, aborted, complete };
  if (!head) return ends;
  const { annotations, to, subject, replyTo, correlationId, contentType } = head;
  const own = bodyOf(delivery);
  const { body, applicationProperties } = readBody(sectionsOf(delivery));
  const sha256 = createHash('sha256').update(own).digest('hex');
  const mesh = annotations?.mesh ? '*' : null;
  return {
    ...ends,
    annotations: annotations && { ...annotations, mesh },
    to: masked(to),
    subject,
    replyTo: masked(replyTo),
    correlationId: masked(correlationId),
    contentType,
    // The edge's mesh has a random name.
    applicationProperties: [...applicationProperties].map(([key, value]) => [key, key === 'meshid' ? '*' : value]),
    ...(body === null ? { octets: own.length, sha256 } : { body }),
  };
}

/** What one side said, link by link. */
export function meaningOf(dialogue: Dialogue, side: Side): Record<string, unknown> {
  const meaning: Record<string, unknown> = {};
  for (const [key, { said }] of [...dialogue.links].sort(([one], [two]) => (one < two ? -1 : 1))) {
    if (isVanflow(key)) continue;
    const compared = said[side].filter((each) => !isTrackingOfRecords(each));
    meaning[key] = compared.map((each) => structuredClone(isDelivery(each) ? meaningOfDelivery(each) : each));
  }
  return meaning;
}

const isDelivery = (said: unknown): said is DeliverySeen =>
  typeof said === 'object' && said !== null && 'octets' in said;

/** Tracking tells whether records are collected: here they always are, and by the recorded routers mostly not. */
function isTrackingOfRecords(said: unknown): boolean {
  if (!isDelivery(said) || said.link.address !== ADDRESS_TRACKING || !said.complete) return false;
  const { body } = readBody(sectionsOf(said));
  return Array.isArray(body) && String(body[0]).startsWith('Mmc/sfe.');
}

/** Links for flow records: which there are, and what is said when, is a matter of who collects them. */
export const isVanflow = (key: string): boolean => /(to|from) (mc\/sfe|sfe|vfcr)\./.test(key);
