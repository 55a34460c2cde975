/**
 * Transfer, flow and disposition (AMQP 1.0, 2.7.4 to 2.7.6), read and written by hand: they are nearly all the frames
 * there are. Each is read into one object that is used again for the next frame, so nothing is allocated.
 */
import { Reader, Writer } from './codec.ts';
import { AmqpError, Condition } from './error.ts';
import { ACCEPTED, type DeliveryState, Descriptor, deliveryStateValue, readDeliveryState } from './performatives.ts';

/** Octets in front of a frame's body: size, data offset, type, channel (2.3.1). */
export const FRAME_HEADER = 8;
/** The most that `writeTransfer` writes, frame header included, with a delivery tag of up to 32 octets. */
export const TRANSFER_HEADER_MAX = 80;
export const MAX_TAG = 32;

const ABSENT = -1;
const ACCEPTED_OCTETS = 0x00532445;

/** A transfer as read; numbers are -1 where the field is absent. */
export class Transfer {
  handle = 0;
  deliveryId = ABSENT;
  tagStart = 0;
  tagEnd = 0;
  messageFormat = ABSENT;
  /** -1 absent, else 0 or 1. */
  settled = ABSENT;
  more = false;
  rcvSettleMode = ABSENT;
  state: DeliveryState | null = null;
  aborted = false;
}

export class Flow {
  nextIncomingId = ABSENT;
  incomingWindow = 0;
  nextOutgoingId = 0;
  outgoingWindow = 0;
  handle = ABSENT;
  deliveryCount = ABSENT;
  linkCredit = ABSENT;
  available = ABSENT;
  drain = false;
  echo = false;
}

export class Disposition {
  /** true: from the receiver, about deliveries we sent. */
  role = false;
  first = 0;
  last = 0;
  settled = false;
  state: DeliveryState | null = null;
}

/** A cursor over the fields of one list. One serves a whole thread: frames are read one at a time. */
class Fields {
  buffer!: Buffer;
  offset = 0;
  end = 0;
  left = 0;

  /** Enters the list at `offset`; it must end by `limit`. Returns where it ends. */
  enter(buffer: Buffer, offset: number, limit: number): number {
    this.buffer = buffer;
    if (offset >= limit) cut();
    const code = buffer[offset];
    if (code === 0x45) {
      this.offset = this.end = offset + 1;
      this.left = 0;
    } else if (code === 0xc0) {
      if (offset + 3 > limit) cut();
      this.end = offset + 2 + (buffer[offset + 1] as number);
      this.left = buffer[offset + 2] as number;
      this.offset = offset + 3;
    } else if (code === 0xd0) {
      if (offset + 9 > limit) cut();
      this.end = offset + 5 + buffer.readUInt32BE(offset + 1);
      this.left = buffer.readUInt32BE(offset + 5);
      this.offset = offset + 9;
    } else {
      throw new AmqpError(Condition.decodeError, 'a performative is not a list');
    }
    if (this.end > limit || this.offset > this.end) cut();
    return this.end;
  }

  /** The constructor of the next field, or 0x40 (null) when there is none. */
  #code(): number {
    if (this.left === 0) return 0x40;
    this.left--;
    if (this.offset >= this.end) cut();
    return this.buffer[this.offset++] as number;
  }

  #need(octets: number): void {
    if (this.offset + octets > this.end) cut();
  }

  /** An unsigned number of any width, or -1. */
  number(): number {
    const code = this.#code();
    switch (code) {
      case 0x40:
        return ABSENT;
      case 0x43:
      case 0x44:
        return 0;
      case 0x50:
      case 0x52:
      case 0x53:
        this.#need(1);
        return this.buffer[this.offset++] as number;
      case 0x60:
        this.#need(2);
        this.offset += 2;
        return this.buffer.readUInt16BE(this.offset - 2);
      case 0x70:
        this.#need(4);
        this.offset += 4;
        return this.buffer.readUInt32BE(this.offset - 4);
      default:
        return wrong();
    }
  }

  /** 1 true, 0 false, -1 absent. */
  boolean(): number {
    const code = this.#code();
    switch (code) {
      case 0x40:
        return ABSENT;
      case 0x41:
        return 1;
      case 0x42:
        return 0;
      case 0x56:
        this.#need(1);
        return this.buffer[this.offset++] === 0 ? 0 : 1;
      default:
        return wrong();
    }
  }

  /** Length of a binary, -1 when absent; its octets then end at `offset`. */
  binary(): number {
    const code = this.#code();
    if (code === 0x40) return ABSENT;
    let length: number;
    if (code === 0xa0) {
      this.#need(1);
      length = this.buffer[this.offset++] as number;
    } else if (code === 0xb0) {
      this.#need(4);
      length = this.buffer.readUInt32BE(this.offset);
      this.offset += 4;
    } else {
      return wrong();
    }
    this.#need(length);
    this.offset += length;
    return length;
  }

  state(): DeliveryState | null {
    if (this.left === 0) return null;
    this.left--;
    if (this.offset >= this.end) cut();
    // Accepted, without fields: by far the most frequent, 00 53 24 45.
    if (this.offset + 4 <= this.end && this.buffer.readUInt32BE(this.offset) === ACCEPTED_OCTETS) {
      this.offset += 4;
      return ACCEPTED;
    }
    const reader = new Reader(this.buffer, this.offset, this.end);
    const value = reader.value();
    this.offset = reader.offset;
    return value === null ? null : readDeliveryState(value);
  }
}

