/** TLS that ends at a listener and begins at a connector, with curl, openssl and Node's HTTP/2 at either end. */
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import tls from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { closeHttps, connectHttp2, filesOf, httpsServer, requestHttp2, run } from '../support/https.ts';
import { connector, document, edge, hub, listener, newNetwork, secret } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { bulk, closeSockets, connect, echo, ending, freePort, greeter, read } from '../support/tcp.ts';

const test = suite('TLS at services');
const host = '127.0.0.1';
const ca = makeCa('services');
const service = ca.issue({ commonName: 'service', hosts: [host] });
const client = ca.issue({ commonName: 'till' });
const stranger = makeCa('strangers').issue({ commonName: 'stranger' });
const files = { client: filesOf(client), stranger: filesOf(stranger) };

let hubSite: Skiff;
let store: Skiff;

test.before(async () => {
  const network = await newNetwork();
  hubSite = await Skiff.run({ documents: [...hub(network), secret('service', service), secret('client', client)] });
  store = await Skiff.run({ documents: [...edge(network, 'store'), secret('service', service)] });
  await store.until('Link', 'to-hub', 'Ready');
});

test.after(async () => {
  closeHttps();
  await closeSockets();
  await Skiff.stopAll();
});

const withTls = (more: object = {}) => ({ tlsCredentials: 'service', ...more });

/** A listener at the store for a connector at the hub; the listener's port. */
async function offer(name: string, port: number, near: object, far: object): Promise<number> {
  const local = await freePort();
  await hubSite.apply(connector(name, port, name, host, far));
  await store.apply(listener(name, local, name, host, near));
  await store.until('Listener', name, 'Ready');
  await hubSite.until('Connector', name, 'Ready');
  return local;
}

const curl = (port: number, ...args: string[]) =>
  run('curl', ['--silent', '--show-error', '--cacert', files.client.ca, ...args, `https://${host}:${port}/`]);

test('HTTP/1.1 and HTTP/2 are agreed on with the client, and asked of the server', async () => {
  const server = await httpsServer(service);
  const port = await offer('web', server.port, withTls(), withTls({ verifyHostname: true }));
  const session = connectHttp2(port, service.ca);
  assert.is(await requestHttp2(session), '2.0 h2 nobody');
  const answers = await Promise.all(Array.from({ length: 50 }, () => requestHttp2(session, 'x'.repeat(20_000))));
  assert.equal([...new Set(answers)], ['2.0 h2 nobody']);
  assert.is((await curl(port, '--http1.1')).stdout, '1.1 http/1.1 nobody');
  assert.is((await curl(port)).stdout, '1.1 http/1.1 nobody', 'of both, the first in the order of skupper-router');
  assert.is((await curl(port, '--http2-prior-knowledge')).code, 0);
  const asked = await run('openssl', [
    's_client',
    '-connect',
    `${host}:${port}`,
    '-alpn',
    'h2',
    '-CAfile',
    files.client.ca,
  ]);
  assert.match(asked.stdout, /ALPN protocol: h2/);
  assert.match(asked.stdout, /Verify return code: 0 \(ok\)/);
});

test('a client that asks for no protocol, or for others only', async () => {
  const server = await echo();
  const port = await offer('plain', server.port, withTls(), {});
  const socket = tls.connect({ host, port, ca: service.ca });
  socket.write('hello');
  await new Promise((resolve) => socket.once('readable', resolve));
  assert.is(String(socket.read()), 'hello');
  socket.destroy();
  const refused = await run('openssl', ['s_client', '-connect', `${host}:${port}`, '-alpn', 'mqtt']);
  assert.match(refused.stderr, /no application protocol/);
  await store.untilLogged(({ message }) => message.startsWith('plain refused a connection'));
});

