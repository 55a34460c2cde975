/**
 * An edge that speaks the dialect, with a certificate of its own, and says whatever a test makes it say: what somebody has
 * who took a box apart.
 */
import { Connection } from '../../src/amqp/connection.ts';
import type { Link, Sender } from '../../src/amqp/link.ts';
import { writeAnnotations, writeMessage, writeStreamHead } from '../../src/amqp/message.ts';
import { type ErrorValue, terminus } from '../../src/amqp/performatives.ts';
import { SaslClient } from '../../src/amqp/sasl.ts';
import type { Session } from '../../src/amqp/session.ts';
import { dial } from '../../src/net/dial.ts';
import { secureContext } from '../../src/net/tls.ts';
import { chunkOf, connectionOptions, Inbox, Outcomes, Recorder } from '../amqp/loopback.ts';
import type { Issued } from './certificates.ts';
import { eventually } from './eventually.ts';

export const DOWNLINK = 'qd.router-edge-downlink';

/** A link that was asked for: granted, or refused with these words; `detached` once it was taken away. */
export class Asked {
  link!: Link;
  readonly inbox = new Inbox();
  granted: boolean | undefined;
  detached: ErrorValue | null | undefined;

  /** Null when it was granted, else the condition. */
  get answer(): string | null | undefined {
    if (this.detached) return this.detached.condition;
    return this.granted ? null : undefined;
  }
}

export interface Said {
  to?: string;
  override?: string;
  replyTo?: string;
  correlationId?: string;
  subject?: string;
  /** Where it claims to have been. */
  ingress?: string;
  trace?: string[];
  applicationProperties?: Map<string, string>;
  /** Annotations of a stream; those of a TCP connection if not said. */
  flags?: number;
  /** The link it goes by; an anonymous one if not said. */
  by?: Asked;
}

let names = 0;
const open = new Set<HostileEdge>();

export async function closeHostileEdges(): Promise<void> {
  for (const edge of [...open]) edge.close();
}

export class HostileEdge {
  readonly connection: Connection;
  readonly events: Recorder;
  /** What comes by links that the hub opens: streams. */
  readonly streams = new Inbox();
  readonly #session: Session;
  readonly #anonymous: Asked;

  private constructor(connection: Connection, events: Recorder) {
    this.connection = connection;
    this.events = events;
    this.#session = connection.openSession();
    this.#anonymous = this.#openSender(null);
    events.attach = (session, attach) => {
      const { source, target } = attach;
      session.acceptReceiver(attach, { source, target }, this.streams).setCapacity(10);
    };
    open.add(this);
  }

  /** `product` is what it says it is. Rejects when it is not let in. */
  static async connect(
    port: number,
    credentials: Issued,
    id: string,
    product = 'skupper-router',
  ): Promise<HostileEdge> {
    const events = new Recorder();
    const connected = Promise.withResolvers<Connection>();
    const context = secureContext(credentials, id);
    dial(
      { host: '127.0.0.1', port, context, timeout: 20_000 },
      (socket) => {
        const properties = new Map([['product', product]]);
        const sasl = new SaslClient('EXTERNAL');
        const options = connectionOptions({ containerId: id, hostname: '127.0.0.1', sasl, properties });
        events.connection = new Connection(socket, { ...options, capabilities: ['qd.streaming-links'] }, events);
        connected.resolve(events.connection);
      },
      connected.reject,
    );
    const connection = await connected.promise;
    await eventually('the hub answers', () => events.opened !== null || events.closed);
    // Who is refused is opened and closed in one go.
    if (events.closed) throw events.closings[0] ?? new Error('closed');
    const edge = new HostileEdge(connection, events);
    await eventually('the first link', () => edge.#anonymous.answer === null || events.closed);
    if (events.closed) throw events.closings[0] ?? new Error('closed');
    return edge;
  }

  async sender(address: string | null): Promise<Asked> {
    return this.#answered(this.#openSender(address));
  }

  /** Takes messages, too. `dynamic`: of an address that the hub is to make. */
  async receiver(address: string | null, { capabilities = [] as string[], dynamic = false } = {}): Promise<Asked> {
    const asked = new Asked();
    const { inbox } = asked;
    const source = { ...terminus(address, { capabilities }), dynamic };
    const target = terminus(null, { capabilities });
    const link = this.#session.openReceiver(
      { name: `hostile${++names}`, source, target },
      {
        onTransfer: (delivery, chunk) => inbox.onTransfer(delivery, chunk),
        onAttached: (granted) => {
          asked.granted = granted;
        },
        onDetached: (error) => {
          asked.detached = error;
        },
      },
    );
    link.setCapacity(100);
    asked.link = link;
    return this.#answered(asked);
  }

  /** Sends a whole message; hands back its outcome, with the condition of a rejection. */
  async send(said: Said): Promise<string> {
    const { outcomes } = this.stream(said, 'x', true);
    const state = await eventually('an outcome', () => outcomes.states.find(({ settled }) => settled)?.state);
    return state.outcome === 'rejected' ? (state.error?.condition ?? 'rejected') : state.outcome;
  }

  /** Begins a stream, or sends a message that is `whole`. */
  stream({ override = '', by = this.#anonymous, flags = 7, ...said }: Said, body: string, whole = false) {
    const { applicationProperties = null, to = null, replyTo = null, correlationId = null, subject = null } = said;
    const { ingress = null, trace = [] } = said;
    const annotations = { flags: whole ? 0 : flags, toOverride: override || null, ingress, trace, mesh: 'hostile' };
    const contentType = whole ? null : 'application/octet-stream';
    const fields = { to, replyTo, correlationId, subject, contentType, applicationProperties };
    const message = whole ? writeMessage(fields, body) : writeStreamHead(fields);
    const outcomes = new Outcomes();
    const delivery = (by.link as Sender).send(false, outcomes);
    const octets = chunkOf(Buffer.concat([writeAnnotations(annotations), message, Buffer.from(whole ? '' : body)]));
    if (whole) delivery.end(false, octets);
    else delivery.write(octets);
    return { delivery, outcomes };
  }

  close(): void {
    open.delete(this);
    this.connection.destroy();
  }

  #openSender(address: string | null): Asked {
    const asked = new Asked();
    const options = { name: `hostile${++names}`, source: terminus(), target: terminus(address) };
    asked.link = this.#session.openSender(options, {
      onAttached: (granted) => {
        asked.granted = granted;
      },
      onDetached: (error) => {
        asked.detached = error;
      },
    });
    return asked;
  }

  /** Who refuses a link answers its attach and detaches it in one go. */
  async #answered(asked: Asked): Promise<Asked> {
    await eventually('the answer to an attach', () => asked.answer !== undefined);
    return asked;
  }
}
