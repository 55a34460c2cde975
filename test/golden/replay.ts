/**
 * Plays one side of a recorded connection against a router of ours, which has the other side, and has its clients and
 * servers do what those of the recording did. The recording is walked in its order: what the played side said is said
 * again, with the numbers and reply addresses of this run; for what the other side said, it is waited until our router
 * has said as much.
 */
import net, { type Socket } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { uint, ushort } from '../../src/amqp/codec.ts';
import type { OutgoingDelivery } from '../../src/amqp/delivery.ts';
import { readBody } from '../../src/amqp/message.ts';
import {
  type DeliveryState,
  Descriptor,
  isTerminal,
  saslInit,
  saslMechanisms,
  saslOutcome,
} from '../../src/amqp/performatives.ts';
import { AMQP_HEADER, SASL_HEADER } from '../../src/amqp/sasl.ts';
import { MESH_DISCOVERY } from '../../src/router/edge-peer.ts';
import { chunkOf, rawFrame, until } from '../amqp/loopback.ts';
import {
  type Frame,
  FrameReader,
  field,
  otherSide,
  type Passed,
  readCapture,
  type Side,
  writeFrame,
} from './capture.ts';
import {
  bodyOctets,
  bodyOf,
  type DeliverySeen,
  Dialogue,
  type Event,
  isVanflow,
  type LinkSeen,
  meaningOf,
} from './dialogue.ts';
import { type End, Site } from './site.ts';

const ABSENT = field(null);
/** Channels on which the played side answers sessions of ours; the recordings have none as high. */
const FIRST_ANSWER = 0x1000;
const WINDOW = 0x2000;
/** Octets of a body that are enough to recognise it. */
const BODY_BEGINS = 8;
const TRACKING = '_$qd.edge_addr_tracking';

/** A client's connection: the stream that opens it, and the one that answers. */
interface Exchange {
  opening: DeliverySeen;
  reply: DeliverySeen | null;
  end: End | null;
  written: number;
}

export interface Outcome {
  recorded: Record<string, unknown>;
  ours: Record<string, unknown>;
  live: Dialogue;
  recording: Dialogue;
  close(): Promise<void>;
}

/** Replays a capture; `ours` is the side that our router takes. */
export async function replay(name: string, ours: Side, plain = false): Promise<Outcome> {
  const { frames } = readCapture(name);
  const player = new Player(frames, ours, plain);
  try {
    return await player.run();
  } catch (error) {
    await player.close();
    throw error;
  }
}

class Player {
  readonly #frames: Passed[];
  readonly #ours: Side;
  readonly #theirs: Side;
  /** Without TCP: messages of plain AMQP clients. */
  readonly #plain: boolean;
  /** The recording as a whole, and as far as it was played. */
  readonly #whole = new Dialogue();
  readonly #recorded = new Dialogue();
  readonly #live = new Dialogue();
  readonly #site: Site;
  readonly #exchanges = new Map<string, Exchange>();
  readonly #openings = new Map<string, number>();
  /** Addresses made up in the recording, and those made up now. */
  readonly #renamed = new Map<string, string>();
  readonly #liveIds = new Map<DeliverySeen, number>();
  readonly #reader = new FrameReader();
  readonly #written = new FrameReader();
  #failure: Error | null = null;
  #socket: Socket | null = null;
  #server: net.Server | null = null;
  #lastAnswer = FIRST_ANSWER;
  /** Messages of plain clients that were begun, and octets of the recorded ones that were sent. */
  readonly #messages = new Map<string, { outgoing: OutgoingDelivery; sent: number }>();
  /** Messages that plain receivers of our router should have got, and not settled. */
  readonly #unsettled = new Map<string, number>();