test('much each way, half closed and to the end, through TLS at both ends', async () => {
  const server = tls.createServer({ cert: service.certificate, key: service.key, allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  const backend = await freePort();
  await new Promise<void>((resolve) => server.listen(backend, host, resolve));
  const port = await offer('bulk', backend, withTls(), withTls());
  const raw = await connect(port);
  const socket = tls.connect({ socket: raw, ca: service.ca, host });
  const { sent, received, count } = await bulk(socket, 20_000_000);
  assert.is(count, 20_000_000);
  assert.is(received, sent);
  server.close();
});

test('without credentials TLS passes through untouched', async () => {
  const server = await httpsServer(service);
  const port = await offer('through', server.port, {}, {});
  assert.is(await requestHttp2(connectHttp2(port, service.ca)), '2.0 h2 nobody');
});

test('a client that resets, or a server that does, is gone for the other', async () => {
  const server = await echo();
  const port = await offer('cut', server.port, withTls(), {});
  const socket = tls.connect({ host, port, ca: service.ca });
  socket.on('error', () => {});
  socket.write('x');
  await new Promise((resolve) => socket.once('readable', resolve));
  server.connections[0].resetAndDestroy();
  await new Promise((resolve) => socket.once('close', resolve));
  const raw = await connect(port);
  const other = tls.connect({ socket: raw, ca: service.ca, host });
  other.on('error', () => {});
  other.write('y');
  await new Promise((resolve) => other.once('readable', resolve));
  raw.resetAndDestroy();
  await eventually('the server sees it', () => server.connections[1].closed);
  for (const [site, kind] of [
    [hubSite, 'Connector'],
    [store, 'Listener'],
  ] as const)
    await site.until(kind, 'cut', ({ status }) => status.connectionsOpen === 0);
});

test('a connector shows its certificate where it is to, and judges the server', async () => {
  const server = await httpsServer(service, { clientCertificates: true });
  const shown = await offer('shown', server.port, withTls(), { tlsCredentials: 'client', useClientCert: true });
  assert.is(await requestHttp2(connectHttp2(shown, service.ca)), '2.0 h2 till');
  const hidden = await offer('hidden', server.port, withTls(), { tlsCredentials: 'client' });
  await requestHttp2(connectHttp2(hidden, service.ca)).then(
    () => assert.unreachable(),
    () => {},
  );
  const judged: [string, object, Parameters<typeof httpsServer>[0], RegExp][] = [
    ['foreign', withTls(), stranger, /\[certificate-untrusted\]/],
    [
      'misnamed',
      withTls({ verifyHostname: true }),
      ca.issue({ commonName: 'x', hosts: ['other'] }),
      /\[hostname-mismatch\]/,
    ],
  ];
  for (const [name, far, credentials, message] of judged) {
    const port = await offer(name, (await httpsServer(credentials)).port, withTls(), far);
    await requestHttp2(connectHttp2(port, service.ca)).catch(() => {});
    const { status } = await hubSite.until('Connector', name, ({ status }) => status.error);
    assert.match(status.message, message);
  }
  const misnamed = await httpsServer(ca.issue({ commonName: 'x', hosts: ['other'] }));
  const unverified = await offer('unverified', misnamed.port, withTls(), withTls());
  assert.is(await requestHttp2(connectHttp2(unverified, service.ca)), '2.0 h2 nobody');
});

test('a server that speaks no TLS is named as such', async () => {
  const server = await greeter('220 mail.example');
  const port = await offer('no-tls', server.port, {}, withTls());
  const client = await connect(port);
  client.write('hello');
  await ending(client.resume());
  const { status } = await hubSite.until('Connector', 'no-tls', ({ status }) => status.error);
  assert.match(status.message, /the other side does not speak TLS \[not-tls\]/);
});

test('a MultiKeyListener may ask for client certificates', async () => {
  const server = await httpsServer(service);
  const port = await freePort();
  await hubSite.apply(connector('guarded', server.port, 'guarded', host, withTls()));
  const strategy = { priority: { routingKeys: ['guarded'] } };
  await store.apply(
    document('MultiKeyListener', 'guarded', { host, port, strategy, ...withTls({ requireClientCert: true }) }),
  );
  await store.until('MultiKeyListener', 'guarded', 'Ready');
  const as = ({ certificate, key }: typeof files.client) => curl(port, '--cert', certificate, '--key', key);
  assert.is((await as(files.client)).stdout, '1.1 http/1.1 nobody');
  assert.is.not((await as(files.stranger)).code, 0);
  const none = await curl(port);
  assert.is.not(none.code, 0);
  assert.match(none.stderr, /certificate required/);
  await store.untilLogged(({ code }) => code === 'certificate-untrusted');
});

test('a new Secret is for new connections only', async () => {
  const server = await echo();
  const port = await offer('renewed', server.port, withTls(), {});
  const shown = (socket: tls.TLSSocket) => socket.getPeerCertificate().subject.CN;
  const open = async (): Promise<tls.TLSSocket> => {
    const socket = tls.connect({ host, port, ca: service.ca });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    return socket;
  };
  const before = await open();
  assert.is(shown(before), 'service');
  await store.apply(secret('service', ca.issue({ commonName: 'renewed', hosts: [host] })));
  const after = await open();
  assert.is(shown(after), 'renewed');
  before.write('still here');
  assert.is((await read(before, 10)).toString(), 'still here');
  const refused: string[] = [];
  let over = false;
  const trying = (async () => {
    while (!over) {
      const socket = connectTcp(port, host);
      await once(socket, 'connect').catch((error: Error) => refused.push(error.message));
      socket.destroy();
    }
  })();
  await store.delete('Secret', 'service');
  // What nobody supplies any more is issued by the site itself, and until then the port stays open with what it has.
  await eventually('its own certificate', async () => {
    const socket = tls.connect({ host, port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { issuer } = socket.getPeerCertificate();
    socket.destroy();
    return issuer.CN === 'skupper-service-ca';
  });
  over = true;
  await trying;
  assert.equal(refused, []);
  before.write('even now');
  assert.is((await read(before, 8)).toString(), 'even now');
  await store.apply(secret('service', service));
  await store.until('Listener', 'renewed', 'Ready');
  for (const socket of [before, after]) socket.destroy();
});

test('every observer of Skupper is accepted', async () => {
  for (const observer of ['auto', 'none', 'http1', 'http2'])
    await store.apply(listener('observed', await freePort(), 'observed', host, { observer }));
});

test.run();
