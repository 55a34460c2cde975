/** Links through an HTTP proxy that wants credentials. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { connectProxy } from '../support/connect-proxy.ts';
import { eventually } from '../support/eventually.ts';
import { connector, document, edge, hub, link, listener, type Network, newNetwork } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { bulk, closeSockets, connect, echo, freePort } from '../support/tcp.ts';

const test = suite('proxies');
const credentials = { username: 'store', password: 'p4ss:w0rd' };
let network: Network;
let hubSite: Skiff;

test.before(async () => {
  network = await newNetwork();
  hubSite = await Skiff.run({ documents: hub(network) });
});

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

function proxySecret(port: number, more: object = {}): object {
  const stringData = { host: '127.0.0.1', port: String(port), ...more };
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'proxy' }, type: 'Opaque', stringData };
}

/** The documents of an edge that links through the proxy which the Secret `proxy` names. */
function behindProxy(name: string): object[] {
  const [site, secret] = edge(network, name) as [object, object];
  const { spec } = link(network) as { spec: object };
  return [site, secret, document('Link', 'to-hub', { ...spec, settings: { 'proxy-configuration': 'proxy' } })];
}

test('a link goes through the proxy and nowhere else, and carries what every link does', async () => {
  const proxy = await connectProxy(credentials, [`127.0.0.1:${network.edgePort}`]);
  const [server, port] = [await echo(), await freePort()];
  await hubSite.apply(connector('behind', server.port));
  const store = await Skiff.run({
    documents: [...behindProxy('store1'), proxySecret(proxy.port, credentials), listener('behind', port)],
  });
  await store.until('Link', 'to-hub', 'Ready');
  assert.equal(proxy.asked, [`127.0.0.1:${network.edgePort}`]);
  assert.is(proxy.tunnels.size, 1);
  await store.until('Listener', 'behind', 'Ready');
  const { sent, received } = await bulk(await connect(port), 20_000_000);
  assert.is(received, sent);
  for (const socket of proxy.tunnels) socket.resetAndDestroy();
  // The link may be back before anybody looks: what lasts is that the proxy was asked again.
  await eventually('the proxy is asked again', () => proxy.asked.length === 2);
  await store.until('Link', 'to-hub', 'Ready');
  assert.not.ok((await store.cli('get', 'secret', 'proxy', '-o', 'yaml')).stdout.includes('cDRzczp3MHJk'));
  await store.stop();
  await proxy.close();
});

test('what is wrong with the way through the proxy is said, and mended live', async () => {
  const proxy = await connectProxy(credentials);
  const strict = await connectProxy(null, []);
  const nobody = await freePort();
  const store = await Skiff.run({ documents: behindProxy('store2') });
  const says = (pattern: RegExp) => store.until('Link', 'to-hub', ({ status }) => pattern.test(status.message));
  await says(/^Secret not found for proxy configuration$/);
  await store.apply(proxySecret(proxy.port));
  await says(/the proxy 127\.0\.0\.1:\d+ does not accept the credentials \(407 .*\[proxy-authentication\]/);
  assert.is((await store.get('Link', 'to-hub')).status.status, 'Error');
  await store.apply(proxySecret(strict.port));
  await says(/does not let this site through to 127\.0\.0\.1:\d+ \(403 Forbidden\).*\[proxy-refused\]/);
  await store.apply(proxySecret(nobody));
  await says(/the proxy 127\.0\.0\.1:\d+: nothing accepts connections there.*\[connection-refused\]/);
  const server = await echo();
  await store.apply(proxySecret(server.port));
  await says(/does not answer in HTTP.*\[proxy-failed\]/);
  await store.apply(proxySecret(proxy.port, credentials));
  await store.until('Link', 'to-hub', 'Ready');
  await eventually('no other way is left', () => proxy.tunnels.size === 1 && strict.tunnels.size === 0);
  await Promise.all([store.stop(), strict.close()]);
  await proxy.close();
});

test.run();