  constructor(frames: Passed[], ours: Side, plain: boolean) {
    // The end of the recording is the end of a process, which is another story.
    const close = frames.findIndex(({ frame }) => frame.type === 'close');
    const said = close < 0 ? frames : frames.slice(0, close);
    this.#frames = ours === 'connector' ? discoveredFirst(said) : said;
    this.#ours = ours;
    this.#theirs = otherSide(ours);
    this.#plain = plain;
    for (const { side, frame } of this.#frames) this.#whole.take(side, frame);
    this.#site = new Site(this.#whole.opens[ours]?.containerId ?? '', ours === 'connector' ? 'edge' : 'interior');
  }

  async run(): Promise<Outcome> {
    await this.#prepare();
    for (const { side, frame } of this.#frames) {
      const event = this.#recorded.take(side, frame);
      const { link } = event;
      if (link && isVanflow(link.key) && (side === this.#ours || link.initiator === this.#ours)) continue;
      if (side === this.#theirs) {
        if (event.first && event.delivery) await this.#admit(event.delivery);
        this.#play(event);
      } else {
        await this.#prompt(event);
        await this.#until(() => this.#matched(event), `our router says what the recorded one did: ${described(event)}`);
        this.#rename(event);
      }
      if (this.#failure) throw this.#failure;
    }
    const recorded = meaningOf(this.#recorded, this.#ours);
    // What was said last may still be under way.
    await until(() => isDeepStrictEqual(meaningOf(this.#live, this.#ours), recorded), '', 500).catch(() => {});
    return {
      recorded,
      ours: meaningOf(this.#live, this.#ours),
      live: this.#live,
      recording: this.#recorded,
      close: () => this.close(),
    };
  }

  async close(): Promise<void> {
    await this.#site.close();
    this.#socket?.destroy();
    this.#server?.close();
  }

  /** Starts our router with what the recorded one had from the beginning, and connects it. */
  async #prepare(): Promise<void> {
    const start = new Dialogue();
    const beginning = this.#frames.findIndex(({ frame }) => frame.type === 'transfer');
    for (const { side, frame } of this.#frames.slice(0, beginning)) start.take(side, frame);
    for (const link of start.links.values()) {
      if (!isAddress(link)) continue;
      if (this.#ours === 'connector') await this.#offer(link, true);
      else if (link.sender === 'connector' && link.credit > 0) await this.#serve(link.address as string, true);
    }
    if (this.#ours === 'listener') {
      // Whom the recorded hub sends streams to, its listeners led to.
      for (const { head, link } of this.#whole.deliveries.values())
        if (head?.replyTo && link.stream && link.sender === this.#ours) await this.#site.listen(head.to as string);
      const port = await this.#site.access('edge');
      this.#bind(net.connect({ host: '127.0.0.1', port, noDelay: true }));
      this.#write(SASL_HEADER);
      this.#write(rawFrame(0, saslInit('ANONYMOUS', Buffer.from('anonymous'), null), undefined, 1));
    } else {
      const server = net.createServer({ noDelay: true }, (socket) => this.#bind(socket));
      this.#server = server;
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      await this.#site.link((server.address() as net.AddressInfo).port);
    }
  }

  #bind(socket: Socket): void {
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (octets) => {
      try {
        for (const frame of this.#reader.take(octets)) this.#heard(frame);
      } catch (error) {
        this.#failure ??= error as Error;
      }
    });
  }

  #write(octets: Buffer): void {
    // What is said is read again, so that both sides are seen alike.
    for (const frame of this.#written.take(octets)) this.#live.take(this.#theirs, frame);
    this.#socket?.write(octets);
  }

  /** Something our router said. What is not in the recording, since it is a matter of each connection, is answered. */
  #heard(frame: Frame): void {
    const event = this.#live.take(this.#ours, frame);
    if (this.#ours === 'connector' && frame.type === 'header' && frame.octets.equals(SASL_HEADER)) {
      this.#write(SASL_HEADER);
      this.#write(rawFrame(0, saslMechanisms(['ANONYMOUS']), undefined, 1));
    } else if (frame.type === 'sasl' && frame.body.type === 'init') {
      this.#write(rawFrame(0, saslOutcome(0), undefined, 1));
    } else if (frame.type === 'begin' && frame.remoteChannel === null) {
      const channel = this.#lastAnswer++;
      this.#write(
        writeFrame(channel, Descriptor.begin, [
          field(ushort(frame.channel)),
          field(uint(0)),
          field(uint(WINDOW)),
          field(uint(0x7fffffff)),
          field(uint(0x7fffffff)),
        ]),
      );
    } else if (frame.type === 'end') {
      const channel = event.session?.channels[this.#theirs];
      if (channel !== undefined && event.session?.opener === this.#ours)
        this.#write(writeFrame(channel, Descriptor.end, []));
    } else if (frame.type === 'close') {
      this.#failure ??= new Error(`our router closed the connection: ${frame.fields[0]?.toString('latin1')}`);
    }
  }

  /** Says again what the played side said. */
  #play(event: Event): void {
    const { frame } = event;
    switch (frame.type) {
      case 'header':
        if (frame.octets.equals(AMQP_HEADER)) this.#write(AMQP_HEADER);
        return;
      case 'sasl':
      case 'empty':
      case 'close':
      case 'end':
        return;
      case 'open':
        this.#write(writeFrame(0, frame.code, frame.fields));
        return;
      case 'begin':
        if (frame.remoteChannel === null) this.#write(writeFrame(frame.channel, frame.code, frame.fields));
        return;
      case 'attach':
        this.#playAttach(event.link as LinkSeen, frame);
        return;
      case 'flow':
        if (event.link) this.#playFlow(event.link, frame);
        return;
      case 'transfer':
        this.#playTransfer(event, frame);
        return;
      case 'disposition':
        this.#playDisposition(event, frame);
        return;
      case 'detach': {
        const link = this.#counterpart(event.link as LinkSeen);
        const fields = [field(uint(link.handles[this.#theirs] as number)), ...frame.fields.slice(1)];
        this.#write(writeFrame(link.session.channels[this.#theirs] as number, frame.code, fields));
      }
    }
  }

  #playAttach(link: LinkSeen, frame: Frame): void {
    if (link.initiator === this.#theirs) {
      this.#write(writeFrame(frame.channel, frame.code, frame.fields));
      return;
    }
    const live = this.#counterpart(link);
    const taken = live.session.handles[this.#theirs];
    let handle = 0;
    while (taken.has(handle)) handle++;
    const fields = [field(live.name), field(uint(handle)), ...frame.fields.slice(2)];
    this.#write(writeFrame(live.session.channels[this.#theirs] as number, frame.code, fields));
  }

  #playFlow(recorded: LinkSeen, frame: Frame & { type: 'flow' }): void {
    const link = this.#counterpart(recorded);
    const { session } = link;
    const receives = link.sender === this.#ours;
    const fields = [
      field(uint(session.transfers[this.#ours])),
      field(uint(WINDOW)),
      field(uint(session.transfers[this.#theirs])),
      field(uint(0x7fffffff)),
      field(uint(link.handles[this.#theirs] as number)),
      receives ? field(uint(link.deliveries.length)) : (frame.fields[5] ?? ABSENT),
      ...frame.fields.slice(6),
    ];
    this.#write(writeFrame(session.channels[this.#theirs] as number, frame.code, fields));
  }

  #playTransfer(event: Event, frame: Frame & { type: 'transfer' }): void {
    const delivery = event.delivery as DeliverySeen;
    const link = this.#counterpart(delivery.link);
    let { payload } = frame;
    if (event.first) {
      this.#liveIds.set(delivery, link.session.ids[this.#theirs].size);
      this.#beforeStream(delivery);
      for (const [recorded, now] of this.#renamed) payload = replaced(payload, recorded, now);
    }
    const id = field(uint(this.#liveIds.get(delivery) as number));
    const fields = [field(uint(link.handles[this.#theirs] as number)), id, ...frame.fields.slice(2)];
    this.#write(writeFrame(link.session.channels[this.#theirs] as number, frame.code, fields, payload));
    const address = delivery.link.address ?? delivery.head?.to ?? '';
    if (this.#plain && event.complete && !delivery.aborted && this.#site.receives(address))
      this.#unsettled.set(address, (this.#unsettled.get(address) ?? 0) + 1);
  }

  #playDisposition({ deliveries }: Event, frame: Frame & { type: 'disposition' }): void {
    for (const recorded of deliveries ?? []) {
      const delivery = this.#live.deliveries.get(recorded.key);
      if (!delivery) {
        if (isVanflow(recorded.link.key)) continue;
        throw new Error(`there is no ${recorded.key} to be settled`);
      }
      const fields = [frame.fields[0] as Buffer, field(uint(delivery.id)), ABSENT, ...frame.fields.slice(3)];
      this.#write(writeFrame(delivery.link.session.channels[this.#theirs] as number, frame.code, fields));
    }
  }

  #counterpart(recorded: LinkSeen): LinkSeen {
    const link = this.#live.links.get(recorded.key);
    if (!link) throw new Error(`there is no link "${recorded.key}"`);
    return link;
  }

  /** A stream is about to come to our router: whether the server behind its address takes it was decided. */
  #beforeStream(delivery: DeliverySeen): void {
    const { head } = delivery;
    if (!delivery.link.stream || !head?.replyTo) {
      const exchange = this.#exchanges.get(head?.to ?? '');
      if (exchange) exchange.reply = delivery;
      return;
    }
    this.#exchanges.set(head.replyTo, { opening: delivery, reply: null, end: null, written: 0 });
  }

  /** Has clients, servers and configuration bring about what the recorded router is about to say. */
  async #prompt(event: Event): Promise<void> {
    const { frame, link, delivery } = event;
    const begun = frame.type === 'attach' && link?.stream && this.#whole.links.get(link.key)?.deliveries[0];
    if (begun && link.sender === this.#ours) await (this.#plain ? this.#begin(begun) : this.#open(begun));
    else if (frame.type === 'attach' && link && isAddress(link) && link.initiator === this.#ours)
      await this.#offer(link, true);
    else if (frame.type === 'detach' && link && isAddress(link) && link.initiator === this.#ours) {
      if (link.detached[this.#theirs] === undefined) await this.#offer(link, false);
    } else if (frame.type === 'flow' && link && isAddress(link) && link.credit > 0 && link.sender === this.#theirs)
      await this.#serve(link.address as string, true);
    else if (frame.type === 'disposition')
      for (const each of event.deliveries ?? []) await this.#promptOutcome(each, frame.body.state);
    else if (frame.type === 'transfer' && delivery && link) {
      if (link.address === TRACKING) await this.#promptTracking(delivery);
      else if (this.#plain) await this.#promptMessage(event, delivery);
      else if (link.stream) await this.#promptStream(event, delivery);
    }
  }

  /** What an edge attaches for: a local consumer, or a local producer. */
  async #offer(link: LinkSeen, wanted: boolean): Promise<void> {
    const address = link.address as string;
    if (link.sender !== this.#ours) await this.#serve(address, wanted);
    else if (this.#plain) await this.#site.sender(address, wanted);
    else await (wanted ? this.#site.listen(address) : this.#site.unlisten(address));
  }

  async #serve(address: string, wanted: boolean): Promise<void> {
    if (!this.#plain) return this.#site.serve(address, wanted);
    if (this.#site.receives(address)) await this.#site.received(address, this.#unsettled.get(address) ?? 0);
    if (!wanted) this.#unsettled.delete(address);
    await this.#site.receive(address, wanted);
  }

  async #promptTracking(delivery: DeliverySeen): Promise<void> {
    const { body } = readBody(delivery.octets.subarray(delivery.head?.bareStart ?? 0));
    const [key, reachable] = body as [string, boolean];
    await this.#serve(key.slice(1), reachable);
  }

  async #promptOutcome(delivery: DeliverySeen, state: DeliveryState | null): Promise<void> {
    if (!isTerminal(state)) return;
    const address = delivery.link.address ?? delivery.head?.to ?? '';
    if (this.#plain && delivery.link.sender === this.#theirs && this.#site.receives(address)) {
      await this.#site.settle(address, state as DeliveryState);
      this.#unsettled.set(address, (this.#unsettled.get(address) ?? 1) - 1);
    }
    const exchange = this.#exchanges.get(delivery.head?.replyTo ?? delivery.head?.to ?? '');
    if (exchange && state?.outcome === 'modified') await this.#reset(exchange);
  }

  /** Begins a message of a plain client: with its head, when it is one that is forwarded before it is whole. */
  async #begin({ key, link, head, octets }: DeliverySeen, complete = false): Promise<void> {
    if (!head) return;
    const outgoing = await this.#site.send(link.stream ? head.to : link.address);
    const sent = complete ? head.bareStart : head.bodyStart + BODY_BEGINS;
    if (!complete) outgoing.write(chunkOf(octets.subarray(head.bareStart, sent)));
    this.#messages.set(key, { outgoing, sent });
  }

  /** A message of a plain client, which may be told in parts, and taken back. */
  async #promptMessage({ first, complete }: Event, delivery: DeliverySeen): Promise<void> {
    const { key, head, octets, aborted } = delivery;
    if (!head || delivery.link.address === MESH_DISCOVERY) return;
    if (first && !this.#messages.has(key)) await this.#begin(delivery, complete);
    const message = this.#messages.get(key);
    if (!message) return;
    const { outgoing } = message;
    const rest = octets.length > message.sent ? chunkOf(octets.subarray(message.sent)) : null;
    message.sent = octets.length;
    if (complete && aborted) outgoing.abort();
    // A message that is whole leaves in one transfer: in two it would be a stream.
    else if (complete) outgoing.end(false, rest);
    else if (rest) outgoing.write(rest);
  }

  async #promptStream(event: Event, delivery: DeliverySeen): Promise<void> {
    const { head } = delivery;
    if (!head) return;
    if (event.first) await this.#open(delivery);
    const exchange = this.#exchanges.get(head.replyTo ?? head.to ?? '');
    if (!exchange) return;
    if (event.first && head.replyTo) exchange.opening = delivery;
    if (event.first && !head.replyTo) {
      const address = exchange.opening.head?.to as string;
      const number = this.#openings.get(address) ?? 0;
      this.#openings.set(address, number + 1);
      exchange.end = await this.#site.accepted(address, number);
      exchange.reply = delivery;
    }
    const { end } = exchange;
    if (!end) return;
    const octets = bodyOf(delivery).subarray(exchange.written);
    exchange.written += octets.length;
    if (octets.length > 0 && !end.socket.destroyed) end.socket.write(octets);
    if (!event.complete) return;
    if (this.#resets(exchange)) {
      await this.#reset(exchange);
      return;
    }
    const theirs = this.#theirsOf(exchange);
    if (theirs?.complete) await this.#until(() => end.ended, `the end of ${theirs.key} has gone through`);
    if (!end.socket.destroyed) end.socket.end();
  }

  /** Has a client connect, whose stream this is to be. */
  async #open(opening: DeliverySeen): Promise<void> {
    const { head, link } = opening;
    if (!link.stream || !head?.replyTo || this.#exchanges.has(head.replyTo) || this.#plain) return;
    const end = await this.#site.connect(head.to as string);
    this.#exchanges.set(head.replyTo, { opening, reply: null, end, written: 0 });
  }

  /** Whether our router's end of the exchange was reset: then it says of the other's stream that it failed. */
  #resets(exchange: Exchange): boolean {
    const theirs = this.#theirsOf(exchange);
    const final = theirs && this.#whole.deliveries.get(theirs.key);
    return final?.states[this.#ours].some(({ state }) => state?.outcome === 'modified') ?? false;
  }

  #theirsOf({ opening, reply }: Exchange): DeliverySeen | null {
    return opening.link.sender === this.#theirs ? opening : reply;
  }

  async #reset(exchange: Exchange): Promise<void> {
    const { end } = exchange;
    if (!end || end.socket.destroyed) return;
    const theirs = this.#theirsOf(exchange);
    if (theirs) await this.#until(() => end.octets >= bodyOctets(theirs), 'the other end has what was sent to it');
    end.socket.resetAndDestroy();
  }

  /** Whether our router has said as much. */
  #matched({ frame, link, delivery, deliveries, bodyOctets: octets, complete }: Event): boolean {
    const live = link && this.#live.links.get(link.key);
    switch (frame.type) {
      case 'open':
        return this.#live.opens[this.#ours] !== undefined;
      case 'attach':
        return live?.attaches[this.#ours] !== undefined;
      case 'detach':
        return live?.detached[this.#ours] !== undefined;
      case 'flow':
        return !link || link.sender === this.#ours || frame.body.linkCredit <= 0 || (live?.credit ?? 0) > 0;
      case 'transfer': {
        const ours = this.#live.deliveries.get(delivery?.key ?? '');
        return ours !== undefined && (ours.complete || (!complete && bodyOctets(ours) >= (octets ?? 0)));
      }
      case 'disposition':
        if (!isTerminal(frame.body.state) && !frame.body.settled) return true;
        return (deliveries ?? []).every((each) => {
          const ours = this.#live.deliveries.get(each.key);
          return isVanflow(each.link.key) || ours?.settled || (ours?.states[this.#ours].length ?? 0) > 0;
        });
      default:
        return true;
    }
  }

  #rename({ delivery, first }: Event): void {
    const made = delivery?.head?.replyTo;
    if (!first || !made) return;
    const now = this.#live.deliveries.get(delivery.key)?.head?.replyTo;
    if (now?.length !== made.length) throw new Error(`${now} does not have the form of ${made}`);
    this.#renamed.set(made, now);
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    await until(() => condition() || this.#failure !== null, what, 5_000);
    if (this.#failure) throw this.#failure;
  }

  /** Prepares the server for a stream that was refused, or was not. */
  async #admit(delivery: DeliverySeen): Promise<void> {
    const { head, link } = delivery;
    if (!link.stream || !head?.replyTo || this.#plain) return;
    const answered = [...this.#whole.deliveries.values()].some((each) => each.head?.to === head.replyTo);
    if (answered) await this.#site.backend(head.to as string);
    else await this.#site.refuse(head.to as string);
  }
}

/** A link for one address that parts of a site produce or consume. */
/**
 * The recorded edges tell what they send to before their hub knows which mesh they are in, ours when it does: the order of
 * frames in which that is said first.
 */
function discoveredFirst(frames: Passed[]): Passed[] {
  const whole = new Dialogue();
  const events = frames.map(({ side, frame }) => whole.take(side, frame));
  const start = events.findIndex(
    ({ link, frame }) => frame.type === 'attach' && link?.sender === 'connector' && isAddress(link),
  );
  const isDiscovery = ({ link, deliveries }: Event) => (link ?? deliveries?.[0]?.link)?.address === MESH_DISCOVERY;
  const known = events.findIndex((event) => event.frame.type === 'disposition' && isDiscovery(event));
  if (start < 0 || known < start) return frames;
  const isEarly = (index: number): boolean => {
    const event = events[index] as Event;
    return index <= known && (event.frame.type === 'begin' || isDiscovery(event));
  };
  const rest = frames.map((each, index) => ({ each, index })).slice(start);
  const [early, late] = [rest.filter(({ index }) => isEarly(index)), rest.filter(({ index }) => !isEarly(index))];
  return [...frames.slice(0, start), ...[...early, ...late].map(({ each }) => each)];
}

function isAddress({ address, key }: LinkSeen): boolean {
  return address !== null && !address.startsWith('_') && !isVanflow(key) && !/ (store1|hub) \d+$/.test(key);
}

function replaced(octets: Buffer, from: string, to: string): Buffer {
  const at = octets.indexOf(from);
  if (at < 0) return octets;
  return Buffer.concat([octets.subarray(0, at), Buffer.from(to), octets.subarray(at + from.length)]);
}

function described({ frame, link, delivery, deliveries }: Event): string {
  return [frame.type, delivery?.key ?? deliveries?.map(({ key }) => key).join() ?? link?.key ?? ''].join(' ');
}
