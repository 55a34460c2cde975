/**
 * Answers to streams that find no way back at a hub. Where a network has just come together, one side may know of the
 * other a moment earlier, and who connects there at once is answered before the way back is known: the answer waits for that,
 * for as long as a neighbour may be silent.
 */
import { AnnotationFlag } from '../amqp/message.ts';
import { RELEASED } from '../amqp/performatives.ts';
import type { Chunk } from '../net/chunk.ts';
import { addressKey } from './addresses.ts';
import { forwardToOne } from './anycast.ts';
import type { Arrival, Sink, Source } from './forwarding.ts';
import type { Router } from './router.ts';

/** Milliseconds, and how often it is looked whether there is a way now. */
const LONGEST = 3_000;
const LOOK_EVERY = 50;
/** Answers that wait at one time, and octets of each. */
const MOST_WAITING = 256;
const MOST_KEPT = 256 * 1024;

export class WaysBack {
  readonly #router: Router;
  readonly #waiting = new Set<WaitingAnswer>();
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(router: Router) {
    this.#router = router;
  }

  /** Where the octets of an answer go meanwhile; null when it is none, or too many wait. Takes `arrival.first` if not. */
  wait(arrival: Arrival, source: Source): Sink | null {
    const key = addressKey(arrival.address, this.#router.id);
    const flags = arrival.head.annotations?.flags ?? 0;
    const isAnswer = (flags & AnnotationFlag.streaming) !== 0 && (key.startsWith('R') || key.startsWith('H'));
    if (!isAnswer || this.#router.isEdge || this.#closed || this.#waiting.size >= MOST_WAITING) return null;
    const answer = new WaitingAnswer(arrival, source, () => {
      const address = this.#router.addresses.get(key);
      return address ? forwardToOne(address, arrival, source) : null;
    });
    this.#waiting.add(answer);
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY);
    return answer;
  }

  close(): void {
    this.#closed = true;
    for (const answer of this.#waiting) answer.abort();
    this.#look();
  }

  #look(): void {
    for (const answer of this.#waiting) if (!answer.look()) this.#waiting.delete(answer);
    if (this.#waiting.size > 0 || !this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

class WaitingAnswer implements Sink {
  readonly #source: Source;
  readonly #find: () => Sink | null;
  readonly #first: Chunk;
  readonly #until = performance.now() + LONGEST;
  #sink: Sink | null = null;
  #kept: Chunk[] = [];
  #octets = 0;
  #ended = false;
  #over = false;

  /** `find` gives the answer on its way, if there is one. */
  constructor({ first }: Arrival, source: Source, find: () => Sink | null) {
    this.#source = source;
    this.#find = find;
    this.#first = first;
    first.compact();
  }

  /** Goes on if there is a way, and gives up when it took too long. Returns whether it still waits. */
  look(): boolean {
    if (this.#over || this.#sink) return false;
    const sink = this.#find();
    if (sink) this.#goOn(sink);
    else if (performance.now() > this.#until) this.#giveBack();
    return !sink && !this.#over;
  }

  get blocked(): boolean {
    return this.#sink?.blocked ?? true;
  }

  write(chunk: Chunk): void {
    if (this.#sink) {
      this.#sink.write(chunk);
      return;
    }
    if (this.#over) {
      chunk.release();
      return;
    }
    chunk.compact();
    this.#kept.push(chunk);
    this.#octets += chunk.length;
    if (this.#octets > MOST_KEPT) this.#giveBack();
  }

  end(settled: boolean): void {
    this.#ended = true;
    if (this.#sink) this.#sink.end(settled);
    // One that ends settled was given up.
    else if (settled) this.#drop();
  }

  abort(): void {
    if (this.#sink) this.#sink.abort();
    else this.#drop();
  }

  #goOn(sink: Sink): void {
    this.#sink = sink;
    for (const chunk of this.#kept.splice(0)) sink.write(chunk);
    if (this.#ended) sink.end(false);
    else this.#source.onWritable();
  }

  #giveBack(): void {
    this.#drop();
    this.#source.onOutcome(RELEASED, true);
  }

  #drop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#first.release();
    for (const chunk of this.#kept.splice(0)) chunk.release();
  }
}
