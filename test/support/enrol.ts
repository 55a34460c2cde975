/** Enrols at a hub as the protocol says, with a key of the test's own: what a device does, and what whoever took one apart can. */
import { randomUUID, sign } from 'node:crypto';
import { request } from 'node:https';
import { parse } from 'yaml';
import { privateKeyOf } from '../../src/enrol/ed25519.ts';
import {
  derOf,
  type EnrolmentAnswer,
  enrolmentPath,
  type IssuedAnswer,
  type NonceAnswer,
  noncePath,
  provenText,
} from '../../src/enrol/protocol.ts';
import { newKey, requestFor } from '../../src/pki/request.ts';
import { routerId } from '../../src/site/plan.ts';
import type { Issued } from './certificates.ts';

/** What `claim create` prints. */
export interface Token {
  spec: { urls: string[]; ca: string; id: string; secret: string };
}

export const readToken = (text: string): Token => parse(text) as Token;

export interface Enrolled {
  credentials: Issued;
  /** Its router id. */
  id: string;
  answer: IssuedAnswer;
}

export async function enrolByHand(token: Token, serial = randomUUID()): Promise<Enrolled> {
  const { id: claim, secret, ca } = token.spec;
  const key = await newKey();
  const pem = await requestFor(key, 'device');
  const { nonce } = (await post(token, noncePath, {})) as NonceAnswer;
  const identity = { serial, uuid: null, macs: [], model: null, disks: [] };
  const asked = { claim, nonce, request: pem, identity, version: '1', proof: '' };
  const proof = sign(null, Buffer.from(provenText(asked, derOf(pem))), privateKeyOf(secret)).toString('base64');
  const answer = (await post(token, enrolmentPath, { ...asked, proof })) as EnrolmentAnswer;
  if (answer.state !== 'issued') throw new Error(`not enrolled: ${JSON.stringify(answer)}`);
  const { name, siteId } = answer.device;
  const credentials = { ca: answer.ca || ca, certificate: answer.certificate, key };
  return { credentials, id: routerId(name, siteId), answer };
}

function post({ spec: { urls, ca } }: Token, path: string, body: object): Promise<unknown> {
  const text = JSON.stringify(body);
  const url = new URL(path, urls[0]);
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const asking = request(url, { method: 'POST', ca, agent: false, headers }, (response) => {
      let answer = '';
      response.setEncoding('utf8').on('data', (part) => {
        answer += part;
      });
      response.on('end', () => {
        try {
          resolve(JSON.parse(answer));
        } catch {
          reject(new Error(`${response.statusCode}: ${answer}`));
        }
      });
    });
    asking.on('error', reject);
    asking.end(text);
  });
}
