/** Servers of HTTP over TLS that say what was agreed on, and clients that others wrote. */
import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import type { Issued } from './certificates.ts';
import { within } from './eventually.ts';
import { freePort } from './tcp.ts';

const closing = new Set<() => void>();

export function closeHttps(): void {
  for (const close of closing) close();
  closing.clear();
}

/** Takes HTTP/2 and HTTP/1.1; each answer has the version, the protocol agreed on, and the client's name. */
export async function httpsServer(
  { ca, certificate, key }: Issued,
  options: { clientCertificates?: boolean } = {},
): Promise<{ port: number }> {
  const clients = options.clientCertificates ? { ca, requestCert: true, rejectUnauthorized: true } : {};
  const server = http2.createSecureServer({ cert: certificate, key, allowHTTP1: true, ...clients });
  server.on('request', (request, response) => {
    const session = request.httpVersion === '2.0' ? request.stream.session : undefined;
    const socket = (session?.socket ?? request.socket) as TLSSocket;
    const client = socket.getPeerCertificate()?.subject?.CN ?? 'nobody';
    const alpn = session?.alpnProtocol ?? socket.alpnProtocol;
    response.end(`${request.httpVersion} ${alpn} ${client}`);
  });
  server.on('sessionError', () => {}).on('clientError', () => {});
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  closing.add(() => server.close());
  return { port };
}

/** A connection of HTTP/2, for any number of requests. */
export function connectHttp2(port: number, ca: string): http2.ClientHttp2Session {
  const session = http2.connect(`https://127.0.0.1:${port}`, { ca });
  closing.add(() => session.destroy());
  session.on('error', () => {}).setMaxListeners(0);
  return session;
}

export async function requestHttp2(session: http2.ClientHttp2Session, body = ''): Promise<string> {
  const stream = session.request({ ':path': '/', ':method': 'POST' });
  stream.end(body);
  let text = '';
  stream.setEncoding('utf8').on('data', (part) => {
    text += part;
  });
  await within(
    'the answer',
    new Promise<void>((resolve, reject) => {
      stream.once('end', resolve).once('error', reject);
      session.once('error', reject);
    }),
  );
  return text;
}

/** The files of credentials, for programs. */
export function filesOf(issued: Issued): Record<keyof Issued, string> {
  const directory = mkdtempSync(join(tmpdir(), 'pem-'));
  const write = (part: keyof Issued): string => {
    const file = join(directory, part);
    writeFileSync(file, issued[part]);
    return file;
  };
  return { ca: write('ca'), certificate: write('certificate'), key: write('key') };
}

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end, with nothing on its standard input. */
export function run(program: string, args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
    });
    child.stdin?.end();
  });
}
