/** A name server that knows the addresses and services it is told of, and says of every other name that it has none. */
import { createSocket } from 'node:dgram';

export interface Names {
  /** IPv4 addresses by name. */
  hosts: Record<string, string>;
  services: Record<string, { host: string; port: number }>;
}

export interface NameServer {
  /** The names that were asked for. */
  asked: string[];
  close(): Promise<void>;
}

const types = { a: 1, srv: 33 };

/** Listens on port 53 of that address, for which it takes root. */
export async function nameServer(address: string, names: Names): Promise<NameServer> {
  const asked: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (question, from) => {
    const { name, type, end } = questionIn(question);
    asked.push(name);
    const data = dataOf(names, name, type);
    // RFC 1035, 4.1: an answer to this question alone, which is named by a pointer to it.
    const header = Buffer.from([...question.subarray(0, 2), 0x85, 0x80, 0, 1, 0, data ? 1 : 0, 0, 0, 0, 0]);
    const record = data ? [Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 1, 0, data.length]), data] : [];
    socket.send(Buffer.concat([header, question.subarray(12, end), ...record]), from.port, from.address);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(53, address, resolve);
  });
  return { asked, close: () => new Promise((resolve) => socket.close(() => resolve())) };
}

function dataOf({ hosts, services }: Names, name: string, type: number): Buffer | null {
  if (type === types.a && Object.hasOwn(hosts, name))
    return Buffer.from((hosts[name] as string).split('.').map(Number));
  const service = services[name];
  if (type !== types.srv || !service) return null;
  const { host, port } = service;
  // Priority and weight first.
  return Buffer.concat([Buffer.from([0, 0, 0, 0, port >> 8, port & 255]), labels(host)]);
}

function labels(name: string): Buffer {
  const parts = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  return Buffer.concat([...parts, Buffer.from([0])]);
}

function questionIn(message: Buffer): { name: string; type: number; end: number } {
  const parts: string[] = [];
  let at = 12;
  while (message[at]) {
    const length = message[at] as number;
    parts.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: parts.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}
