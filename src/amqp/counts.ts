/** What became of deliveries, as far as it is known: of those on a link, and of many together. */
import type { DeliveryState } from './performatives.ts';

export class DeliveryCounts {
  deliveries = 0;
  /** Settled by the sender at once: nothing is heard of them. */
  presettled = 0;
  accepted = 0;
  rejected = 0;
  released = 0;
  modified = 0;
  /** Presettled ones that were not sent, since too many stood in line. */
  dropped = 0;

  begun(settled: boolean): void {
    this.deliveries++;
    if (settled) this.presettled++;
  }

  /** The first outcome of a delivery is the one that counts. */
  outcome(delivery: { judged: boolean }, state: DeliveryState | null): void {
    if (delivery.judged || !state || state.outcome === 'received') return;
    delivery.judged = true;
    this[state.outcome]++;
  }

  add(more: DeliveryCounts): void {
    this.deliveries += more.deliveries;
    this.presettled += more.presettled;
    this.accepted += more.accepted;
    this.rejected += more.rejected;
    this.released += more.released;
    this.modified += more.modified;
    this.dropped += more.dropped;
  }
}
