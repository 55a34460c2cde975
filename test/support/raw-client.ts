/** A client of a `normal` access that says what no AMQP library lets it say. */
import { Connection } from '../../src/amqp/connection.ts';
import type { Sender } from '../../src/amqp/link.ts';
import { type MessageFields, type RouterAnnotations, writeAnnotations, writeMessage } from '../../src/amqp/message.ts';
import { type DeliveryState, terminus } from '../../src/amqp/performatives.ts';
import { SaslClient } from '../../src/amqp/sasl.ts';
import type { Session } from '../../src/amqp/session.ts';
import { dial } from '../../src/net/dial.ts';
import { chunkOf, connectionOptions, Outcomes, Recorder } from '../amqp/loopback.ts';
import { eventually } from './eventually.ts';

export class RawClient {
  readonly connection: Connection;
  readonly session: Session;
  #sender: Sender | null = null;

  private constructor(connection: Connection) {
    this.connection = connection;
    this.session = connection.openSession();
  }

  static async connect(port: number, containerId = 'raw'): Promise<RawClient> {
    const events = new Recorder();
    await new Promise<void>((resolve, reject) => {
      dial(
        { host: '127.0.0.1', port, context: null, timeout: 10_000 },
        (socket) => {
          const sasl = new SaslClient('ANONYMOUS');
          const options = connectionOptions({ containerId, hostname: '127.0.0.1', sasl });
          events.connection = new Connection(socket, options, events);
          resolve();
        },
        reject,
      );
    });
    await eventually('it is open', () => events.opened);
    return new RawClient(events.connection);
  }

  /** Sends a message by a link without an address, and hands back what becomes of it. */
  async send(to: string, annotations: Partial<RouterAnnotations> | null = null): Promise<DeliveryState> {
    const none = { flags: 0, toOverride: null, ingress: null, trace: [], mesh: null };
    const front = annotations ? writeAnnotations({ ...none, ...annotations }) : Buffer.alloc(0);
    return this.#send(Buffer.concat([front, writeMessage({ to }, 'x')]));
  }

  /** Sends a request with these application properties. */
  async request(fields: MessageFields, properties: Record<string, string>): Promise<DeliveryState> {
    return this.#send(
      writeMessage({ ...fields, applicationProperties: new Map(Object.entries(properties)) }, new Map()),
    );
  }

  close(): void {
    this.connection.destroy();
  }

  #send(octets: Buffer): Promise<DeliveryState> {
    const outcomes = new Outcomes();
    this.#sender ??= this.session.openSender({ name: 'raw', source: terminus(), target: terminus() }, NOTHING);
    this.#sender.send(false, outcomes).end(false, chunkOf(octets));
    return eventually('an outcome', () => outcomes.states.find(({ settled }) => settled)?.state);
  }
}

const NOTHING = { onDetached: () => {} };
