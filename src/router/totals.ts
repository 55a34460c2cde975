/** What messages have come and gone by the connections of a router, in the terms in which skupper-router counts them. */
import { DeliveryCounts } from '../amqp/counts.ts';
import type { Peer } from './peer.ts';

export class Totals {
  /** What became of the messages that came. */
  readonly outcomes = new DeliveryCounts();
  /** Messages that came from clients and edges, and that went to them. */
  ingress = 0;
  egress = 0;
  /** Messages that went to other interior routers. */
  transit = 0;
  /** Messages that nobody asked about, and that were not sent. */
  dropped = 0;

  /** Adds all that a connection has carried. */
  add({ role, connection }: Peer): void {
    const { in: came, out: went } = connection.counts;
    this.outcomes.add(came);
    this.dropped += went.dropped;
    if (role === 'normal' || role === 'edge') {
      this.ingress += came.deliveries;
      this.egress += went.deliveries;
    } else {
      this.transit += went.deliveries;
    }
  }

  /** These, and those of the connections that there are. */
  with(peers: Iterable<Peer>): Totals {
    const sum = new Totals();
    const { ingress, egress, transit, dropped } = this;
    Object.assign(sum, { ingress, egress, transit, dropped });
    sum.outcomes.add(this.outcomes);
    for (const peer of peers) sum.add(peer);
    return sum;
  }
}
