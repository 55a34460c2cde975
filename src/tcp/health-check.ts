/** Asks a connector's server now and then whether it is there: a TCP connection, or a GET over HTTP. */
import type { Socket } from 'node:net';
import { SkiffError } from '../errors.ts';
import { hostPort } from '../net/failure.ts';
import type { HealthCheckConfig } from '../router/protocol.ts';
import { connectTo, type ServerAddress } from './server-address.ts';

/** What comes of an answer before its status is read; more is no status line. */
const STATUS_LINE_MAX = 1024;

export class HealthCheck {
  readonly #server: ServerAddress;
  readonly #config: HealthCheckConfig;
  readonly #onChange: (healthy: boolean, error: SkiffError | null) => void;
  #healthy: boolean | null;
  /** Results in a row that speak against `#healthy`. */
  #against = 0;
  #timer: NodeJS.Timeout | null = null;
  #socket: Socket | null = null;
  #closed = false;

  /** `healthy`: what is known from before; null when the first result is to decide. */
  constructor(
    server: ServerAddress,
    config: HealthCheckConfig,
    healthy: boolean | null,
    onChange: (healthy: boolean, error: SkiffError | null) => void,
  ) {
    this.#server = server;
    this.#config = config;
    this.#healthy = healthy;
    this.#onChange = onChange;
    this.#probe();
  }

  close(): void {
    this.#closed = true;
    this.#endProbe();
  }

  #probe(): void {
    const { type, path, timeout } = this.#config;
    const { host, port } = this.#server;
    const where = hostPort(host, port);
    this.#timer = setTimeout(
      () => this.#result(new SkiffError('timed-out', `${where}: no answer within ${timeout} ms`)),
      timeout,
    );
    const socket = connectTo(
      this.#server,
      null,
      () => {
        if (type === 'tcp') return this.#result(null);
        socket.on('error', () => this.#result(noHttp(where)));
        readStatus(socket, (status) => {
          if (status === null) this.#result(noHttp(where));
          else this.#result(status >= 200 && status < 400 ? null : badStatus(where, path, status));
        });
        socket.write(`GET ${path} HTTP/1.1\r\nHost: ${where}\r\nUser-Agent: skiff\r\nConnection: close\r\n\r\n`);
      },
      (error) => this.#result(error),
    );
    this.#socket = socket;
  }

  #endProbe(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.on('error', () => {});
    socket?.destroy();
  }

  #result(error: SkiffError | null): void {
    // A probe has one result, whatever comes of its socket afterwards.
    if (this.#closed || !this.#socket) return;
    this.#endProbe();
    this.#timer = setTimeout(() => this.#probe(), this.#config.interval);
    const healthy = error === null;
    if (healthy === this.#healthy) {
      this.#against = 0;
      return;
    }
    this.#against++;
    const enough = healthy ? this.#config.successes : this.#config.failures;
    if (this.#healthy !== null && this.#against < enough) return;
    this.#healthy = healthy;
    this.#against = 0;
    this.#onChange(healthy, error);
  }
}

/** Calls back once with the status of an answer; null when it is none. */
function readStatus(socket: Socket, onStatus: (status: number | null) => void): void {
  let text = '';
  const take = (octets: Buffer): void => {
    text += octets.toString('latin1');
    const line = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(text);
    if (!line && text.length < STATUS_LINE_MAX && !text.includes('\n')) return;
    socket.off('data', take);
    onStatus(line ? Number(line[1]) : null);
  };
  socket.on('data', take);
  socket.once('end', () => onStatus(null));
}

function noHttp(where: string): SkiffError {
  return new SkiffError('not-http', `${where}: the server does not answer in HTTP`, {
    hint: 'Use health-check: tcp, or the port that speaks HTTP',
  });
}

function badStatus(where: string, path: string, status: number): SkiffError {
  return new SkiffError('http-status', `${where}: GET ${path} is answered with status ${status}`, {
    hint: 'Look at the server; a healthy one answers with 200 to 399',
  });
}
