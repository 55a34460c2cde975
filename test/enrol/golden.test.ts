/** The examples of docs/enrolment.md: what is signed, and what a hub really answers. */
import { sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { privateKeyOf, publicKeyOf, readPublicKey } from '../../src/enrol/ed25519.ts';
import { derOf, type EnrolmentRequest, provenText, readEnrolmentRequest } from '../../src/enrol/protocol.ts';
import type { EnrolAnswer } from '../../src/enrol/server.ts';
import { wordsOf } from '../../src/enrol/words.ts';
import { AdmissionDesk } from '../../src/fleet/admission.ts';
import { keyFingerprint } from '../../src/pki/fingerprint.ts';
import { readSigningRequest } from '../../src/pki/request.ts';
import type { Site } from '../../src/site/site.ts';

const test = suite('enrolment, golden');

const text = readFileSync(join(import.meta.dirname, '../../docs/enrolment.md'), 'utf8');
const blocks = (language: string) =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(([, block]) => block);
const examples = blocks('json').map((block) => JSON.parse(block));
const example = (holds: (value: Record<string, unknown>) => boolean) => examples.find(holds) ?? assert.unreachable();
const request = example((value) => 'proof' in value) as EnrolmentRequest;
const [seed, publicKey] = [/here `([^`]+)`/, /keeps it, is `([^`]+)`/].map((each) => each.exec(text)?.[1] ?? '');
const [proven] = blocks('text');

test('the proof is over the lines that are shown, with the secret that is shown', () => {
  assert.is(publicKeyOf(seed), publicKey);
  assert.is(provenText(request, derOf(request.request)), proven.trim());
  const proof = Buffer.from(request.proof, 'base64');
  assert.ok(verify(null, Buffer.from(proven.trim()), readPublicKey(publicKey), proof));
  assert.is(sign(null, Buffer.from(proven.trim()), privateKeyOf(seed)).toString('base64'), request.proof);
  assert.equal(readEnrolmentRequest(JSON.stringify(request)), request);
});

test('the words are those of the key', async () => {
  const { publicKey: key } = await readSigningRequest(request.request);
  assert.is(example((value) => value.state === 'pending').words, wordsOf(keyFingerprint(key)));
});

/** A desk with this claim; it comes to no decision. */
function deskWith(claim: object | undefined, now: number): AdmissionDesk {
  const site = { documents: { get: () => claim } } as unknown as Site;
  return new AdmissionDesk({ site, now: () => now } as unknown as ConstructorParameters<typeof AdmissionDesk>[0]);
}

async function replay(desk: AdmissionDesk, path: string, body: object): Promise<EnrolAnswer> {
  const asked = { method: 'POST', path, key: '', address: '192.0.2.1', header: () => undefined, certificate: null };
  const answer = await desk.answer({ ...asked, body: JSON.stringify(body) });
  assert.ok(answer, path);
  return answer as EnrolAnswer;
}

test('a hub refuses as it is shown', async () => {
  const claim = { name: 'spring', spec: { group: 'stores', publicKey } };
  const known = deskWith(claim, Date.now());
  for (const [desk, status, code] of [
    [deskWith(undefined, Date.now()), 403, 'claim-unknown'],
    [known, 401, 'nonce-stale'],
  ] as const) {
    const answer = await replay(desk, '/enrolment', request);
    assert.is(answer.status, status);
    assert.equal(
      JSON.parse(answer.body),
      example((value) => value.code === code),
    );
  }
  const { body } = await replay(known, '/enrolment/nonce', {});
  const nonce = JSON.parse(body);
  assert.equal(Object.keys(nonce), Object.keys(example((value) => 'time' in value)));
  const unproven = await replay(known, '/enrolment', { ...request, nonce: nonce.nonce });
  assert.equal([unproven.status, JSON.parse(unproven.body).code], [401, 'proof-failed']);
});

test('what is no request is refused as such', async () => {
  const desk = deskWith(undefined, Date.now());
  for (const body of [{}, { ...request, identity: { ...request.identity, more: 1 } }, { ...request, claim: 7 }, []]) {
    const answer = await replay(desk, '/enrolment', body);
    assert.equal([answer.status, JSON.parse(answer.body).code], [400, 'bad-request']);
  }
});

test.run();
