/**
 * An AMQP connection over a socket (AMQP 1.0, part 2.4 and 5.3): SASL, open, frames, idle timeouts, close.
 * It knows sessions and their channels, and nothing of routing.
 */
import type { Socket } from 'node:net';
import { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { socketFailure } from '../net/failure.ts';
import { Outbox } from '../net/outbox.ts';
import { discard, ReadSlab, readInto } from '../net/reading.ts';
import { Reader, type WritableDescribed, type WritableMap, Writer } from './codec.ts';
import { DeliveryCounts } from './counts.ts';
import type { OutgoingDelivery } from './delivery.ts';
import { AmqpError, Condition, tell } from './error.ts';
import {
  Disposition,
  Flow,
  FRAME_HEADER,
  hotDescriptor,
  readDisposition,
  readFlow,
  readTransfer,
  TRANSFER_HEADER_MAX,
  Transfer,
} from './hot.ts';
import type { Link } from './link.ts';
import {
  type Attach,
  closeFrame,
  Descriptor,
  type ErrorValue,
  type Open,
  openFrame,
  readDescriptor,
  readPerformative,
} from './performatives.ts';
import { AMQP_HEADER, SASL_HEADER, type Sasl } from './sasl.ts';
import { Session } from './session.ts';

export interface ConnectionOptions {
  containerId: string;
  /** Tells the connections of this container apart. */
  number?: number;
  /** The host we connect to, as `open` names it; null for accepted connections. */
  hostname: string | null;
  /** Octets of the largest frame we take. */
  maxFrameSize: number;
  /** Highest channel number we take. */
  channelMax: number;
  /** Frames a session may send ahead of us. */
  sessionWindow: number;
  /** Milliseconds without an octet after which the peer is taken for dead; 0: never. Half goes on the wire (2.4.5). */
  idleTimeout: number;
  /** Accepting: up to so much it becomes as long as the peer's own. As configured if not said. */
  mostIdleTimeout?: number;
  /** Milliseconds in which the peer must take something of what is written to it. */
  stallTimeout: number;
  /** Milliseconds the peer has until its open must have come. */
  openTimeout: number;
  capabilities: string[];
  properties: WritableMap;
  /** null: the AMQP header comes first, without SASL. */
  sasl: Sasl | null;
  /** Where our sequences of transfers and deliveries begin; 0 if not said. For tests, which have no 2^32 to wait for. */
  firstSequence?: number;
}

export interface ConnectionHandler {
  /**
   * The peer's open has come. An accepting side answers with `accept` or `refuse`, now or later: nothing more of the
   * peer's is read before.
   */
  onOpen(open: Open): void;
  /**
   * The peer wants a link. Answered with the session's `acceptSender`, `acceptReceiver` or `refuse`, at once: the peer
   * may use the link in its next frame. What is not answered is refused, with the `AmqpError` thrown if there is one.
   */
  onAttach(session: Session, attach: Attach): void;
  /** The connection is gone; null when both sides closed it in order. Called once. */
  onClosed(error: SkiffError | null): void;
}

type Phase = 'header' | 'sasl' | 'amqp' | 'closed';

/** Octets a waiting delivery may send before the next has its turn. */
const QUANTUM = 64 * 1024;
/** How long we wait for the peer's close after ours, in milliseconds. */
const CLOSE_TIMEOUT = 2000;
/** Octets of the largest frame we take of a peer that has not opened: its word is not worth more memory yet. */
const MAX_FRAME_BEFORE_OPEN = 8192;
/** The least max-frame-size there may be (2.4.1). */
const MIN_FRAME = 512;

// Frames are read one at a time, to their end: one of each serves the whole thread.
const transfer = new Transfer();
const flow = new Flow();
const disposition = new Disposition();
const writer = new Writer(4096);

export class Connection {
  readonly options: ConnectionOptions;
  readonly socket: Socket;
  readonly outbox: Outbox;
  /** Frames each new session lets the peer send ahead; may be set once the peer's open tells who it is. */
  sessionWindow: number;
  readonly firstSequence: number;
  /** Room to compose a transfer's header in. */
  readonly scratch = Buffer.allocUnsafe(TRANSFER_HEADER_MAX);
  handler: ConnectionHandler;
  /** The peer's open, once it has come. */
  remote: Open | null = null;
  /** Octets received and sent, for the link's facts. */
  octetsIn = 0;
  /** When an octet last came, `performance.now()`. */
  lastHeard = performance.now();
  /** Of the links that are gone. */
  readonly countsOfEnded = { in: new DeliveryCounts(), out: new DeliveryCounts() };
  #phase: Phase = 'header';
  #read = new ReadSlab();
  #opened = false;
  #held = false;
  #closing = false;
  #error: SkiffError | null = null;
  #maxFrame = MIN_FRAME;
  #sessions = new Map<number, Session>();
  #byRemote = new Map<number, Session>();
  /** Channels that were in use and are free again; those from `#channelsUsed` on have never been. */
  #freeChannels: number[] = [];
  #channelsUsed = 0;
  #waiting: OutgoingDelivery[] = [];
  #pumping: NodeJS.Immediate | null = null;
  #timer: NodeJS.Timeout;
  #idleTimer: NodeJS.Timeout | null = null;
  #idleTimeout: number;

  /** The socket must be connected, its TLS established, and nothing have been read from it. */
  constructor(socket: Socket, options: ConnectionOptions, handler: ConnectionHandler) {
    this.socket = socket;
    this.options = options;
    this.handler = handler;
    this.sessionWindow = options.sessionWindow;
    this.firstSequence = options.firstSequence ?? 0;
    this.#idleTimeout = options.idleTimeout;
    this.outbox = new Outbox(socket);
    this.outbox.onDrain = () => this.#pump();
    socket.on('error', (error) => this.#fail(socketFailure(error, 'the connection')));
    socket.on('end', () => this.#fail(this.#endError()));
    socket.on('close', () => this.#fail(this.#endError()));
    readInto(
      socket,
      () => this.#read.next(),
      (octets) => this.#onOctets(octets),
    );
    this.#timer = setTimeout(() => this.#openTimedOut(), options.openTimeout);
    const sasl = options.sasl;
    if (sasl?.role === 'client') {
      this.#raw(SASL_HEADER);
    } else if (!sasl && options.hostname !== null) {
      this.#raw(AMQP_HEADER);
      this.#sendOpen();
    }
  }

  /** Whether payload should wait: the socket has more than enough to write. */
  get congested(): boolean {
    return this.outbox.congested;
  }

  get closed(): boolean {
    return this.#phase === 'closed';
  }

  /** Our close has gone: nothing more can be sent. */
  get closing(): boolean {
    return this.#closing || this.#phase === 'closed';
  }

  /** Octets of payload that fit the peer's frames. */
  get maxPayload(): number {
    return this.#maxFrame - TRANSFER_HEADER_MAX;
  }

  get octetsOut(): number {
    return this.socket.bytesWritten;
  }

  /** Accepts the peer's open, which `onOpen` brought: ours goes, and reading goes on. */
  accept(properties: WritableMap = this.options.properties): void {
    if (this.closing) return;
    this.#sendOpen(properties);
    this.#goOn();
  }

  /** Refuses the peer's open: ours, and at once a close that says why. */
  refuse(error: AmqpError): void {
    this.close(error);
  }

  /** Milliseconds of silence after which the peer counts as gone; 0: never. */
  get idleTimeout(): number {
    return this.#idleTimeout;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** What became of the deliveries that came, and of those that went. */
  get counts(): Record<'in' | 'out', DeliveryCounts> {
    const sum = { in: new DeliveryCounts(), out: new DeliveryCounts() };
    for (const direction of ['in', 'out'] as const) sum[direction].add(this.countsOfEnded[direction]);
    for (const link of this.links) sum[link.isSender ? 'out' : 'in'].add(link.counts);
    return sum;
  }

  /** The links of all sessions. */
  get links(): Link[] {
    return [...this.#sessions.values()].flatMap((session) => [...session.links]);
  }

  /** Deliveries in either direction of which something is still to be said. */
  get deliveryCount(): number {
    let count = 0;
    for (const session of this.#sessions.values()) count += session.deliveryCount;
    return count;
  }

  /** Begins a session. Throws `SkiffError` when there are too many, or the connection is closed. */
  openSession(): Session {
    if (this.closing) throw new SkiffError('connection-closed', 'the connection is closed');
    const session = this.#newSession();
    if (!session) {
      const count = this.#sessions.size;
      throw new SkiffError(
        'channels-exhausted',
        `the connection already has ${count} sessions, as many as both ends take`,
      );
    }
    session.begin();
    return session;
  }

  /** Ends the connection in order; without an answer in time it is cut. */
  close(error: AmqpError | null = null): void {
    if (this.closed || this.#closing) return;
    this.#closing = true;
    if (this.#phase !== 'amqp') {
      this.#fail(error ? new SkiffError('connection-closed', error.message) : null);
      return;
    }
    this.#sendClose(error);
    if (error) this.#error ??= new SkiffError('connection-closed', `closed here: ${error.message}`, { cause: error });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail(this.#error), CLOSE_TIMEOUT);
    this.#goOn();
  }

  /** Cuts the connection, without a word to the peer. */
  destroy(error: SkiffError | null = null): void {
    this.socket.destroy();
    this.#fail(error);
  }

  /** Writes a frame off the hot path. */
  sendFrame(channel: number, body: WritableDescribed): void {
    this.#frame(0, channel, body);
  }

  /** A delivery that waits for its turn to write. */
  enqueue(delivery: OutgoingDelivery): void {
    if (delivery.scheduled) return;
    delivery.scheduled = true;
    this.#waiting.push(delivery);
    if (!this.congested) this.#pumping ??= setImmediate(() => this.#pump());
  }

  /** Deliveries that wait get their turns, a quantum each, until the socket has enough. */
  #pump(): void {
    if (this.#pumping) clearImmediate(this.#pumping);
    this.#pumping = null;
    // One round over what waits now: whoever is still not done stands at the end of the queue again.
    for (let turns = this.#waiting.length; turns > 0 && !this.congested; turns--) {
      const delivery = this.#waiting.shift();
      if (!delivery) break;
      delivery.scheduled = false;
      tell(() => delivery.pump(QUANTUM));
    }
    if (this.#waiting.length > 0 && !this.congested) this.#pumping = setImmediate(() => this.#pump());
  }

  #newSession(): Session | null {
    const limit = Math.min(this.options.channelMax, this.remote?.channelMax ?? 0xffff);
    let channel = this.#freeChannels.pop();
    if (channel === undefined) {
      if (this.#channelsUsed > limit) return null;
      channel = this.#channelsUsed++;
    }
    const session = new Session(this, channel);
    this.#sessions.set(channel, session);
    return session;
  }

  /** Reads what was left unread while the peer's open had no answer. */
  #goOn(): void {
    if (!this.#held) return;
    this.#held = false;
    // While nothing was read, nothing can have been heard.
    this.lastHeard = performance.now();
    this.#consume();
    if (!this.closed) this.socket.resume();
  }

  #frame(type: number, channel: number, body: WritableDescribed): void {
    if (this.closed) return;
    writer.offset = 0;
    writer.write(body);
    const size = FRAME_HEADER + writer.offset;
    if (this.#opened && this.remote && size > this.#maxFrame) {
      this.close(
        new AmqpError(
          Condition.frameSizeTooSmall,
          `a frame of ${size} octets does not fit the peer's ${this.#maxFrame}`,
        ),
      );
      return;
    }
    const start = this.outbox.reserve(size);
    const buffer = this.outbox.buffer;
    buffer.writeUInt32BE(size, start);
    buffer[start + 4] = 2;
    buffer[start + 5] = type;
    buffer.writeUInt16BE(channel, start + 6);
    writer.buffer.copy(buffer, start + FRAME_HEADER, 0, writer.offset);
    this.outbox.commit(start + size);
  }

  #raw(octets: Uint8Array): void {
    const start = this.outbox.reserve(octets.length);
    this.outbox.buffer.set(octets, start);
    this.outbox.commit(start + octets.length);
  }

  #sendOpen(properties: WritableMap = this.options.properties): void {
    if (this.#opened) return;
    this.#opened = true;
    const { containerId, hostname, maxFrameSize, channelMax, capabilities } = this.options;
    this.sendFrame(
      0,
      openFrame({
        containerId,
        hostname,
        maxFrameSize,
        channelMax,
        idleTimeOut: Math.floor(this.#idleTimeout / 2),
        offeredCapabilities: capabilities,
        desiredCapabilities: capabilities,
        properties,
      }),
    );
  }

  /** The last that we say. */
  #sendClose(error: AmqpError | null): void {
    this.#closing = true;
    this.#sendOpen();
    this.sendFrame(0, closeFrame(error));
    this.outbox.close();
  }

  #onOctets(octets: number): boolean {
    this.lastHeard = performance.now();
    this.octetsIn += octets;
    this.#read.filled(octets);
    this.#consume();
    return !this.#held;
  }

  #consume(): void {
    try {
      while (this.#phase !== 'closed' && !this.#held && this.#step());
    } catch (error) {
      this.#protocolError(error instanceof AmqpError ? error : this.#internalError(error));
    }
    // A peer may ask for more than it reads: what it is answered must not pile up until somebody looks.
    if (this.outbox.overflowing) this.#fail(stoppedReading());
  }

  /** A bug of ours that a frame has brought out must not take the other connections down with this one. */
  #internalError(error: unknown): AmqpError {
    log.error('amqp', `a frame could not be handled: ${error instanceof Error ? error.stack : String(error)}`);
    return new AmqpError(Condition.internalError, 'the frame could not be handled');
  }

  /** Reads one header or frame; false when it has not come whole. */
  #step(): boolean {
    const read = this.#read;
    const { buffer, start } = read;
    if (read.end - start < 8) return false;
    if (this.#phase === 'header') {
      this.#onHeader(buffer.subarray(start, start + 8));
      read.start += 8;
      return true;
    }
    const size = buffer.readUInt32BE(start);
    const { maxFrameSize } = this.options;
    const most = this.remote ? maxFrameSize : Math.min(maxFrameSize, MAX_FRAME_BEFORE_OPEN);
    if (size < FRAME_HEADER || size > most) {
      throw new AmqpError(Condition.framingError, `a frame of ${size} octets; ${most} is the most`);
    }
    if (read.end - start < size) {
      read.want(size);
      return false;
    }
    read.want(0);
    read.start += size;
    const bodyStart = start + 4 * (buffer[start + 4] as number);
    const end = start + size;
    if (bodyStart < start + FRAME_HEADER || bodyStart > end)
      throw new AmqpError(Condition.framingError, 'a frame with a wrong data offset');
    if (this.#phase === 'sasl') {
      if (buffer[start + 5] !== 1)
        throw new AmqpError(Condition.framingError, 'a frame that is not SASL in the SASL phase');
      this.#onSasl(new Reader(buffer, bodyStart, end));
    } else {
      if (buffer[start + 5] !== 0)
        throw new AmqpError(Condition.framingError, `a frame of unknown type ${buffer[start + 5]}`);
      if (bodyStart < end) this.#onFrame(buffer, start, bodyStart, end);
    }
    return true;
  }

  #onHeader(header: Buffer): void {
    const sasl = this.options.sasl;
    if (header.equals(SASL_HEADER) && sasl && !sasl.done) {
      this.#phase = 'sasl';
      if (sasl.role === 'server') {
        this.#raw(SASL_HEADER);
        this.#frame(1, 0, sasl.start());
      }
    } else if (header.equals(AMQP_HEADER) && (!sasl || sasl.done || sasl.optional)) {
      this.#phase = 'amqp';
      if (this.options.hostname === null) this.#raw(AMQP_HEADER);
    } else {
      this.#raw(sasl && !sasl.done ? SASL_HEADER : AMQP_HEADER);
      this.outbox.flush();
      const got = header.toString('latin1').replace(/[^\x20-\x7e]/g, '.');
      this.#fail(
        new SkiffError(
          'not-amqp',
          `the peer does not speak AMQP 1.0${sasl && !sasl.optional ? ' with SASL' : ''}: it began with "${got}"`,
        ),
      );
    }
  }

  #onSasl(reader: Reader): void {
    const sasl = this.options.sasl;
    if (!sasl) throw new AmqpError(Condition.notAllowed, 'a SASL frame after SASL');
    const answer = sasl.onFrame(reader, this.options.hostname);
    if (answer) this.#frame(1, 0, answer);
    if (sasl.failure) {
      this.outbox.flush();
      this.#fail(sasl.failure);
    } else if (sasl.done) {
      this.#phase = 'header';
      if (sasl.role === 'client') {
        this.#raw(AMQP_HEADER);
        this.#sendOpen();
      }
    }
  }

  #onFrame(buffer: Buffer, frameStart: number, start: number, end: number): void {
    const channel = buffer.readUInt16BE(frameStart + 6);
    let code = hotDescriptor(buffer, start, end);
    let fields = start + 3;
    if (code === -1) {
      // A descriptor may be written at length, or as a symbol; few do.
      const reader = new Reader(buffer, start, end);
      code = readDescriptor(reader);
      fields = reader.offset;
    }
    // After our close only the peer's counts; least of all what a peer says that was refused (2.4.6).
    if (this.#closing && code !== Descriptor.close) return;
    switch (code) {
      case Descriptor.transfer: {
        const payload = readTransfer(transfer, buffer, fields, end);
        this.#session(channel)?.onTransfer(transfer, buffer, payload, frameStart, end, this.#read.slab);
        return;
      }
      case Descriptor.flow:
        readFlow(flow, buffer, fields, end);
        this.#session(channel)?.onFlow(flow);
        return;
      case Descriptor.disposition:
        readDisposition(disposition, buffer, fields, end);
        this.#session(channel)?.onDisposition(disposition);
        return;
    }
    this.#onPerformative(channel, new Reader(buffer, start, end));
  }

  #onPerformative(channel: number, reader: Reader): void {
    const frame = readPerformative(reader);
    if (frame.type !== 'open' && !this.remote) throw new AmqpError(Condition.illegalState, `${frame.type} before open`);
    switch (frame.type) {
      case 'open':
        this.#onOpen(frame.body);
        return;
      case 'close':
        this.#onClose(frame.body.error);
        return;
      case 'begin': {
        const own = frame.body.remoteChannel ?? -1;
        if (this.#byRemote.has(channel))
          throw new AmqpError(Condition.illegalState, `channel ${channel} has begun already`);
        if (channel > this.options.channelMax)
          throw new AmqpError(Condition.framingError, `channel ${channel} is past the channel-max`);
        const session = own === -1 ? this.#newSession() : this.#sessions.get(own);
        if (!session && own === -1)
          throw new AmqpError(Condition.resourceLimit, 'no channel is left to answer a begin with');
        if (!session || session.remoteChannel !== -1)
          throw new AmqpError(Condition.invalidField, `begin answers channel ${own}, which is not waiting`);
        this.#byRemote.set(channel, session);
        session.onBegin(frame.body, channel);
        return;
      }
      case 'end': {
        const session = this.#byRemote.get(channel);
        if (!session) throw new AmqpError(Condition.illegalState, `end on channel ${channel}, which has not begun`);
        this.#byRemote.delete(channel);
        this.#sessions.delete(session.channel);
        session.onEnd(frame.body.error);
        this.#freeChannels.push(session.channel);
        return;
      }
      case 'attach':
        this.#session(channel)?.onAttach(frame.body);
        return;
      case 'detach':
        this.#session(channel)?.onDetach(frame.body);
        return;
    }
  }

  /** The session of a peer's channel; null when we have ended it, so that frames already under way are passed over. */
  #session(channel: number): Session | null {
    const session = this.#byRemote.get(channel);
    if (!session) throw new AmqpError(Condition.illegalState, `a frame on channel ${channel}, which has not begun`);
    return session.ending ? null : session;
  }

  #onOpen(open: Open): void {
    if (this.remote) throw new AmqpError(Condition.illegalState, 'a second open');
    this.remote = open;
    this.#maxFrame = Math.max(MIN_FRAME, Math.min(open.maxFrameSize ?? 0xffffffff, 0x100000));
    clearTimeout(this.#timer);
    if (this.options.hostname === null) {
      this.#held = true;
      const asked = Math.min(2 * (open.idleTimeOut ?? 0), this.options.mostIdleTimeout ?? 0);
      if (this.#idleTimeout > 0) this.#idleTimeout = Math.max(this.#idleTimeout, asked);
    }
    this.#startIdleTimer(open.idleTimeOut ?? 0);
    this.handler.onOpen(open);
  }

  #onClose(error: ErrorValue | null): void {
    if (!this.#closing) {
      this.#sendClose(null);
      if (error) {
        this.#error = new SkiffError(
          error.condition,
          `the peer closed the connection: ${error.description ?? error.condition}`,
        );
      }
    }
    this.#fail(this.#error);
  }

  /** Empty frames keep the peer's timeout from expiring; our own expires when nothing comes (2.4.5). */
  #startIdleTimer(remoteIdle: number): void {
    const ours = this.#idleTimeout;
    const keepAlive = remoteIdle > 0 ? remoteIdle / 2 : Number.POSITIVE_INFINITY;
    const patience = ours > 0 ? ours : Number.POSITIVE_INFINITY;
    const period = Math.max(50, Math.min(keepAlive, patience, this.options.stallTimeout) / 4);
    this.#idleTimer = setInterval(() => {
      const now = performance.now();
      if (now - this.outbox.lastWrite >= keepAlive - period) {
        this.#raw(EMPTY_FRAME);
        this.outbox.flush();
      }
      if (this.outbox.overflowing || this.outbox.stalledFor(now) > this.options.stallTimeout) {
        this.#fail(stoppedReading());
      } else if (now - this.lastHeard > patience && !this.#held) {
        const seconds = Math.round((now - this.lastHeard) / 1000);
        this.close(new AmqpError(Condition.resourceLimit, 'local-idle-timeout expired'));
        this.#fail(new SkiffError('idle-timeout', `nothing was heard of the peer for ${seconds} s`));
      }
    }, period);
  }

  #openTimedOut(): void {
    const seconds = this.options.openTimeout / 1000;
    this.#fail(new SkiffError('open-timeout', `the peer did not finish opening the connection within ${seconds} s`));
  }

  #protocolError(error: AmqpError): void {
    if (this.#closing) {
      this.#fail(this.#error);
      return;
    }
    const { condition, message } = error;
    this.#error =
      condition === Condition.internalError
        ? new SkiffError('internal-error', message, { cause: error })
        : new SkiffError('protocol-error', `the peer broke the protocol: ${message} (${condition})`, { cause: error });
    // What follows the broken frame cannot be told apart any more: say why, and leave.
    if (this.#phase === 'amqp') this.#sendClose(error);
    this.#fail(this.#error);
  }

  #endError(): SkiffError | null {
    if (this.#error || this.#closing) return this.#error;
    const when =
      this.#phase === 'sasl' || (this.#phase === 'header' && this.options.sasl && !this.options.sasl.done)
        ? ' during SASL'
        : this.remote
          ? ''
          : ' before its open';
    return new SkiffError('connection-lost', `the peer closed the socket${when}`);
  }

  #fail(error: SkiffError | null): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    clearTimeout(this.#timer);
    if (this.#idleTimer) clearInterval(this.#idleTimer);
    if (this.#pumping) clearImmediate(this.#pumping);
    this.#waiting = [];
    const value = error ? { condition: Condition.connectionForced, description: error.message } : null;
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    this.#byRemote.clear();
    this.outbox.close();
    this.#endSocket();
    this.#read.release();
    for (const session of sessions) session.abandon(value);
    tell(() => this.handler.onClosed(error));
  }

  /**
   * Lets what was written go out, then ends the socket. What the peer still sends is read and dropped: a socket closed
   * with unread octets is reset, and the peer would lose our last words. One that does not end its side is cut off.
   */
  #endSocket(): void {
    const { socket } = this;
    if (socket.destroyed) return;
    discard(socket);
    const timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT);
    socket.once('close', () => clearTimeout(timer));
    this.outbox.end();
  }
}

function stoppedReading(): SkiffError {
  return new SkiffError('peer-stopped-reading', 'the peer does not read what it is sent');
}

const EMPTY_FRAME = Uint8Array.of(0, 0, 0, 8, 2, 0, 0, 0);
