/** How a TCP connection is wrapped in messages: what its first message says, and where its octets begin. */
import { int, type WritableMap } from '../amqp/codec.ts';
import { AnnotationFlag, NULL_BODY, readBody, streamStart, USUAL_PRIORITY, writeStreamHead } from '../amqp/message.ts';
import { Chunk } from '../net/chunk.ts';
import type { Arrival } from '../router/forwarding.ts';

const CONTENT_TYPE = 'application/octet-stream';
/** A stream's window is kept end to end, so nothing on the way need hold it back. */
const STREAM_FLAGS = AnnotationFlag.streaming | AnnotationFlag.q2Disabled;
/** The version of this encapsulation, in the application property `V`. */
const ENCAPSULATION_VERSION = 1;
const ALPN_PROPERTY = 'alpn';
const PROPERTIES: WritableMap = new Map([['V', int(ENCAPSULATION_VERSION)]]);

/** Where the bare octets of a stream's first message begin; -1 when the message is no stream. */
function bodyStart({ first, bodyOffset, head }: Arrival): number {
  return head.contentType === CONTENT_TYPE ? streamStart(first.buffer, first.start + bodyOffset, first.end) : -1;
}

export function isStream(arrival: Arrival): boolean {
  return bodyStart(arrival) >= 0;
}

/** The chunk of a stream's first message, moved on to its bare octets; null when the message is no stream. */
export function takeBody(arrival: Arrival): Chunk | null {
  const { first } = arrival;
  const start = bodyStart(arrival);
  if (start < 0) return null;
  first.start = start;
  first.headroom = 0;
  return first;
}

/** The protocols that TLS at a listener may agree on, in skupper-router's order. */
export const ALPN_PROTOCOLS = ['http/1.1', 'h2'];

/** What TLS at the client's listener has agreed on, in the application properties of a stream's first message. */
export function alpnOf({ first, bodyOffset }: Arrival): string | null {
  const alpn = readBody(first.view().subarray(0, bodyOffset)).applicationProperties.get(ALPN_PROPERTY);
  return typeof alpn === 'string' ? alpn : null;
}

/**
 * The message that opens a stream to `to`. A client's names where the reply is awaited (`replyTo`), and the record of
 * the connection (`correlationId`), to which the server's side adds what it knows; `alpn` is for TLS at the connector.
 */
export function openingOf(
  to: string,
  reply: { replyTo: string; correlationId: string } | null,
  alpn: string | null = null,
): Arrival {
  const applicationProperties = alpn === null ? PROPERTIES : new Map(PROPERTIES).set(ALPN_PROPERTY, alpn);
  const octets = writeStreamHead({ to, ...reply, contentType: CONTENT_TYPE, applicationProperties });
  const head = {
    annotations: { flags: STREAM_FLAGS, toOverride: null, ingress: null, trace: [], mesh: null },
    bareStart: 0,
    priority: USUAL_PRIORITY,
    to,
    subject: null,
    replyTo: reply?.replyTo ?? null,
    correlationId: reply?.correlationId ?? null,
    contentType: CONTENT_TYPE,
    bodyStart: octets.length - NULL_BODY.length,
  };
  const first = new Chunk(octets, 0, octets.length);
  return {
    head,
    first,
    bodyOffset: head.bodyStart,
    complete: false,
    settled: false,
    address: to,
    byLink: false,
    via: null,
  };
}
