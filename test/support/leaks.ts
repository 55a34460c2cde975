/** What sites hold when nothing is under way: after all that has been done to them, no more than before. */
import { isDeepStrictEqual } from 'node:util';
import { eventually, sleep } from './eventually.ts';
import { type Holdings, holdingsOf } from './holdings.ts';
import type { Skiff } from './skiff.ts';

/** Milliseconds from one look to the next. */
const LOOK_EVERY = 500;

/** A link whose line was cut again and again is tried a minute after the last time. */
const RESTS_WITHIN = 120_000;
/**
 * Octets by which the memory of a site may have grown, half of what it takes at rest: V8 keeps up to three times 16 MiB
 * for objects that live for a moment, and there are the slabs and the code that traffic brings.
 */
const MOST_GROWN = 64 * 1024 * 1024;

type Difference = { [What in keyof Holdings]?: unknown };

/** What one site holds now and did not before, and the other way round. Of timers it may have fewer: some run out. */
function difference(before: Holdings, now: Holdings): Difference {
  const found: Difference = {};
  for (const what of Object.keys(before) as (keyof Holdings)[]) {
    const [was, is] = [before[what], now[what]];
    if (isDeepStrictEqual(was, is)) continue;
    found[what] = Array.isArray(was) && Array.isArray(is) ? { more: less(is, was), less: less(was, is) } : { was, is };
  }
  const more = Object.entries(now.awaited).some(([kind, count]) => count > (before.awaited[kind] ?? 0));
  if (!more) delete found.awaited;
  return found;
}

/** A list without what is in another, as often as it is there. */
function less(list: string[], without: string[]): string[] {
  const left = [...without];
  return list.filter((each) => {
    const index = left.indexOf(each);
    if (index >= 0) left.splice(index, 1);
    return index < 0;
  });
}

/** Nothing is under way, nobody looks on, and nothing is to change by itself: the sources of flow records that a hub knows are those it collects from. */
function isSettled({ connections, addresses, loose, deliveries, streams }: Holdings): boolean {
  const taken = new Map(addresses.map((each) => [each.split(' ')[0] as string, Number(/ (\d+)/.exec(each)?.[1])]));
  const isHub = taken.get('Mmc/sfe.all') === 1;
  const sources = [...taken].filter(([key, here]) => isHub && /^Msfe\.[^.]*$/.test(key) && here === 0);
  return (
    loose.length + deliveries + streams === 0 &&
    !connections.some((each) => each.includes(' normal ')) &&
    sources.every(([key]) => taken.get(key.replace('Msfe', 'Mmc/sfe')) === 1)
  );
}

/** Octets of resident memory, of each site. */
export interface Memory {
  memory: number[];
  grown: number[];
}

/** Of flow records: who collects those of a router that is not ours comes to know of it when its beacon has found the way. */
const RECORDS = /^M(mc\/sfe|sfe|vfcr)\./;

/**
 * Remembers what the sites hold, once that is settled; what is returned waits until it is the same again. `mixed`: there are
 * routers in the network that are not ours.
 */
export async function holdings(sites: Skiff[], { mixed = false } = {}): Promise<() => Promise<Memory>> {
  const look = async (): Promise<Holdings[]> => {
    const all = await holdingsOf(sites);
    if (!mixed) return all;
    return all.map((each) => ({ ...each, addresses: each.addresses.filter((address) => !RECORDS.test(address)) }));
  };
  let before = await look();
  await eventually(
    'what sites hold is settled',
    async () => {
      await sleep(LOOK_EVERY);
      const last = before;
      before = await look();
      return before.every(isSettled) && isDeepStrictEqual(before, last);
    },
    { withinMs: 60_000, explain: () => before },
  );
  const memory = sites.map((site) => site.memory());
  return async () => {
    // One may have something to do while another has come to rest: what leaks is there at every moment.
    const pending = new Map(before.map((each, index) => [index, each]));
    let now: Holdings[] = [];
    const differences = () =>
      [...pending].map(([index, was]) => [index, difference(was, now[index] as Holdings)] as const);
    await eventually(
      'sites hold what they did before',
      async () => {
        await sleep(LOOK_EVERY);
        now = await look();
        for (const [index, each] of differences()) if (Object.keys(each).length === 0) pending.delete(index);
        return pending.size === 0;
      },
      { withinMs: RESTS_WITHIN, explain: () => Object.fromEntries(differences()) },
    );
    const grown = () => sites.map((site, index) => site.memory() - (memory[index] as number));
    await eventually('sites take little more memory than before', () => Math.max(...grown()) < MOST_GROWN, {
      withinMs: 30_000,
      explain: () => ({ memory, grown: grown() }),
    });
    return { memory, grown: grown() };
  };
}
