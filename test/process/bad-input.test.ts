/** Everything that may be wrong at a hub's door or in its documents: one clear error each, and nobody else notices. */
import net from 'node:net';
import tls from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFrame, saslInit } from '../../src/amqp/performatives.ts';
import { AMQP_HEADER, SASL_HEADER } from '../../src/amqp/sasl.ts';
import { RawPeer, rawFrame } from '../amqp/loopback.ts';
import { AmqpClient, closeClients } from '../support/amqp.ts';
import { type Issued, makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import {
  connector,
  document,
  edge,
  hub,
  link,
  listener,
  type Network,
  newNetwork,
  secret,
} from '../support/network.ts';
import { newDirectory, type Shown, Skiff, skiff } from '../support/skiff.ts';
import { SteadyStream } from '../support/steady.ts';
import { accepts, closeSockets, echo, exchange, freePort, serve, untilAccepting } from '../support/tcp.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

const test = suite('bad-input');

let network: Network;
let hubSite: Skiff;
let store: Skiff;
let steady: SteadyStream;

test.before(async () => {
  network = await newNetwork();
  hubSite = await Skiff.run({ documents: hub(network) });
  store = await Skiff.run({ documents: edge(network, 'steady') });
  const port = await freePort();
  await hubSite.apply(connector('steady', (await echo()).port));
  await store.apply(listener('steady', port));
  await untilAccepting(port);
  steady = await SteadyStream.begin(port);
});

test.after.each(() => steady.check());

test.after(async () => {
  await steady.end();
  await closeClients();
  await closeSockets();
  await Skiff.stopAll();
});

interface Refusal {
  cause: { code: string; message: string };
}

/** The hub says so in its log, in one line, and in the status of its access. */
async function untilRefused(code: string, message: RegExp, at: Skiff = hubSite, access = 'uplinks'): Promise<void> {
  const matches = ({ cause }: Refusal): boolean => cause.code === code && message.test(cause.message);
  const shown = await at.until('RouterAccess', access, ({ status }: Shown) =>
    (status.refusals as Refusal[]).some(matches),
  );
  assert.is(shown.status.status, 'Ready');
  await at.untilLogged((line) => line.level === 'warn' && line.code === code && message.test(line.message));
}

/** An edge with a link that cannot come up, and what it says of it. */
async function untilFailing(documents: object[], message: RegExp): Promise<void> {
  const site = await Skiff.run({ documents });
  const { status } = await site.until('Link', 'to-hub', ({ status: { error } }) => error !== undefined, 30_000);
  assert.match(status.message, message, status.message);
  const { stdout } = await site.cli('link', 'status');
  assert.match(stdout, message);
  assert.is(
    site.log.filter(({ part, level }) => part === 'link' && level === 'warn').length,
    1,
    'it is said once, not at every try',
  );
  await site.stop();
}

let credentials: Issued | undefined;

function encrypted(port = network.edgePort): RawPeer {
  credentials ??= network.ca.issue({ commonName: 'raw' });
  const { ca, certificate: cert, key } = credentials;
  return new RawPeer(tls.connect({ ca, cert, key, host: network.host, port }));
}

/** As far as a link gets in good order. */
function introduced(containerId: string): RawPeer {
  const peer = encrypted();
  peer.raw(SASL_HEADER);
  peer.raw(rawFrame(0, saslInit('EXTERNAL', Buffer.alloc(0), null), new Uint8Array(0), 1));
  peer.raw(AMQP_HEADER);
  peer.send(
    0,
    openFrame({
      containerId,
      hostname: network.host,
      maxFrameSize: 16_384,
      channelMax: 100,
      idleTimeOut: 60_000,
      offeredCapabilities: [],
      desiredCapabilities: [],
      properties: new Map(),
    }),
  );
  return peer;
}

test('a certificate of another CA', async () => {
  const { certificate, key } = makeCa('stranger').issue({ commonName: 'stranger' });
  const credentials = { ca: network.ca.certificate, certificate, key };
  await untilFailing(
    edge(network, 'stranger', credentials),
    /the peer did not accept this site's certificate.*\[authentication-failed\]/,
  );
  await untilRefused('certificate-untrusted', /not from the CA that is trusted here.*CN=stranger/);
});

test('trust in another CA', async () => {
  const credentials: Issued = { ...network.ca.issue({ commonName: 'misled' }), ca: makeCa('other').certificate };
  await untilFailing(
    edge(network, 'misled', credentials),
    /not from the CA that is trusted here.*\[certificate-untrusted\]/,
  );
});

test('a hub whose certificate is for another host', async () => {
  const port = await freePort();
  await hubSite.apply(
    secret('elsewhere', network.ca.issue({ commonName: 'hub', hosts: ['hub.example'] })),
    document('RouterAccess', 'elsewhere', {
      bindHost: '127.0.0.1',
      tlsCredentials: 'elsewhere',
      roles: [{ name: 'edge', port }],
    }),
  );
  const documents = [...edge(network, 'mismatched').slice(0, -1), link(network, port)];
  await untilFailing(
    documents,
    new RegExp(`127\\.0\\.0\\.1:${port}: the certificate is not made out for that host.*\\[hostname-mismatch\\]`),
  );
  await hubSite.delete('RouterAccess', 'elsewhere');
  await hubSite.delete('Secret', 'elsewhere');
});

test('a certificate that has expired, on either side', async () => {
  const validity = { notBefore: new Date(Date.now() - 2 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };
  const old = network.ca.issue({ commonName: 'old', ...validity });
  await untilFailing(edge(network, 'old', old), /\[(authentication-failed|certificate-expired)\]/);
  await untilRefused('certificate-expired', /the certificate has expired.*CN=old/);

  const port = await freePort();
  await hubSite.apply(
    secret('expired', network.ca.issue({ commonName: 'hub', hosts: ['127.0.0.1'], ...validity })),
    document('RouterAccess', 'expired', {
      bindHost: '127.0.0.1',
      tlsCredentials: 'expired',
      roles: [{ name: 'edge', port }],
    }),
  );
  const documents = [...edge(network, 'punctual').slice(0, -1), link(network, port)];
  await untilFailing(documents, /the certificate has expired.*\[certificate-expired\]/);
  await hubSite.delete('RouterAccess', 'expired');
  await hubSite.delete('Secret', 'expired');
});

test('a client without TLS on a port with TLS, and the other way round', async () => {
  const http = new RawPeer(net.connect({ host: network.host, port: network.edgePort }));
  http.raw(Buffer.from('GET / HTTP/1.1\r\nHost: hub\r\n\r\n'));
  await eventually('the HTTP client is cut', () => http.closed);
  await untilRefused('not-tls', /it speaks HTTP where TLS is expected/);
  const plain = new RawPeer(net.connect({ host: network.host, port: network.edgePort }));
  plain.raw(SASL_HEADER);
  await eventually('the plain client is cut', () => plain.closed);
  await untilRefused('not-tls', /does not speak TLS/);
  const documents = [...edge(network, 'encrypting').slice(0, -1), link(network, network.normalPort)];
  await untilFailing(documents, /does not speak TLS.*\[not-tls\]/);
});

test('octets that are no AMQP, frames that are none, and frames that are too large', async () => {
  const garbage = encrypted();
  garbage.raw(Buffer.from('SSH-2.0-OpenSSH_9.9\r\n'));
  await eventually('garbage is cut off', () => garbage.closed);
  await untilRefused('not-amqp', /it began with "SSH-2\.0-"/);

  for (const [what, octets, message] of [
    ['a size below a header', [0, 0, 0, 4, 2, 0, 0, 0], /a frame of 4 octets/],
    ['more than was agreed', [0, 1, 0, 1, 2, 0, 0, 0], /a frame of 65537 octets; 65536 is the most/],
    ['a wrong data offset', [0, 0, 0, 8, 9, 0, 0, 0], /a frame with a wrong data offset/],
    ['another type', [0, 0, 0, 8, 2, 7, 0, 0], /a frame of unknown type 7/],
    ['half a performative', [0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x11, 0xc0], /./],
  ] as const) {
    const peer = introduced('breaking');
    await peer.next(0x10);
    peer.raw(Uint8Array.from(octets));
    const close = await peer.next(0x18);
    const said = JSON.stringify(close.fields);
    assert.match(said, message, `${what}: ${said}`);
    await eventually(`${what}: it is cut off`, () => peer.closed);
    await hubSite.untilLogged(({ part, message: text }) => part === 'access' && /breaking left/.test(text));
  }
  await hubSite.untilLogged(({ reason }) => /65537/.test(String(reason)));

  const truncated = introduced('truncating');
  await truncated.next(0x10);
  truncated.raw(Uint8Array.of(0, 0, 16, 0, 2, 0, 0, 0, 1, 2, 3));
  truncated.socket.destroy();
  await hubSite.untilLogged(({ message }) => message === 'truncating left uplinks-edge');
});

test('a peer that never says who it is, at the hub and at an edge', async () => {
  const silentPlain = net.connect({ host: network.host, port: network.edgePort });
  silentPlain.on('error', () => {});
  const silent = encrypted();
  const silentAmqp = encrypted();
  silentAmqp.raw(SASL_HEADER);
  silentAmqp.raw(rawFrame(0, saslInit('EXTERNAL', Buffer.alloc(0), null), new Uint8Array(0), 1));
  silentAmqp.raw(AMQP_HEADER);

  // A hub that takes the connection and is silent: without TLS at all, and after it.
  const mute = await serve(() => {});
  const { ca, certificate, key } = network.ca.issue({ commonName: 'mute', hosts: ['127.0.0.1'] });
  const mutePort = await freePort();
  const muteTls = tls.createServer({ ca, cert: certificate, key, requestCert: true }, (socket) => {
    socket.on('error', () => {});
    socket.resume();
  });
  await new Promise<void>((resolve) => muteTls.listen(mutePort, '127.0.0.1', resolve));
  await Promise.all([
    untilFailing(
      [...edge(network, 'waiting1').slice(0, -1), link(network, mute.port)],
      /no connection within 10000 ms.*\[timed-out\]/,
    ),
    untilFailing(
      [...edge(network, 'waiting2').slice(0, -1), link(network, mutePort)],
      /the peer did not finish opening the connection.*\[open-timeout\]/,
    ),
    eventually('the silent are cut off', () => silentPlain.closed && silent.closed && silentAmqp.closed, {
      withinMs: 30_000,
    }),
  ]);
  muteTls.close();
  await mute.close();
  await untilRefused('timed-out', /TLS handshake/);
});

test('a client that asks for messages and does not read them', async () => {
  const receiver = await AmqpClient.connect(network.normalPort);
  const greedy = await receiver.receiver('flood', { credit: 100_000 });
  (receiver.connection as unknown as { socket: net.Socket }).socket.pause();
  const other = await AmqpClient.connect(network.normalPort);
  const sender = await other.sender('flood');
  await sender.untilCredit();
  const before = hubSite.memory();
  const body = Buffer.alloc(256 * 1024);
  let sent = 0;
  const deadline = performance.now() + 2_000;
  while (performance.now() < deadline) {
    if (sender.link.sendable()) {
      sender.link.send({ body });
      sent++;
    } else await new Promise((resolve) => setTimeout(resolve, 10));
    if (sent % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const grown = (hubSite.memory() - before) / 1024 / 1024;
  assert.ok(grown < 200, `the hub has grown by ${grown} MiB`);
  const [fine, also] = [await AmqpClient.connect(network.normalPort), await AmqpClient.connect(network.normalPort)];
  const quick = await fine.receiver('other', { autoaccept: true });
  const ask = await also.sender('other');
  await ask.untilCredit();
  assert.is((await ask.send({ body: 'x' })).outcome, 'accepted');
  await quick.next();
  assert.is(greedy.all.length, 0);
  await Promise.all([receiver.cut(), other.cut(), fine.close(), also.close()]);
});

test('two sites of one name', async () => {
  const [first, second] = [
    await Skiff.run({ documents: edge(network, 'twin') }),
    await Skiff.run({ documents: edge(network, 'twin') }),
  ];
  await first.until('Link', 'to-hub', 'Ready');
  await second.until('Link', 'to-hub', 'Ready');
  const line = await hubSite.untilLogged('two sites are named twin');
  assert.match(line.message, /twin-[0-9a-f]{8} \(127\.0\.0\.1:\d+\) and twin-[0-9a-f]{8} \(127\.0\.0\.1:\d+\)/);
  await hubSite.until('RouterAccess', 'uplinks', ({ status }) =>
    (status.refusals as Refusal[]).some(({ cause }) => cause.code === 'site-name-twice'),
  );
  await first.stop();
  await second.stop();
});

test('a port that another program holds, until it lets go', async () => {
  const holders = [await serve(() => {}), await serve(() => {})];
  const backend = await echo();
  const [listenerPort, accessPort] = holders.map(({ port }) => port);
  const site = await Skiff.run({
    documents: [
      document('Site', 'crowded', {}),
      connector('service', backend.port),
      listener('service', listenerPort),
      document('RouterAccess', 'clients', { roles: [{ name: 'normal', port: accessPort }] }),
    ],
  });
  for (const [kind, name] of [
    ['Listener', 'service'],
    ['RouterAccess', 'clients'],
  ] as const) {
    const { status } = await site.get(kind, name);
    assert.is(status.status, 'Error', kind);
    assert.match(status.message, /127\.0\.0\.1:\d+: another program holds that port/);
    await site.untilLogged(
      ({ level, code, message }) => level === 'error' && code === 'port-taken' && message.startsWith(name),
    );
  }
  for (const holder of holders) await holder.close();
  await site.until('Listener', 'service', 'Ready');
  await site.until('RouterAccess', 'clients', 'Ready');
  assert.is(await exchange(listenerPort, 'at last'), 'at last');
  await site.stop();
});

test('documents that are malformed, unknown, or name what is not there', async () => {
  for (const [text, message] of [
    ['kind: [', /^error: malformed document: .*\(standard input, document 1, line \d+\)/],
    [
      'apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n',
      /^error: unknown kind "Pod" "x" \(standard input, document 1, line 2\)/,
    ],
    [
      'apiVersion: skupper.io/v2alpha1\nkind: Listener\nmetadata: {name: x}\nspec: {routingKey: a, host: b, port: 1, prot: tcp}\n',
      /^error: Listener "x": spec\.prot: /,
    ],
    ['just text', /^error: /],
    ['', /^error: there is no document in it/],
  ] as const) {
    const { code, stderr } = await skiff(['apply', '-f', '-', '--data', hubSite.data], { input: text });
    assert.is(code, 2, text);
    assert.match(stderr, message);
    assert.is(stderr.trimEnd().split('\n').length, 1, stderr);
  }
  const nothing = await skiff(['run', '--data', newDirectory(), '--apply', '/nonexistent.yaml']);
  assert.is(nothing.code, 2);
  assert.match(nothing.stderr, /^error: no such file or directory \(\/nonexistent\.yaml\)/);
});

test('a Secret that is not there, until it is', async () => {
  const [site, credentials, ...others] = edge(network, 'secretive');
  const waiting = await Skiff.run({ documents: [site, ...others] });
  const { status } = await waiting.get('Link', 'to-hub');
  assert.is(status.status, 'Error');
  assert.match(status.message, /^TLS credentials secret "to-hub" not found/);
  await waiting.untilLogged('TLS credentials secret "to-hub" not found');
  await waiting.apply(credentials);
  await waiting.until('Link', 'to-hub', 'Ready');
  await waiting.stop();

  const port = await freePort();
  const access = document('RouterAccess', 'later', {
    bindHost: '127.0.0.1',
    tlsCredentials: 'later',
    roles: [{ name: 'edge', port }],
  });
  // An access does not wait: it shows a certificate of the site's own until one is supplied.
  await hubSite.apply(access);
  const { status: own } = await hubSite.until('RouterAccess', 'later', 'Ready');
  assert.ok(await accepts(port));
  await hubSite.apply(secret('later', network.ca.issue({ commonName: 'hub', hosts: ['127.0.0.1'] })));
  const lifetime = JSON.stringify(own.certificate);
  await hubSite.until('RouterAccess', 'later', ({ status }) => JSON.stringify(status.certificate) !== lifetime);
  await hubSite.until('RouterAccess', 'later', 'Ready');
  assert.ok(await accepts(port));
  await hubSite.delete('RouterAccess', 'later');
});

test('none of it was a surprise', async () => {
  assert.equal(hubSite.errors, []);
  assert.equal(
    hubSite.log.filter(({ level, part }) => level === 'error' && part === 'amqp').map(({ message }) => message),
    [],
  );
});

test.run();
