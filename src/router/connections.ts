/** How this router's AMQP connections are set up: what it offers, how long it waits, and how it says who it is. */
import type { Socket } from 'node:net';
import { int, symbol, type Writable, type WritableMap } from '../amqp/codec.ts';
import type { ConnectionOptions } from '../amqp/connection.ts';
import type { Sasl } from '../amqp/sasl.ts';
import { FEED_PROPERTY, FEED_VERSION } from './records/feed.ts';
import type { Router } from './router.ts';

/** Octets of our largest frame: four TLS records. What goes out keeps to what the peer takes. */
export const MAX_FRAME = 64 * 1024;
const CHANNEL_MAX = 0x7fff;
/** Frames a session may have in our hands. A stream is bounded by its own window; this bounds all other messages. */
const SESSION_WINDOW = 512;
/**
 * The same towards routers that put many streams on one session: skupper-router expects the window it gives itself, and
 * cuts streams short when a smaller one runs out (`proton` settles what it has not sent).
 */
export const SHARED_SESSION_WINDOW = 0x2000;
const IDLE_TIMEOUT = 16_000;
/** The longest silence that a router may ask us to bear. */
const MOST_IDLE_TIMEOUT = 600_000;
const OPEN_TIMEOUT = 15_000;
/** Who accepts does not know yet how long the line is: over a satellite, five round trips may take their time. */
const ACCEPT_TIMEOUT = 20_000;
const STALL_TIMEOUT = 120_000;
/** The annotations that skupper-router calls version 2. */
const ANNOTATIONS_VERSION = 2;

/** Tells the connections of one process from those of another that has its certificate. */
export const INSTANCE_PROPERTY = 'skiff.instance';

/** What routers of this dialect offer each other. */
const CAPABILITIES = ['ANONYMOUS-RELAY', 'qd.streaming-links', 'qd.connection_trunking'];

let connectionCount = 0;

/** Tells one connection from every other that this process has or had. */
export function nextConnectionNumber(): number {
  return ++connectionCount;
}

export interface ConnectionPurpose {
  /** The host we dial; null when we accept. */
  hostname: string | null;
  sasl: Sasl | null;
  /** The record id of the access that accepts routers, by which the peer's link record names us. */
  accessId?: string | undefined;
  /** Milliseconds, where it is not the usual. */
  idleTimeout?: number;
  /** We dial another interior router. */
  interior?: InteriorPurpose;
  /** A router that dials knows its line: one that is patient is met with the same patience. */
  patient?: boolean;
}

/** What an interior router says of a connection that it dials. */
export interface InteriorPurpose {
  /** The connection carries streams for a trunk, and nothing else. */
  isData: boolean;
  /** What the connections of one trunk have in common. */
  correlator: string;
  cost: number;
}

/** `qd.inter-router-role` of a connection for streams. */
export const DATA_ROLE = 4;

export function connectionOptions(router: Router, purpose: ConnectionPurpose): ConnectionOptions {
  const { idleTimeout = IDLE_TIMEOUT } = purpose;
  const number = nextConnectionNumber();
  const properties: [string, Writable][] = [
    ['product', 'skiff'],
    ['version', router.identity.version],
    ['qd.conn-id', int(number)],
    ...interiorProperties(purpose.interior),
    ['qd.annotations-version', int(ANNOTATIONS_VERSION)],
  ];
  if (purpose.accessId) properties.push(['qd.access-id', purpose.accessId], [FEED_PROPERTY, FEED_VERSION]);
  properties.push(['skiff.site-id', router.identity.siteId], ['skiff.site-name', router.identity.siteName]);
  // For whom we dial only: others that accept us could pose as us with it.
  if (purpose.hostname !== null) properties.push([INSTANCE_PROPERTY, router.instance]);
  return {
    containerId: router.id,
    number,
    hostname: purpose.hostname,
    maxFrameSize: MAX_FRAME,
    channelMax: CHANNEL_MAX,
    sessionWindow: SESSION_WINDOW,
    idleTimeout,
    mostIdleTimeout: purpose.patient ? MOST_IDLE_TIMEOUT : idleTimeout,
    openTimeout: purpose.hostname === null ? ACCEPT_TIMEOUT : Math.max(OPEN_TIMEOUT, idleTimeout),
    stallTimeout: Math.max(STALL_TIMEOUT, idleTimeout),
    capabilities: CAPABILITIES,
    properties: new Map(properties.map(([key, value]) => [symbol(key), value])) as WritableMap,
    sasl: purpose.sasl,
  };
}

function interiorProperties(purpose: InteriorPurpose | undefined): [string, Writable][] {
  if (!purpose) return [];
  const properties: [string, Writable][] = [];
  if (purpose.cost !== 1) properties.push(['qd.inter-router-cost', int(purpose.cost)]);
  if (purpose.isData) properties.push(['qd.inter-router-role', int(DATA_ROLE)]);
  properties.push(['qd.group-correlator', purpose.correlator]);
  return properties;
}

/** Sockets of links send at once, and notice a dead peer even when the timers of AMQP are far apart. */
export function prepare(socket: Socket): Socket {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 30_000);
  return socket;
}
