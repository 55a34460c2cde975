/** Traffic through a network that is not left in peace: what may fail does, and what must not is found out. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { AmqpClient, Receiver, Sender } from './amqp.ts';
import { sleep } from './eventually.ts';
import { connect, drained } from './tcp.ts';
import type { Hub, Topology } from './topology.ts';

/** What becomes of streams: echoed whole, refused or reset by the network, and three that must never be. */
export interface StreamCounts {
  whole: number;
  refused: number;
  cut: number;
  /** It ended in order, before all had come. */
  truncated: number;
  corrupt: number;
  stuck: number;
}

/** A stream that went wrong. */
export interface Complaint {
  what: string;
  /** The edge where it entered the network has lost a line to its hubs meanwhile. */
  uplinkLost: boolean;
}

/** Silence after which a stream is stuck: longer than any idle timeout, and the patience of a listener. */
const STUCK_AFTER = 90_000;
const BLOCK = randomBytes(4 * 1024 * 1024);
const LARGEST = 2 * 1024 * 1024;

/** Streams from every edge to the service of every other, each a random piece that its echo must begin with. */
export class CheckedStreams {
  readonly counts: StreamCounts = { whole: 0, refused: 0, cut: 0, truncated: 0, corrupt: 0, stuck: 0 };
  /** What was wrong with those that must not be. */
  readonly complaints: Complaint[] = [];
  readonly #topology: Topology;
  readonly #workers: Promise<void>[];
  #running = true;

  constructor(topology: Topology, workers = 8) {
    this.#topology = topology;
    this.#workers = Array.from({ length: workers }, () => this.#work());
  }

  /** Begins nothing new, and waits for what is under way. */
  async end(): Promise<StreamCounts> {
    this.#running = false;
    await Promise.all(this.#workers);
    return this.counts;
  }

  async #work(): Promise<void> {
    const { edges } = this.#topology;
    while (this.#running) {
      const from = Math.floor(Math.random() * edges.length);
      const to = (from + 1 + Math.floor(Math.random() * (edges.length - 1))) % edges.length;
      const { name, ports, machine } = edges[from] as (typeof edges)[number];
      const dialled = this.#dialledBy(name);
      const outcome = await this.#stream(ports[to] as number, machine.address);
      this.counts[outcome]++;
      if (['truncated', 'corrupt', 'stuck'].includes(outcome))
        this.complaints.push({
          what: `${outcome}: ${name} to edge${to}`,
          uplinkLost: this.#dialledBy(name) > dialled,
        });
      await sleep(outcome === 'refused' ? 100 : Math.random() * 20);
    }
  }

  /** How often an edge has dialled its hubs. */
  #dialledBy(edge: string): number {
    const lines = this.#topology.uplinks.filter(({ name }) => name.startsWith(`${edge}-`));
    return lines.reduce((sum, { relay }) => sum + relay.count, 0);
  }

  async #stream(port: number, host: string): Promise<keyof StreamCounts> {
    let socket: Socket;
    try {
      socket = await connect(port, host);
    } catch {
      return 'refused';
    }
    // Mostly small ones, as most streams are.
    const length = Math.floor(LARGEST * Math.random() ** 6) + 1;
    const offset = Math.floor(Math.random() * (BLOCK.length - length));
    try {
      return await echoed(socket, BLOCK.subarray(offset, offset + length));
    } finally {
      socket.destroy();
    }
  }
}

/** Sends `octets` and their end, and compares what comes back, as far as it comes. */
function echoed(socket: Socket, octets: Buffer): Promise<keyof StreamCounts> {
  return new Promise((resolve) => {
    let count = 0;
    const silence = setTimeout(() => resolve('stuck'), STUCK_AFTER);
    const over = (outcome: keyof StreamCounts): void => {
      clearTimeout(silence);
      resolve(outcome);
    };
    socket.on('data', (part: Buffer) => {
      silence.refresh();
      if (part.equals(octets.subarray(count, count + part.length))) count += part.length;
      else over('corrupt');
    });
    socket.once('end', () => over(count === octets.length ? 'whole' : 'truncated'));
    socket.once('close', () => over('cut'));
    void send(socket, octets).catch(() => {});
  });
}

async function send(socket: Socket, octets: Buffer): Promise<void> {
  const PIECE = 64 * 1024;
  for (let start = 0; start < octets.length; start += PIECE)
    if (!socket.write(octets.subarray(start, start + PIECE))) await drained(socket);
  socket.end();
}

export interface MessageCounts {
  accepted: number;
  /** Given back, or of an unknown fate. */
  other: number;
  /** Accepted, and never seen. */
  lost: number;
  /** Seen more than once. */
  repeated: number;
}

const ADDRESS = 'orders';
const UNDER_WAY = 10;

/** Messages to an anycast address, from one hub to receivers at others; each has a number of its own. */
export class CheckedMessages {
  readonly counts: MessageCounts = { accepted: 0, other: 0, lost: 0, repeated: 0 };
  readonly #accepted = new Set<number>();
  readonly #seen = new Map<number, number>();
  readonly #clients = new Set<AmqpClient>();
  readonly #workers: Promise<void>[];
  #running = true;
  #next = 0;

  constructor(from: Hub, to: Hub[]) {
    this.#workers = [this.#keep(from, (client) => this.#send(client)), ...to.map((hub) => this.#keep(hub, receive))];
    const self = this;
    async function receive(client: AmqpClient): Promise<void> {
      const receiver: Receiver = await client.receiver(ADDRESS, { credit: 0 });
      receiver.link.on('message', ({ message, delivery }) => {
        const number = message?.body as number;
        self.#seen.set(number, (self.#seen.get(number) ?? 0) + 1);
        delivery?.accept();
        receiver.link.add_credit(1);
      });
      receiver.link.add_credit(100);
    }
  }

  async end(): Promise<MessageCounts> {
    this.#running = false;
    await Promise.all(this.#workers);
    for (const client of this.#clients) await client.close().catch(() => {});
    this.counts.lost = [...this.#accepted].filter((number) => !this.#seen.has(number)).length;
    this.counts.repeated = [...this.#seen.values()].filter((times) => times > 1).length;
    return this.counts;
  }

  /** A client that connects again when its router was gone. */
  async #keep(hub: Hub, work: (client: AmqpClient) => Promise<void>): Promise<void> {
    let client: AmqpClient | null = null;
    while (this.#running) {
      try {
        if (!client?.connection.is_open()) {
          if (client) this.#clients.delete(client);
          client = await hub.client();
          this.#clients.add(client);
          await work(client);
        }
      } catch {
        client = null;
      }
      await sleep(200);
    }
  }

  async #send(client: AmqpClient): Promise<void> {
    const sender: Sender = await client.sender(ADDRESS);
    const one = async (): Promise<void> => {
      while (this.#running && client.connection.is_open() && sender.link.is_open()) {
        // Credit does not say all: rhea keeps 2,048 deliveries from the oldest that is not settled, and loses its way beyond.
        if (!sender.link.sendable()) {
          await sleep(20);
          continue;
        }
        const number = this.#next++;
        const outcome = await sender.send({ body: number }).catch(() => sleep(100));
        if (outcome?.outcome === 'accepted') {
          this.counts.accepted++;
          this.#accepted.add(number);
        } else this.counts.other++;
      }
    };
    await Promise.all(Array.from({ length: UNDER_WAY }, one));
    // Should its link have ended, it begins anew.
    await client.close();
  }
}
