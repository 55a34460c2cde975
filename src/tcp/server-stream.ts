/** A stream that arrived for a connector: a connection to the server, whose answers go to the stream's reply address. */
import type { SkiffError } from '../errors.ts';
import type { Chunk } from '../net/chunk.ts';
import type { Arrival, Source } from '../router/forwarding.ts';
import type { Router } from '../router/router.ts';
import { openingOf } from './encapsulation.ts';
import { connectTo, type ServerAddress } from './server-address.ts';
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

  /** Connects to the server; `alpn` is what TLS asks it for, `body` what has come of the client's octets. */
  constructor(
    server: ServerAddress,
    alpn: string | null,
    arrival: Arrival,
    body: Chunk,
    source: Source,
    router: Router,
    hooks: ServerStreamHooks,
  ) {
    const socket = connectTo(
      server,
      alpn,
      () => this.#connected(),
      (error) => {
        if (this.over) return;
        this.#hooks.onFailed(error);
        this.fail();
      },
    );
    super(socket);
    this.#router = router;
    this.#hooks = hooks;
    this.#replyTo = arrival.head.replyTo ?? '';
    this.receiveFrom(source, arrival.settled);
    if (body.length > 0) this.write(body);
    else body.release();
  }

  protected override onOver(): void {
    this.#hooks.onOver(this);
  }

  #connected(): void {
    if (this.over) return;
    this.#hooks.onConnected();
    const sink = this.#router.route(openingOf(this.#replyTo, null), this);
    if (!sink) {
      this.fail();
      return;
    }
    this.sendTo(sink);
    this.attach();
  }
}
