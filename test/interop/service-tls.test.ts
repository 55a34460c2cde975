/** TLS at services between the executable and skupper-router: HTTP/2 and HTTP/1.1 carried across, both ways. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { closeHttps, connectHttp2, filesOf, httpsServer, requestHttp2, run } from '../support/https.ts';
import { connector, edge, listener, multiKeyListener, newNetwork, secret } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { closeSockets, exchange, freePort, greeter, untilAccepting } from '../support/tcp.ts';
import { available, SkupperRouter } from './skupper-router.ts';

const test = suite('TLS at services with skupper-router');
const host = '127.0.0.1';
const profile = { sslProfile: 'mutual' };

test.after.each(async () => {
  closeHttps();
  await closeSockets();
  await Skiff.stopAll();
  await SkupperRouter.stopAll();
});

async function pair() {
  const network = await newNetwork();
  const credentials = network.ca.issue({ commonName: 'service', hosts: [host] });
  const router = new SkupperRouter({
    id: 'theirs',
    mode: 'interior',
    credentials,
    normalPort: await freePort(),
    edgePort: network.edgePort,
  });
  await router.start();
  const site = await Skiff.run({ documents: [...edge(network, 'store'), secret('service', credentials)] });
  await site.until('Link', 'to-hub', 'Ready');
  return { router, site, credentials };
}

test('ended at one and begun at the other, each with what the client agreed on', async () => {
  const { router, site, credentials } = await pair();
  const server = await httpsServer(credentials);
  const tls = { tlsCredentials: 'service' };
  const [here, there] = [await freePort(), await freePort()];
  await site.apply(listener('far', here, 'far', host, tls), connector('near', server.port, 'near', host, tls));
  await router.create('tcpConnector', 'far', server.port, { ...profile, verifyHostname: false });
  await router.create('tcpListener', 'near', there, profile);
  const { ca } = filesOf(credentials);
  for (const port of [here, there]) {
    await untilAccepting(port);
    const session = connectHttp2(port, credentials.ca);
    const answers = await Promise.all(Array.from({ length: 20 }, () => requestHttp2(session, 'x'.repeat(50_000))));
    assert.equal([...new Set(answers)], ['2.0 h2 nobody']);
    const { stdout } = await run('curl', ['--silent', '--cacert', ca, `https://${host}:${port}/`]);
    assert.is(stdout, '1.1 http/1.1 nobody');
  }
});

test('keys of its connectors are reached by a MultiKeyListener', async () => {
  const { router, site } = await pair();
  const port = await freePort();
  const [one, two] = [await greeter('one'), await greeter('two')];
  await site.apply(multiKeyListener('keys', port, ['one', 'two']));
  await router.create('tcpConnector', 'two', two.port);
  await site.until('MultiKeyListener', 'keys', 'Ready');
  assert.is(await exchange(port, ''), 'two');
  await router.create('tcpConnector', 'one', one.port);
  const reaches = (keys: string[]) =>
    site.until('MultiKeyListener', 'keys', ({ status }) =>
      JSON.stringify(status.strategy).includes(JSON.stringify(keys)),
    );
  await reaches(['one', 'two']);
  assert.is(await exchange(port, ''), 'one');
  await router.delete('tcpConnector', 'one');
  await reaches(['two']);
  assert.is(await exchange(port, ''), 'two');
});

if (available()) test.run();
