/**
 * What sites say of the network when a skupper-router stands between the hubs: every Skiff, hub or edge, knows all
 * sites, their links, and who serves and uses what.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { connector, edge, hub, listener, type Network, neighbour, newNetwork } from '../support/network.ts';
import { type Shown, Skiff } from '../support/skiff.ts';
import { closeSockets, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';
import { available, SkupperRouter } from './skupper-router.ts';

const test = suite('records across a mesh');

const SITES = ['east', 'east-store', 'middle', 'west', 'west-store'];
let middle: SkupperRouter;
const sites = new Map<string, Skiff>();

interface Known {
  name: string;
  links?: { name: string; remoteSiteName?: string; operational?: boolean }[];
  services?: object[];
}

/** `east-store — east — middle — west — west-store`; the middle is a skupper-router. */
test.before(async () => {
  const network = await newNetwork();
  middle = new SkupperRouter({
    id: 'middle',
    mode: 'interior',
    site: { id: 'e5ad0c1e-0000-4000-8000-000000000001', name: 'middle' },
    credentials: network.ca.issue({ commonName: 'middle', hosts: [network.host] }),
    normalPort: network.normalPort,
    interRouterPort: network.interRouterPort,
  });
  await middle.start();
  for (const name of ['east', 'west']) {
    const own: Network = await newNetwork('127.0.0.1', network.ca);
    sites.set(name, await Skiff.run({ documents: [...hub(own, [], name), ...neighbour(network, 'middle')] }));
    sites.set(`${name}-store`, await Skiff.run({ documents: edge(own, `${name}-store`) }));
  }
});

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
  await SkupperRouter.stopAll();
});

const networkOf = ({ status }: Shown): Known[] => (status.network ?? []) as Known[];

/** Waits until a site knows all of these, and no others. */
async function untilKnown(site: Skiff, names: string[]): Promise<Known[]> {
  const own = site.ready.site as string;
  const shown = await site.until(
    'Site',
    own,
    (document) => {
      const known = networkOf(document).map(({ name }) => name);
      return known.sort().join() === names.join() && document.status.sitesInNetwork === names.length;
    },
    60_000,
  );
  return networkOf(shown);
}

test('every Skiff knows all sites and their links', async () => {
  for (const site of sites.values()) {
    const known = await untilKnown(site, SITES);
    const ends = known.flatMap(({ name, links = [] }) => links.map((link) => [name, link.remoteSiteName]));
    assert.equal(ends.sort(), [
      ['east', 'middle'],
      ['east-store', 'east'],
      ['west', 'middle'],
      ['west-store', 'west'],
    ]);
  }
  for (const name of ['east', 'west']) {
    const { status } = await (sites.get(name) as Skiff).until('Link', 'middle', 'Ready');
    assert.is(status.remoteSiteName, 'middle');
  }
});

test('a connector at one end and a listener at the other are matched, and not when either is gone', async () => {
  const [east, west] = [sites.get('east-store') as Skiff, sites.get('west-store') as Skiff];
  const port = await freePort();
  await east.apply(connector('erp', (await echo()).port));
  await west.apply(listener('erp', port));
  await untilAccepting(port);
  assert.is(await exchange(port, 'hello'), 'hello');
  await east.until('Connector', 'erp', 'Ready', 30_000);
  await west.until('Listener', 'erp', 'Ready', 30_000);
  await west.delete('Listener', 'erp');
  await east.until('Connector', 'erp', 'Pending', 30_000);
  await east.delete('Connector', 'erp');
});

test('what a skupper-router in the middle offers is matched at both ends', async () => {
  const port = await freePort();
  await middle.create('tcpConnector', 'crm', (await echo()).port);
  await middle.create('tcpListener', 'tills', await freePort());
  const [east, west] = [sites.get('east-store') as Skiff, sites.get('west') as Skiff];
  await east.apply(listener('crm', port));
  await west.apply(connector('tills', (await echo()).port));
  await east.until('Listener', 'crm', 'Ready', 30_000);
  await west.until('Connector', 'tills', 'Ready', 30_000);
});

test('a site that has left is known no more, at the far end', async () => {
  await (sites.get('west-store') as Skiff).stop();
  for (const name of ['east', 'east-store', 'west']) {
    await untilKnown(
      sites.get(name) as Skiff,
      SITES.filter((site) => site !== 'west-store'),
    );
  }
});

if (available()) test.run();
