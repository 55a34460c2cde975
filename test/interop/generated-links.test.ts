/** Certificates that Skiff issues, in the hands of skupper-router: as an edge at our hub, and as the hub of our edge. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Authority } from '../../src/pki/authority.ts';
import { eventually, sleep } from '../support/eventually.ts';
import { connector, document, edge, listener, newNetwork, secret } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { closeSockets, connect, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';
import { available, SkupperRouter } from './skupper-router.ts';

const test = suite('certificates of Skiff and skupper-router');

test.after.each(async () => {
  await closeSockets();
  await Skiff.stopAll();
  await SkupperRouter.stopAll();
});

test('it links to our hub with what link generate prints', async () => {
  const edgePort = await freePort();
  const roles = [{ name: 'edge', port: edgePort }];
  const server = await echo();
  const hub = await Skiff.run({
    documents: [
      document('Site', 'hub', {}),
      document('RouterAccess', 'uplinks', { bindHost: '127.0.0.1', roles }),
      connector('erp', server.port),
    ],
  });
  await hub.until('RouterAccess', 'uplinks', 'Ready');
  const [secret] = JSON.parse((await hub.cli('link', 'generate', '-o', 'json')).stdout);
  const [ca, certificate, key] = ['ca.crt', 'tls.crt', 'tls.key'].map((file) => atob(secret.data[file]));
  const router = new SkupperRouter({
    id: 'theirs',
    mode: 'edge',
    credentials: { ca, certificate, key },
    normalPort: await freePort(),
    edgePort,
  });
  await router.start();
  await eventually('the edge is at the hub', async () => {
    const { status } = await hub.get('RouterAccess', 'uplinks');
    return JSON.stringify(status.peers).includes('theirs');
  });
  const port = await freePort();
  await router.create('tcpListener', 'erp', port);
  await untilAccepting(port);
  assert.is(await exchange(port, 'hello'), 'hello');
});

test('our edge links to it when it has a certificate of our CA, and one on a key of ours', async () => {
  const network = await newNetwork();
  const authority = await Authority.create('skupper-site-ca');
  const router = new SkupperRouter({
    id: 'theirs',
    mode: 'interior',
    credentials: await authority.issue({ commonName: 'theirs', hosts: [network.host] }),
    normalPort: await freePort(),
    edgePort: network.edgePort,
  });
  await router.start();
  const { newKey, readSigningRequest, requestFor } = await import('../../src/pki/request.ts');
  const key = await newKey();
  const { publicKey } = await readSigningRequest(await requestFor(key, 'store'));
  const certificate = await authority.certify(publicKey, { commonName: 'store', validDays: 90 });
  const credentials = { ca: authority.certificate, certificate, key };
  const site = await Skiff.run({ documents: edge(network, 'store', credentials) });
  await site.until('Link', 'to-hub', 'Ready');
});

test('our edge takes up a new certificate at its hub without dropping a stream', async () => {
  const network = await newNetwork();
  const router = new SkupperRouter({
    id: 'theirs',
    mode: 'interior',
    credentials: network.ca.issue({ commonName: 'theirs', hosts: [network.host] }),
    normalPort: await freePort(),
    edgePort: network.edgePort,
  });
  await router.start();
  const server = await echo();
  await router.create('tcpConnector', 'far', server.port);
  const port = await freePort();
  const site = await Skiff.run({ documents: [...edge(network, 'store'), listener('far', port)] });
  await site.until('Listener', 'far', 'Ready');
  await untilAccepting(port);
  const socket = await connect(port);
  const say = async (text: string): Promise<void> => {
    const back = new Promise<string>((resolve) => socket.once('data', (octets) => resolve(octets.toString())));
    socket.write(text);
    assert.is(await back, text);
  };
  await say('before');
  await site.apply(secret('to-hub', network.ca.issue({ commonName: 'renewed' })));
  for (let turn = 0; turn < 20; turn++) {
    await say(`turn ${turn}`);
    assert.is(await exchange(port, 'hello'), 'hello');
    await sleep(100);
  }
  assert.is((await site.get('Link', 'to-hub')).status.status, 'Ready');
  socket.end();
  await sleep(1_500);
  assert.is(await exchange(port, 'hello'), 'hello');
  assert.not.ok(site.log.some(({ level }) => level === 'warn' || level === 'error'));
});

if (available()) test.run();
