/** What the streams of one listener or connector have carried, those that are over and those under way. */
import type { Bag } from '../net/bag.ts';
import type { TcpStream } from './stream.ts';

export class Tally {
  #in = 0;
  #out = 0;

  /** Keeps the count of a stream that is over. */
  add({ octets }: TcpStream): void {
    this.#in += octets.in;
    this.#out += octets.out;
  }

  /** Octets from the sockets and to them, with those of the streams under way. */
  with(streams: Bag<TcpStream>): { connections: number; octetsIn: number; octetsOut: number } {
    const sum = { connections: streams.size, octetsIn: this.#in, octetsOut: this.#out };
    for (const { octets } of streams) {
      sum.octetsIn += octets.in;
      sum.octetsOut += octets.out;
    }
    return sum;
  }
}
