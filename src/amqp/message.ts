/**
 * The head of a message: its sections up to the body (AMQP 1.0, 3.2), with skupper-router's annotations in front
 * (`router annotations`, descriptor "SKPR--RA"). Only the head is read; bodies are relayed as they are.
 */
import { described, Encoded, Reader, symbol, uint, type Value, type ValueMap, type Writable, Writer } from './codec.ts';
import { AmqpError, Condition } from './error.ts';

/** "SKPR--RA" as an unsigned long. */
const ANNOTATIONS = 0x534b50522d2d5241n;

export const AnnotationFlag = {
  /** The message is a stream: it may be forwarded before its end has come. */
  streaming: 1,
  /** Released by one consumer, it may be given to another. */
  resendReleased: 2,
  /** Its window is kept end to end, not by buffers on the way. */
  q2Disabled: 4,
} as const;

/** What routers tell each other about a message. */
export interface RouterAnnotations {
  flags: number;
  /** Where it goes, whatever its properties say. */
  toOverride: string | null;
  /** The router where it entered the network, as `0/<id>`; edges leave it out. */
  ingress: string | null;
  /** The interior routers it has passed, as `0/<id>`: the guard against loops. */
  trace: string[];
  /** The edge mesh it comes from; only edges say it. */
  mesh: string | null;
}

export interface MessageHead {
  annotations: RouterAnnotations | null;
  /** Offset of the message without annotations. */
  bareStart: number;
  /** From 0 to 9, the most urgent; what is not said is 4. */
  priority: number;
  to: string | null;
  subject: string | null;
  replyTo: string | null;
  correlationId: Value;
  contentType: string | null;
  /** Offset of the body's first section, or of the message's end when it has none. */
  bodyStart: number;
}

/** Whether it is a TCP connection: nothing else keeps a window end to end. */
export function keepsWindow({ annotations }: MessageHead): boolean {
  return annotations !== null && (annotations.flags & AnnotationFlag.q2Disabled) !== 0;
}

export const USUAL_PRIORITY = 4;
/** Beyond ten of them, all are the same (AMQP 1.0, 3.2.1 lets a container do so). */
const MOST_PRIORITY = 9;

const Section = {
  header: 0x70,
  deliveryAnnotations: 0x71,
  messageAnnotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
  sequence: 0x76,
  value: 0x77,
  footer: 0x78,
} as const;

/** A body that is nothing but an amqp-value null; bare octets of a stream follow it. */
export const NULL_BODY = Uint8Array.of(0x00, 0x53, Section.value, 0x40);

/**
 * Reads the head of the message in [`start`, `end`). Returns null when more octets are needed; `complete` says that
 * none will come. Throws `AmqpError` for what is no message.
 */
export function readHead(buffer: Buffer, start: number, end: number, complete: boolean): MessageHead | null {
  const head: MessageHead = {
    annotations: null,
    bareStart: start,
    priority: USUAL_PRIORITY,
    to: null,
    subject: null,
    replyTo: null,
    correlationId: null,
    contentType: null,
    bodyStart: end,
  };
  const reader = new Reader(buffer, start, end);
  let offset = start;
  while (offset < end) {
    const section = sectionAt(buffer, offset, end);
    if (
      section.code === Section.data ||
      section.code === Section.sequence ||
      section.code === Section.value ||
      section.code === Section.footer
    ) {
      // A body is recognised by its first octets; of an amqp-value the constructor is needed, to tell a stream.
      if (section.valueStart >= end) break;
      head.bodyStart = offset;
      return head;
    }
    const next = section.code === -1 ? -1 : valueEnd(buffer, section.valueStart, end);
    if (next === -1) break;
    reader.offset = section.valueStart;
    reader.end = next;
    readSection(head, section.code, reader, offset, start);
    if (section.code === ANNOTATIONS_CODE) head.bareStart = next;
    offset = next;
  }
  if (!complete) return null;
  if (offset < end) throw new AmqpError(Condition.decodeError, 'a message ends within a section');
  return head;
}

/** Stands for the router annotations, which have no code; -1 stands for a descriptor that has not come whole. */
const ANNOTATIONS_CODE = -2;

