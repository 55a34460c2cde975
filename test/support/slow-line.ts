/**
 * A line that is long and loses packets, as two TCP connections see it: octets come late, and whenever one of the packets
 * they would travel in is lost, everything behind it waits until it has been sent again.
 */
import net, { type Socket } from 'node:net';
import { serve, type TcpServer } from './tcp.ts';

export interface LineOptions {
  /** Milliseconds from one end to the other. */
  delay: number;
  /** The share of packets that are lost. */
  loss: number;
}

export interface SlowLine extends TcpServer {
  /** Chunks that waited for a packet to be sent again. */
  stalls: number;
  /** Nothing gets through for as long. */
  interrupt(milliseconds: number): void;
}

const PACKET = 1460;
/** Octets on their way in one direction, beyond which the sender has to wait. */
const ON_THE_WAY = 256 * 1024;

export async function slowLine(port: number, { delay, loss }: LineOptions): Promise<SlowLine> {
  let openAt = 0;
  const line = { stalls: 0 };

  /** How long a chunk waits beyond the delay: a round trip for each time that any of its packets is lost. */
  const stallOf = (octets: number): number => {
    let wait = 0;
    for (let packets = Math.ceil(octets / PACKET); packets > 0; ) {
      let lost = 0;
      for (let packet = 0; packet < packets; packet++) if (Math.random() < loss) lost++;
      // Sent again after a round trip; the longer, the more often it was lost.
      if (lost > 0) wait = wait * 2 + 2 * delay;
      packets = lost;
    }
    if (wait > 0) line.stalls++;
    return wait;
  };

  const carry = (from: Socket, to: Socket): void => {
    let onTheWay = 0;
    // One timer for all: two of Node's may come in another order than they were set for.
    const queue: { due: number; act: () => void }[] = [];
    const deliver = (): void => {
      while (queue[0] && queue[0].due <= performance.now()) queue.shift()?.act();
      if (queue[0]) setTimeout(deliver, Math.max(1, queue[0].due - performance.now()));
    };
    const arrive = (octets: number, act: () => void): void => {
      const due = Math.max(queue.at(-1)?.due ?? 0, performance.now() + delay + stallOf(octets), openAt + delay);
      queue.push({ due, act });
      if (queue.length === 1) setTimeout(deliver, due - performance.now());
    };
    from.on('data', (chunk: Buffer) => {
      onTheWay += chunk.length;
      if (onTheWay > ON_THE_WAY) from.pause();
      arrive(chunk.length, () => {
        onTheWay -= chunk.length;
        if (!to.destroyed) to.write(chunk);
        from.resume();
      });
    });
    from.on('end', () => arrive(0, () => to.end()));
    from.on('close', () => arrive(0, () => to.destroy()));
    from.on('error', () => {});
  };

  const server = await serve((near) => {
    const far = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
    carry(near, far);
    carry(far, near);
  });
  return Object.assign(line, server, {
    interrupt: (milliseconds: number) => {
      openAt = performance.now() + milliseconds;
    },
  });
}
