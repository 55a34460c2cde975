/**
 * Our own load generator, `client.ts JOB` with JOB as JSON: one job, bounded in time. It prints `begun`, and its result
 * as one JSON line at last; a job that holds connections says before that when it has them.
 */
import net, { type Socket } from 'node:net';

export type Job =
  /** Requests on connections that are kept, each after the answer to the one before and `pauseMs`. */
  | { kind: 'requests'; port: number; connections: number; seconds: number; pauseMs: number }
  /** A connection a request, `connections` at a time. */
  | { kind: 'connects'; port: number; connections: number; seconds: number }
  /** As fast as it goes: `up` to the server, `down` from it, or both on different connections. */
  | { kind: 'bulk'; port: number; direction: Direction; streams: number; seconds: number }
  /** Connections that have had one answer and are then kept without traffic. */
  | { kind: 'idle'; port: number; connections: number; seconds: number }
  /** Connections that ask for an endless answer and read none of it. */
  | { kind: 'stall'; port: number; connections: number; seconds: number };

export type Direction = 'up' | 'down' | 'both';

export interface RequestsResult {
  requests: number;
  seconds: number;
  errors: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  p999: number;
  max: number;
}

export interface BulkResult {
  seconds: number;
  /** Octets that arrived at the server, and here. */
  up: number;
  down: number;
}

const REQUEST = Buffer.from('GET / HTTP/1.1\r\nHost: bench\r\n\r\n');
const REQUEST_AND_CLOSE = Buffer.from('GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n');
/** How long after its time a job may take to gather what is under way, in milliseconds. */
const GRACE = 2_000;
/** Connections that are set up at the same time by those who hold many. */
const AT_ONCE = 50;

class Latencies {
  #values = new Float64Array(65_536);
  #count = 0;
  errors = 0;

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#count * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count++] = value;
  }

  result(seconds: number): RequestsResult {
    const sorted = this.#values.subarray(0, this.#count).sort();
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return {
      requests: sorted.length,
      seconds,
      errors: this.errors,
      p50: at(0.5),
      p99: at(0.99),
      p999: at(0.999),
      max: at(1),
    };
  }
}

function connect(port: number): Socket {
  return net.connect({ port, host: '127.0.0.1', noDelay: true });
}

const now = (): number => performance.now();
const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Calls back after each whole answer. */
function onAnswers(socket: Socket, answered: () => void): void {
  let length = 0;
  let expected = 0;
  socket.on('data', (data) => {
    if (expected === 0) {
      const text = data.toString('latin1');
      const body = text.indexOf('\r\n\r\n') + 4;
      expected = body + Number(/Content-Length: (\d+)/.exec(text)?.[1]);
    }
    length += data.length;
    if (length < expected) return;
    length = 0;
    expected = 0;
    answered();
  });
}

async function requests(job: Extract<Job, { kind: 'requests' }>): Promise<RequestsResult> {
  const latencies = new Latencies();
  const started = now();
  const deadline = started + job.seconds * 1_000;
  const run = (index: number): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(job.port);
      let sent = 0;
      const send = (): void => {
        if (now() >= deadline) {
          socket.destroy();
          return;
        }
        sent = now();
        socket.write(REQUEST);
      };
      onAnswers(socket, () => {
        latencies.add(now() - sent);
        if (job.pauseMs > 0) setTimeout(send, job.pauseMs);
        else send();
      });
      // Spread over the first pause, so that they do not all come at once for ever.
      socket.on('connect', () => setTimeout(send, (job.pauseMs * index) / job.connections));
      socket.on('error', () => latencies.errors++);
      const limit = setTimeout(
        () => {
          // Whoever waits this long is as bad as the time shows.
          latencies.add(now() - sent);
          socket.destroy();
        },
        job.seconds * 1_000 + GRACE,
      );
      socket.on('close', () => {
        clearTimeout(limit);
        resolve();
      });
    });
  await Promise.all(Array.from({ length: job.connections }, (_, index) => run(index)));
  return latencies.result((Math.min(now(), deadline) - started) / 1_000);
}

async function connects(job: Extract<Job, { kind: 'connects' }>): Promise<RequestsResult> {
  const latencies = new Latencies();
  const started = now();
  const deadline = started + job.seconds * 1_000;
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      const began = now();
      const socket = connect(job.port);
      let answered = false;
      socket.write(REQUEST_AND_CLOSE);
      onAnswers(socket, () => {
        answered = true;
        latencies.add(now() - began);
        socket.destroy();
      });
      socket.on('error', () => {});
      socket.setTimeout(GRACE, () => socket.destroy());
      socket.on('close', () => {
        if (!answered) latencies.errors++;
        resolve();
      });
    });
  const run = async (): Promise<void> => {
    while (now() < deadline) await one();
  };
  await Promise.all(Array.from({ length: job.connections }, run));
  return latencies.result((now() - started) / 1_000);
}

async function bulk(job: Extract<Job, { kind: 'bulk' }>): Promise<BulkResult> {
  const started = now();
  const milliseconds = job.seconds * 1_000;
  let up = 0;
  let down = 0;
  const upload = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect(job.port);
      const block = Buffer.alloc(256 * 1_024, 'x');
      let over = false;
      let answer = '';
      const more = (): void => {
        while (!over && socket.write(block));
      };
      socket.on('drain', more).on('error', reject);
      socket.on('data', (data) => {
        answer += data;
      });
      socket.on('end', () => {
        up += Number(answer);
        resolve();
      });
      socket.write('PUT /sink HTTP/1.1\r\n\r\n');
      more();
      setTimeout(() => {
        over = true;
        socket.end();
      }, milliseconds);
      setTimeout(() => reject(new Error('the upload does not end')), milliseconds + 2 * GRACE).unref();
    });
  const download = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect(job.port);
      socket.on('error', reject);
      socket.on('data', (data) => {
        down += data.length;
      });
      socket.write('GET /flood HTTP/1.1\r\n\r\n');
      setTimeout(() => {
        socket.destroy();
        resolve();
      }, milliseconds);
    });
  const streams = Array.from({ length: job.streams }, () => [
    ...(job.direction === 'down' ? [] : [upload()]),
    ...(job.direction === 'up' ? [] : [download()]),
  ]);
  await Promise.all(streams.flat());
  return { seconds: (now() - started) / 1_000, up, down };
}

/** Opens connections, a few at a time, and keeps them until the time is over or this process is ended. */
async function hold(job: Extract<Job, { kind: 'idle' | 'stall' }>): Promise<{ lost: number }> {
  let lost = 0;
  let opened = 0;
  const open = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(job.port);
      const settle = (): void => {
        if (job.kind === 'stall') socket.pause();
        resolve();
      };
      socket.once('data', settle);
      socket.on('error', () => {});
      socket.on('close', () => {
        lost++;
        resolve();
      });
      socket.write(job.kind === 'stall' ? 'GET /flood HTTP/1.1\r\n\r\n' : REQUEST);
    });
  const run = async (): Promise<void> => {
    while (opened++ < job.connections) await open();
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, job.connections) }, run));
  console.log(JSON.stringify({ ready: true, lost }));
  await sleep(job.seconds * 1_000);
  return { lost };
}

function run(job: Job): Promise<unknown> {
  switch (job.kind) {
    case 'requests':
      return requests(job);
    case 'connects':
      return connects(job);
    case 'bulk':
      return bulk(job);
    default:
      return hold(job);
  }
}

console.log('begun');
const result = await run(JSON.parse(process.argv[2]) as Job);
console.log(JSON.stringify(result));
process.exit(0);
