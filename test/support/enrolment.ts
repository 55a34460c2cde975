/** Hubs that let devices enrol, and devices that do. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { Clock } from '../../src/clock.ts';
import { applyToHub } from '../../src/enrol/applicant.ts';
import { newKey, requestFor } from '../../src/pki/request.ts';
import { routerId } from '../../src/site/plan.ts';
import type { EnrolmentTokenSpec } from '../../src/site/resources.ts';
import type { Issued } from './certificates.ts';
import { document } from './network.ts';
import { newDirectory, type RunOptions, Skiff } from './skiff.ts';
import { freePort } from './tcp.ts';

export interface Claim {
  file: string;
  spec: EnrolmentTokenSpec;
  document: object;
}

export function fleetDocument(kind: string, name: string, spec: object): object {
  return { apiVersion: 'skiff/v1alpha1', kind, metadata: { name }, spec };
}

export async function newHub(
  { documents = [], ...options }: RunOptions = {},
  name = 'hq',
  bindHost = '127.0.0.1',
): Promise<Skiff> {
  const [port, enrolment] = [await freePort(), await freePort()];
  const hub = await Skiff.run({
    ...options,
    documents: [
      document('Site', name, {}),
      document('RouterAccess', 'uplinks', { bindHost, roles: [{ name: 'edge', port }] }),
      fleetDocument('EnrolmentService', 'enrolment', { bindHost, port: enrolment }),
      ...documents,
    ],
  });
  await hub.until('EnrolmentService', 'enrolment', 'Ready');
  return hub;
}

/** A claim for the group `stores`, as `claim create` prints it. */
export async function newClaim(hub: Skiff, name: string, ...args: string[]): Promise<Claim> {
  const { code, stdout, stderr } = await hub.cli('claim', 'create', name, '--group', 'stores', ...args);
  if (code !== 0) throw new Error(stderr);
  return claimFile(parse(stdout));
}

/** A claim with other addresses of the hub, such as those of a relay. */
export function claimFile(token: { spec: EnrolmentTokenSpec }, urls = token.spec.urls): Claim {
  const file = join(newDirectory(), 'claim.yaml');
  const changed = { ...token, spec: { ...token.spec, urls } };
  writeFileSync(file, JSON.stringify(changed));
  return { file, spec: changed.spec, document: changed };
}

/** A blank device with this serial number. */
export function newDevice(claim: Claim | null, serial: string, options: RunOptions = {}): Promise<Skiff> {
  const identity = join(newDirectory(), 'identity.json');
  writeFileSync(identity, JSON.stringify({ serial }));
  const args = [...(claim ? ['--claim', claim.file] : []), '--identity', identity, ...(options.args ?? [])];
  return Skiff.run({ ...options, args });
}

/** What a device has when it has enrolled: whoever takes it apart has it, too. */
export interface Stolen {
  credentials: Issued;
  name: string;
  /** Its router id. */
  id: string;
}

/** Enrols with a key of the test's own, as the protocol says. */
export async function enrolByHand({ spec: token }: Claim, serial: string, own?: string): Promise<Stolen> {
  const key = own ?? (await newKey());
  const identity = { serial, uuid: null, macs: [], model: null, disks: [] };
  const { answer } = await applyToHub({
    token,
    request: await requestFor(key, serial),
    identity,
    version: '1',
    clock: new Clock(),
  });
  if (answer.state !== 'issued') throw new Error(`not enrolled: ${JSON.stringify(answer)}`);
  const { ca, certificate, device } = answer;
  return { credentials: { ca, certificate, key }, name: device.name, id: routerId(device.name, device.siteId) };
}

/** Where edges link to a hub. */
export async function edgePortOf(hub: Skiff): Promise<number> {
  const { spec } = await hub.get('RouterAccess', 'uplinks');
  return (spec as { roles: { port: number }[] }).roles[0]?.port ?? 0;
}

/** Waits until a device has become a site, and is linked to its hub; its name. */
export async function untilEnrolled(device: Skiff): Promise<string> {
  await device.untilLogged('enrolled as');
  const { device: own } = await device.api.device();
  await device.until('Link', 'hq', 'Ready');
  return own?.name ?? '';
}
