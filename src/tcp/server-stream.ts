/** A stream that arrived for a connector: a connection to the server, whose answers go to the stream's reply address. */
import net from 'node:net';
import type { SkiffError } from '../errors.ts';
import type { Chunk } from '../net/chunk.ts';
import { hostPort, socketFailure } from '../net/failure.ts';
import type { Arrival, Source } from '../router/forwarding.ts';
import type { Router } from '../router/router.ts';
import { openingOf } from './encapsulation.ts';
import { TcpStream } from './stream.ts';

export interface ServerStreamHooks {
  onConnected(): void;
  onFailed(error: SkiffError): void;
  onOver(stream: ServerStream): void;
}

export class ServerStream extends TcpStream {
  readonly #router: Router;
  readonly #hooks: ServerStreamHooks;
  readonly #replyTo: string;

  /** Connects to the server; `body` is what has come of the client's octets. */
  constructor(
    target: { host: string; port: number },
    arrival: Arrival,
    body: Chunk,
    source: Source,
    router: Router,
    hooks: ServerStreamHooks,
  ) {
    const socket = net.connect({ host: target.host, port: target.port, allowHalfOpen: true });
    super(socket);
    this.#router = router;
    this.#hooks = hooks;
    this.#replyTo = arrival.head.replyTo ?? '';
    const failed = (error: Error): void => {
      this.#hooks.onFailed(socketFailure(error, hostPort(target.host, target.port)));
      this.fail();
    };
    this.receiveFrom(source, arrival.settled);
    if (body.length > 0) this.write(body);
    else body.release();
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      this.#connected();
    });
  }

  protected override onOver(): void {
    this.#hooks.onOver(this);
  }

  #connected(): void {
    if (this.over) return;
    this.#hooks.onConnected();
    this.attach();
    const sink = this.#router.route(openingOf(this.#replyTo, null), this);
    if (sink) this.sendTo(sink);
    else this.fail();
  }
}
