/**
 * The hub's address by DNS: a record `_skiff-enrol._tcp` in the domain that the network gave to this machine. It is an
 * address and no more; whom to believe is in the claim.
 */
import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';

const service = '_skiff-enrol._tcp';
const timeoutMs = 2_000;

export interface Address {
  host: string;
  port: number;
}

/** Those to be tried first come first; none when nobody answers. */
export async function discover(resolvConf = '/etc/resolv.conf'): Promise<Address[]> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  for (const domain of domainsIn(resolvConf)) {
    try {
      const records = await resolver.resolveSrv(`${service}.${domain}`);
      const sorted = records.sort((a, b) => a.priority - b.priority || b.weight - a.weight);
      if (sorted.length > 0) return sorted.map(({ name, port }) => ({ host: name, port }));
    } catch {
      // Most networks have no such record.
    }
  }
  return [];
}

function domainsIn(file: string): string[] {
  try {
    const lines = readFileSync(file, 'utf8').matchAll(/^\s*(?:search|domain)\s+(.+)$/gm);
    return [...lines].flatMap(([, names]) => names.trim().split(/\s+/)).filter((name) => name !== '.');
  } catch {
    return [];
  }
}
