/** A hub that lets devices in, and devices that come with a claim. */
import { sign } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { parse } from 'yaml';
import { privateKeyOf } from '../../src/enrol/ed25519.ts';
import { derOf, type EnrolmentAnswer, type IssuedAnswer, provenText } from '../../src/enrol/protocol.ts';
import { newKey, requestFor } from '../../src/pki/request.ts';
import { readDocuments } from '../../src/site/read.ts';
import type { EnrolmentTokenSpec } from '../../src/site/resources.ts';
import type { JsonObject } from '../../src/store/documents.ts';
import { InProcessSite } from './in-process.ts';
import { document } from './network.ts';
import { Skiff } from './skiff.ts';
import { freePort } from './tcp.ts';

export const fleetDocument = (kind: string, name: string, spec: object): object => ({
  apiVersion: 'skiff/v1alpha1',
  kind,
  metadata: { name },
  spec,
});

/** A hub for devices of the group `stores`. */
export async function newHub(more: object[] = [], options: { data?: string } = {}): Promise<Skiff> {
  const [port, enrolmentPort] = [await freePort(), await freePort()];
  const hub = await Skiff.run({
    ...options,
    documents: [
      document('Site', 'hub', {}),
      document('RouterAccess', 'uplinks', { bindHost: '127.0.0.1', roles: [{ name: 'edge', port }] }),
      fleetDocument('EnrolmentService', 'enrolment', { bindHost: '127.0.0.1', port: enrolmentPort }),
      fleetDocument('DeviceGroup', 'stores', {}),
      ...more,
    ],
  });
  await hub.until('EnrolmentService', 'enrolment', 'Ready');
  return hub;
}

export async function newClaim(hub: Skiff, ...args: string[]): Promise<EnrolmentTokenSpec> {
  const { code, stdout, stderr } = await hub.cli('claim', 'create', 'claim', '--group', 'stores', ...args);
  if (code !== 0) throw new Error(stderr);
  return parse(stdout).spec;
}

/** A device that has enrolled; its site has not been started. */
export async function enrol(token: EnrolmentTokenSpec, serial: string, directory?: string): Promise<InProcessSite> {
  const device = new InProcessSite(directory);
  const key = await newKey();
  const answer = await ask(token, serial, key);
  if (answer.state !== 'issued') throw new Error(`${serial}: ${JSON.stringify(answer)}`);
  keep(device, token, key, answer);
  return device;
}

async function ask(token: EnrolmentTokenSpec, serial: string, key: string): Promise<EnrolmentAnswer> {
  const { nonce } = (await post(token, '/enrolment/nonce', {})) as { nonce: string };
  const unproven = {
    ...{ claim: token.id, nonce, request: await requestFor(key, ''), version: 'test', proof: '' },
    identity: { serial, uuid: null, macs: [], model: null, disks: [] },
  };
  const proof = sign(null, Buffer.from(provenText(unproven, derOf(unproven.request))), privateKeyOf(token.secret));
  return (await post(token, '/enrolment', { ...unproven, proof: proof.toString('base64') })) as EnrolmentAnswer;
}

/** The device's side: all of it in one step. */
function keep({ site, store }: InProcessSite, token: EnrolmentTokenSpec, key: string, answer: IssuedAnswer): void {
  const data = { 'ca.crt': answer.ca, 'tls.crt': answer.certificate, 'tls.key': key };
  const secret = {
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: answer.credentials }, type: 'kubernetes.io/tls' },
    stringData: data,
  };
  const { generation, documents } = answer.desired as {
    generation: number;
    documents: JsonObject[];
    signature: string;
  };
  const read = readDocuments([{ name: 'the hub', text: JSON.stringify([...documents, secret]) }]);
  site.documents.apply(read, 'fleet', () => {
    store.enrolment.put({
      ...{ token: JSON.stringify(token), key, answer: JSON.stringify(answer), refusal: null, enrolledAt: Date.now() },
    });
    store.applied.replace([{ generation, documents, state: 'good', active: true, reason: null, at: Date.now() }]);
  });
}

async function post({ urls, ca }: EnrolmentTokenSpec, path: string, body: object): Promise<unknown> {
  const answer = Promise.withResolvers<IncomingMessage>();
  const asking = request(new URL(path, urls[0]), { method: 'POST', ca, agent: false, timeout: 60_000 }, answer.resolve);
  asking.on('error', answer.reject).on('timeout', () => asking.destroy(new Error('no answer')));
  asking.end(JSON.stringify(body));
  let text = '';
  for await (const chunk of (await answer.promise).setEncoding('utf8')) text += chunk;
  return JSON.parse(text);
}
