/** What sites of the executable know of each other: a hub and its edges, as they come, change and go. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../support/eventually.ts';
import { connector, edge, hub, listener, type Network, newNetwork } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { closeSockets, freePort } from '../support/tcp.ts';

const test = suite('what sites know of the network');

interface SiteShown {
  id: string;
  name: string;
  platform: string;
  version: string;
  links?: { name: string; remoteSiteId: string; remoteSiteName: string; operational: boolean }[];
  services?: { routingKey: string; connectors?: string[]; listeners?: string[] }[];
}

let network: Network;
let hubSite: Skiff;
let store1: Skiff;
let store2: Skiff;

test.before(async () => {
  network = await newNetwork();
  hubSite = await Skiff.run({ documents: hub(network) });
  [store1, store2] = await Promise.all([
    Skiff.run({ documents: edge(network, 'store1') }),
    Skiff.run({ documents: edge(network, 'store2') }),
  ]);
});

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

const nameOf = (site: Skiff): string => site.ready.site as string;

async function seenBy(site: Skiff): Promise<SiteShown[]> {
  const { status } = await site.get('Site', nameOf(site));
  const sites = status.network as SiteShown[];
  assert.is(status.sitesInNetwork, sites.length);
  return sites;
}

async function untilAllSee(what: string, sites: Skiff[], look: (seen: SiteShown[]) => boolean): Promise<void> {
  for (const site of sites) {
    await eventually(`${nameOf(site)} sees ${what}`, async () => look(await seenBy(site)), {
      withinMs: 60_000,
      explain: () => seenBy(site),
    });
  }
}

const names = (seen: SiteShown[]): string =>
  seen
    .map(({ name }) => name)
    .sort()
    .join(' ');

test('each sees all sites, and their links', async () => {
  const all = [hubSite, store1, store2];
  const linked = (seen: SiteShown[]): boolean => seen.filter(({ links }) => links?.[0]?.operational).length === 2;
  await untilAllSee('three sites and two links', all, (seen) => names(seen) === 'hub store1 store2' && linked(seen));
  const [first, ...others] = await Promise.all(all.map(seenBy));
  for (const other of others) assert.equal(other, first);
  const [of1] = first?.filter(({ name }) => name === 'store1') ?? [];
  assert.is(of1?.id, store1.ready.id);
  assert.is(of1?.platform, 'linux');
  assert.match(of1?.version ?? '', /^\d+\.\d+/);
  const link = { name: 'to-hub', remoteSiteId: hubSite.ready.id, remoteSiteName: 'hub', operational: true };
  assert.equal(of1?.links, [link]);
});

test('what comes and goes at one site is seen by all, and matches', async () => {
  await store1.apply(connector('erp', await freePort()));
  const alone = await store1.get('Connector', 'erp');
  assert.equal([alone.status.status, alone.status.message], ['Pending', 'No matching listeners']);
  assert.is(alone.status.hasMatchingListener, false);

  await store2.apply(listener('erp', await freePort()));
  await store1.until('Connector', 'erp', 'Ready');
  await store2.until('Listener', 'erp', 'Ready');
  assert.is((await store1.get('Connector', 'erp')).status.hasMatchingListener, true);
  assert.match((await store1.cli('connector', 'status')).stdout, /^erp +Ready +erp .* +true +OK$/m);
  const services = { connectors: ['127.0.0.1'], listeners: ['listener/erp'] };
  await untilAllSee('both ends of the service', [hubSite, store1, store2], (seen) => {
    const of = (name: string) => seen.find((site) => site.name === name)?.services?.[0];
    const [one, two] = [of('store1'), of('store2')];
    return (
      String(one?.connectors) === String(services.connectors) && String(two?.listeners) === String(services.listeners)
    );
  });

  await store2.delete('Listener', 'erp');
  await store1.until('Connector', 'erp', 'Pending');
  await store1.delete('Connector', 'erp');
  const none = (seen: SiteShown[]): boolean => seen.every(({ services: left }) => left === undefined);
  await untilAllSee('no service', [hubSite, store1, store2], none);
});

test('a site that stops is gone from the network at once, and back when it is', async () => {
  const { data } = store2;
  await store2.stop();
  const before = performance.now();
  await untilAllSee('that it left', [hubSite, store1], (seen) => names(seen) === 'hub store1');
  assert.ok(performance.now() - before < 20_000, 'not only when it has been silent for long');
  store2 = await Skiff.run({ data });
  await untilAllSee('that it is back', [hubSite, store1, store2], (seen) => names(seen) === 'hub store1 store2');
});

test('a site that dies without a word is forgotten', async () => {
  await store2.stop('SIGKILL');
  await untilAllSee('that it is gone', [hubSite, store1], (seen) => names(seen) === 'hub store1');
});

test('an edge that loses its hub forgets the others, and finds them again', async () => {
  const { data } = hubSite;
  await hubSite.stop('SIGKILL');
  await untilAllSee('itself alone', [store1], (seen) => names(seen) === 'store1');
  hubSite = await Skiff.run({ data });
  await untilAllSee('each other', [hubSite, store1], (seen) => names(seen) === 'hub store1');
});

test.run();
