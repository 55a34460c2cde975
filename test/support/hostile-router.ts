/** An interior router with a certificate that entitles it, and that says whatever a test makes it say. */
import * as assert from 'uvu/assert';
import { Connection } from '../../src/amqp/connection.ts';
import type { Sender } from '../../src/amqp/link.ts';
import { writeAnnotations, writeStreamHead } from '../../src/amqp/message.ts';
import { terminus } from '../../src/amqp/performatives.ts';
import { SaslClient } from '../../src/amqp/sasl.ts';
import type { Session } from '../../src/amqp/session.ts';
import { dial } from '../../src/net/dial.ts';
import { secureContext } from '../../src/net/tls.ts';
import { writeRouting } from '../../src/router/mesh/encoding.ts';
import type { Destination, LinkStateUpdate, RoutingMessage } from '../../src/router/mesh/messages.ts';
import { chunkOf, connectionOptions, Inbox, Outcomes, Recorder } from '../amqp/loopback.ts';
import type { Issued } from './certificates.ts';
import { eventually, sleep } from './eventually.ts';
import type { Network } from './network.ts';

const CONTROL = 'qd.router';
/** Milliseconds without credit. */
const SLOWED_AFTER = 500;
/** Messages that wait for credit, so that the sender does not drown in them. */
const MOST_WAITING = 1_000;
const open = new Set<HostileRouter>();

export function linkState(id: string, linkSequence: number, ...peers: string[]): LinkStateUpdate {
  return { opcode: 'LSU', id, instance: 1, linkSequence, peers: new Map(peers.map((peer) => [peer, 1])) };
}

export function closeHostileRouters(): void {
  for (const router of [...open]) router.close();
}

export class HostileRouter {
  readonly id: string;
  readonly connection: Connection;
  readonly events: Recorder;
  /** What it hears of its neighbour. */
  readonly inbox = new Inbox();
  /** What comes by links that the neighbour opens: streams. */
  readonly streams = new Inbox();
  readonly #session: Session;
  readonly #sender: Sender;
  readonly #hellos: NodeJS.Timeout;

  private constructor(id: string, connection: Connection, events: Recorder, instance: number) {
    this.id = id;
    this.connection = connection;
    this.events = events;
    this.#session = connection.openSession();
    events.attach = (session, attach) => {
      const { source, target } = attach;
      session.acceptReceiver(attach, { source, target }, this.streams).setCapacity(10);
    };
    const link = (name: string) => {
      const end = terminus(null, { capabilities: [CONTROL] });
      return { name: `${name}-${id}`, source: end, target: end };
    };
    this.#session.openReceiver(link('in'), this.inbox).setCapacity(1_000);
    this.#sender = this.#session.openSender(link('out'), { onDetached: () => {} });
    const hello = () => this.say({ opcode: 'HELLO', id, instance, seen: [this.neighbour] }, 'neighbour');
    hello();
    this.#hellos = setInterval(hello, 1_000);
    open.add(this);
  }

  static async connect(port: number, credentials: Issued, id: string, instance = 1): Promise<HostileRouter> {
    const events = new Recorder();
    const connected = Promise.withResolvers<Connection>();
    dial(
      { host: '127.0.0.1', port, context: secureContext(credentials, id), timeout: 20_000 },
      (socket) => {
        const options = connectionOptions({ containerId: id, hostname: '127.0.0.1', sasl: new SaslClient('EXTERNAL') });
        events.connection = new Connection(socket, { ...options, capabilities: ['qd.streaming-links'] }, events);
        connected.resolve(events.connection);
      },
      connected.reject,
    );
    const connection = await connected.promise;
    await eventually('the neighbour answers', () => events.opened !== null || events.closed);
    return new HostileRouter(id, connection, events, instance);
  }

  /** Comes to be a neighbour of the hub, as its certificate entitles it to. */
  static async join({ ca, interRouterPort }: Network, id: string, instance = 1): Promise<HostileRouter> {
    const router = await HostileRouter.connect(interRouterPort, ca.issue({ commonName: id }), id, instance);
    router.say({ ...linkState(id, 1, router.neighbour), instance });
    return router;
  }

  /** The router at the other end. */
  get neighbour(): string {
    return this.events.opened?.containerId ?? '';
  }

  /** Why the connection is closed; undefined while it is not. */
  get end(): string | undefined {
    return this.events.closed ? (this.events.closings[0]?.message ?? 'closed') : undefined;
  }

  /** Sends a routing message, as if it came from its origin by way of `between`. */
  say(message: RoutingMessage, to: Destination = 'all', between: string[] = []): void {
    const trace = [...new Set([message.id, ...between, this.id])].map((router) => `0/${router}`);
    this.send(Buffer.concat([this.#annotations(...trace), writeRouting(message, to)]));
  }

  /** Says it in another version of the protocol. */
  sayInVersion(version: number, message: RoutingMessage): void {
    const octets = writeRouting(message, 'all');
    const at = octets.indexOf('pv') + 2;
    // A smallint.
    assert.is(octets[at], 0x54);
    octets[at + 1] = version;
    this.send(Buffer.concat([this.#annotations(`0/${message.id}`), octets]));
  }

  /** Sends any octets as a message. */
  send(octets: Buffer): void {
    if (this.events.closed) return;
    this.#sender.send(true, new Outcomes()).end(true, chunkOf(octets));
  }

  /** Says that many things as fast as the other end takes them. True: it was slowed down, and has given up. */
  async flood(count: number, make: (index: number) => RoutingMessage, to: Destination = 'all'): Promise<boolean> {
    for (let index = 0; index < count && !this.events.closed; index++) {
      this.say(make(index), to);
      const since = performance.now();
      while (this.#sender.waiting > MOST_WAITING) {
        if (performance.now() - since > SLOWED_AFTER && this.#sender.credit === 0) return true;
        await sleep(1);
      }
    }
    return false;
  }

  /** Begins a TCP connection to a routing key, as if it came from a client of `from`. */
  stream(to: string, from: string, body: string): Outcomes {
    const replyTo = `amqp:/_topo/0/${from}/temp.${this.id}`;
    const options = { name: `to ${to} from ${from}`, source: terminus(), target: terminus() };
    const outcomes = new Outcomes();
    const delivery = this.#session.openSender(options, { onDetached: () => {} }).send(false, outcomes);
    const trace = [`0/${from}`, `0/${this.id}`];
    const annotations = { flags: 7, toOverride: null, ingress: trace[0] as string, trace, mesh: null };
    const head = writeStreamHead({ to, replyTo, contentType: 'application/octet-stream' });
    delivery.write(chunkOf(Buffer.concat([writeAnnotations(annotations), head, Buffer.from(body)])));
    return outcomes;
  }

  /** The routing messages that have come. */
  get heard(): string[] {
    return this.inbox.completed.map(({ parts }) => Buffer.concat(parts).toString('latin1'));
  }

  /** Whether the neighbour says that it hears this one. */
  get isHeard(): boolean {
    return this.heard.some((text) => text.includes('qdhello') && text.includes(this.id));
  }

  /** Says nothing any more, and leaves the connection as it is: its machine has lost its power. */
  fallSilent(): void {
    clearInterval(this.#hellos);
    this.connection.socket.pause();
  }

  close(): void {
    open.delete(this);
    clearInterval(this.#hellos);
    this.connection.destroy();
  }

  #annotations(...trace: string[]): Buffer {
    return writeAnnotations({ flags: 0, toOverride: null, ingress: trace[0] as string, trace, mesh: null });
  }
}
