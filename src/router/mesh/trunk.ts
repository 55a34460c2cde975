/**
 * The way to a neighbouring interior router: a connection by which the routers talk and messages go, and any number of
 * others that carry streams alone, so that those spread over them.
 */
import { SkiffError } from '../../errors.ts';
import type { Arrival, Sink, Source, Way } from '../forwarding.ts';
import type { InteriorPeer } from './interior-peer.ts';
import type { Mesh } from './mesh.ts';
import { HELLO_AGE } from './neighbours.ts';

/**
 * A line of which nothing was heard for so long is dead: this share of what its idle timeout allows, and no less than it
 * takes for a neighbour to be missed that says something every second, and a second more.
 */
const SILENT_SHARE = 1 / 4;
const SILENT_AT_LEAST = HELLO_AGE + 1_000;
/** What was heard by another connection so much later than by the control connection shows that it is not dead, too. */
const SAME_MOMENT = 2_000;
/** Answers expected, which come as soon as there is somebody at the other end of a stream. */
const MAX_ANSWERS = 4_096;

export class Trunk implements Way {
  /** Routers are let in whole. */
  readonly guard = null;
  /** Never the same twice. */
  readonly link: number;
  /** The router at the other end. */
  readonly neighbour: string;
  readonly cost: number;
  readonly control: InteriorPeer;
  readonly #mesh: Mesh;
  readonly #data: InteriorPeer[] = [];
  /** By which of them the answers that are expected go: those to the streams that have come last. */
  readonly #answers = new Map<string, InteriorPeer>();
  #isUp = false;
  #turn = 0;

  constructor(mesh: Mesh, link: number, control: InteriorPeer, neighbour: string, cost: number) {
    this.#mesh = mesh;
    this.link = link;
    this.control = control;
    this.neighbour = neighbour;
    this.cost = cost;
    control.trunk = this;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** The control link is attached in both directions. */
  up(): void {
    if (this.#isUp) return;
    this.#isUp = true;
    this.#mesh.linkUp(this);
  }

  down(): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#mesh.linkDown(this);
  }

  /** A routing message has come. False: the neighbour sends too many, and it was not read. */
  receive(octets: Buffer): boolean {
    return !this.#isUp || this.#mesh.receive(this, octets);
  }

  /** Takes in a data connection. */
  add(peer: InteriorPeer): void {
    peer.trunk = this;
    this.#data.push(peer);
  }

  remove(peer: InteriorPeer): void {
    const index = this.#data.indexOf(peer);
    if (index >= 0) this.#data.splice(index, 1);
  }

  /** Lets go of the data connections, and says which they were. */
  release(): InteriorPeer[] {
    return this.#data.splice(0);
  }

  /** Whether the line is dead, by all that is heard. */
  get isSilent(): boolean {
    const { lastHeard, idleTimeout } = this.control.connection;
    return performance.now() - lastHeard > Math.max(SILENT_AT_LEAST, SILENT_SHARE * idleTimeout);
  }

  /** Ends the connections of a line that is dead, with the streams by them. */
  cut(): void {
    const { lastHeard } = this.control.connection;
    const message = 'nothing is heard of the peer, which is reached by another way';
    for (const { connection } of [this.control, ...this.#data])
      if (connection.lastHeard < lastHeard + SAME_MOMENT) connection.destroy(new SkiffError('idle-timeout', message));
  }

  /** A stream has come by this data connection, and its answer goes to `replyTo`. */
  expectAnswer(replyTo: string, peer: InteriorPeer): void {
    const answers = this.#answers;
    if (answers.size >= MAX_ANSWERS) answers.delete(answers.keys().next().value as string);
    answers.set(replyTo, peer);
  }

  /** Sends a message to the neighbour: a stream by the connection that has the fewest, any other by the control connection. */
  send(arrival: Arrival, source: Source, onDone: () => void): Sink {
    const peer = arrival.complete ? this.control : (this.#answering(arrival.address) ?? this.#leastLoaded());
    return peer.send(arrival, source, onDone);
  }

  #answering(address: string): InteriorPeer | undefined {
    const peer = this.#answers.get(address);
    this.#answers.delete(address);
    return peer && this.#data.includes(peer) ? peer : undefined;
  }

  #leastLoaded(): InteriorPeer {
    const count = this.#data.length;
    if (count === 0) return this.control;
    const start = this.#turn++ % count;
    let best = this.#data[start] as InteriorPeer;
    for (let index = 1; index < count; index++) {
      const peer = this.#data[(start + index) % count] as InteriorPeer;
      if (peer.streamCount < best.streamCount) best = peer;
    }
    return best;
  }
}
