/** AMQP connections and their links, as management shows them. */
import { TLSSocket } from 'node:tls';
import { AmqpError, Condition } from '../../amqp/error.ts';
import type { Link, Receiver, Sender } from '../../amqp/link.ts';
import { addressKey } from '../addresses.ts';
import { INSTANCE_PROPERTY } from '../connections.ts';
import { EDGE_DOWNLINK } from '../edge-peer.ts';
import { LINK_CAPACITY } from '../inbound.ts';
import type { Peer } from '../peer.ts';
import { Uplink } from '../uplink.ts';
import { empty, entityType, flag, list, map, number, text, word, zero } from './entity.ts';
import { ManagementError } from './error.ts';
import { type AttributeValue, fromWire } from './values.ts';

const NORMAL_PRIORITY = 4;

const idOf = ({ connection }: Peer): string => String(connection.options.number ?? 0);

function hostOf({ connection }: Peer): string {
  const { remoteAddress = '', remotePort = '' } = connection.socket;
  return `${remoteAddress}:${remotePort}`;
}

function tlsOf({ connection }: Peer): TLSSocket | null {
  return connection.socket instanceof TLSSocket ? connection.socket : null;
}

/** The bits of a cipher's key, as its name says them. */
function strengthOf(cipher: string): number {
  return cipher.includes('CHACHA20') ? 256 : Number(/(?:^|[_-])AES[_-]?(128|256)/.exec(cipher)?.[1] ?? 0);
}

/** Who has come, as it has proved: nobody in particular, when it did not have to; null for whom we dial. */
function userOf(peer: Peer): string | null {
  const { sasl, hostname } = peer.connection.options;
  if (sasl?.mechanism !== 'EXTERNAL') return 'anonymous';
  return hostname === null ? (tlsOf(peer)?.getPeerX509Certificate()?.subject?.replaceAll('\n', ',') ?? null) : null;
}

function propertyOf({ connection }: Peer, name: string): string | null {
  const value = connection.remote?.properties?.get(name);
  return value === undefined || value === null ? null : String(value);
}

/** What the peer said of itself when it opened, but for what proves to its hub that it is itself. */
function propertiesOf({ connection }: Peer): AttributeValue {
  const told = [...(connection.remote?.properties ?? new Map())].filter(([name]) => name !== INSTANCE_PROPERTY);
  return fromWire(new Map(told));
}

function lastDelivery({ connection }: Peer): number | null {
  const counts = connection.counts;
  if (counts.in.deliveries + counts.out.deliveries === 0) return null;
  return seconds(Math.max(connection.lastHeard, connection.outbox.lastWrite));
}

const seconds = (since: number): number => Math.max(0, Math.floor((performance.now() - since) / 1_000));

export const connection = entityType<Peer>({
  shortName: 'connection',
  base: 'operational',
  items: ({ router }) => [...router.peers].filter((peer) => !peer.connection.closed),
  key: idOf,
  identity: idOf,
  name: (peer) => `connection/${hostOf(peer)}`,
  attributes: {
    host: text(hostOf),
    container: text(({ connection: { remote } }) => remote?.containerId ?? null),
    role: text(({ role }) => role),
    dir: word(['in', 'out'])(({ connection: { options } }) => (options.hostname === null ? 'in' : 'out')),
    protocol: text(() => 'amqp'),
    localSocket: text(({ connection: { socket } }) => `${socket.localAddress ?? ''}:${socket.localPort ?? ''}`),
    sasl: text(({ connection: { options } }) => options.sasl?.mechanism ?? null),
    isAuthenticated: flag(({ connection: { options } }) => options.sasl?.mechanism === 'EXTERNAL'),
    user: text(userOf),
    isEncrypted: flag((peer) => tlsOf(peer) !== null),
    ssl: flag((peer) => tlsOf(peer) !== null),
    sslProto: text((peer) => tlsOf(peer)?.getProtocol() ?? null),
    sslCipher: text((peer) => tlsOf(peer)?.getCipher()?.name ?? null),
    sslSsf: number((peer) => strengthOf(tlsOf(peer)?.getCipher()?.name ?? '')),
    properties: map(propertiesOf),
    opened: flag(({ connection: { remote } }) => remote !== null),
    active: flag((peer) => !(peer instanceof Uplink) || peer.active),
    adminStatus: word(['enabled', 'deleted'])(() => 'enabled'),
    operStatus: word(['up', 'closing'])(({ connection: { closing } }) => (closing ? 'closing' : 'up')),
    uptimeSeconds: number(({ since }) => seconds(since)),
    lastDlvSeconds: number(lastDelivery),
    enableProtocolTrace: flag(() => false),
    groupCorrelationId: text((peer) => propertyOf(peer, 'qd.group-correlator')),
    groupOrdinal: number((peer) => Number(propertyOf(peer, 'qd.group-ordinal') ?? 0)),
    ...empty('string', 'meshId'),
    ...empty('integer', 'tlsOrdinal'),
  },
  mutable: ['adminStatus'],
  update(peer, changes) {
    if (changes.get('adminStatus') !== 'deleted') return;
    if (peer.role.startsWith('inter-router'))
      throw new ManagementError(403, 'You are not allowed to perform this operation.');
    peer.connection.close(new AmqpError(Condition.connectionForced, 'closed by a request of management'));
  },
});

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
    connectionId: text(({ peer }) => idOf(peer)),
    adminStatus: word(['enabled', 'deleted'])(() => 'enabled'),
    operStatus: word(['up', 'down', 'quiescing', 'idle'])(({ link: { attached, closed } }) =>
      attached && !closed ? 'up' : 'down',
    ),
    priority: number(() => NORMAL_PRIORITY),
    ...zero('deliveriesDelayed1Sec', 'deliveriesDelayed10Sec', 'deliveriesStuck'),
    ...zero('openMovedStreams', 'zeroCreditSeconds', 'settleRate'),
    ingressHistogram: list(() => null),
  },
});
