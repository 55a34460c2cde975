/** Who is who on a link: what a certificate says about its holder, and what it does not let others say. */
import tls from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { saslInit } from '../../src/amqp/performatives.ts';
import { SASL_HEADER } from '../../src/amqp/sasl.ts';
import { RawPeer, rawFrame } from '../amqp/loopback.ts';
import { AmqpClient } from '../support/amqp.ts';
import type { Issued } from '../support/certificates.ts';
import { eventually, sleep, within } from '../support/eventually.ts';
import { edge, hub, link, type Network, newNetwork, secret } from '../support/network.ts';
import { type Shown, Skiff } from '../support/skiff.ts';

const test = suite('identity');

let network: Network;
let hubSite: Skiff;

test.before(async () => {
  network = await newNetwork();
  hubSite = await Skiff.run({ documents: hub(network) });
});

test.after(() => Skiff.stopAll());

const STORE_ID = '5a17f1e1-0000-4000-8000-000000000001';
const STORE_ROUTER = 'store-5a17f1e1';

/** The edge `store`, always with the same router id. */
function store(credentials: Issued, name = 'store', uid = STORE_ID): object[] {
  const [site, ...others] = edge(network, name, credentials);
  return [{ ...site, metadata: { name, uid } }, ...others];
}

interface Refusal {
  cause: { code: string; message: string };
  from: string;
  count: number;
}

const refusalsOf = ({ status }: Shown): Refusal[] => status.refusals as Refusal[];

async function untilRefused(message: RegExp): Promise<Refusal> {
  const access = await hubSite.until('RouterAccess', 'uplinks', (each) =>
    refusalsOf(each).some(({ cause }) => message.test(cause.message)),
  );
  const condition = access.status.conditions.find(({ type }) => type === 'PeersRefused');
  assert.match(condition?.message ?? '', message);
  assert.is(access.status.status, 'Ready', 'the access serves everybody else');
  const anywhere = new RegExp(message.source.replace('^', ''));
  await hubSite.untilLogged(({ level, message: text }) => level === 'warn' && anywhere.test(text));
  return refusalsOf(access).find(({ cause }) => message.test(cause.message)) as Refusal;
}

const untilPeer = (id: string, there = true): Promise<Shown> =>
  hubSite.until(
    'RouterAccess',
    'uplinks',
    ({ status }) => (status.peers as { id: string }[]).some((peer) => peer.id === id) === there,
  );

function tlsOptions({ ca, certificate, key }: Issued): tls.ConnectionOptions {
  return { ca, cert: certificate, key, host: network.host };
}

/** A client that introduces itself as `id`, and what becomes of it. */
async function introduce(port: number, credentials: Issued, id: string): Promise<string> {
  try {
    const client = await AmqpClient.connect(port, {
      ...tlsOptions(credentials),
      transport: 'tls',
      enable_sasl_external: true,
      container_id: id,
    } as object);
    await client.close();
    return 'welcome';
  } catch (error) {
    return String((error as Error).message ?? error);
  }
}

test('a second certificate with the id of a linked edge is refused, by name', async () => {
  const first = await Skiff.run({ documents: store(network.ca.issue({ commonName: 'first' })) });
  await first.until('Link', 'to-hub', 'Ready');
  const second = await Skiff.run({ documents: store(network.ca.issue({ commonName: 'second' })) });
  const refused = await second.until('Link', 'to-hub', 'Error');
  assert.match(refused.status.message, /the container-id store-5a17f1e1 is in use with another certificate/);
  await untilRefused(/^the container-id store-5a17f1e1 is in use with another certificate/);
  assert.is((await first.get('Link', 'to-hub')).status.status, 'Ready');
  // A refused link was never up, not for a moment.
  assert.not.ok(second.log.some(({ message }) => message.includes('is connected to')));
  await second.stop();

  // Nor may it step in while the first is away for a moment.
  await first.stop('SIGKILL');
  await untilPeer(STORE_ROUTER, false);
  const third = await Skiff.run({ documents: store(network.ca.issue({ commonName: 'third' })) });
  await third.until('Link', 'to-hub', 'Error');
  await third.stop();
  const back = await Skiff.run({ data: first.data });
  await back.until('Link', 'to-hub', 'Ready');
  await back.stop();
});

test('the same certificate twice at once: the one that is there stays', async () => {
  const credentials = network.ca.issue({ commonName: 'copied' });
  const uid = '5a17f1e1-0000-4000-8000-000000000002';
  const first = await Skiff.run({ documents: store(credentials, 'copied', uid) });
  await first.until('Link', 'to-hub', 'Ready');
  const copy = await Skiff.run({ documents: store(credentials, 'copied', uid) });
  const refused = await copy.until('Link', 'to-hub', 'Error');
  assert.match(refused.status.message, /the container-id copied-5a17f1e1 is in use by a live connection/);
  await untilRefused(/^the container-id copied-5a17f1e1 is in use by a live connection/);
  assert.is((await first.get('Link', 'to-hub')).status.status, 'Ready');
  await copy.stop();
  await first.stop();
});

