/**
 * The device's side of enrolment: one question, at the first of the hub's addresses that answers.
 */
import { sign } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { SkiffError } from '../errors.ts';
import { log } from '../log.ts';
import { post, type Response } from './client.ts';
import { type Address, discover } from './discovery.ts';
import { privateKeyOf } from './ed25519.ts';
import {
  derOf,
  type EnrolmentAnswer,
  enrolmentPath,
  type Identity,
  type NonceAnswer,
  noncePath,
  provenText,
} from './protocol.ts';

export interface Application {
  token: { urls: string[]; ca: string; id: string; secret: string };
  /** PEM: a signing request for the device's key. */
  request: string;
  identity: Identity;
  version: string;
  clock: Clock;
  /** What DNS knew, when it had to be asked. */
  onDiscovered?: (addresses: Address[]) => void;
}

export interface Outcome {
  answer: EnrolmentAnswer;
  /** Where it came from. */
  url: string;
  /** Seconds that the hub asks to wait; null when it does not say. */
  retryAfter: number | null;
}

/** Throws when none of the hub's addresses answers. */
export async function applyToHub(application: Application): Promise<Outcome> {
  const { urls } = application.token;
  const failures: string[] = [];
  let last: unknown;
  for (const url of urls) {
    try {
      return await applyAt(application, new URL(url));
    } catch (error) {
      last = error;
      failures.push((error as Error).message);
    }
  }
  const discovered = await discover();
  application.onDiscovered?.(discovered);
  for (const address of discovered) {
    try {
      return await applyAt(application, new URL(urls[0]), address);
    } catch (error) {
      last = error;
      failures.push(`${(error as Error).message} (by DNS)`);
    }
  }
  const { code = 'unreachable', hint } = last instanceof SkiffError ? last : {};
  throw new SkiffError(code, failures.join('; '), { cause: last, ...(hint === undefined ? {} : { hint }) });
}

/** `address`: where DNS says that the hub is; whoever answers there must be who the claim names all the same. */
async function applyAt(
  { token, request, identity, version, clock }: Application,
  url: URL,
  address?: Address,
): Promise<Outcome> {
  const name = url.hostname.replace(/^\[|\]$/g, '');
  const there = new URL(address ? `https://${address.host}:${address.port}` : url);
  const { nonce } = await nonceOf(there, name, token.ca, clock);
  const asked = { claim: token.id, nonce, request, identity, version, proof: '' };
  const proof = sign(null, Buffer.from(provenText(asked, derOf(request))), privateKeyOf(token.secret));
  const body = JSON.stringify({ ...asked, proof: proof.toString('base64') });
  return outcomeOf(await post(new URL(enrolmentPath, there), token.ca, body, { name, at: clock.now() }), there);
}

function outcomeOf(response: Response, there: URL): Outcome {
  const retryAfter = Number(response.headers['retry-after']);
  return {
    answer: json<EnrolmentAnswer>(response, there),
    url: there.href,
    retryAfter: Number.isFinite(retryAfter) ? retryAfter : null,
  };
}

/**
 * When the hub is who it must be but for dates, it is the machine's clock that is wrong, and the hub's that is right.
 */
async function nonceOf(url: URL, name: string, ca: string, clock: Clock): Promise<NonceAnswer> {
  const response = await post(new URL(noncePath, url), ca, '{}', { name, at: null });
  const answer = json<NonceAnswer>(response, url);
  const time = Date.parse(answer.time);
  if (response.undated && Number.isFinite(time) && clock.correct(time)) {
    log.warn('enrol', `the clock of this machine is wrong; it is ${answer.time}, as ${url.host} says`, {
      code: 'clock-wrong',
    });
  }
  return answer;
}

/** Asks a hub what time it is; believed only when dates are all that is wrong with its certificate. */
export async function correctClock(url: string, ca: string, clock: Clock): Promise<void> {
  const there = new URL(url);
  await nonceOf(there, there.hostname.replace(/^\[|\]$/g, ''), ca, clock);
}

function json<T>({ status, text }: Response, url: URL): T {
  const bad = (cause?: unknown) =>
    new SkiffError('bad-answer', `${url.host}: what answers (${status}) is no hub of a fleet: ${text.slice(0, 200)}`, {
      hint: 'Is it the site that made the claim, with an EnrolmentService?',
      cause,
    });
  try {
    const value = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    throw bad(error);
  }
  throw bad();
}
