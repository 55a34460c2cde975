/**
 * The messages by which sources and collectors of flow records talk. A source announces itself with beacons to all, and
 * sends heartbeats and records to an address of its own; a collector asks it to flush, to hear of every record.
 */
import { long, symbol, uint, ulong, type ValueMap, type Writable } from '../../amqp/codec.ts';
import { AmqpError } from '../../amqp/error.ts';
import { readBody, writeMessage } from '../../amqp/message.ts';
import { encodeRecord, type FlowRecord } from './encoding.ts';

/** Where every source announces itself. */
export const BEACONS = 'mc/sfe.all';
/** Where a source sends its heartbeats and records. */
export const recordsAddress = (source: string): string => `mc/sfe.${source}`;
/** Where a controller, such as Skupper's, sends its heartbeats; a router sends them with its records. */
export const heartbeatsAddress = (source: string): string => `${recordsAddress(source)}.heartbeats`;
/** Where a source is asked to flush. */
export const flushAddress = (source: string): string => `sfe.${source}`;

const PROTOCOL_VERSION = 1;
/** Records in a message, as many as skupper-router sends. */
export const RECORDS_A_MESSAGE = 50;

/** A message that goes to an address of the network. */
export interface Outgoing {
  to: string;
  subject: string;
  octets: Buffer;
}

/** Numbers the messages of a source. */
export type MessageIds = () => number;

export function beacon(source: string, ids: MessageIds): Outgoing {
  return message(BEACONS, 'BEACON', ids, [
    ['v', uint(PROTOCOL_VERSION)],
    ['sourceType', 'ROUTER'],
    ['id', source],
    ['address', recordsAddress(source)],
    ['direct', flushAddress(source)],
  ]);
}

export function heartbeat(source: string, now: number, ids: MessageIds): Outgoing {
  return message(recordsAddress(source), 'HEARTBEAT', ids, [
    ['v', uint(PROTOCOL_VERSION)],
    ['now', ulong(now * 1000)],
    ['id', source],
  ]);
}

export function records(source: string, list: FlowRecord[], ids: MessageIds): Outgoing {
  return message(recordsAddress(source), 'RECORD', ids, [], list.map(encodeRecord));
}

export function flush(source: string, ids: MessageIds): Outgoing {
  return message(flushAddress(source), 'FLUSH', ids, []);
}

function message(
  to: string,
  subject: string,
  ids: MessageIds,
  properties: [string, Writable][],
  body: Writable = null,
): Outgoing {
  const applicationProperties = properties.length
    ? new Map(properties.map(([name, value]) => [symbol(name) as Writable, value]))
    : null;
  const messageId = long(ids());
  return { to, subject, octets: writeMessage({ messageId, to, subject, applicationProperties }, body) };
}

/** A source that a beacon announces. */
export interface Announced {
  id: string;
  /** Whether its heartbeats come apart from its records. */
  controller: boolean;
}

/** An id that may stand in an address. That of a router has five of skupper-router's 64 characters, `+` among them. */
const SOURCE_ID = /^[\w.:+-]{1,128}$/;

/** The source of a beacon; null when it is none, or names other addresses than those of a source. */
export function readBeacon(properties: ValueMap): Announced | null {
  const id = properties.get('id');
  if (typeof id !== 'string' || !SOURCE_ID.test(id)) return null;
  if (properties.get('address') !== recordsAddress(id) || properties.get('direct') !== flushAddress(id)) return null;
  return { id, controller: properties.get('sourceType') === 'CONTROLLER' };
}

/** Body and application properties of a message; null when the octets are none. */
export function readMessage(octets: Buffer): ReturnType<typeof readBody> | null {
  try {
    return readBody(octets);
  } catch (error) {
    if (error instanceof AmqpError) return null;
    throw error;
  }
}
