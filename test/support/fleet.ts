/** A hub that lets devices in, and claims to come with. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { document } from './network.ts';
import { newDirectory, Skiff } from './skiff.ts';
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

/** A file with a claim for devices of that group. */
export async function newClaim(hub: Skiff, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await hub.cli('claim', 'create', 'claim', '--group', 'stores', ...args);
  if (code !== 0) throw new Error(stderr);
  const file = join(newDirectory(), 'claim.yaml');
  writeFileSync(file, stdout);
  return file;
}