function readSection(head: MessageHead, code: number, reader: Reader, offset: number, start: number): void {
  if (code === ANNOTATIONS_CODE) {
    if (offset !== start) throw new AmqpError(Condition.decodeError, 'router annotations within a message');
    head.annotations = readAnnotations(reader.value());
  } else if (code === Section.header) {
    const fields = reader.value();
    const priority = Array.isArray(fields) ? fields[1] : null;
    if (typeof priority === 'number') head.priority = Math.min(priority, MOST_PRIORITY);
  } else if (code === Section.properties) {
    const fields = reader.value();
    if (!Array.isArray(fields))
      throw new AmqpError(Condition.decodeError, 'the properties of a message are not a list');
    head.to = text(fields[2]);
    head.subject = text(fields[3]);
    head.replyTo = text(fields[4]);
    head.correlationId = fields[5] ?? null;
    head.contentType = text(fields[6]);
  }
}

const text = (value: Value | undefined): string | null => (typeof value === 'string' ? value : null);

const SECTION_NAMES: Record<string, number> = {
  'amqp:header:list': Section.header,
  'amqp:delivery-annotations:map': Section.deliveryAnnotations,
  'amqp:message-annotations:map': Section.messageAnnotations,
  'amqp:properties:list': Section.properties,
  'amqp:application-properties:map': Section.applicationProperties,
  'amqp:data:binary': Section.data,
  'amqp:amqp-sequence:list': Section.sequence,
  'amqp:amqp-value:*': Section.value,
  'amqp:footer:map': Section.footer,
};

/** The section's code and where its value starts. */
function sectionAt(buffer: Buffer, offset: number, end: number): { code: number; valueStart: number } {
  if (buffer[offset] !== 0) throw new AmqpError(Condition.decodeError, 'a message section without a descriptor');
  if (offset + 3 > end) return { code: -1, valueStart: end };
  const format = buffer[offset + 1];
  if (format === 0x53) return { code: buffer[offset + 2] as number, valueStart: offset + 3 };
  if (format === 0x80) {
    if (offset + 10 > end) return { code: -1, valueStart: end };
    const descriptor = buffer.readBigUInt64BE(offset + 2);
    const code = descriptor === ANNOTATIONS ? ANNOTATIONS_CODE : Number(descriptor);
    return { code, valueStart: offset + 10 };
  }
  if (format === 0xa3) {
    const valueStart = offset + 3 + (buffer[offset + 2] as number);
    if (valueStart > end) return { code: -1, valueStart: end };
    const code = SECTION_NAMES[buffer.toString('latin1', offset + 3, valueStart)];
    if (code !== undefined) return { code, valueStart };
  }
  throw new AmqpError(Condition.decodeError, 'a message section with an unknown descriptor');
}

/** Where the value at `offset` ends; -1 when it does not end before `end`. Sections are lists or maps. */
function valueEnd(buffer: Buffer, offset: number, end: number): number {
  if (offset >= end) return -1;
  const code = buffer[offset] as number;
  let next: number;
  if (code === 0x45 || code === 0x40) next = offset + 1;
  else if (code === 0xc0 || code === 0xc1) next = offset + 1 < end ? offset + 2 + (buffer[offset + 1] as number) : -1;
  else if (code === 0xd0 || code === 0xd1) next = offset + 5 <= end ? offset + 5 + buffer.readUInt32BE(offset + 1) : -1;
  else throw new AmqpError(Condition.decodeError, 'a message section is neither list nor map');
  return next > end ? -1 : next;
}

/** Places in the list of properties. */
const MESSAGE_ID = 0;
const CORRELATION_ID = 5;
/** The types that ids may have (AMQP 1.0, 3.2.11 to 3.2.14): ulong, uuid, binary, string. */
const ID_TYPES = new Set([0x44, 0x53, 0x80, 0x98, 0xa0, 0xb0, 0xa1, 0xb1]);

/** What the answer to a message has for its correlation-id: that of the message, or else its message-id, as it is there. */
export function answerId(message: Buffer): Encoded | null {
  let offset = 0;
  while (offset < message.length) {
    const { code, valueStart } = sectionAt(message, offset, message.length);
    if (code >= Section.data) break;
    const end = valueEnd(message, valueStart, message.length);
    if (end === -1) break;
    if (code !== Section.properties) {
      offset = end;
      continue;
    }
    const ids = elementsOf(new Reader(message, valueStart, end), CORRELATION_ID + 1);
    return [ids[CORRELATION_ID], ids[MESSAGE_ID]].find((id) => id && ID_TYPES.has(id.octets[0] as number)) ?? null;
  }
  return null;
}

/** The first elements of a list, as they are written. */
function elementsOf(reader: Reader, most: number): Encoded[] {
  const code = reader.octet();
  if (code !== 0xc0 && code !== 0xd0) return [];
  // Its size is known: the list ends where the reader does.
  const number = (): number => (code === 0xc0 ? reader.octet() : wideNumber(reader));
  number();
  const count = number();
  return Array.from({ length: Math.min(count, most) }, () => {
    const start = reader.offset;
    reader.skip();
    return new Encoded(reader.buffer.subarray(start, reader.offset));
  });
}

