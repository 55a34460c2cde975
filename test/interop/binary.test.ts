/** The executable with documents, once as the edge and once as the hub of a skupper-router. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../support/eventually.ts';
import { connector, edge, hub, listener, newNetwork } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { bulk, closeSockets, connect, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';
import { available, SkupperRouter } from './skupper-router.ts';

const test = suite('the executable and skupper-router');
const OCTETS = 10_000_000;
/** The site that the skupper-router speaks for. */
const THEIR_SITE = { id: '11111111-0000-4000-8000-000000000000', name: 'their-site' };

test.after.each(async () => {
  await closeSockets();
  await Skiff.stopAll();
  await SkupperRouter.stopAll();
});

/** A server at each end, reached from the other. */
async function exchangeBothWays(site: Skiff, router: SkupperRouter): Promise<void> {
  const server = await echo();
  const [here, there] = [await freePort(), await freePort()];
  await site.apply(connector('near', server.port), listener('far', here));
  await router.create('tcpConnector', 'far', server.port);
  await router.create('tcpListener', 'near', there);
  await site.until('Listener', 'far', 'Ready');
  await site.until('Connector', 'near', 'Ready');
  for (const port of [here, there]) {
    await untilAccepting(port);
    assert.is(await exchange(port, 'hello'), 'hello');
    const { sent, received } = await bulk(await connect(port), OCTETS);
    assert.is(received, sent);
  }
}

/** Sites and links as the site of ours shows them, once both ends of the link are known; and its services. */
async function showsNetwork(site: Skiff, edgeName: string, hubName: string): Promise<void> {
  type Shown = { name: string; links?: { remoteSiteName: string; operational: boolean }[]; services?: object[] };
  const name = site.ready.site as string;
  const { status } = await site.until('Site', name, (each) =>
    (each.status.network as Shown[]).some(({ links }) => links?.[0]?.operational),
  );
  const sites = status.network as Shown[];
  assert.is(status.sitesInNetwork, 2);
  assert.equal(sites.map((each) => each.name).sort(), [edgeName, hubName].sort());
  assert.is(sites.find((each) => each.name === edgeName)?.links?.[0]?.remoteSiteName, hubName);
  assert.equal(sites.find((each) => each.name === name)?.services, [
    { routingKey: 'far', listeners: ['listener/far'] },
    { routingKey: 'near', connectors: ['127.0.0.1'] },
  ]);
  assert.equal(sites.find((each) => each.name !== name)?.services, [
    { routingKey: 'far', connectors: ['127.0.0.1'] },
    { routingKey: 'near', listeners: ['near'] },
  ]);
}

test('an edge of ours at its hub', async () => {
  const network = await newNetwork();
  const router = new SkupperRouter({
    id: 'theirs',
    mode: 'interior',
    site: THEIR_SITE,
    credentials: network.ca.issue({ commonName: 'theirs', hosts: [network.host] }),
    normalPort: await freePort(),
    edgePort: network.edgePort,
  });
  await router.start();
  const site = await Skiff.run({ documents: edge(network, 'store') });
  await site.until('Link', 'to-hub', 'Ready');
  await exchangeBothWays(site, router);
  // It answers what the round trip is measured by, every time.
  const carried = ({ octetsIn, octetsOut, roundTripMs }: Record<string, number>): boolean =>
    roundTripMs > 0 && octetsIn > OCTETS && octetsOut > OCTETS;
  await site.until('Link', 'to-hub', ({ status }) => carried(status.facts as Record<string, number>), 30_000);
  await showsNetwork(site, 'store', THEIR_SITE.name);
  const { status } = await site.get('Link', 'to-hub');
  assert.equal([status.remoteSiteId, status.remoteSiteName], [THEIR_SITE.id, THEIR_SITE.name]);
});

test('its edge at a hub of ours', async () => {
  const network = await newNetwork();
  const site = await Skiff.run({ documents: hub(network) });
  const router = new SkupperRouter({
    id: 'theirs',
    mode: 'edge',
    site: THEIR_SITE,
    credentials: network.ca.issue({ commonName: 'theirs' }),
    normalPort: await freePort(),
    edgePort: network.edgePort,
  });
  await router.start();
  await eventually('the edge is at the hub', async () => {
    const { status } = await site.get('RouterAccess', 'uplinks');
    return JSON.stringify(status).includes('theirs');
  });
  await exchangeBothWays(site, router);
  await showsNetwork(site, THEIR_SITE.name, 'hub');
  const { status } = await site.get('RouterAccess', 'uplinks');
  assert.is((status.peers as { siteName: string }[])[0]?.siteName, THEIR_SITE.name);
});

if (available()) test.run();
