/** Recorded conversations of real routers (test/fixtures/wire), as frames. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Reader, Writer } from '../../src/amqp/codec.ts';
import { Disposition, Flow, readDisposition, readFlow, readTransfer, Transfer } from '../../src/amqp/hot.ts';
import {
  type Attach,
  Descriptor,
  type Detach,
  type Open,
  readDescriptor,
  readPerformative,
  readSasl,
  type SaslFrame,
} from '../../src/amqp/performatives.ts';

export const FIXTURES = join(import.meta.dirname, '../fixtures/wire');

/** Who sends: the side that opened the connection, or the one that accepted it. */
export type Side = 'connector' | 'listener';
export const otherSide = (side: Side): Side => (side === 'connector' ? 'listener' : 'connector');

/** What a frame says, read by the router's own readers. */
export type Body =
  | { type: 'header'; octets: Buffer }
  | { type: 'sasl'; body: SaslFrame }
  | { type: 'empty' }
  | { type: 'open'; body: Open }
  | { type: 'begin'; remoteChannel: number | null }
  | { type: 'attach'; body: Attach }
  | { type: 'flow'; body: Flow }
  | { type: 'transfer'; body: Transfer; tag: Buffer; payload: Buffer }
  | { type: 'disposition'; body: Disposition }
  | { type: 'detach'; body: Detach }
  | { type: 'end' }
  | { type: 'close' };

export type Frame = Body & {
  channel: number;
  /** The performative's code, and its fields as octets, to write it again with some of them changed. */
  code: number;
  fields: Buffer[];
};

export interface Passed {
  side: Side;
  frame: Frame;
}

/** Cuts a stream of octets into frames. */
export class FrameReader {
  #unread = Buffer.alloc(0);

  /** Octets of a frame that has not come whole. */
  get left(): number {
    return this.#unread.length;
  }

  take(octets: Buffer): Frame[] {
    const frames: Frame[] = [];
    this.#unread = Buffer.concat([this.#unread, octets]);
    while (this.#unread.length >= 8) {
      const isHeader = this.#unread.toString('latin1', 0, 4) === 'AMQP';
      const size = isHeader ? 8 : this.#unread.readUInt32BE(0);
      if (this.#unread.length < size) break;
      const whole = this.#unread.subarray(0, size);
      frames.push(isHeader ? { type: 'header', octets: whole, channel: 0, code: -1, fields: [] } : readFrame(whole));
      this.#unread = this.#unread.subarray(size);
    }
    return frames;
  }
}

function readFrame(octets: Buffer): Frame {
  const start = (octets[4] as number) * 4;
  const channel = octets.readUInt16BE(6);
  if (start === octets.length) return { type: 'empty', channel, code: -1, fields: [] };
  const isSasl = octets[5] === 1;
  const reader = new Reader(octets, start);
  const code = readDescriptor(reader);
  const fieldsStart = reader.offset;
  const fields = rawFields(octets, fieldsStart);
  const body = isSasl
    ? ({ type: 'sasl', body: readSasl(new Reader(octets, start)) } as const)
    : readBody(octets, start, code, fieldsStart);
  return { ...body, channel, code, fields };
}

function readBody(octets: Buffer, start: number, code: number, fieldsStart: number): Body {
  const end = octets.length;
  if (code === Descriptor.transfer) {
    const body = new Transfer();
    const payload = readTransfer(body, octets, fieldsStart, end);
    return {
      type: 'transfer',
      body,
      tag: octets.subarray(body.tagStart, body.tagEnd),
      payload: octets.subarray(payload),
    };
  }
  if (code === Descriptor.flow) {
    const body = new Flow();
    readFlow(body, octets, fieldsStart, end);
    return { type: 'flow', body };
  }
  if (code === Descriptor.disposition) {
    const body = new Disposition();
    readDisposition(body, octets, fieldsStart, end);
    return { type: 'disposition', body };
  }
  const reader = new Reader(octets, start);
  const performative = readPerformative(reader);
  if (!reader.done) throw new Error(`octets follow a frame's ${performative.type}`);
  switch (performative.type) {
    case 'begin':
      return { type: 'begin', remoteChannel: performative.body.remoteChannel ?? null };
    case 'end':
    case 'close':
      return { type: performative.type };
    default:
      return performative;
  }
}

function rawFields(octets: Buffer, offset: number): Buffer[] {
  const form = octets[offset];
  if (form === 0x45) return [];
  const small = form === 0xc0;
  const count = small ? (octets[offset + 2] as number) : octets.readUInt32BE(offset + 5);
  const reader = new Reader(octets, offset + (small ? 3 : 9));
  return Array.from({ length: count }, () => {
    const from = reader.offset;
    reader.skip();
    return octets.subarray(from, reader.offset);
  });
}

/** A frame's octets. */
export function writeFrame(channel: number, code: number, fields: Buffer[], payload: Buffer = Buffer.alloc(0)): Buffer {
  const list = Buffer.concat(fields);
  const head = Buffer.alloc(20);
  head.writeUInt32BE(head.length + list.length + payload.length, 0);
  head[4] = 2;
  head.writeUInt16BE(channel, 6);
  head.set([0, 0x53, code, 0xd0], 8);
  head.writeUInt32BE(list.length + 4, 12);
  head.writeUInt32BE(fields.length, 16);
  return Buffer.concat([head, list, payload]);
}

/** One field's octets. */
export function field(value: Parameters<Writer['write']>[0]): Buffer {
  const writer = new Writer();
  writer.write(value);
  return Buffer.from(writer.written());
}

/** The frames of a capture in the order in which they were whole. */
export function readCapture(name: string): { frames: Passed[]; left: number } {
  const text = gunzipSync(readFileSync(join(FIXTURES, `capture-${name}.jsonl.gz`))).toString();
  const readers = { connector: new FrameReader(), listener: new FrameReader() };
  const frames: Passed[] = [];
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const { dir, hex } = JSON.parse(line) as { dir: string; hex: string };
    const side = dir.startsWith('connector') ? 'connector' : 'listener';
    for (const frame of readers[side].take(Buffer.from(hex, 'hex'))) frames.push({ side, frame });
  }
  return { frames, left: readers.connector.left + readers.listener.left };
}
