/** A router of ours, without a control plane, among clients and servers that do as a recording says. */
import net, { type Server, type Socket } from 'node:net';
import { Connection } from '../../src/amqp/connection.ts';
import type { OutgoingDelivery } from '../../src/amqp/delivery.ts';
import type { Receiver, Sender } from '../../src/amqp/link.ts';
import { type DeliveryState, terminus } from '../../src/amqp/performatives.ts';
import type { PartConfig, PartState } from '../../src/router/protocol.ts';
import { Parts } from '../../src/tcp/parts.ts';
import { connectionOptions, Inbox, Outcomes, Recorder, until } from '../amqp/loopback.ts';

const HOST = '127.0.0.1';

/** A TCP socket, and what came of it. */
export interface End {
  socket: Socket;
  octets: number;
  ended: boolean;
}

interface Backend {
  server: Server;
  port: number;
  accepted: End[];
}

interface PlainReceiver {
  link: Receiver;
  inbox: Inbox;
  settled: number;
}

export class Site {
  readonly #parts: Parts;
  readonly #states = new Map<string, PartState>();
  readonly #backends = new Map<string, Backend>();
  readonly #listened = new Set<string>();
  readonly #served = new Set<string>();
  readonly #ends: End[] = [];
  readonly #receivers = new Map<string, PlainReceiver>();
  readonly #senders = new Map<string | null, Sender>();
  #client: Connection | null = null;