function cut(): never {
  throw new AmqpError(Condition.decodeError, 'a performative is cut short');
}

function wrong(): never {
  throw new AmqpError(Condition.decodeError, 'a field of a performative has the wrong type');
}

function mandatory(value: number, name: string): number {
  if (value === ABSENT) throw new AmqpError(Condition.decodeError, `the mandatory field ${name} is missing`);
  return value;
}

const fields = new Fields();

/** The descriptor code of the performative at `offset` when it is written the short way (00 53 xx), else -1. */
export function hotDescriptor(buffer: Buffer, offset: number, limit: number): number {
  return offset + 3 <= limit && buffer[offset] === 0 && buffer[offset + 1] === 0x53
    ? (buffer[offset + 2] as number)
    : ABSENT;
}

/** Reads the fields of a transfer behind its descriptor; returns where the payload starts. */
export function readTransfer(into: Transfer, buffer: Buffer, offset: number, limit: number): number {
  const end = fields.enter(buffer, offset, limit);
  into.handle = mandatory(fields.number(), 'handle of transfer');
  into.deliveryId = fields.number();
  const tag = fields.binary();
  into.tagEnd = fields.offset;
  into.tagStart = fields.offset - Math.max(tag, 0);
  into.messageFormat = fields.number();
  into.settled = fields.boolean();
  into.more = fields.boolean() === 1;
  into.rcvSettleMode = fields.number();
  into.state = fields.state();
  fields.boolean();
  into.aborted = fields.boolean() === 1;
  return end;
}

export function readFlow(into: Flow, buffer: Buffer, offset: number, limit: number): void {
  fields.enter(buffer, offset, limit);
  into.nextIncomingId = fields.number();
  into.incomingWindow = mandatory(fields.number(), 'incoming-window of flow');
  into.nextOutgoingId = mandatory(fields.number(), 'next-outgoing-id of flow');
  into.outgoingWindow = mandatory(fields.number(), 'outgoing-window of flow');
  into.handle = fields.number();
  into.deliveryCount = fields.number();
  into.linkCredit = fields.number();
  into.available = fields.number();
  into.drain = fields.boolean() === 1;
  into.echo = fields.boolean() === 1;
}

export function readDisposition(into: Disposition, buffer: Buffer, offset: number, limit: number): void {
  fields.enter(buffer, offset, limit);
  const role = fields.boolean();
  into.role = mandatory(role, 'role of disposition') === 1;
  into.first = mandatory(fields.number(), 'first of disposition');
  const last = fields.number();
  into.last = last === ABSENT ? into.first : last;
  into.settled = fields.boolean() === 1;
  into.state = fields.state();
}

function writeUint(buffer: Buffer, offset: number, value: number): number {
  if (value === 0) {
    buffer[offset] = 0x43;
    return offset + 1;
  }
  if (value < 256) {
    buffer[offset] = 0x52;
    buffer[offset + 1] = value;
    return offset + 2;
  }
  buffer[offset] = 0x70;
  return buffer.writeUInt32BE(value, offset + 1);
}

/** Frame header and descriptor; the frame's size is filled in by `finish`. */
function begin(buffer: Buffer, offset: number, channel: number, descriptor: number): number {
  buffer[offset + 4] = 2;
  buffer[offset + 5] = 0;
  buffer[offset + 6] = channel >> 8;
  buffer[offset + 7] = channel;
  buffer[offset + 8] = 0;
  buffer[offset + 9] = 0x53;
  buffer[offset + 10] = descriptor;
  buffer[offset + 11] = 0xc0;
  return offset + 14;
}

/** Fills in the list's size and count and the frame's size, `payload` octets of which follow elsewhere. */
function finish(buffer: Buffer, offset: number, end: number, count: number, payload: number): number {
  buffer[offset + 12] = end - offset - 13;
  buffer[offset + 13] = count;
  buffer.writeUInt32BE(end - offset + payload, offset);
  return end;
}

