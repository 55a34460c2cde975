/** The links of AMQP connections, as management shows them. */
import type { Link, Receiver, Sender } from '../../amqp/link.ts';
import { addressKey } from '../addresses.ts';
import { EDGE_DOWNLINK } from '../edge-peer.ts';
import { LINK_CAPACITY } from '../inbound.ts';
import type { Peer } from '../peer.ts';
import { numberOf } from './connections.ts';
import { entityType, list, number, text, word, zero } from './entity.ts';

interface LinkOfPeer {
  link: Link;
  peer: Peer;
}

/** The address that a link is for: that of the end which is in the network. */
function addressOf({ link, peer }: LinkOfPeer): string | null {
  const [ours, theirs] = link.isSender ? [link.source, link.target] : [link.target, link.source];
  // Who dialled has made the link, and named the end that is beyond the connection.
  const dialled = peer.connection.options.hostname !== null;
  return ours?.address ?? (dialled ? (theirs?.address ?? null) : null);
}

function typeOf({ link }: LinkOfPeer): string {
  const capabilities = [...(link.source?.capabilities ?? []), ...(link.target?.capabilities ?? [])];
  if (capabilities.includes('qd.router')) return 'router-control';
  if (capabilities.includes('qd.router-data')) return 'inter-router';
  return capabilities.includes(EDGE_DOWNLINK) ? 'edge-downlink' : 'endpoint';
}

const STATUSES = ['up', 'down', 'quiescing', 'idle'] as const;

/** Of the links for streams, those of ours that none is on are kept for the next ones, and idle meanwhile. */
function statusOf({ link, peer }: LinkOfPeer): (typeof STATUSES)[number] {
  if (!link.attached || link.closed) return 'down';
  return peer.streams?.isIdle(link) ? 'idle' : 'up';
}

const both = ({ link }: LinkOfPeer): Sender | Receiver => link as Sender | Receiver;

export const link = entityType<LinkOfPeer>({
  shortName: 'router.link',
  base: 'operational',
  *items({ router }) {
    for (const peer of router.peers) for (const each of peer.connection.links) yield { link: each, peer };
  },
  key: (each) => String(each.link.number),
  identity: (each) => String(each.link.number),
  name: (each) => each.link.name,
  attributes: {
    linkName: text((each) => each.link.name),
    linkType: text(typeOf),
    linkDir: word(['in', 'out'])((each) => (each.link.isSender ? 'out' : 'in')),
    owningAddr: text((each) => {
      const address = addressOf(each);
      if (address === null) return null;
      return typeOf(each) === 'edge-downlink' ? `H${address}` : addressKey(address, each.peer.router.id);
    }),
    capacity: number((each) => (each.link.isSender ? LINK_CAPACITY : (each.link as Receiver).capacity)),
    undeliveredCount: number((each) => (each.link.isSender ? (each.link as Sender).waiting : 0)),
    unsettledCount: number((each) => both(each).outstanding),
    deliveryCount: number((each) => each.link.counts.deliveries),
    presettledCount: number((each) => each.link.counts.presettled),
    acceptedCount: number((each) => each.link.counts.accepted),
    rejectedCount: number((each) => each.link.counts.rejected),
    releasedCount: number((each) => each.link.counts.released),
    modifiedCount: number((each) => each.link.counts.modified),
    droppedPresettledCount: number((each) => each.link.counts.dropped),
    creditAvailable: number((each) => both(each).credit),
    connectionId: text(({ peer }) => String(numberOf(peer))),
    adminStatus: word(['enabled', 'deleted'])(() => 'enabled'),
    operStatus: word(STATUSES)(statusOf),
    priority: number(({ link, peer }) => peer.priorityOf(link)),
    ...zero('deliveriesDelayed1Sec', 'deliveriesDelayed10Sec', 'deliveriesStuck'),
    ...zero('openMovedStreams', 'zeroCreditSeconds', 'settleRate'),
    ingressHistogram: list(() => null),
  },
});
