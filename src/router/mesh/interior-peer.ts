/**
 * Another interior router, seen over one connection (`capture-interior` in `test/fixtures/wire`). Who has dialled
 * attaches all links: a pair for what routers tell each other, and a pair for each priority of messages. Streams have
 * links of their own. The data connections of a trunk carry streams and nothing else.
 */
import type { IncomingDelivery } from '../../amqp/delivery.ts';
import { AmqpError, Condition } from '../../amqp/error.ts';
import type { Link, Receiver, ReceiverHandler, Sender, SenderHandler } from '../../amqp/link.ts';
import { ACCEPTED, type Attach, type ErrorValue, type Open, terminus } from '../../amqp/performatives.ts';
import type { Session } from '../../amqp/session.ts';
import { SkiffError } from '../../errors.ts';
import { Chunk } from '../../net/chunk.ts';
import { DATA_ROLE, type InteriorPurpose } from '../connections.ts';
import { ADDRESS_TRACKING, EDGE_DOWNLINK, MESH_DISCOVERY } from '../edge-peer.ts';
import type { Arrival, Sink, Source, Way } from '../forwarding.ts';
import { InboundLink, LINK_CAPACITY } from '../inbound.ts';
import { sendTo } from '../outbound.ts';
import { Peer, type PeerRole } from '../peer.ts';
import type { Router } from '../router.ts';
import { LINK_DETACH, linkName } from '../streaming-links.ts';
import type { Trunk } from './trunk.ts';

const CONTROL = 'qd.router';
const DATA = 'qd.router-data';
/** A link pair for each. */
const PRIORITIES = 10;
/** Octets of a routing message: one with all addresses of a router may be long. */
const MAX_ROUTING_MESSAGE = 16 * 1024 * 1024;
/** Milliseconds that a neighbour which sends too much has to wait for more credit. */
const FLOOD_PAUSE = 1_000;

export interface InteriorHooks {
  /** Of an accepted connection: answers with `accept` or `refuse`. */
  onOpened(peer: InteriorPeer, open: Open): void;
  onGone(peer: InteriorPeer, error: SkiffError | null): void;
}

/** What an interior router says of a connection that it has dialled; the correlator is null when it knows no trunks. */
export function readPurpose({ properties }: Open): Omit<InteriorPurpose, 'correlator'> & { correlator: string | null } {
  const cost = properties?.get('qd.inter-router-cost');
  const correlator = properties?.get('qd.group-correlator');
  return {
    isData: properties?.get('qd.inter-router-role') === DATA_ROLE,
    correlator: typeof correlator === 'string' && correlator !== '' ? correlator.slice(0, 64) : null,
    cost: typeof cost === 'number' && cost >= 1 ? cost : 1,
  };
}

export class InteriorPeer extends Peer {
  override readonly isRouter = true;
  /** The way that this connection is part of, once that is known. */
  trunk: Trunk | null = null;
  #isData: boolean;
  readonly #accepting: boolean;
  readonly #hooks: InteriorHooks;
  #control: Sender | null = null;
  #heard = false;
  /** For messages that are whole, by priority. */
  readonly #data: Sender[] = [];
  /** While there is no credit for routing messages. */
  #pause: NodeJS.Timeout | null = null;
  /** Streams that we have on the connection. */
  #streams = 0;
  /** Why this end has closed the connection. */
  #fault: SkiffError | null = null;
  /** Nothing stands by in a mesh: every connection is part of it. */
  readonly active = true;

  /** `isData`: what we dial for; null when we accept, and the other end says what it is. */
  constructor(router: Router, isData: boolean | null, hooks: InteriorHooks) {
    super(router);
    this.#accepting = isData === null;
    this.#isData = isData ?? false;
    this.#hooks = hooks;
  }

  override get role(): PeerRole {
    return this.#isData ? 'inter-router-data' : 'inter-router';
  }

  /** The connection carries streams for a trunk, and nothing else. */
  get isData(): boolean {
    return this.#isData;
  }