/** Writes a transfer's frame up to its payload, which must follow. Returns where the payload starts. */
export function writeTransfer(
  buffer: Buffer,
  offset: number,
  channel: number,
  handle: number,
  deliveryId: number,
  tag: Buffer,
  first: boolean,
  settled: boolean,
  more: boolean,
  aborted: boolean,
  payload: number,
): number {
  let at = begin(buffer, offset, channel, Descriptor.transfer);
  at = writeUint(buffer, at, handle);
  let count = 1;
  // Only a delivery's first transfer must carry these; settled and more are said whenever they are not the default.
  const fieldsNeeded = aborted ? 10 : more ? 6 : settled ? 5 : first ? 4 : 1;
  if (fieldsNeeded > 1) {
    if (first) {
      at = writeUint(buffer, at, deliveryId);
      buffer[at] = 0xa0;
      buffer[at + 1] = tag.length;
      tag.copy(buffer, at + 2);
      at += 2 + tag.length;
      buffer[at++] = 0x43;
    } else {
      buffer[at] = buffer[at + 1] = buffer[at + 2] = 0x40;
      at += 3;
    }
    count = 4;
    if (fieldsNeeded >= 5) {
      buffer[at++] = settled ? 0x41 : 0x42;
      count = 5;
    }
    if (fieldsNeeded >= 6) {
      buffer[at++] = more ? 0x41 : 0x42;
      count = 6;
    }
    if (aborted) {
      buffer[at] = buffer[at + 1] = 0x40;
      buffer[at + 2] = 0x42;
      buffer[at + 3] = 0x41;
      at += 4;
      count = 10;
    }
  }
  return finish(buffer, offset, at, count, payload);
}

export interface FlowFields {
  nextIncomingId: number;
  incomingWindow: number;
  nextOutgoingId: number;
  outgoingWindow: number;
}

export interface LinkFlowFields {
  handle: number;
  deliveryCount: number;
  credit: number;
  drain: boolean;
}

/** The most that `writeFlow` writes. */
export const FLOW_MAX = 64;

/** Writes a flow of a session, and of one of its links if given. `echo` asks for the peer's flow in return. */
export function writeFlow(
  buffer: Buffer,
  offset: number,
  channel: number,
  session: FlowFields,
  link: LinkFlowFields | null,
  echo: boolean,
): number {
  let at = begin(buffer, offset, channel, Descriptor.flow);
  at = writeUint(buffer, at, session.nextIncomingId);
  at = writeUint(buffer, at, session.incomingWindow);
  at = writeUint(buffer, at, session.nextOutgoingId);
  at = writeUint(buffer, at, session.outgoingWindow);
  let count = 4;
  if (link) {
    at = writeUint(buffer, at, link.handle);
    at = writeUint(buffer, at, link.deliveryCount);
    at = writeUint(buffer, at, link.credit);
    buffer[at++] = 0x40;
    buffer[at++] = link.drain ? 0x41 : 0x42;
    count = 9;
  }
  if (echo) {
    while (count < 9) {
      buffer[at++] = 0x40;
      count++;
    }
    buffer[at++] = 0x41;
    count = 10;
  }
  return finish(buffer, offset, at, count, 0);
}

const states = new Writer(256);

/** The most that `writeDisposition` writes for this state: an error has its limits, see `errorValue`. */
export function dispositionSize(state: DeliveryState | null): number {
  return state?.outcome === 'rejected' ? 512 : 64;
}

export function writeDisposition(
  buffer: Buffer,
  offset: number,
  channel: number,
  role: boolean,
  first: number,
  last: number,
  settled: boolean,
  state: DeliveryState | null,
): number {
  if (state?.outcome === 'rejected') return writeRejected(buffer, offset, channel, role, first, last, settled, state);
  let at = begin(buffer, offset, channel, Descriptor.disposition);
  buffer[at++] = role ? 0x41 : 0x42;
  at = writeUint(buffer, at, first);
  if (last === first) buffer[at++] = 0x40;
  else at = writeUint(buffer, at, last);
  buffer[at++] = settled ? 0x41 : 0x42;
  if (!state) return finish(buffer, offset, at, 4, 0);
  at = writeState(buffer, at, state);
  return finish(buffer, offset, at, 5, 0);
}

function writeState(buffer: Buffer, offset: number, state: DeliveryState): number {
  if (state.outcome === 'accepted') return buffer.writeUInt32BE(ACCEPTED_OCTETS, offset);
  states.offset = 0;
  states.write(deliveryStateValue(state));
  states.buffer.copy(buffer, offset, 0, states.offset);
  return offset + states.offset;
}

/** A rejection carries a text, so its list may outgrow the short form. */
function writeRejected(
  buffer: Buffer,
  offset: number,
  channel: number,
  role: boolean,
  first: number,
  last: number,
  settled: boolean,
  state: DeliveryState,
): number {
  buffer[offset + 4] = 2;
  buffer[offset + 5] = 0;
  buffer.writeUInt16BE(channel, offset + 6);
  buffer[offset + 8] = 0;
  buffer[offset + 9] = 0x53;
  buffer[offset + 10] = Descriptor.disposition;
  buffer[offset + 11] = 0xd0;
  let at = offset + 20;
  buffer[at++] = role ? 0x41 : 0x42;
  at = writeUint(buffer, at, first);
  at = writeUint(buffer, at, last);
  buffer[at++] = settled ? 0x41 : 0x42;
  at = writeState(buffer, at, state);
  buffer.writeUInt32BE(at - offset - 16, offset + 12);
  buffer.writeUInt32BE(5, offset + 16);
  buffer.writeUInt32BE(at - offset, offset);
  return at;
}
