/**
 * Asking a server for a certificate: a token's redemption, renewals, enrolment. Skupper's rules: HTTPS with TLS 1.3, whose CA
 * is the one that the token names and no other, ten seconds, no redirects.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { isAboutDates } from '../chain.ts';
import { SkiffError } from '../errors.ts';
import { renewalHeader, requestHeader } from './server.ts';
import { connectUndated } from './undated.ts';

export interface Question {
  url: string;
  /** PEM: of the server. */
  ca: string;
  body: string;
  headers?: Record<string, string>;
  /** PEM: our signing request. */
  signingRequest: string;
  /** PEM: our certificate and key, to be known by. */
  certificate?: string;
  key?: string;
  /** What time it is, should the machine's clock be wrong. */
  now: number;
}

export interface Answer {
  /** Documents, in YAML or JSON. */
  text: string;
  /** Where to renew, when the server is one of ours. */
  renewalUrl: string | null;
}

const timeoutMs = 10_000;
/** Octets; a Secret and a few Links have some ten thousand. */
const largestAnswer = 1024 * 1024;

export async function ask(question: Question): Promise<Answer> {
  const url = addressOf(question);
  const response = await post(url, question.ca, question.body, {
    ...(question.certificate === undefined ? {} : { cert: question.certificate, key: question.key }),
    at: question.now,
    headers: {
      ...question.headers,
      [requestHeader]: Buffer.from(question.signingRequest).toString('base64'),
    },
  });
  if (response.status !== 200) throw refused(response.status, response.text);
  const path = response.headers[renewalHeader];
  return { text: response.text, renewalUrl: typeof path === 'string' ? new URL(path, url).href : null };
}

export interface Response {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The server's certificate was taken although its dates are wrong by the machine's clock. */
  undated: boolean;
}

export interface PostOptions {
  headers?: Record<string, string>;
  /** PEM: to be known by. */
  cert?: string;
  key?: string;
  /** As which the server must be known, where it is not the name of the URL. */
  name?: string;
  /** When the dates of its certificate must be right, if they are not now; null: they are not looked at then. */
  at: number | null;
}

/** `ca`: PEM, of the one whose servers are believed. Throws when there is no answer; any answer will do. */
export async function post(url: URL, ca: string, body: string, options: PostOptions): Promise<Response> {
  const { headers, cert, key, at } = options;
  const own = cert === undefined ? {} : { cert, key };
  const name = options.name ?? url.hostname.replace(/^\[|\]$/g, '');
  const signal = AbortSignal.timeout(timeoutMs);
  const all = {
    ...own,
    ca,
    minVersion: 'TLSv1.3',
    agent: false,
    method: 'POST',
    signal,
    checkServerIdentity: (_: string, certificate: PeerCertificate) => checkServerIdentity(name, certificate),
    headers: { ...headers, 'content-length': Buffer.byteLength(body) },
  } as const;
  try {
    return { ...(await exchange(url, all, body)), undated: false };
  } catch (error) {
    if (!isAboutDates((error as NodeJS.ErrnoException).code)) throw known(error, url, signal);
    try {
      const socket = await connectUndated(url, ca, name, at, own);
      return {
        ...(await exchange(url, { ...all, agent: undefined, createConnection: () => socket }, body)),
        undated: true,
      };
    } catch (second) {
      throw known((second as NodeJS.ErrnoException).code === undefined ? error : second, url, signal);
    }
  }
}

async function exchange(url: URL, options: RequestOptions, body: string): Promise<Omit<Response, 'undated'>> {
  const answer = Promise.withResolvers<IncomingMessage>();
  const asking = request(url, options, answer.resolve);
  asking.on('error', answer.reject);
  asking.end(body);
  try {
    const response = await answer.promise;
    return { status: response.statusCode ?? 0, headers: response.headers, text: await textOf(response) };
  } finally {
    asking.destroy();
  }
}

function known(error: unknown, url: URL, signal: AbortSignal): SkiffError {
  return error instanceof SkiffError ? error : failure(error as NodeJS.ErrnoException, url, signal.aborted);
}

function addressOf({ url, ca }: Question): URL {
  const bad = (message: string) => new SkiffError('bad-token', message, { hint: 'Ask for another token' });
  if (!ca) throw bad('token does not have a CA');
  const parsed = URL.parse(url);
  if (!parsed) throw bad(`token url cannot be read: ${url}`);
  if (parsed.protocol !== 'https:') throw bad('token url scheme must be https');
  return parsed;
}

function refused(status: number, text: string): SkiffError {
  const hint =
    status === 404
      ? 'The token has been used or has expired, or its grant is gone: ask for another'
      : 'The log of the site that issued it says more';
  return new SkiffError('redemption-refused', `Received HTTP Response ${status}: ${text.trim().slice(0, 500)}`, {
    hint,
  });
}

function failure(error: NodeJS.ErrnoException, { host }: URL, timedOut: boolean): SkiffError {
  const known = timedOut ? timeoutWords : (words[error.code ?? ''] ?? { code: 'redemption-failed', hint: '' });
  const message = timedOut ? `no answer within ${timeoutMs / 1000} s` : error.message;
  return new SkiffError(known.code, `${host}: ${message}`, {
    ...(known.hint ? { hint: known.hint } : {}),
    cause: error,
  });
}

const timeoutWords = { code: 'timed-out', hint: 'Check the network between the two' };
const otherCa = {
  code: 'certificate-untrusted',
  hint: 'The server is not the one that issued the token: ask for another',
};
const words: Record<string, { code: string; hint: string }> = {
  ECONNREFUSED: { code: 'connection-refused', hint: 'Check that the site that issued it runs and takes tokens' },
  ECONNRESET: { code: 'connection-lost', hint: '' },
  ETIMEDOUT: timeoutWords,
  EHOSTUNREACH: { code: 'unreachable', hint: 'Check the network' },
  ENETUNREACH: { code: 'unreachable', hint: 'Check the network' },
  ENOTFOUND: { code: 'name-not-found', hint: 'Check the DNS' },
  EAI_AGAIN: { code: 'name-not-found', hint: 'Check the DNS' },
  CERT_HAS_EXPIRED: { code: 'certificate-expired', hint: 'Check the clocks of both' },
  CERT_NOT_YET_VALID: { code: 'certificate-not-yet-valid', hint: 'Check the clocks of both' },
  ERR_TLS_CERT_ALTNAME_INVALID: { code: 'hostname-mismatch', hint: 'The server is not reached by that name' },
  DEPTH_ZERO_SELF_SIGNED_CERT: otherCa,
  SELF_SIGNED_CERT_IN_CHAIN: otherCa,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: otherCa,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: otherCa,
  CERT_SIGNATURE_FAILURE: otherCa,
};

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > largestAnswer) throw new SkiffError('too-large', `the answer is larger than ${largestAnswer} octets`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
