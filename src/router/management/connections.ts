/** Connections, as management shows them: those of AMQP, and those of TCP that listeners and connectors carry. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Connection } from '../../amqp/connection.ts';
import { AmqpError, Condition } from '../../amqp/error.ts';
import { INSTANCE_PROPERTY } from '../connections.ts';
import type { Peer } from '../peer.ts';
import { Uplink } from '../uplink.ts';
import { empty, entityType, flag, map, number, type TcpConnection, text, type View, word } from './entity.ts';
import { ManagementError } from './error.ts';
import { type AttributeValue, fromWire } from './values.ts';

interface Shown {
  number: number;
  socket: Socket;
  /** `performance.now()` */
  since: number;
  dir: 'in' | 'out';
  /** null: it is one of TCP. */
  peer: Peer | null;
  close(): void;
}

export const numberOf = ({ connection }: Peer): number => connection.options.number ?? 0;

function shownPeer(peer: Peer): Shown {
  const { connection, since } = peer;
  const { socket, options } = connection;
  const close = (): void => {
    if (peer.role.startsWith('inter-router'))
      throw new ManagementError(403, 'You are not allowed to perform this operation.');
    connection.close(new AmqpError(Condition.connectionForced, 'closed by a request of management'));
  };
  return { number: numberOf(peer), socket, since, dir: options.hostname === null ? 'in' : 'out', peer, close };
}

function shownTcp(connection: TcpConnection, dir: Shown['dir']): Shown {
  const { number, socket, since } = connection;
  return { number, socket, since, dir, peer: null, close: () => connection.fail() };
}

function* all(view: View): Generator<Shown> {
  for (const peer of view.router.peers) if (!peer.connection.closed) yield shownPeer(peer);
  for (const { config, connections } of view.parts()) {
    for (const each of connections) yield shownTcp(each, config.kind === 'connector' ? 'out' : 'in');
  }
}

function hostOf({ socket }: Shown): string {
  const { remoteAddress = '', remotePort = '' } = socket;
  return `${remoteAddress}:${remotePort}`;
}

const tlsOf = ({ socket }: Shown): TLSSocket | null => (socket instanceof TLSSocket ? socket : null);

/** Reads something of an AMQP connection; null of one of TCP. */
function amqp<V>(read: (connection: Connection, peer: Peer) => V) {
  return ({ peer }: Shown): V | null => (peer ? read(peer.connection, peer) : null);
}

/** The bits of a cipher's key, as its name says them. */
function strengthOf(cipher: string): number {
  return cipher.includes('CHACHA20') ? 256 : Number(/(?:^|[_-])AES[_-]?(128|256)/.exec(cipher)?.[1] ?? 0);
}

/** Who has come, as it has proved: nobody in particular, when it did not have to; null for whom we dial. */
function userOf(shown: Shown): string | null {
  if (!shown.peer) return null;
  const { sasl, hostname } = shown.peer.connection.options;
  if (sasl?.mechanism !== 'EXTERNAL') return 'anonymous';
  return hostname === null ? (tlsOf(shown)?.getPeerX509Certificate()?.subject?.replaceAll('\n', ',') ?? null) : null;
}

function propertyOf({ remote }: Connection, name: string): string | null {
  const value = remote?.properties?.get(name);
  return value === undefined || value === null ? null : String(value);
}

/** What the peer said of itself when it opened, but for what proves to its hub that it is itself. */
function propertiesOf({ remote }: Connection): AttributeValue {
  const told = [...(remote?.properties ?? new Map())].filter(([name]) => name !== INSTANCE_PROPERTY);
  return fromWire(new Map(told));
}

function lastDelivery({ counts, lastHeard, outbox }: Connection): number | null {
  if (counts.in.deliveries + counts.out.deliveries === 0) return null;
  return seconds(Math.max(lastHeard, outbox.lastWrite));
}

const seconds = (since: number): number => Math.max(0, Math.floor((performance.now() - since) / 1_000));

const isClosing = ({ peer, socket }: Shown): boolean => peer?.connection.closing ?? socket.destroyed;

const isExternal = ({ options }: Connection): boolean => options.sasl?.mechanism === 'EXTERNAL';

export const connection = entityType<Shown>({
  shortName: 'connection',
  base: 'operational',
  items: all,
  key: (shown) => String(shown.number),
  identity: (shown) => String(shown.number),
  name: (shown) => `connection/${hostOf(shown)}`,
  attributes: {
    host: text(hostOf),
    // As skupper-router calls its own part for TCP.
    container: text(({ peer }) => (peer ? (peer.connection.remote?.containerId ?? null) : 'TcpAdaptor')),
    role: text(({ peer }) => peer?.role ?? 'normal'),
    dir: word(['in', 'out'])(({ dir }) => dir),
    protocol: text(({ peer }) => (peer ? 'amqp' : 'tcp')),
    localSocket: text(({ socket }) => `${socket.localAddress ?? ''}:${socket.localPort ?? ''}`),
    sasl: text(amqp(({ options }) => options.sasl?.mechanism ?? null)),
    isAuthenticated: flag((shown) => amqp(isExternal)(shown) ?? false),
    user: text(userOf),
    isEncrypted: flag((shown) => tlsOf(shown) !== null),
    ssl: flag((shown) => tlsOf(shown) !== null),
    sslProto: text((shown) => tlsOf(shown)?.getProtocol() ?? null),
    sslCipher: text((shown) => tlsOf(shown)?.getCipher()?.name ?? null),
    sslSsf: number((shown) => strengthOf(tlsOf(shown)?.getCipher()?.name ?? '')),
    properties: map((shown) => amqp(propertiesOf)(shown) ?? {}),
    opened: flag((shown) => amqp(({ remote }) => remote !== null)(shown) ?? true),
    active: flag(({ peer }) => !(peer instanceof Uplink) || peer.active),
    adminStatus: word(['enabled', 'deleted'])((shown) => (isClosing(shown) ? 'deleted' : 'enabled')),
    operStatus: word(['up', 'closing'])((shown) => (isClosing(shown) ? 'closing' : 'up')),
    uptimeSeconds: number(({ since }) => seconds(since)),
    lastDlvSeconds: number(amqp(lastDelivery)),
    enableProtocolTrace: flag(() => false),
    groupCorrelationId: text(amqp((each) => propertyOf(each, 'qd.group-correlator'))),
    groupOrdinal: number(amqp((each) => Number(propertyOf(each, 'qd.group-ordinal') ?? 0))),
    ...empty('string', 'meshId'),
    ...empty('integer', 'tlsOrdinal'),
  },
  mutable: ['adminStatus'],
  update(shown, changes) {
    if (changes.get('adminStatus') === 'deleted') shown.close();
  },
});
