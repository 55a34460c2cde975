/** Load on a deployment: iperf3 and wrk where they are installed, our own generator otherwise or where they cannot. */
import { accessSync, constants, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Process, type Processes, sleep } from '../processes.ts';
import type { World } from '../systems/system.ts';
import type { BulkResult, Direction, Job, RequestsResult } from './client.ts';
import type { EdgesJob } from './edges.ts';

export type { BulkResult, Direction, RequestsResult };

const CLIENT = join(import.meta.dirname, 'client.ts');
const EDGES = join(import.meta.dirname, 'edges.ts');
const SERVER = join(import.meta.dirname, 'server.ts');
/** What a generator may take beyond its time, in milliseconds. */
const SLACK = 8_000;
/** What bulk streams are given to gain speed before something is measured beside them, in milliseconds. */
const GAIN_SPEED = 300;
/** How long very many edges may take to link, in seconds. */
const EDGES_WITHIN = 120;

/** What wrk prints at its end; it knows no 99.9 % by itself. */
const WRK_SCRIPT = `done = function(s, l, r)
  local e = s.errors
  io.write(string.format('RESULT {"requests":%d,"us":%d,"p50":%d,"p99":%d,"p999":%d,"max":%d,"errors":%d}\\n',
    s.requests, s.duration, l:percentile(50), l:percentile(99), l:percentile(99.9), l.max,
    e.connect + e.read + e.write + e.status + e.timeout))
end
`;

function installed(program: string): string | null {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return join(directory, program);
    } catch {
      // Not there: on to the next.
    }
  }
  return null;
}

interface Sum {
  bytes: number;
  seconds: number;
}

interface IperfReport {
  error?: string;
  end?: { sum_received?: Sum; sum_received_bidir_reverse?: Sum };
}

export class Load {
  readonly #processes: Processes;
  readonly #wrkScript: string;
  readonly #wrk: string | null;
  readonly #iperf3: string | null;
  /** Where iperf3 is to listen, for the time of a measurement. */
  readonly #iperf3Port: number;

