/** Connectors with a health check: the server goes down, others take over; it comes back, and so does its site. */
import { createServer, type Server } from 'node:http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../support/eventually.ts';
import { closeHttps, httpsServer } from '../support/https.ts';
import { connector, edge, hub, listener, type Network, newNetwork, secret } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { accepts, closeSockets, connect, exchange, freePort, greeter, read, serve } from '../support/tcp.ts';

const test = suite('health checks');
const host = '127.0.0.1';
const quick = { 'health-check-interval': '100ms', 'health-check-timeout': '500ms', 'health-check-failures': '2' };
const overTcp = { settings: { 'health-check': 'tcp', ...quick } };

let network: Network;
let hubSite: Skiff;
let store: Skiff;

test.before(async () => {
  network = await newNetwork();
  hubSite = await Skiff.run({ documents: hub(network) });
  store = await Skiff.run({ documents: edge(network, 'store') });
  await store.until('Link', 'to-hub', 'Ready');
});

test.after(async () => {
  closeHttps();
  await closeSockets();
  await Skiff.stopAll();
});

test('while a server is down, the other site has it all; streams under way go on', async () => {
  const [near, far, port] = [await greeter('near'), await greeter('far!'), await freePort()];
  await hubSite.apply(connector('shared', near.port, 'shared', host, overTcp), listener('shared', port));
  await hubSite.until('Listener', 'shared', 'Ready');
  await hubSite.until('Connector', 'shared', 'Ready');
  assert.is(await exchange(port, ''), 'near');
  const kept = await connect(port);
  await read(kept, 4);
  await store.apply(connector('shared', far.port));
  await near.close();
  const down = await hubSite.until('Connector', 'shared', ({ status }) => status.status !== 'Ready');
  assert.is(down.status.status, 'Pending');
  assert.match(down.status.message, /^The server fails its health check: 127\.0\.0\.1:\d+: .*\[connection-refused\]$/);
  assert.is((down.status.health as { healthy: boolean }).healthy, false);
  for (let count = 0; count < 10; count++) assert.is(await exchange(port, ''), 'far!');
  const again = await serve((socket) => socket.end('near'), { port: near.port });
  await hubSite.until('Connector', 'shared', 'Ready');
  const names = await Promise.all(Array.from({ length: 6 }, () => exchange(port, '')));
  assert.ok(names.includes('near'));
  await again.close();
  await hubSite.until('Connector', 'shared', 'Pending');
  await store.delete('Connector', 'shared');
  await eventually('the port is closed', async () => !(await accepts(port)));
});

test('over HTTP: only a good answer counts, and TLS is used where the connector uses it', async () => {
  const answer = { status: 200 };
  const paths = new Set<string>();
  const server: Server = createServer((request, response) => {
    paths.add(request.url ?? '');
    response.writeHead(answer.status).end();
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  const settings = { 'health-check': 'http', 'health-check-path': '/health?deep=1', ...quick };
  // Who listens makes a healthy connector ready.
  await hubSite.apply(connector('web', port, 'web', host, { settings }), listener('web', await freePort()));
  await hubSite.until('Connector', 'web', 'Ready');
  assert.equal([...paths], ['/health?deep=1']);
  for (const [status, wanted] of [
    [503, 'Pending'],
    [302, 'Ready'],
    [404, 'Pending'],
    [204, 'Ready'],
  ] as const) {
    answer.status = status;
    const { status: shown } = await hubSite.until('Connector', 'web', wanted);
    if (wanted === 'Pending')
      assert.match(shown.message, new RegExp(`GET /health\\?deep=1 is answered with status ${status}`));
  }
  server.close();
  server.closeAllConnections();
  const mute = await serve((socket) => socket.resume());
  await hubSite.apply(connector('web', mute.port, 'web', host, { settings }));
  const silent = await hubSite.until('Connector', 'web', 'Pending');
  assert.match(silent.status.message, /no answer within 500 ms/);
  await eventually('no probe is left open', () =>
    mute.connections.slice(0, -1).every((socket) => socket.closed || socket.readableEnded),
  );
  const mail = await greeter('220 mail.example\r\n');
  await hubSite.apply(connector('mail', mail.port, 'mail', host, { settings }));
  assert.match((await hubSite.until('Connector', 'mail', ({ status }) => status.health)).kind, /Connector/);
  const noHttp = await hubSite.until('Connector', 'mail', ({ status }) => status.message.includes('health check'));
  assert.match(noHttp.status.message, /does not answer in HTTP.*\[not-http\]/);

  const service = network.ca.issue({ commonName: 'service', hosts: [host] });
  await hubSite.apply(secret('service', service));
  const secure = await httpsServer(service);
  const withTls = { settings: { 'health-check': 'http', ...quick }, tlsCredentials: 'service', verifyHostname: true };
  await hubSite.apply(connector('secure', secure.port, 'secure', host, withTls), listener('secure', await freePort()));
  await hubSite.until('Connector', 'secure', 'Ready');
});

test('a server that was never there is not offered, and an open check leaves nothing behind', async () => {
  const port = await freePort();
  await hubSite.apply(connector('absent', await freePort(), 'absent', host, overTcp), listener('absent', port));
  await hubSite.until('Connector', 'absent', ({ status }) => status.message.includes('fails its health check'));
  assert.not.ok(await accepts(port));
  await hubSite.apply(connector('absent', await freePort()));
  await hubSite.until('Listener', 'absent', 'Ready');
  await hubSite.delete('Connector', 'absent');
  await hubSite.until('Listener', 'absent', 'Pending');
});

test.run();