test('an edge that gets another certificate links up with it again', async () => {
  const uid = '5a17f1e1-0000-4000-8000-000000000003';
  const site = await Skiff.run({ documents: store(network.ca.issue({ commonName: 'old' }), 'renewed', uid) });
  await site.until('Link', 'to-hub', 'Ready');
  await site.apply(secret('to-hub', network.ca.issue({ commonName: 'new' })));
  await site.until('Link', 'to-hub', 'Ready');
  // The connection with the old one goes a little later, when nothing is left on it.
  await hubSite.until('RouterAccess', 'uplinks', ({ status }) => {
    const subjects = (status.peers as { id: string; subject: string }[])
      .filter(({ id }) => id === 'renewed-5a17f1e1')
      .map(({ subject }) => subject);
    return subjects.join() === 'CN=new';
  });
  await site.stop();
});

test('the certificate of a device opens with its own id, on the edge port alone', async () => {
  const uid = 'de71ce00-0000-4000-8000-000000000004';
  const id = 'device-de71ce00';
  const credentials = network.ca.issue({ commonName: 'a device', uris: [`urn:skiff:device:${id}`] });
  const device = await Skiff.run({ documents: store(credentials, 'device', uid) });
  await device.until('Link', 'to-hub', 'Ready');
  await device.stop();
  await untilPeer(id, false);

  const posing = await Skiff.run({ documents: store(credentials, 'posing', uid) });
  const refused = await posing.until('Link', 'to-hub', 'Error');
  assert.match(refused.status.message, /the certificate is for device-de71ce00, and may not open as posing-de71ce00/);
  await untilRefused(/^the certificate is for device-de71ce00, and may not open as posing-de71ce00/);
  await posing.stop();

  assert.not.equal(await introduce(network.interRouterPort, credentials, id), 'welcome');
  const refusal = await untilRefused(/^the certificate of the device device-de71ce00 is not for inter-router links/);
  assert.is(refusal.cause.code, 'device-not-allowed');
});

test('an edge that dials the inter-router port is told what is taken there', async () => {
  const documents = store(network.ca.issue({ commonName: 'lost' }), 'lost', '10570000-0000-4000-8000-000000000005');
  const lost = await Skiff.run({ documents: [...documents.slice(0, -1), link(network, network.interRouterPort)] });
  const refused = await lost.until('Link', 'to-hub', 'Error');
  assert.match(refused.status.message, /this port is for interior routers, and lost-10570000 is an edge/);
  assert.is((await untilRefused(/lost-10570000 is an edge/)).cause.code, 'not-interior');
  await lost.stop();
});

test('no session is taken up again: every connection shows its certificate', async () => {
  const credentials = network.ca.issue({ commonName: 'returning' });
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    let session: Buffer | undefined;
    const connectTls = async (): Promise<boolean> => {
      const socket = tls.connect({
        ...tlsOptions(credentials),
        port: network.edgePort,
        maxVersion,
        ...(session ? { session } : {}),
      });
      socket.on('session', (next) => {
        session = next;
      });
      await within('a TLS connection', new Promise((resolve) => socket.once('secureConnect', resolve)));
      session ??= socket.getSession();
      // Tickets come after the handshake.
      await sleep(100);
      const reused = socket.isSessionReused();
      socket.destroy();
      return reused;
    };
    assert.is(await connectTls(), false);
    assert.is(await connectTls(), false, maxVersion);
    assert.is(await connectTls(), false, maxVersion);
  }
});

test('a connection without a certificate, and one without SASL, are refused', async () => {
  const credentials = network.ca.issue({ commonName: 'anyone' });
  const bare = new RawPeer(tls.connect({ ca: credentials.ca, host: network.host, port: network.edgePort }));
  bare.raw(SASL_HEADER);
  bare.raw(rawFrame(0, saslInit('EXTERNAL', Buffer.alloc(0), null), new Uint8Array(0), 1));
  await eventually('it is closed', () => bare.closed);
  await untilRefused(/^the client showed no certificate/);

  const socket = tls.connect({ ...tlsOptions(credentials), port: network.edgePort });
  socket.on('error', () => {});
  socket.resume().write('AMQP\x00\x01\x00\x00');
  await eventually('it is closed', () => socket.closed);
  await untilRefused(/with SASL: it began with "AMQP/);
});

test.run();