const wideNumber = (reader: Reader): number =>
  [24, 16, 8, 0].reduce((sum, shift) => sum + reader.octet() * 2 ** shift, 0);

function readAnnotations(value: Value): RouterAnnotations {
  if (!Array.isArray(value)) throw new AmqpError(Condition.decodeError, 'the router annotations are not a list');
  const [flags, toOverride, ingress, trace, mesh] = value;
  return {
    flags: typeof flags === 'number' ? flags : 0,
    toOverride: text(toOverride),
    ingress: text(ingress),
    trace: Array.isArray(trace) ? trace.filter((each) => typeof each === 'string') : [],
    mesh: text(mesh),
  };
}

/** Heads are composed here, and copied. */
const composer = new Writer(1024);

/** The annotations as octets, with what follows them; the fifth element goes only when there is a mesh to name. */
export function writeAnnotations(annotations: RouterAnnotations, message?: Uint8Array): Buffer {
  const { flags, toOverride, ingress, trace, mesh } = annotations;
  const list: Writable[] = [uint(flags), toOverride, ingress, trace];
  if (mesh !== null) list.push(mesh);
  composer.offset = 0;
  composer.raw(ANNOTATIONS_DESCRIPTOR);
  composer.write(list);
  const octets = Buffer.allocUnsafe(composer.offset + (message?.length ?? 0));
  octets.set(composer.written());
  if (message) octets.set(message, composer.offset);
  return octets;
}

const ANNOTATIONS_DESCRIPTOR = Buffer.concat([Uint8Array.of(0x00, 0x80), Buffer.from('SKPR--RA')]);

export interface MessageFields {
  /** Said in a header section, when said at all. */
  durable?: boolean;
  messageId?: Writable;
  to?: string | null;
  subject?: string | null;
  replyTo?: string | null;
  correlationId?: Writable;
  contentType?: string | null;
  applicationProperties?: Map<Writable, Writable> | null;
}

function writeSections(writer: Writer, fields: MessageFields): void {
  if (fields.durable !== undefined) writer.write(described(Section.header, [fields.durable]));
  const { messageId, to, subject, replyTo, correlationId, contentType } = fields;
  const list: Writable[] = [
    messageId,
    null,
    to,
    subject,
    replyTo,
    correlationId,
    contentType ? symbol(contentType) : null,
  ];
  while (list.length > 0 && (list.at(-1) === null || list.at(-1) === undefined)) list.pop();
  if (list.length > 0) writer.write(described(Section.properties, list));
  if (fields.applicationProperties)
    writer.write(described(Section.applicationProperties, fields.applicationProperties));
}

/** A whole message with an amqp-value body. */
export function writeMessage(fields: MessageFields, body: Writable): Buffer {
  // A long body is not to be moved each time the writer grows.
  const writer = new Writer(body instanceof Uint8Array ? body.length + 512 : 512);
  writeSections(writer, fields);
  writer.write(described(Section.value, body));
  return Buffer.from(writer.written());
}

/** The head of a stream: everything before its bare octets. */
export function writeStreamHead(fields: MessageFields): Buffer {
  composer.offset = 0;
  writeSections(composer, fields);
  composer.raw(NULL_BODY);
  return Buffer.from(composer.written());
}

/** Offset of a stream's bare octets, or -1 when the body is not that of a stream. */
export function streamStart(buffer: Buffer, bodyStart: number, end: number): number {
  if (end - bodyStart < NULL_BODY.length) return -1;
  for (let index = 0; index < NULL_BODY.length; index++) if (buffer[bodyStart + index] !== NULL_BODY[index]) return -1;
  return bodyStart + NULL_BODY.length;
}

/** The amqp-value of a whole message, and its application properties. For messages meant for the router itself. */
export function readBody(buffer: Buffer): { body: Value; applicationProperties: ValueMap } {
  const reader = new Reader(buffer);
  let body: Value = null;
  let applicationProperties: ValueMap = new Map();
  while (!reader.done) {
    const section = reader.value();
    if (typeof section !== 'object' || section === null || !('descriptor' in section)) break;
    if (section.descriptor === Section.value) body = section.value;
    if (section.descriptor === Section.applicationProperties && section.value instanceof Map)
      applicationProperties = section.value;
  }
  return { body, applicationProperties };
}
