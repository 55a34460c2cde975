/** Plain AMQP 1.0 clients, as applications have them: rhea's, with promises. */
import type { Socket } from 'node:net';
import rhea, {
  type ConnectionOptions,
  type Delivery,
  type EventContext,
  type Message,
  type Connection as RheaConnection,
  type Receiver as RheaReceiver,
  type Sender as RheaSender,
  type Source,
} from 'rhea';
import { eventually, within } from './eventually.ts';

export interface Outcome {
  outcome: 'accepted' | 'rejected' | 'released' | 'modified';
  /** Condition and description of a rejection. */
  error?: { condition?: string; description?: string };
  state: { delivery_failed?: boolean; undeliverable_here?: boolean };
}

/** As rhea keeps what the peer has said: null has a type, too. */
interface Attach {
  source?: { value: unknown };
  target?: { value: unknown };
}

const connections = new Set<AmqpClient>();
let count = 0;

export async function closeClients(): Promise<void> {
  for (const client of [...connections]) await client.close();
}

export class AmqpClient {
  readonly connection: RheaConnection;
  readonly #ended: Promise<void>;

  private constructor(connection: RheaConnection) {
    this.connection = connection;
    connections.add(this);
    this.#ended = new Promise((resolve) => {
      connection.once('connection_close', () => resolve());
      connection.once('disconnected', () => resolve());
    });
  }

  static async connect(port: number, options: Partial<ConnectionOptions> = {}): Promise<AmqpClient> {
    const container = rhea.create_container({ id: `client${++count}` });
    // Links are refused with an error on the link; without a listener rhea throws it.
    for (const event of ['sender_error', 'receiver_error', 'session_error', 'connection_error', 'disconnected']) {
      container.on(event, () => {});
    }
    const connection = container.connect({
      ...{ host: '127.0.0.1', port, reconnect: false, tcp_no_delay: true },
      ...options,
    } as ConnectionOptions);
    await within(
      `an AMQP connection to ${port}`,
      new Promise<void>((resolve, reject) => {
        connection.once('connection_open', () => resolve());
        connection.once('disconnected', (context: EventContext) => reject(context.error ?? new Error('disconnected')));
        connection.once('connection_error', () => reject(connection.get_error() as Error));
      }),
    );
    return new AmqpClient(connection);
  }

  async sender(address: string | null, options: object = {}): Promise<Sender> {
    const link = this.connection.open_sender({
      ...{ target: { address: address ?? undefined }, treat_modified_as_released: false },
      ...options,
    });
    await attached(link, 'sender');
    return new Sender(link);
  }

  /** Takes `credit` messages and settles nothing by itself; `credit` 0 takes none until asked. */
  async receiver(source: string | Source, { credit = 100, autoaccept = false, ...options } = {}): Promise<Receiver> {
    const receiver = new Receiver(
      this.connection.open_receiver({
        source: typeof source === 'string' ? { address: source } : source,
        credit_window: 0,
        autoaccept,
        ...options,
      }),
    );
    await attached(receiver.link, 'receiver');
    if (credit > 0) receiver.link.add_credit(credit);
    return receiver;
  }

  async close(): Promise<void> {
    if (!connections.delete(this)) return;
    this.connection.close();
    await within('the end of an AMQP connection', this.#ended);
  }

  /** Ends the connection without a word. */
  async cut(): Promise<void> {
    connections.delete(this);
    (this.connection as unknown as { socket: Socket }).socket.destroy(new Error('cut'));
    await within('the end of an AMQP connection', this.#ended);
  }
}

function attached(link: RheaSender | RheaReceiver, kind: 'sender' | 'receiver'): Promise<void> {
  return within(
    `the attach of a ${kind}`,
    new Promise<void>((resolve, reject) => {
      link.once(`${kind}_open`, () => {
        // The answer to a link that is refused names no terminus of the peer's, and the reason follows (2.6.3).
        const { attach } = (link as unknown as { remote: { attach: Attach } }).remote;
        if ((kind === 'receiver' ? attach.source : attach.target)?.value) resolve();
      });
      link.once(`${kind}_error`, () => {
        const { condition, description } = link.error as { condition: string; description: string };
        reject(new Error(`${condition}: ${description}`));
      });
    }),
  );
}

export class Sender {
  readonly link: RheaSender;
  readonly #waiting = new Map<Delivery, (outcome: Outcome) => void>();

  constructor(link: RheaSender) {
    this.link = link;
    for (const outcome of ['accepted', 'rejected', 'released', 'modified'] as const) {
      link.on(outcome, ({ delivery }: EventContext) => this.#settle(delivery as Delivery, outcome));
    }
  }

  get credit(): number {
    return (this.link as unknown as { credit: number }).credit;
  }

  untilCredit(wanted = true): Promise<boolean> {
    return eventually(wanted ? 'the sender has credit' : 'the sender has no credit', () => this.credit > 0 === wanted);
  }

  /** Sends, and hands back what becomes of it. */
  send(message: Message): Promise<Outcome> {
    const outcome = new Promise<Outcome>((resolve) => this.#waiting.set(this.link.send(message), resolve));
    return within('the outcome of a message', outcome);
  }

  #settle(delivery: Delivery, outcome: Outcome['outcome']): void {
    const { remote_state: state } = delivery as unknown as { remote_state: Outcome['state'] & Outcome };
    this.#waiting.get(delivery)?.({ outcome, state, ...(state.error ? { error: state.error } : {}) });
    this.#waiting.delete(delivery);
  }
}

export interface Received {
  message: Message;
  delivery: Delivery;
}

export class Receiver {
  readonly link: RheaReceiver;
  readonly all: Received[] = [];
  #next = 0;

  constructor(link: RheaReceiver) {
    this.link = link;
    link.on('message', ({ message, delivery }: EventContext) => {
      this.all.push({ message: message as Message, delivery: delivery as Delivery });
    });
  }

  /** The address it was given, for one that asked for any. */
  get address(): string {
    return (this.link.source as { address: string }).address;
  }

  /** The next message that was not asked for before. */
  next(): Promise<Received> {
    return eventually('a message', () => this.all[this.#next]).then((received) => {
      this.#next++;
      return received;
    });
  }
}
