/** Two ends of a connection over loopback, for tests: both ours, or one of them hand-made frames. */
import net, { type Socket } from 'node:net';
import type tls from 'node:tls';
import { Described, Reader, type Value, type WritableDescribed, Writer } from '../../src/amqp/codec.ts';
import { Connection, type ConnectionHandler, type ConnectionOptions } from '../../src/amqp/connection.ts';
import type { IncomingDelivery, OutgoingDeliveryHandler } from '../../src/amqp/delivery.ts';
import type { Receiver, ReceiverHandler, Sender } from '../../src/amqp/link.ts';
import { type Attach, type DeliveryState, type ErrorValue, type Open, terminus } from '../../src/amqp/performatives.ts';
import { AMQP_HEADER } from '../../src/amqp/sasl.ts';
import type { Session } from '../../src/amqp/session.ts';
import type { ErrorFact, SkiffError } from '../../src/errors.ts';
import { type Accepted, Acceptor } from '../../src/net/accept.ts';
import { Chunk } from '../../src/net/chunk.ts';
import { dial } from '../../src/net/dial.ts';
import { slabsInUse } from '../../src/net/slab.ts';

/** Waits until something is so. Tests state no times: this limit only ends those that would wait for ever. */
export async function until(
  condition: () => boolean,
  what: string,
  limitMs = Number(process.env.LIMIT ?? 20_000),
): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > limitMs) throw new Error(`it never came to be that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Lets everything that is under way on loopback arrive, and what it brings about, too. */
export async function settleDown(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
}

export function connectionOptions(overrides: Partial<ConnectionOptions> = {}): ConnectionOptions {
  return {
    containerId: 'test',
    hostname: null,
    maxFrameSize: 16_384,
    channelMax: 0x7fff,
    sessionWindow: 64,
    idleTimeout: 60_000,
    stallTimeout: 60_000,
    openTimeout: 20_000,
    capabilities: [],
    properties: new Map(),
    sasl: null,
    ...overrides,
  };
}

/** A handler that notes what happens. Accepting ends accept, unless told otherwise. */
export class Recorder implements ConnectionHandler {
  /** Set by whoever makes the connection. */
  connection!: Connection;
  opened: Open | null = null;
  acceptAtOnce = true;
  closings: (SkiffError | null)[] = [];
  attach: (session: Session, attach: Attach) => void = () => {};

  onOpen(open: Open): void {
    this.opened = open;
    if (this.acceptAtOnce && this.connection.options.hostname === null) this.connection.accept();
  }

  onAttach(session: Session, attach: Attach): void {
    this.attach(session, attach);
  }

  onClosed(error: SkiffError | null): void {
    this.closings.push(error);
  }

  get closed(): boolean {
    return this.closings.length > 0;
  }
}

export interface Listening extends AsyncDisposable {
  port: number;
  refused: ErrorFact[];
  sockets: Socket[];
}

/** Accepts connections on a free port of 127.0.0.1, until it is disposed of. */
export async function listen(
  context: tls.SecureContext | null,
  onSocket: (accepted: Accepted) => void,
  handshakeTimeout = 20_000,
): Promise<Listening> {
  const refused: ErrorFact[] = [];
  const sockets: Socket[] = [];
  const acceptor = new Acceptor({
    host: '127.0.0.1',
    port: 0,
    context,
    handshakeTimeout,
    onSocket: (accepted) => {
      sockets.push(accepted.socket);
      onSocket(accepted);
    },
    onRefused: (cause) => refused.push(cause),
  });
  const port = await acceptor.listen();
  const dispose = async (): Promise<void> => {
    acceptor.close();
    for (const socket of sockets) if (!socket.destroyed) socket.destroy();
  };
  return { port, refused, sockets, [Symbol.asyncDispose]: dispose };
}

export interface Pair extends AsyncDisposable {
  client: Connection;
  server: Connection;
  clientEvents: Recorder;
  serverEvents: Recorder;
}

export interface PairOptions {
  client?: Partial<ConnectionOptions>;
  server?: Partial<ConnectionOptions>;
  tls?: { client: tls.SecureContext; server: tls.SecureContext };
  /** Resolves as soon as both connections exist. */
  beforeOpen?: boolean;
}

/** Two connections of ours, open. When it is disposed of, every slab must have come back. */
export async function openPair(options: PairOptions = {}): Promise<Pair> {
  const slabs = slabsInUse();
  const clientEvents = new Recorder();
  const serverEvents = new Recorder();
  const connect = (socket: Socket, recorder: Recorder, ours: ConnectionOptions): Connection => {
    recorder.connection = new Connection(socket, ours, recorder);
    return recorder.connection;
  };
  const serverOptions = connectionOptions({ containerId: 'server', ...options.server });
  const clientOptions = connectionOptions({ containerId: 'client', hostname: '127.0.0.1', ...options.client });
  const accepted = Promise.withResolvers<Connection>();
  const listening = await listen(options.tls?.server ?? null, ({ socket }) =>
    accepted.resolve(connect(socket, serverEvents, serverOptions)),
  );
  const dialled = Promise.withResolvers<Connection>();
  dial(
    { host: '127.0.0.1', port: listening.port, context: options.tls?.client ?? null, timeout: 20_000 },
    (socket) => dialled.resolve(connect(socket, clientEvents, clientOptions)),
    dialled.reject,
  );
  const [client, server] = await Promise.all([dialled.promise, accepted.promise]);
  if (!options.beforeOpen) {
    await until(() => clientEvents.opened !== null && serverEvents.opened !== null, 'both ends are open');
  }
  const dispose = async (): Promise<void> => {
    client.destroy();
    server.destroy();
    await until(() => clientEvents.closed && serverEvents.closed, 'both ends are closed');
    await listening[Symbol.asyncDispose]();
    await until(() => slabsInUse() <= slabs, `all slabs are free (${slabsInUse() - slabs} are not)`);
  };
  return { client, server, clientEvents, serverEvents, [Symbol.asyncDispose]: dispose };
}

/** A chunk of its own memory. */
export function chunkOf(octets: string | Uint8Array): Chunk {
  const buffer = Buffer.from(octets as string);
  return new Chunk(buffer, 0, buffer.length);
}

export interface Received {
  delivery: IncomingDelivery;
  parts: Buffer[];
  /** Chunks that were not given back, when holding. */
  held: Chunk[];
  octets: number;
}

/** The receiving end of a link, which gathers what comes. */
export class Inbox implements ReceiverHandler {
  readonly received: Received[] = [];
  readonly settledBySender: { delivery: IncomingDelivery; state: DeliveryState | null }[] = [];
  detached: ErrorValue | null | undefined;
  attached = false;
  /** Keeps the chunks, as a consumer does that cannot go on. */
  holding = false;
  /** Called with every delivery that is complete. */
  onComplete: (received: Received) => void = () => {};
  onPart: (received: Received, chunk: Chunk) => void = () => {};

  onAttached(): void {
    this.attached = true;
  }

  onDetached(error: ErrorValue | null): void {
    this.detached = error;
  }

  onTransfer(delivery: IncomingDelivery, chunk: Chunk | null): void {
    let entry = delivery.context as Received | null;
    if (!entry) {
      entry = { delivery, parts: [], held: [], octets: 0 };
      delivery.context = entry;
      this.received.push(entry);
    }
    if (chunk) {
      entry.octets += chunk.length;
      this.onPart(entry, chunk);
      if (this.holding) {
        entry.held.push(chunk);
      } else {
        entry.parts.push(Buffer.from(chunk.view()));
        chunk.release();
      }
    }
    if (delivery.complete) this.onComplete(entry);
  }

  onSettled(delivery: IncomingDelivery, state: DeliveryState | null): void {
    this.settledBySender.push({ delivery, state });
  }

  /** Gives all held chunks back, and holds no more. */
  letGo(): void {
    this.holding = false;
    for (const entry of this.received) {
      for (const chunk of entry.held) {
        entry.parts.push(Buffer.from(chunk.view()));
        chunk.release();
      }
      entry.held = [];
    }
  }

  text(index: number): string {
    return Buffer.concat(this.received[index]?.parts ?? []).toString();
  }

  get completed(): Received[] {
    return this.received.filter(({ delivery }) => delivery.complete && !delivery.aborted);
  }
}

/** What a delivery that we send hears. */
export class Outcomes implements OutgoingDeliveryHandler {
  readonly states: { state: DeliveryState | null; settled: boolean }[] = [];
  lost = 0;
  writable = 0;
  finished = 0;
  onWritable: () => void = () => {
    this.writable++;
  };

  onState(state: DeliveryState | null, settled: boolean): void {
    this.states.push({ state, settled });
  }

  onLost(): void {
    this.lost++;
  }

  onFinished(): void {
    this.finished++;
  }

  /** The outcome that settled it. */
  get final(): string | undefined {
    return this.states.find(({ settled }) => settled)?.state?.outcome;
  }
}

export interface LinkPair {
  session: Session;
  sender: Sender;
  receiver: Receiver;
  inbox: Inbox;
  senderDetached: (ErrorValue | null)[];
}

let linkCount = 0;

/** A link on a session of its own (or the one given), from one end of a pair to the other, with credit. */
export async function openLink(
  pair: Pair,
  options: { from?: 'client' | 'server'; session?: Session; credit?: number } = {},
): Promise<LinkPair> {
  const fromClient = options.from !== 'server';
  const near = fromClient ? pair.client : pair.server;
  const far = fromClient ? pair.serverEvents : pair.clientEvents;
  const inbox = new Inbox();
  const accepted = Promise.withResolvers<Receiver>();
  far.attach = (farSession, attach) => {
    const receiver = farSession.acceptReceiver(attach, { source: attach.source, target: attach.target }, inbox);
    receiver.setCapacity(options.credit ?? 100);
    accepted.resolve(receiver);
  };
  const session = options.session ?? near.openSession();
  const senderDetached: (ErrorValue | null)[] = [];
  const sender = session.openSender(
    { name: `link${++linkCount}`, source: terminus(), target: terminus('somewhere') },
    { onDetached: (error) => senderDetached.push(error) },
  );
  const receiver = await accepted.promise;
  await until(() => sender.attached && sender.credit === (options.credit ?? 100), 'the link has credit');
  return { session, sender, receiver, inbox, senderDetached };
}

export interface RawFrame {
  channel: number;
  /** The performative's code; -1 for an empty frame. */
  code: number;
  fields: Value[];
  payload: Buffer;
  type: number;
}

/** A peer that says exactly what a test makes it say, right or wrong, and notes what it hears. */
export class RawPeer {
  readonly socket: Socket;
  readonly headers: Buffer[] = [];
  readonly frames: RawFrame[] = [];
  ended = false;
  closed = false;
  #unread = Buffer.alloc(0);
  #taken = new Set<RawFrame>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data) => this.#onData(data));
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
    });
  }

  raw(octets: Uint8Array): void {
    this.socket.write(octets);
  }

  send(channel: number, performative: WritableDescribed, payload: Uint8Array = new Uint8Array(0)): void {
    this.raw(rawFrame(channel, performative, payload));
  }

  /** Waits for the next frame with this code that was not waited for before. */
  async next(code: number): Promise<RawFrame> {
    const find = (): RawFrame | undefined =>
      this.frames.find((frame) => frame.code === code && !this.#taken.has(frame));
    await until(() => find() !== undefined || this.closed, `a frame 0x${code.toString(16)} has come`);
    const frame = find();
    if (!frame) throw new Error(`the connection was closed before a frame 0x${code.toString(16)}`);
    this.#taken.add(frame);
    return frame;
  }

  has(code: number): boolean {
    return this.frames.some((frame) => frame.code === code);
  }

  #onData(data: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, data]);
    while (this.#unread.length >= 8) {
      if (this.#unread.toString('latin1', 0, 4) === 'AMQP') {
        this.headers.push(this.#unread.subarray(0, 8));
        this.#unread = this.#unread.subarray(8);
        continue;
      }
      const size = this.#unread.readUInt32BE(0);
      if (this.#unread.length < size) return;
      this.frames.push(parseFrame(this.#unread.subarray(0, size)));
      this.#unread = this.#unread.subarray(size);
    }
  }
}

/** A frame's octets. */
export function rawFrame(
  channel: number,
  body: WritableDescribed,
  payload: Uint8Array = new Uint8Array(0),
  type = 0,
): Buffer {
  const writer = new Writer();
  writer.write(body);
  const performative = writer.written();
  const frame = Buffer.alloc(8 + performative.length + payload.length);
  frame.writeUInt32BE(frame.length, 0);
  frame[4] = 2;
  frame[5] = type;
  frame.writeUInt16BE(channel, 6);
  performative.copy(frame, 8);
  frame.set(payload, 8 + performative.length);
  return frame;
}

export function parseFrame(frame: Buffer): RawFrame {
  const channel = frame.readUInt16BE(6);
  const type = frame[5] as number;
  if (frame.length === 8) return { channel, code: -1, fields: [], payload: Buffer.alloc(0), type };
  const reader = new Reader(frame, 8);
  const value = reader.value();
  if (!(value instanceof Described) || !Array.isArray(value.value)) throw new Error('not a performative');
  const payload = Buffer.from(frame.subarray(reader.offset));
  return { channel, code: value.descriptor as number, fields: value.value, payload, type };
}

export interface RawPair extends AsyncDisposable {
  peer: RawPeer;
  connection: Connection;
  events: Recorder;
}

/** A hand-made peer that has connected to an accepting connection of ours. */
export async function rawClient(options: Partial<ConnectionOptions> = {}): Promise<RawPair> {
  const slabs = slabsInUse();
  const events = new Recorder();
  const made = Promise.withResolvers<void>();
  const listening = await listen(null, ({ socket }) => {
    events.connection = new Connection(socket, connectionOptions(options), events);
    made.resolve();
  });
  const peer = new RawPeer(
    net.connect({ host: '127.0.0.1', port: listening.port, noDelay: true, allowHalfOpen: true }),
  );
  await made.promise;
  return rawPair(peer, events, slabs, listening);
}

/** A hand-made peer to which a connection of ours has connected. */
export async function rawServer(options: Partial<ConnectionOptions> = {}): Promise<RawPair> {
  const slabs = slabsInUse();
  const events = new Recorder();
  const accepted = Promise.withResolvers<RawPeer>();
  const server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) =>
    accepted.resolve(new RawPeer(socket)),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  const made = Promise.withResolvers<void>();
  dial(
    { host: '127.0.0.1', port, context: null, timeout: 20_000 },
    (socket) => {
      events.connection = new Connection(socket, connectionOptions({ hostname: 'raw', ...options }), events);
      made.resolve();
    },
    made.reject,
  );
  const [peer] = await Promise.all([accepted.promise, made.promise]);
  return rawPair(peer, events, slabs, { [Symbol.asyncDispose]: async () => void server.close() });
}

function rawPair(peer: RawPeer, events: Recorder, slabs: number, listening: AsyncDisposable): RawPair {
  const { connection } = events;
  const dispose = async (): Promise<void> => {
    connection.destroy();
    peer.socket.destroy();
    await until(() => events.closed && peer.closed, 'both ends are closed');
    await listening[Symbol.asyncDispose]();
    await until(() => slabsInUse() <= slabs, `all slabs are free (${slabsInUse() - slabs} are not)`);
  };
  return { peer, connection, events, [Symbol.asyncDispose]: dispose };
}

/** The octets with which a client begins that needs no SASL. */
export const HEADER = AMQP_HEADER;