  constructor(processes: Processes, directory: string, iperf3Port: number, own: boolean) {
    this.#processes = processes;
    this.#iperf3Port = iperf3Port;
    this.#wrk = own ? null : installed('wrk');
    this.#iperf3 = own ? null : installed('iperf3');
    this.#wrkScript = join(directory, 'wrk.lua');
    writeFileSync(this.#wrkScript, WRK_SCRIPT);
  }

  /** Which generators are used, for the report. */
  get generators(): { http: string; bulk: string } {
    return { http: this.#wrk ? 'wrk' : 'own', bulk: this.#iperf3 ? 'iperf3' : 'own' };
  }

  async startServer(port: number): Promise<Process> {
    const server = this.#processes.start('server', process.execPath, [SERVER, String(port)]);
    await server.line((line) => line === 'ready', SLACK);
    return server;
  }

  /** Requests on kept connections, each as soon as the one before is answered. */
  http(port: number, connections: number, seconds: number): Promise<RequestsResult> {
    if (this.#wrk === null) return this.run({ kind: 'requests', port, connections, seconds, pauseMs: 0 });
    return this.#runWrk(port, connections, seconds, []);
  }

  /** A new connection for each request. */
  connects(port: number, connections: number, seconds: number): Promise<RequestsResult> {
    if (this.#wrk === null) return this.run({ kind: 'connects', port, connections, seconds });
    return this.#runWrk(port, connections, seconds, ['-H', 'Connection: close']);
  }

  async bulk(port: number, direction: Direction, streams: number, seconds: number): Promise<BulkResult> {
    if (this.#iperf3 === null) return this.run({ kind: 'bulk', port, direction, streams, seconds });
    const server = this.#processes.start('iperf3 server', this.#iperf3, [
      ...['-s', '--one-off', '--forceflush', '-B', '127.0.0.1', '-p', String(this.#iperf3Port)],
    ]);
    try {
      await server.line((line) => line.includes('listening'), SLACK);
      // It measures in whole seconds.
      const whole = Math.max(1, Math.round(seconds));
      const client = this.#processes.start('iperf3', this.#iperf3, [
        ...['-c', '127.0.0.1', '-p', String(port), '-t', String(whole), '-P', String(streams), '--json'],
        ...{ up: [], down: ['--reverse'], both: ['--bidir'] }[direction],
      ]);
      return readIperf(await client.finish(whole * 1_000 + SLACK), direction);
    } finally {
      await server.stop();
    }
  }

  /** One job of our own generator, to its end. */
  async run<T>(job: Job): Promise<T> {
    return this.#result(this.#start(job), job);
  }

  /** Connections that are held until the returned process is stopped. */
  async hold(job: Extract<Job, { kind: 'idle' | 'stall' }>): Promise<Process> {
    const holder = this.#start(job);
    const line = await holder.line((text) => text.includes('"ready"'), job.seconds * 1_000);
    const { lost } = JSON.parse(line) as { lost: number };
    if (lost > 0) {
      await holder.stop();
      throw new Error(`${lost} of ${job.connections} connections were lost`);
    }
    return holder;
  }

  /** One job of our own generator beside others: its result is waited for later. */
  begin(job: Job): { underWay: Promise<void>; result<T>(): Promise<T> } {
    const process_ = this.#start(job);
    return {
      underWay: process_.line((line) => line === 'begun', SLACK).then(() => sleep(GAIN_SPEED)),
      result: () => this.#result(process_, job),
    };
  }

  /** Edges of which one process plays all, linked to a hub until that process is stopped. */
  async edges(port: number, edges: number, { ca, directory }: World): Promise<{ process: Process; seconds: number }> {
    const { ca: authority, certificate, key } = ca.issue({ commonName: 'edges', hosts: ['localhost'] });
    const job: EdgesJob = { port, edges, seconds: EDGES_WITHIN * 2, ca: authority, certificate, key };
    const file = join(directory, 'edges.json');
    writeFileSync(file, JSON.stringify(job));
    const process_ = this.#processes.start('edges', process.execPath, [EDGES, file]);
    try {
      const line = await process_.line((text) => text.includes('"ready"'), EDGES_WITHIN * 1_000);
      return { process: process_, seconds: (JSON.parse(line) as { seconds: number }).seconds };
    } catch (error) {
      await process_.stop();
      throw error;
    }
  }

  async #result<T>(process_: Process, job: Job): Promise<T> {
    const output = await process_.finish(job.seconds * 1_000 + SLACK);
    return JSON.parse(output.split('\n').at(-1)!) as T;
  }

  #start(job: Job): Process {
    return this.#processes.start(`load ${job.kind}`, process.execPath, [CLIENT, JSON.stringify(job)]);
  }

  async #runWrk(port: number, connections: number, seconds: number, args: string[]): Promise<RequestsResult> {
    // It measures in whole seconds; an interrupt ends it earlier, with its results.
    const wrk = this.#processes.start('wrk', this.#wrk!, [
      ...['-t', '1', '-c', String(connections), '-d', String(Math.ceil(seconds) + 1), '-s', this.#wrkScript],
      ...args,
      `http://127.0.0.1:${port}/`,
    ]);
    const timer = setTimeout(() => wrk.signal('SIGINT'), seconds * 1_000);
    const output = await wrk.finish(seconds * 1_000 + SLACK).finally(() => clearTimeout(timer));
    const line = output.split('\n').find((text) => text.startsWith('RESULT '));
    if (line === undefined) throw wrk.failure('printed no result');
    const { us, p50, p99, p999, max, ...counts } = JSON.parse(line.slice('RESULT '.length)) as RequestsResult & {
      us: number;
    };
    const ms = (microseconds: number) => microseconds / 1_000;
    return { ...counts, seconds: us / 1e6, p50: ms(p50), p99: ms(p99), p999: ms(p999), max: ms(max) };
  }
}

function readIperf(output: string, direction: Direction): BulkResult {
  const { error, end } = JSON.parse(output) as IperfReport;
  const forward = end?.sum_received;
  if (error !== undefined || !forward) throw new Error(`iperf3: ${error ?? 'no result'}`);
  const backward = end.sum_received_bidir_reverse;
  if (direction === 'both') return { seconds: forward.seconds, up: forward.bytes, down: backward?.bytes ?? 0 };
  const [up, down] = direction === 'up' ? [forward.bytes, 0] : [0, forward.bytes];
  return { seconds: forward.seconds, up, down };
}
