/** Certificates that change, and that are revoked, under live links: streams go on, or are cut off, as they should. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RenderedDocument } from '../../src/site/render.ts';
import { eventually } from '../support/eventually.ts';
import { connector, document, edge, hub as hubOf, listener, newNetwork } from '../support/network.ts';
import { verdict } from '../support/openssl.ts';
import { Skiff } from '../support/skiff.ts';
import { closeSockets, connect, echo, exchange, freePort, say, untilAccepting } from '../support/tcp.ts';

const test = suite('renewed certificates');

test.after.each(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

interface Peers {
  peers: { id: string; address: string; subject: string }[];
}

async function linked() {
  const roles = [{ name: 'edge', port: await freePort() }];
  const server = await echo();
  const access = document('RouterAccess', 'uplinks', { bindHost: '127.0.0.1', roles });
  const hub = await Skiff.run({ documents: [document('Site', 'hub', {}), access, connector('erp', server.port)] });
  await hub.until('RouterAccess', 'uplinks', 'Ready');
  const invite = async (): Promise<RenderedDocument[]> => hub.api.generateLink({ name: 'up' });
  const port = await freePort();
  const documents = [document('Site', 'store1', { edge: true }), listener('erp', port), ...(await invite())];
  const store = await Skiff.run({ documents });
  await store.until('Link', 'up', 'Ready');
  await untilAccepting(port);
  const peers = async () => ((await hub.get('RouterAccess', 'uplinks')).status as unknown as Peers).peers;
  return { hub, store, port, invite, peers, access };
}

test('a link takes up a new certificate without dropping a stream, and the old connection goes with the last', async () => {
  const { store, port, invite, peers } = await linked();
  const socket = await connect(port);
  await say(socket, 'before');
  const [{ address }] = await peers();
  const listenerUp = async () => (await store.get('Listener', 'erp')).status.status;
  const [secret] = await invite();
  await store.apply(secret);
  await eventually('a second connection', async () => (await peers()).some((peer) => peer.address !== address));
  await say(socket, 'meanwhile');
  assert.is(await listenerUp(), 'Ready');
  assert.is(await exchange(port, 'hello'), 'hello');
  await eventually('the old one drains', async () => {
    assert.is(await exchange(port, 'again'), 'again');
    return (await peers()).length === 2;
  });
  await say(socket, 'after');
  assert.is((await store.get('Link', 'up')).status.status, 'Ready');
  socket.end();
  await eventually('the old connection goes', async () => {
    const left = await peers();
    return left.length === 1 && left[0].address !== address;
  });
  assert.is(await exchange(port, 'hello'), 'hello');
});

test('an access takes up a new certificate without disturbing who is linked', async () => {
  const { hub, store, port, peers, access } = await linked();
  const socket = await connect(port);
  await say(socket, 'before');
  const before = await peers();
  const { spec } = access as { spec: object };
  await hub.apply({ ...access, spec: { ...spec, subjectAlternativeNames: ['other.example'] } });
  await hub.until('Certificate', 'uplinks', ({ spec: now }) => JSON.stringify(now).includes('other.example'));
  const generated = await eventually('the new name', () =>
    hub.api.generateLink({ host: 'other.example' }).catch(() => undefined),
  );
  assert.is(generated.length, 2);
  await say(socket, 'after');
  assert.equal(await peers(), before);
  assert.is((await store.get('Link', 'up')).status.status, 'Ready');
});

test('a CA rolls over under a live link: both are believed until the old one is given up', async () => {
  const { hub, store, port, invite, peers } = await linked();
  const socket = await connect(port);
  await say(socket, 'before');
  const before = await peers();
  const rolled = await hub.cli('certificate', 'roll');
  assert.is(rolled.stdout, 'The CA skupper-site-ca has been renewed\n', rolled.stderr);
  await say(socket, 'after');
  assert.equal(await peers(), before, 'nobody is disturbed');

  // Who believes in the old one alone comes back: the new one shows that the old one vouches for it.
  const pem = (document: RenderedDocument, file: string) => atob((document.data as Record<string, string>)[file]);
  const oldSecret = await store.api.get({ kind: 'Secret', name: 'up' }, { showSecrets: true });
  socket.end();
  await store.stop();
  const again = await Skiff.run({ data: store.data });
  await again.until('Link', 'up', 'Ready');
  await untilAccepting(port);

  const [secret] = await invite();
  const old = pem(oldSecret, 'ca.crt');
  assert.is(pem(secret, 'ca.crt').split('BEGIN CERTIFICATE').length, 3, 'both are handed out');
  assert.ok(pem(secret, 'ca.crt').endsWith(old));
  const own = pem(secret, 'ca.crt').slice(0, -old.length);
  assert.is(verdict(pem(secret, 'tls.crt'), own), 'OK');
  assert.is.not(verdict(pem(secret, 'tls.crt'), old), 'OK');
  await again.apply(secret);
  await again.until('Link', 'up', ({ status }) => status.status === 'Ready');
  await eventually('the old connection goes', async () => (await peers()).length === 1);

  const finished = await hub.cli('certificate', 'roll', '--finish');
  assert.is(finished.stdout, 'The former CA skupper-site-ca is believed no more\n', finished.stderr);
  assert.is(await exchange(port, 'hello'), 'hello');
  const late = await Skiff.run({
    documents: [document('Site', 'late', { edge: true }), { ...oldSecret }, (await invite())[1]],
  });
  await late.until('Link', 'up', 'Error');
  assert.match((await hub.cli('certificate', 'roll', '--finish')).stderr, /there is no former CA/);
  assert.match((await hub.cli('certificate', 'roll', 'nobody-ca')).stderr, /there is no CA nobody-ca here/);
});

test('a revoked certificate ends its link at once, and does not come back', async () => {
  const { hub, store, port, invite, peers } = await linked();
  const listed = await hub.cli('certificate', 'list');
  assert.match(listed.stdout, /^NAME +STATUS +SUBJECT +ISSUED +EXPIRES +FINGERPRINT\nup +valid +up +20/);
  const { code, stdout, stderr } = await hub.cli('certificate', 'revoke', 'up');
  assert.is(code, 0, stderr);
  assert.match(stdout, /^Certificate up [0-9a-f]{16} revoked\n$/);
  await eventually('it is cut off', async () => (await peers()).length === 0, { withinMs: 5_000 });
  const refused = await store.until('Link', 'up', ({ status }) => /revoked/.test(status.message), 20_000);
  assert.match(refused.status.message, /has been revoked|is revoked/);
  assert.match((await hub.cli('certificate', 'list')).stdout, /up +revoked/);
  const nobody = await hub.cli('certificate', 'revoke', 'nobody');
  assert.is(nobody.code, 1);
  assert.match(nobody.stderr, /no certificate issued here is called "nobody"/);

  // A new certificate lets it in again, at once.
  const [secret] = await invite();
  await store.apply(secret);
  await store.until('Link', 'up', 'Ready');
  await untilAccepting(port);
});

test('a link ends with its certificate, and is refused from then on with the reason', async () => {
  const network = await newNetwork();
  const hub = await Skiff.run({ documents: hubOf(network) });
  const brief = network.ca.issue({ commonName: 'brief', notAfter: new Date(Date.now() + 5_000) });
  const store = await Skiff.run({ documents: edge(network, 'brief', brief) });
  await store.until('Link', 'to-hub', 'Ready');
  await hub.untilLogged(
    ({ code, message }) => code === 'certificate-expired' && message.includes('CN=brief has expired'),
  );
  const { status } = await store.until('Link', 'to-hub', 'Error');
  assert.match(status.message, /certificate of CN=brief has expired/);
  // Dialled again at once, and not in a minute.
  await store.stop();
  const again = await Skiff.run({ data: store.data });
  await again.until('Link', 'to-hub', ({ status }) =>
    /the certificate of this site has expired.*\[certificate-expired\]/.test(status.message),
  );
  assert.equal((await hub.get('RouterAccess', 'uplinks')).status.peers, []);
});

test.run();
