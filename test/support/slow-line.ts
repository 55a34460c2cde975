/**
 * A line that is long and loses packets, as two TCP connections see it: octets come late, and whenever one of the packets
 * they would travel in is lost, everything behind it waits until it has been sent again.
 */
import { Relay } from './relay.ts';

export interface LineOptions {
  /** Milliseconds from one end to the other. */
  delay: number;
  /** The share of packets that are lost. */
  loss: number;
}

export interface SlowLine {
  relay: Relay;
  /** Chunks that waited for a packet to be sent again. */
  stalls: number;
}

const PACKET = 1460;

export async function slowLine(port: number, { delay, loss }: LineOptions): Promise<SlowLine> {
  let stalls = 0;

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
    if (wait > 0) stalls++;
    return wait;
  };

  const relay = await Relay.open({ target: { port }, stallOf });
  relay.delay = delay;
  return {
    relay,
    get stalls() {
      return stalls;
    },
  };
}
