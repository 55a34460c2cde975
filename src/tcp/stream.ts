/**
 * A TCP connection as two streams of messages, one each way, in skupper-router's manner (recorded in `test/fixtures/wire`):
 * octets read from the socket go out as a delivery that ends with the socket's end of input, and a delivery that comes
 * in is written to the socket. The consuming end says how far it has written; the producing end reads no further
 * than a window ahead of that.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { ACCEPTED, type DeliveryState, isTerminal, MODIFIED_FAILED } from '../amqp/performatives.ts';
import type { BagItem } from '../net/bag.ts';
import type { Chunk } from '../net/chunk.ts';
import { letGo, PayloadSlab, readInto } from '../net/reading.ts';
import { reset } from '../net/reset.ts';
import { SocketWriter } from '../net/writing.ts';
import { nextConnectionNumber } from '../router/connections.ts';
import type { Sink, Source } from '../router/forwarding.ts';
import { LARGEST_WINDOW, StreamWindow } from './window.ts';

/** Octets written after which the producing end is told. */
export const ACKNOWLEDGE_EVERY = 512 * 1024;
/** The most octets of one read: what fits one of our own frames. */
const READ_LIMIT = 64 * 1024 - 80;
/** Octets that never wait here: a peer that sends so far ahead does not keep to the window. */
const MOST_WAITING = 2 * LARGEST_WINDOW;
/** Octets waiting for the socket above which further ones are moved out of the slabs they came in. */
const KEEP_IN_SLABS = 128 * 1024;
/** Chunks that are written together, once the socket takes some again. */
const WRITE_TOGETHER = 64;
/** Octets that leave in one segment on any line. */
const ONE_SEGMENT = 512;

export abstract class TcpStream implements Sink, Source, BagItem {
  readonly number = nextConnectionNumber();
  /** When it began, `performance.now()`. */
  readonly since = performance.now();
  /** Among those of its listener or connector. */
  place = -1;
  readonly socket: Socket;
  readonly #writer: SocketWriter;
  /** Before, nothing may be written: TLS may be shaking hands. */
  #attached = false;
  #slab: PayloadSlab | null = null;
  /** Where octets of the socket go; null before and after. */
  #out: Sink | null = null;
  #outEnded = false;
  #outDone = false;
  readonly #window = new StreamWindow();
  #inputEnded = false;
  /** Whoever sends us what we write. */
  #in: Source | null = null;
  #inSettled = false;
  #inEnded = false;
  #inDone = false;
  /** Its end may be one, or mean that both streams were given up. */
  #inDoubt = false;
  /** What is with the socket and not yet with the kernel. */
  #underWay: Chunk[] = [];
  /** What waits for that. */
  #waiting: Chunk[] = [];
  /** Octets of both. */
  #unwritten = 0;
  /** What was read before the answer came, beyond what may go ahead of it. */
  #held: Chunk[] | null = null;
  #written = 0;
  #unacknowledged = 0;
  #paused = false;
  /** The kernel sends at once what is written, also while it awaits word of what it sent before. */
  #undelayed = false;
  #over = false;

  constructor(socket: Socket) {
    this.socket = socket;
    this.#writer = new SocketWriter(socket, () => this.#onIdle());
  }

  /** The stream is over, in both directions; called once. */
  protected abstract onOver(): void;

  /** Both directions are still to be finished, or one. */
  get over(): boolean {
    return this.#over;
  }

