/** What a router of ours holds when nothing is under way: after all that has been done to it, no more than before. */
import { isDeepStrictEqual } from 'node:util';
import { eventually } from './eventually.ts';
import type { Hub } from './topology.ts';

interface Holdings {
  /** Of other routers, by their names and roles. */
  connections: string[];
  /** Routing keys and edges that are served somewhere; those of flow records come as their beacons do. */
  addresses: string[];
  /** Messages under way, on all links. */
  deliveries: number;
}

async function holdingsOf(hub: Hub): Promise<Holdings> {
  const entities = (type: string) => hub.query(`io.skupper.router.${type}`);
  const connections = await entities('connection');
  const addresses = await entities('router.address');
  const links = await entities('router.link');
  // Whoever asks has a connection, and an address for the answer.
  const routers = connections.filter(({ role }) => role !== 'normal');
  const keys = addresses
    .map(({ key }) => String(key))
    .filter((key) => /^[MH]/.test(key) && !/^M(mc\/sfe|sfe|vfcr)\./.test(key));
  const counts = links.map(({ unsettledCount, undeliveredCount }) => Number(unsettledCount) + Number(undeliveredCount));
  return {
    connections: routers.map(({ container, role, dir }) => `${container} ${role} ${dir}`).sort(),
    addresses: keys.sort(),
    deliveries: counts.reduce((total, count) => total + count, 0),
  };
}

/** Remembers what the hubs of ours hold; what is returned waits until it is the same again. */
export async function holdings(hubs: Hub[]): Promise<() => Promise<void>> {
  const ours = hubs.filter(({ kind }) => kind === 'skiff');
  const before = await Promise.all(ours.map(async (hub) => ({ ...(await holdingsOf(hub)), deliveries: 0 })));
  return async () => {
    for (const [index, hub] of ours.entries()) {
      await eventually(
        `${hub.name} holds what it did before`,
        async () => isDeepStrictEqual(await holdingsOf(hub), before[index]),
        {
          withinMs: 60_000,
          explain: async () => ({ before: before[index], now: await holdingsOf(hub) }),
        },
      );
    }
  };
}
