/**
 * Streams to a router that is not ours keep their octets until the answer to them passes, as skupper-router's own
 * listeners do. Its connector (3.5.1) loses octets that come while the connection to its server comes to stand: one
 * thread writes what the message holds, and takes it for all of it, while another still appends what it receives.
 */
import { keepsWindow } from '../amqp/message.ts';
import type { Chunk } from '../net/chunk.ts';
import type { Arrival, Sink } from './forwarding.ts';

/** Octets that are kept: more than a listener of ours sends ahead. Who sends more does not wait, and is not made to. */
const MOST_KEPT = 64 * 1024;
/** Milliseconds for which they are kept when the answer may take another path than by this router. */
const LONGEST_ELSEWHERE = 1_000;

/** Streams whose answer has not passed, by the address where it is awaited. */
export class Unanswered {
  readonly #streams = new Map<string, UnansweredStream>();

  /**
   * What is to stand in front of a TCP stream's sink; null for its answer, and for all other messages: theirs comes when
   * they are whole.
   */
  add({ head, via }: Arrival, sink: Sink, onWritable: () => void): UnansweredStream | null {
    const { replyTo } = head;
    if (replyTo === null || !keepsWindow(head)) return null;
    // The answer to what has begun here comes by here. An edge may have another uplink, as the network has other paths.
    const longest = via === null ? null : LONGEST_ELSEWHERE;
    const stream = new UnansweredStream(replyTo, sink, onWritable, longest);
    this.#streams.set(replyTo, stream);
    return stream;
  }

  /** The stream is over. Another try of it may have taken its place. */
  remove(stream: UnansweredStream): void {
    stream.over();
    if (this.#streams.get(stream.replyTo) === stream) this.#streams.delete(stream.replyTo);
  }

  /** A message to this address passes: the answer, if one is awaited there. */
  onMessage(to: string | null): void {
    if (to === null || this.#streams.size === 0) return;
    const stream = this.#streams.get(to);
    this.#streams.delete(to);
    stream?.goOn();
  }
}

export class UnansweredStream implements Sink {
  readonly replyTo: string;
  readonly #sink: Sink;
  readonly #onWritable: () => void;
  /** null: nothing is kept any more. */
  #kept: Chunk[] | null = [];
  #octets = 0;
  #ended = false;
  readonly #timer: NodeJS.Timeout | null;

  /** `longest`: milliseconds after which it goes on without an answer; null: never. */
  constructor(replyTo: string, sink: Sink, onWritable: () => void, longest: number | null) {
    this.replyTo = replyTo;
    this.#sink = sink;
    this.#onWritable = onWritable;
    this.#timer = longest === null ? null : setTimeout(() => this.goOn(), longest);
  }

  get blocked(): boolean {
    return this.#kept !== null || this.#sink.blocked;
  }

  write(chunk: Chunk): void {
    if (!this.#kept) {
      this.#sink.write(chunk);
      return;
    }
    this.#octets += chunk.length;
    this.#kept.push(chunk);
    if (this.#octets > MOST_KEPT) this.goOn();
  }

  end(settled: boolean): void {
    // One that ends settled was given up: there will be no answer.
    if (settled) this.#drop();
    if (this.#kept) this.#ended = true;
    else this.#sink.end(settled);
  }

  abort(): void {
    this.#drop();
    this.#sink.abort();
  }

  goOn(): void {
    this.over();
    const kept = this.#kept;
    if (!kept) return;
    this.#kept = null;
    for (const chunk of kept) this.#sink.write(chunk);
    if (this.#ended) this.#sink.end(false);
    else this.#onWritable();
  }

  /** Nothing is waited for any more. */
  over(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }

  #drop(): void {
    this.over();
    for (const chunk of this.#kept ?? []) chunk.release();
    this.#kept = null;
  }
}