  /** Octets that came from the socket and that went into it. */
  get octets(): { in: number; out: number } {
    return { in: this.#window.sent, out: this.#written };
  }

  /** Reads and writes the socket from now on; to be called in the event that brought it. */
  protected attach(): void {
    if (this.#over) return;
    const { socket } = this;
    const slab = new PayloadSlab(READ_LIMIT);
    this.#slab = slab;
    // TLS writes records of its own.
    if (socket instanceof TLSSocket) this.#neverDelay();
    readInto(
      socket,
      () => slab.next(),
      (octets) => this.#onOctets(slab.take(octets)),
    );
    socket.on('end', () => this.#onInputEnd());
    socket.on('error', () => this.fail());
    socket.on('close', () => this.#onClose());
    this.#attached = true;
    this.#updateReading();
    if (this.#waiting.length > 0) this.#writeWaiting();
    else if (this.#atEnd) this.#endSocket();
  }

  /** To be called now and then: a peer that is gone without a word is noticed. Most streams end before that matters. */
  keepAlive(): void {
    if (this.#attached && !this.#over) this.socket.setKeepAlive(true, 60_000);
  }

  /** Gives the socket's octets somewhere to go. */
  protected sendTo(sink: Sink): void {
    if (this.#over) {
      sink.end(true);
      return;
    }
    this.#out = sink;
    this.#updateReading();
    if (this.#inputEnded) this.#endOutput();
  }

  /** Takes what comes in from now on as sent by `source`. */
  protected receiveFrom(source: Source, settled: boolean): void {
    this.#in = source;
    this.#inSettled = settled;
    if (this.#over) this.#refuseInput();
    else this.#answered();
  }

  /** Ends everything at once, as a reset does: nothing more is wanted or can be had. */
  fail(): void {
    if (this.#over) return;
    this.#over = true;
    this.#refuseInput();
    this.#outEnded = true;
    this.#out?.end(true);
    reset(this.socket);
    this.#dropWaiting();
    this.#finish();
  }

  // As the source of what the socket reads.

  onOutcome(state: DeliveryState, settled: boolean): void {
    if (this.#over) return;
    if (state.outcome === 'received') {
      this.#window.take(state.sectionOffset);
    } else if (state.outcome === 'accepted') {
      this.#outDone = true;
      this.#dispelDoubt();
    } else {
      // Anything else means that the other side is gone.
      this.fail();
      return;
    }
    if (settled || isTerminal(state)) this.#window.open();
    this.#updateReading();
    this.#checkOver();
  }

  onWritable(): void {
    this.#updateReading();
  }

  #dispelDoubt(): void {
    if (!this.#inDoubt) return;
    this.#inDoubt = false;
    if (this.#attached && this.#atEnd) this.#endSocket();
  }

  // As the sink of what is written to the socket.

  get blocked(): boolean {
    return false;
  }

  write(chunk: Chunk): void {
    if (this.#over || this.#inEnded) {
      chunk.release();
      return;
    }
    if (this.#unwritten > MOST_WAITING) {
      chunk.release();
      this.fail();
      return;
    }
    const octets = chunk.length;
    this.#unwritten += octets;
    if (!this.#attached || this.#writer.busy) {
      if (this.#unwritten - octets > KEEP_IN_SLABS) chunk.compact();
      this.#waiting.push(chunk);
    } else {
      // One short write has nothing to wait for, and most connections that come and go are over with that.
      if (this.#written > 0 || octets > ONE_SEGMENT) this.#neverDelay();
      if (this.#writer.write(chunk.view())) this.#onWritten(chunk);
      else this.#underWay.push(chunk);
    }
  }

  end(settled: boolean): void {
    if (this.#over || this.#inEnded) return;
    this.#inEnded = true;
    this.#inSettled ||= settled;
    // A stream that ends settled while ours has not ended was given up: its socket is gone (`capture-edge-cases`).
    if (settled && !this.#outEnded) {
      this.fail();
      return;
    }
    // Who gives up a stream whose other direction has ended says no more than who ends it. Only the latter has said before
    // that all of that direction arrived; that word may have gone another way, and still be on it.
    this.#inDoubt = settled && !this.#outDone;
    if (this.#attached && this.#atEnd) this.#endSocket();
  }

  /** All has come, and nothing of it waits for the socket. */
  get #atEnd(): boolean {
    return this.#inEnded && !this.#inDoubt && this.#waiting.length === 0;
  }

  abort(): void {
    this.#inSettled = true;
    this.fail();
  }

  /** Ends the socket's output, and tells when it is out. */
  #endSocket(): void {
    const ended = (): void => {
      if (this.#over) return;
      this.#inDone = true;
      if (!this.#inSettled) this.#in?.onOutcome(ACCEPTED, true);
      this.#inSettled = true;
      this.#checkOver();
    };
    // With nothing left to read, closing says as much as ending does. TLS has a word of its own to say before.
    if (this.#inputEnded && !(this.socket instanceof TLSSocket)) this.#writer.close(ended);
    else this.#writer.end(ended);
  }

  /** The write that was under way is over. */
  #onIdle(): void {
    const written = this.#underWay;
    this.#underWay = [];
    for (const chunk of written) this.#onWritten(chunk);
    this.#writeWaiting();
  }

  #neverDelay(): void {
    if (this.#undelayed) return;
    this.#undelayed = true;
    this.socket.setNoDelay(true);
  }

  #writeWaiting(): void {
    if (this.#unwritten > ONE_SEGMENT || this.#written > 0) this.#neverDelay();
    while (this.#waiting.length > 0 && !this.#writer.busy) {
      const chunks = this.#waiting.splice(0, WRITE_TOGETHER);
      if (this.#writer.write(chunks.map((chunk) => chunk.view()))) for (const chunk of chunks) this.#onWritten(chunk);
      else this.#underWay = chunks;
      if (this.#atEnd && !this.#over) this.#endSocket();
    }
  }

  #dropWaiting(): void {
    for (const chunk of this.#waiting) chunk.release();
    this.#waiting = [];
  }

  #onOctets(chunk: Chunk): boolean {
    if (this.#over || !this.#out) {
      chunk.release();
      return false;
    }
    if (this.#ahead) {
      // TLS gives all that it has decrypted, paused or not.
      this.#held ??= [];
      this.#held.push(chunk);
    } else {
      this.#window.send(chunk.length);
      this.#out.write(chunk);
    }
    this.#updateReading();
    return !this.#paused;
  }

  #onInputEnd(): void {
    this.#inputEnded = true;
    if (this.#out && !this.#ahead) this.#endOutput();
  }

  /**
   * Before the answer comes, one read is all that may go ahead, and the end may not: whatever goes ahead is kept by the
   * last router of ours on its way to one that is not (`router/unanswered.ts`). What the socket has beyond is read once more
   * and held here: most often there is nothing, and a pause that nothing needs costs more than the read.
   */
  get #ahead(): boolean {
    return this.#in === null && this.#window.sent > 0;
  }

  #answered(): void {
    const held = this.#held;
    this.#held = null;
    for (const chunk of held ?? []) this.#onOctets(chunk);
    if (this.#inputEnded && this.#out) this.#endOutput();
    else this.#updateReading();
  }

  #endOutput(): void {
    if (this.#outEnded || this.#over) return;
    this.#outEnded = true;
    // When the other direction is finished, nothing is left to be told: the end is settled (`capture-edge`).
    const settled = this.#inDone;
    this.#out?.end(settled);
    if (settled) this.#outDone = true;
    this.#checkOver();
  }

  #onWritten(chunk: Chunk): void {
    const octets = chunk.length;
    chunk.release();
    this.#unwritten -= octets;
    if (this.#over) return;
    this.#written += octets;
    this.#unacknowledged += octets;
    if (this.#unacknowledged < ACKNOWLEDGE_EVERY || this.#inSettled || this.#inEnded) return;
    this.#unacknowledged = 0;
    this.#in?.onOutcome({ outcome: 'received', sectionNumber: 0, sectionOffset: this.#written }, false);
  }

  /** The one place that decides whether the socket is read. */
  #updateReading(): void {
    if (!this.#attached || this.#over || this.#inputEnded) return;
    const wanted = this.#out !== null && !this.#out.blocked && !this.#window.full && this.#held === null;
    if (!wanted) this.#pause();
    else if (this.#paused) {
      this.#paused = false;
      this.socket.resume();
    }
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.socket.pause();
  }

  #refuseInput(): void {
    const source = this.#in;
    this.#in = null;
    if (source && !this.#inSettled) source.onOutcome(MODIFIED_FAILED, false);
    this.#inSettled = true;
  }

  #checkOver(): void {
    if (this.#over || !this.#outEnded || !this.#outDone || !this.#inDone) return;
    this.#over = true;
    this.socket.destroySoon();
    this.#finish();
  }

  #finish(): void {
    for (const chunk of this.#held ?? []) chunk.release();
    this.#held = null;
    this.#slab?.release();
    this.#slab = null;
    this.#window.close();
    this.onOver();
  }

  #onClose(): void {
    // A socket that closed with everything said is only waiting for the other side's word.
    if (!this.#over && !(this.#outEnded && this.#inDone)) this.fail();
    letGo(this.socket);
  }
}