  protected override get streamCapabilities(): string[] {
    return this.#isData ? [] : [DATA];
  }

  override get notBackTo(): Way {
    return this.trunk ?? this;
  }

  get streamCount(): number {
    return this.#streams;
  }

  override onOpen(open: Open): void {
    if (this.#accepting) this.#isData = readPurpose(open).isData;
    super.onOpen(open);
  }

  protected override onOpened(open: Open): void {
    this.#hooks.onOpened(this, open);
  }

  override onClosed(error: SkiffError | null): void {
    if (this.#pause) clearTimeout(this.#pause);
    if (!this.#isData) this.trunk?.down();
    this.#hooks.onGone(this, this.#fault ?? error);
  }

  /** Attaches what the side that has dialled attaches. */
  attach(): void {
    const control = this.#openSession();
    const end = (capability: string) => terminus(null, { ...LINK_DETACH, capabilities: [capability] });
    const link = (capability: string) => ({ name: linkName(), source: end(capability), target: end(capability) });
    control.openReceiver(link(CONTROL), this.#controlReceiver()).setCapacity(LINK_CAPACITY);
    const sender = control.openSender(link(CONTROL), {
      ...this.#controlSender(),
      onAttached: (granted) => {
        if (granted) this.#controlAttached(sender);
      },
    });
    for (let priority = 0; priority < PRIORITIES; priority++) {
      const session = this.#openSession();
      const inbound = new InboundLink(this, null);
      inbound.bind(session.openReceiver(link(DATA), inbound));
      this.#data.push(session.openSender(link(DATA), this.#dataSender()));
    }
  }

  /** The two links for a priority have a session of their own. */
  override priorityOf(link: Link): number {
    const priority = this.#data.findIndex(({ session }) => session === link.session);
    return priority < 0 ? super.priorityOf(link) : priority;
  }

  /** Takes this connection out of the paths; what it carries goes on. */
  deactivate(): void {
    this.trunk?.down();
    this.#control?.detach();
    this.#control = null;
  }

  /** The connection is of no use, or may not be: closes it, and says why to both ends. */
  end(fault: SkiffError): void {
    if (this.connection.closing) return;
    this.#fault = fault;
    this.connection.close(new AmqpError(Condition.notAllowed, fault.message));
  }

  /** Sends a routing message, whole and with its annotations. */
  sendControl(octets: Buffer): void {
    const ignore = (): void => {};
    const handler = { onState: ignore, onLost: ignore, onWritable: ignore, onFinished: ignore };
    this.#control?.send(true, handler).end(true, new Chunk(octets, 0, octets.length));
  }

  /** Sends a message: one that is whole by the link for its priority, the beginning of a stream by one of its own. */
  send(arrival: Arrival, source: Source, onDone: () => void): Sink {
    const shared = this.#data[Math.min(arrival.head.priority, this.#data.length - 1)] ?? null;
    const isStream = !arrival.complete;
    if (isStream) this.#streams++;
    return sendTo(this, shared, arrival, source, () => {
      if (isStream) this.#streams--;
      onDone();
    });
  }

  /** The answer to a stream goes by the connection that it came by, so that both end with the same one. */
  override onArrival({ complete, head }: Arrival): void {
    if (this.#isData && !complete && head.replyTo !== null) this.trunk?.expectAnswer(head.replyTo, this);
  }

  protected override onWantsToReceive(session: Session, attach: Attach): void {
    const capabilities = attach.source?.capabilities ?? [];
    if (capabilities.includes(CONTROL) && !this.isData) {
      if (this.#control) throw secondControl();
      this.#controlAttached(this.acceptSender(session, attach, this.#controlSender()));
    } else if (capabilities.includes(DATA) && !this.isData && this.#data.length < PRIORITIES) {
      this.#data.push(this.acceptSender(session, attach, this.#dataSender()));
    } else {
      session.refuse(attach, this.#strange(attach.source?.address ?? null, capabilities));
    }
  }

  protected override onWantsToSend(session: Session, attach: Attach): void {
    const { address = null, capabilities = [] } = attach.target ?? {};
    if (capabilities.includes(CONTROL) && !this.isData) {
      if (this.#heard) throw secondControl();
      this.acceptReceiver(session, attach, this.#controlReceiver()).setCapacity(LINK_CAPACITY);
      this.#hears();
    } else if (address === null) {
      super.onWantsToSend(session, attach);
    } else {
      session.refuse(attach, this.#strange(address, capabilities));
    }
  }

  /** What no interior router attaches: it may be an edge, which has come to the wrong port. */
  #strange(address: string | null, capabilities: string[]): AmqpError {
    if (capabilities.includes(EDGE_DOWNLINK) || address === ADDRESS_TRACKING || address === MESH_DISCOVERY) {
      const id = this.connection.remote?.containerId ?? '';
      const message = `this port is for interior routers, and ${id} is an edge`;
      this.end(new SkiffError('not-interior', message, { hint: 'Link to the port for edges, or leave edge out' }));
    }
    return new AmqpError(Condition.notAllowed, 'interior routers attach no such links');
  }

  #openSession(): Session {
    const session = this.connection.openSession();
    session.onEnded = (error) => this.#lost('a session', error);
    return session;
  }

  /** A link without which the connection is of no use is gone. */
  #lost(what: string, error: ErrorValue | null): void {
    const why = error?.description ?? error?.condition ?? 'no reason given';
    const message = `the other end does not keep ${what} of interior routers: ${why}`;
    this.end(new SkiffError('not-interior', message, { hint: 'Link to its port for interior routers' }));
  }

  #controlSender(): SenderHandler {
    return {
      onDetached: (error) => {
        if (this.#control === null) return;
        this.#control = null;
        this.trunk?.down();
        if (error) this.#lost('the control link', error);
      },
    };
  }

  #controlReceiver(): ReceiverHandler {
    return {
      onAttached: (granted) => {
        if (granted) this.#hears();
      },
      onTransfer: (delivery, chunk) => this.#onControl(delivery, chunk),
      onDetached: (error) => {
        this.#heard = false;
        this.trunk?.down();
        if (error) this.#lost('the control link', error);
      },
    };
  }

  #dataSender(): SenderHandler {
    return { onDetached: (error) => this.#lost('a data link', error) };
  }

  #controlAttached(sender: Sender): void {
    this.#control = sender;
    this.#checkUp();
  }

  #hears(): void {
    this.#heard = true;
    this.#checkUp();
  }

  /** Routers may talk once the control link is attached in both directions. */
  #checkUp(): void {
    if (this.#control && this.#heard) this.trunk?.up();
  }

  #onControl(delivery: IncomingDelivery, chunk: Chunk | null): void {
    // Copies: the octets lie in slabs that are used again.
    const parts = (delivery.context as Buffer[] | null) ?? [];
    if (chunk) parts.push(Buffer.from(chunk.view()));
    chunk?.release();
    delivery.context = parts;
    const octets = parts.reduce((sum, part) => sum + part.length, 0);
    if (octets > MAX_ROUTING_MESSAGE) {
      throw new AmqpError(Condition.messageSize, `a routing message is longer than ${MAX_ROUTING_MESSAGE} octets`);
    }
    if (!delivery.complete || delivery.aborted) return;
    const message = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    delivery.context = null;
    delivery.update(ACCEPTED, true);
    if (this.trunk?.receive(message) === false) this.#slowDown(delivery.receiver);
  }

  /** Nothing is gained by taking what is not read. */
  #slowDown(control: Receiver): void {
    if (this.#pause) return;
    control.setCapacity(0);
    this.#pause = setTimeout(() => {
      this.#pause = null;
      control.setCapacity(LINK_CAPACITY);
    }, FLOOD_PAUSE);
  }
}

function secondControl(): AmqpError {
  return new AmqpError(Condition.notAllowed, 'routers talk by one link in each direction');
}