  constructor(id: string, mode: 'edge' | 'interior') {
    const identity = { id, mode, siteId: '00000000-0000-4000-8000-000000000001', siteName: id, version: '0' };
    this.#parts = new Parts(identity, (states) => {
      for (const state of states) this.#states.set(`${state.kind}/${state.name}`, state);
    });
  }

  /** Opens a port for connections of a role; returns its number. */
  async access(role: 'edge' | 'normal'): Promise<number> {
    await this.#put({ kind: 'access', name: role, role, host: HOST, port: 0, tls: null });
    const port = (): number => (this.#states.get(`access/${role}`) as { port: number | null } | undefined)?.port ?? 0;
    await until(() => port() !== 0, 'the access is open');
    return port();
  }

  link(port: number): Promise<void> {
    return this.#put({
      kind: 'link',
      name: 'hub',
      role: 'edge',
      endpoints: [{ host: HOST, port }],
      cost: 1,
      tls: null,
    });
  }

  async listen(address: string): Promise<void> {
    if (this.#listened.has(address)) return;
    this.#listened.add(address);
    await this.#put({ kind: 'listener', name: address, routingKey: address, host: HOST, port: 0 });
  }

  async unlisten(address: string): Promise<void> {
    this.#listened.delete(address);
    await this.#parts.apply([], [{ kind: 'listener', name: address }]);
    this.#states.delete(`listener/${address}`);
  }

  /** Offers an address, or does so no more. */
  async serve(address: string, wanted: boolean): Promise<void> {
    if (this.#served.has(address) === wanted) return;
    if (!wanted) {
      this.#served.delete(address);
      await this.#parts.apply([], [{ kind: 'connector', name: address }]);
      return;
    }
    this.#served.add(address);
    const { port } = await this.backend(address);
    await this.#put({ kind: 'connector', name: address, routingKey: address, host: HOST, port });
  }

  /** The server behind an address; it listens once this was called. */
  async backend(address: string): Promise<Backend> {
    const known = this.#backends.get(address);
    if (known) {
      if (!known.server.listening) await listening(known.server, known.port);
      return known;
    }
    const accepted: End[] = [];
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      accepted.push(this.#end(socket));
    });
    const port = await listening(server, 0);
    const backend = { server, port, accepted };
    this.#backends.set(address, backend);
    return backend;
  }

  /** Has the server behind an address accept nothing, until it is asked for again. */
  async refuse(address: string): Promise<void> {
    const backend = await this.backend(address);
    await new Promise((resolve) => backend.server.close(resolve));
  }

  /** The connection of that number which the server behind an address has accepted. */
  async accepted(address: string, number: number): Promise<End> {
    const { accepted } = await this.backend(address);
    await until(() => accepted.length > number, `connection ${number + 1} to the server of ${address}`);
    return accepted[number] as End;
  }

  /** A client of the listener of an address. */
  async connect(address: string): Promise<End> {
    const port = (): number =>
      (this.#states.get(`listener/${address}`) as { port: number | null } | undefined)?.port ?? 0;
    // A listener that was closed and opened again has another port, which it tells a little later.
    for (;;) {
      await until(() => port() !== 0, `the listener of ${address} is open`);
      const socket = net.connect({ host: HOST, port: port(), allowHalfOpen: true, noDelay: true });
      const end = this.#end(socket);
      await until(() => !socket.connecting, 'the client is connected');
      if (!socket.destroyed) return end;
    }
  }

  /** Attaches a plain AMQP receiver to an address, or closes it. */
  async receive(address: string, wanted: boolean): Promise<void> {
    const known = this.#receivers.get(address);
    if ((known !== undefined) === wanted) return;
    if (known) {
      known.link.detach();
      this.#receivers.delete(address);
      return;
    }
    const inbox = new Inbox();
    const session = (await this.#plainClient()).openSession();
    const link = session.openReceiver({ name: `to ${address}`, source: terminus(address), target: terminus() }, inbox);
    link.setCapacity(100);
    this.#receivers.set(address, { link, inbox, settled: 0 });
    await until(() => inbox.attached, `a receiver of ${address} is attached`);
  }

  /** Whether a plain receiver is there. */
  receives(address: string): boolean {
    return this.#receivers.has(address);
  }

  /** Waits until a plain receiver has that many messages it has not settled. */
  async received(address: string, unsettled: number): Promise<void> {
    const receiver = this.#receivers.get(address);
    if (!receiver) return;
    const { inbox } = receiver;
    await until(
      () => inbox.completed.length >= receiver.settled + unsettled,
      `${unsettled} messages have come from ${address}`,
    );
  }

  /** Has a plain receiver settle its oldest message. */
  async settle(address: string, state: DeliveryState): Promise<void> {
    await this.received(address, 1);
    const receiver = this.#receivers.get(address);
    if (receiver) receiver.inbox.completed[receiver.settled++]?.delivery.update(state, true);
  }

  /** Begins a message of a plain client, on a link for its address or on an anonymous one. */
  async send(address: string | null): Promise<OutgoingDelivery> {
    await this.sender(address, true);
    return (this.#senders.get(address) as Sender).send(false, new Outcomes());
  }

  /** Attaches a plain sender, or closes it. */
  async sender(address: string | null, wanted: boolean): Promise<void> {
    const known = this.#senders.get(address);
    if (known && !wanted) {
      known.detach();
      this.#senders.delete(address);
    } else if (!known && wanted) {
      const session = (await this.#plainClient()).openSession();
      const options = { name: `from ${address}`, source: terminus(), target: terminus(address) };
      this.#senders.set(address, session.openSender(options, { onDetached: () => {} }));
    }
  }

  async close(): Promise<void> {
    this.#client?.destroy();
    for (const { socket } of this.#ends) socket.destroy();
    for (const { server } of this.#backends.values()) server.close();
    await this.#parts.stop(100);
  }

  async #plainClient(): Promise<Connection> {
    if (this.#client) return this.#client;
    const port = await this.access('normal');
    const socket = net.connect({ host: HOST, port, noDelay: true, allowHalfOpen: true });
    const recorder = new Recorder();
    const client = new Connection(socket, connectionOptions({ hostname: HOST }), recorder);
    recorder.connection = client;
    this.#client = client;
    await until(() => recorder.opened !== null, 'the plain client is connected');
    return client;
  }

  #put(config: PartConfig): Promise<void> {
    return this.#parts.apply([config], []);
  }

  #end(socket: Socket): End {
    const end: End = { socket, octets: 0, ended: false };
    this.#ends.push(end);
    socket.on('data', (data) => {
      end.octets += data.length;
    });
    const ended = (): void => {
      end.ended = true;
    };
    socket.on('end', ended).on('close', ended);
    socket.on('error', () => {});
    return end;
  }
}

async function listening(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve) => server.listen(port, HOST, resolve));
  return (server.address() as net.AddressInfo).port;
}
