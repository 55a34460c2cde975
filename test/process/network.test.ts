/** Sites as processes: a hub and its edges over mutual TLS, what they offer each other, and what changes live. */

import { createServer, get } from 'node:http';
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../support/eventually.ts';
import { connector, document, edge, hub, link, listener, type Network, newNetwork } from '../support/network.ts';
import { fileOf, newDirectory, Skiff, skiff } from '../support/skiff.ts';
import {
  accepts,
  closeSockets,
  connect,
  echo,
  exchange,
  freePort,
  greeter,
  read,
  untilAccepting,
} from '../support/tcp.ts';

const test = suite('network');

let network: Network;
let hubSite: Skiff;
let store1: Skiff;
let store2: Skiff;

test.before(async () => {
  network = await newNetwork();
  hubSite = await Skiff.run({ documents: hub(network) });
  [store1, store2] = await Promise.all([
    Skiff.run({ documents: edge(network, 'store1') }),
    Skiff.run({ documents: edge(network, 'store2') }),
  ]);
});

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

async function webServer(text: string): Promise<{ port: number; close(): Promise<void> }> {
  const port = await freePort();
  const server = createServer((request, response) => response.end(`${text} ${request.url}`));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function fetchText(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve(text)).on('error', reject);
    });
    request.on('error', reject);
  });
}

test('the first line of stdout says which site is ready', () => {
  const { event, site, mode, id } = hubSite.ready;
  assert.equal({ event, site, mode }, { event: 'ready', site: 'hub', mode: 'interior' });
  assert.match(id ?? '', /^[0-9a-f-]{36}$/);
  assert.is(store1.ready.mode, 'edge');
});

test('links come up by themselves, and each side says who is at the other', async () => {
  const { status } = await store1.until('Link', 'to-hub', 'Ready');
  assert.is(status.remoteSiteName, 'hub');
  assert.is(status.remoteSiteId, hubSite.ready.id);
  await store2.until('Link', 'to-hub', 'Ready');
  const access = await hubSite.until('RouterAccess', 'uplinks', (each) => (each.status.peers as object[]).length === 2);
  const peers = access.status.peers as { siteName: string; role: string; subject: string }[];
  assert.equal(peers.map(({ siteName, role }) => `${siteName} ${role}`).sort(), ['store1 edge', 'store2 edge']);
  assert.equal(peers.map(({ subject }) => subject).sort(), ['CN=store1', 'CN=store2']);
});

test('HTTP goes from an edge to the hub and from the hub to an edge', async () => {
  const [erp, pos] = [await webServer('erp'), await webServer('pos')];
  const [erpPort, posPort] = [await freePort(), await freePort()];
  await hubSite.apply(connector('erp', erp.port), listener('pos', posPort));
  await store1.apply(connector('pos', pos.port), listener('erp', erpPort));
  await store1.until('Listener', 'erp', 'Ready');
  await hubSite.until('Listener', 'pos', 'Ready');
  assert.is(await fetchText(erpPort, '/from-the-store'), 'erp /from-the-store');
  assert.is(await fetchText(posPort, '/from-the-hub'), 'pos /from-the-hub');
  await Promise.all([erp.close(), pos.close()]);
  await hubSite.delete('Connector', 'erp');
  await hubSite.delete('Listener', 'pos');
  await store1.delete('Connector', 'pos');
  await store1.delete('Listener', 'erp');
});

test('two edges reach each other through the hub', async () => {
  const backend = await echo();
  const [port1, port2] = [await freePort(), await freePort()];
  await store1.apply(connector('one', backend.port), listener('two', port1));
  await store2.apply(connector('two', backend.port), listener('one', port2));
  await Promise.all([untilAccepting(port1), untilAccepting(port2)]);
  assert.is(await exchange(port1, 'from one to two'), 'from one to two');
  assert.is(await exchange(port2, 'from two to one'), 'from two to one');
  await store1.delete('Connector', 'one');
  await store1.delete('Listener', 'two');
  await store2.delete('Connector', 'two');
  await store2.delete('Listener', 'one');
});

test('a listener and a connector of one site need no link', async () => {
  const [backend, port] = [await echo(), await freePort()];
  const alone = await Skiff.run({
    documents: [
      document('Site', 'alone', { edge: true }),
      connector('printer', backend.port),
      listener('printer', port),
    ],
  });
  assert.is((await alone.get('Listener', 'printer')).status.status, 'Ready');
  assert.is(await exchange(port, 'a page'), 'a page');
  await alone.stop();
});

test('streams go to the connector that has fewest', async () => {
  const [near, far1, far2] = [await greeter('hub'), await greeter('store1'), await greeter('store2')];
  const servers = [near, far1, far2];
  const port = await freePort();
  await hubSite.apply(connector('shared', near.port), listener('shared', port));
  await store1.apply(connector('shared', far1.port));
  await store2.apply(connector('shared', far2.port));
  await hubSite.until('Listener', 'shared', 'Ready');
  const open = (): number[] => servers.map(({ connections }) => connections.filter((each) => !each.closed).length);
  const total = (): number => servers.reduce((sum, { connections }) => sum + connections.length, 0);
  const clients: Socket[] = [];
  // Both edges have to be known at the hub first: then nine streams are three each.
  await eventually('every server is tried', async () => {
    const before = total();
    const probe = await connect(port);
    await eventually('the probe arrives', () => total() > before);
    clients.push(probe);
    return servers.every(({ connections }) => connections.length > 0);
  });
  for (const client of clients.splice(0)) client.destroy();
  await eventually('the probes are gone', () => open().every((count) => count === 0), { explain: open });
  await hubSite.until('Connector', 'shared', ({ status }) => status.connectionsOpen === 0);
  for (let count = 1; count <= 9; count++) {
    clients.push(await connect(port));
    await eventually('it arrives', () => open().reduce((sum, each) => sum + each, 0) === count, { explain: open });
  }
  assert.equal(open(), [3, 3, 3]);

  // Two of the first edge's end: the next two go there.
  const ended = far1.connections.filter((each) => !each.closed).slice(0, 2);
  for (const socket of ended) socket.resetAndDestroy();
  await store1.until('Connector', 'shared', ({ status }) => status.connectionsOpen === 1);
  await hubSite.until('Listener', 'shared', ({ status }) => status.connectionsOpen === 7);
  for (let count = 8; count <= 9; count++) {
    clients.push(await connect(port));
    await eventually('it arrives', () => open().reduce((sum, each) => sum + each, 0) === count, { explain: open });
  }
  assert.equal(open(), [3, 3, 3]);
  for (const client of clients) client.destroy();
  await hubSite.delete('Connector', 'shared');
  await hubSite.delete('Listener', 'shared');
  await store1.delete('Connector', 'shared');
  await store2.delete('Connector', 'shared');
});

test('what is applied and deleted live disturbs no stream of anything else', async () => {
  const backend = await echo();
  const [port, other] = [await freePort(), await freePort()];
  await hubSite.apply(connector('kept', backend.port), connector('passing', backend.port));
  await store1.apply(listener('kept', port));
  await untilAccepting(port);
  const stream = await connect(port);
  const stillRuns = async (text: string): Promise<void> => {
    stream.write(text);
    assert.is((await read(stream, text.length)).toString(), text);
  };
  await stillRuns('before');
  const since = (await store1.get('Link', 'to-hub')).status.conditions.find(({ type }) => type === 'Operational');

  await store1.apply(listener('passing', other));
  await untilAccepting(other);
  const passing = await connect(other);
  passing.write('x');
  await read(passing, 1);
  await stillRuns('with another listener');
  await store1.delete('Listener', 'passing');
  await eventually('the other port is closed', async () => !(await accepts(other)));
  await stillRuns('without it');
  passing.write('y');
  assert.is((await read(passing, 1)).toString(), 'y', 'a stream of a listener that is taken away goes on to its end');
  passing.destroy();
  await hubSite.delete('Connector', 'passing');
  await stillRuns('without its connector');
  await store1.apply(listener('passing', other, 'kept'));
  await untilAccepting(other);
  assert.is(await exchange(other, 'another key'), 'another key');
  await store1.apply(...edge(network, 'store1').slice(0, 1), link(network));
  await stillRuns('after the same documents again');
  await store1.delete('Listener', 'passing');
  const now = (await store1.get('Link', 'to-hub')).status.conditions.find(({ type }) => type === 'Operational');
  assert.equal(now, since);
  stream.end();
  await store1.delete('Listener', 'kept');
  await hubSite.delete('Connector', 'kept');
});

test('statuses tell the truth soon after it changes, as table, JSON and YAML', async () => {
  const [backend, port] = [await greeter('hello'), await freePort()];
  await store1.apply(listener('truth', port));
  const unmatched = await store1.get('Listener', 'truth');
  assert.equal(
    [unmatched.status.status, unmatched.status.message, unmatched.status.hasMatchingConnector],
    ['Pending', 'No matching connectors', false],
  );
  assert.not.ok(await accepts(port));

  await hubSite.apply(connector('truth', backend.port));
  await store1.until('Listener', 'truth', 'Ready');
  assert.is((await store1.get('Listener', 'truth')).status.hasMatchingConnector, true);
  const client = await connect(port);
  await read(client, 5);
  await store1.until('Listener', 'truth', ({ status }) => status.connectionsOpen === 1);
  await hubSite.until('Connector', 'truth', ({ status }) => status.connectionsOpen === 1);

  const [table, json, yaml] = await Promise.all([
    store1.cli('listener', 'status'),
    store1.cli('listener', 'status', '-o', 'json'),
    store1.cli('listener', 'status', 'truth', '-o', 'yaml'),
  ]);
  assert.match(table.stdout, /^NAME +STATUS +ROUTING-KEY +HOST +PORT +MATCHING-CONNECTOR +MESSAGE$/m);
  assert.match(table.stdout, new RegExp(`^truth +Ready +truth +127\\.0\\.0\\.1 +${port} +true +OK$`, 'm'));
  assert.is(JSON.parse(json.stdout)[0].status.connectionsOpen, 1);
  assert.match(yaml.stdout, /^ {2}connectionsOpen: 1$/m);
  assert.match(yaml.stdout, /^kind: Listener$/m);

  await hubSite.until('Connector', 'truth', 'Ready');
  const connectors = await hubSite.cli('connector', 'status');
  assert.match(connectors.stdout, /^truth +Ready +truth .* +true +OK$/m);
  const links = await store1.cli('link', 'status');
  assert.match(links.stdout, /^NAME +STATUS +COST +ROUND-TRIP +RECONNECTS +CERTIFICATE +MESSAGE$/m);
  assert.match(links.stdout, /^to-hub +Ready +1 +[\d.]+ ms +0 +36[34] days +OK$/m);
  const site = await hubSite.cli('site', 'status', '-o', 'json');
  const [{ status }] = JSON.parse(site.stdout);
  assert.equal(status.endpoints.map(({ name, port: at }: { name: string; port: string }) => `${name} ${at}`).sort(), [
    `edge ${network.edgePort}`,
    `inter-router ${network.interRouterPort}`,
    `normal ${network.normalPort}`,
  ]);

  // The server goes away: the next client shows it at the connector.
  client.destroy();
  await backend.close();
  (await connect(port)).on('data', () => {});
  const failing = await hubSite.until('Connector', 'truth', ({ status }) => status.error);
  assert.match(failing.status.message, /127\.0\.0\.1:\d+: nothing accepts connections there.*\[connection-refused\]/);

  await hubSite.delete('Connector', 'truth');
  await store1.until('Listener', 'truth', 'Pending');
  await eventually('its port is closed', async () => !(await accepts(port)));
  await store1.delete('Listener', 'truth');
});

test('the documents of --apply are in the database: the next start needs no file', async () => {
  const [backend, port] = [await echo(), await freePort()];
  const data = newDirectory();
  const first = await Skiff.run({
    data,
    documents: [...edge(network, 'kept'), connector('own', backend.port), listener('own', port)],
  });
  await first.until('Link', 'to-hub', 'Ready');
  assert.equal(await first.stop(), { code: 0, signal: null });

  const second = await Skiff.run({ data });
  assert.equal({ ...second.ready, pid: 0 }, { ...first.ready, pid: 0 });
  assert.is(await exchange(port, 'again'), 'again');
  await second.until('Link', 'to-hub', 'Ready');
  await second.stop();

  // Stopped, the same commands work on the database.
  const listed = await skiff(['get', 'listener', 'own', '-o', 'json', '--data', data]);
  assert.is(JSON.parse(listed.stdout).spec.port, port);
  assert.is((await skiff(['delete', 'listener', 'own', '--data', data])).code, 0);
  assert.is((await skiff(['apply', '-f', fileOf(listener('later', port, 'own')), '--data', data])).code, 0);
  const third = await Skiff.run({ data });
  assert.is(await exchange(port, 'a third time'), 'a third time');
  await third.stop();
});

test('documents are taken all together or not at all', async () => {
  const data = newDirectory();
  const bad = { ...listener('bad', 8080), spec: { routingKey: 'x', host: 'localhost', port: 99_999 } };
  const refused = Skiff.start({ data, documents: [...edge(network, 'half'), bad] });
  assert.equal(await refused.ended, { code: 2, signal: null });
  assert.match(refused.errors.join('\n'), /^error: Listener "bad": spec\.port: must be a number from 1 to 65535 \(/);
  assert.equal(refused.events, []);

  const live = await store1.cli('apply', '-f', fileOf(listener('good', await freePort()), bad));
  assert.is(live.code, 2);
  assert.match(live.stderr, /Listener "bad"/);
  const listed = await store1.cli('get', 'listener', '-o', 'json');
  assert.equal(JSON.parse(listed.stdout), []);
});

test('what is exported makes the same site elsewhere', async () => {
  const exported = await store2.cli('export', '--show-secrets');
  assert.is(exported.code, 0);
  assert.is((await store2.cli('export')).stdout.includes('PRIVATE KEY'), false);
  const id = store2.ready.id;
  await store2.stop();
  const data = newDirectory();
  const applied = await skiff(['apply', '-f', '-', '--data', data], { input: exported.stdout });
  assert.is(applied.code, 0, applied.stderr);
  store2 = await Skiff.run({ data });
  assert.is(store2.ready.id, id);
  await store2.until('Link', 'to-hub', 'Ready');
});

test('a link counts what it carries, how often it came back and what went wrong last', async () => {
  const [backend, port] = [await echo(), await freePort()];
  const passing = await newNetwork();
  const first = await Skiff.run({ documents: [...hub(passing), connector('counted', backend.port)] });
  const site = await Skiff.run({ documents: [...edge(passing, 'counting'), listener('counted', port)] });
  await site.until('Listener', 'counted', 'Ready');
  type Facts = Record<'roundTripMs' | 'octetsIn' | 'octetsOut' | 'reconnects', number> & { lastError?: LastError };
  type LastError = { code: string; class: string; message: string; time: string };
  const factsOf = (shown: { status: Record<string, unknown> }) => shown.status.facts as Facts;
  const before = factsOf(await site.until('Link', 'to-hub', (shown) => factsOf(shown).roundTripMs > 0));
  assert.equal([before.reconnects, before.lastError], [0, undefined]);
  const text = 'x'.repeat(1_000_000);
  assert.is((await exchange(port, text)).length, text.length);

  await first.stop('SIGKILL');
  const down = factsOf(await site.until('Link', 'to-hub', (shown) => factsOf(shown).lastError));
  assert.ok(down.octetsIn > 1_000_000 && down.octetsOut > 1_000_000, JSON.stringify(down));
  assert.is(down.roundTripMs, undefined);
  assert.is(down.lastError?.class, 'transient');
  await Skiff.run({ data: first.data });
  const up = factsOf(await site.until('Link', 'to-hub', ({ status }) => status.status === 'Ready', 60_000));
  assert.is(up.reconnects, 1);
  assert.ok(up.octetsIn >= down.octetsIn);
  assert.match(up.lastError?.code ?? '', /^connection-/, 'what went wrong is still told');
  const shown = (await site.cli('link', 'status', 'to-hub')).stdout;
  assert.match(shown, /^Octets in\s*: \d{7}/m);
  assert.match(shown, /^Last error\s*: .*\[connection-[a-z]+, transient\], 20/m);
  await site.stop();
});

test('a hub that stops in order is expected back: nobody has to mend anything', async () => {
  const passing = await newNetwork();
  const stopping = await Skiff.run({ documents: hub(passing) });
  const site = await Skiff.run({ documents: edge(passing, 'patient') });
  await site.until('Link', 'to-hub', 'Ready');
  await stopping.stop();
  type Facts = { lastError?: { code: string; class: string } };
  const { status } = await site.until('Link', 'to-hub', (shown) => (shown.status.facts as Facts).lastError);
  const { lastError } = status.facts as Facts;
  assert.is(lastError?.class, 'transient', JSON.stringify(lastError));
  assert.is(status.status, 'Pending');
  await site.stop();
});

test('unclaimed, it waits for documents; then it says who it has become', async () => {
  const site = await Skiff.run();
  assert.equal({ ...site.ready, pid: 0 }, { event: 'ready', site: null, mode: null, id: null, pid: 0 });
  await site.apply(...edge(network, 'claimed'));
  const event = await eventually('the event', () => site.events[1]);
  assert.equal([event.event, event.site, event.mode], ['site', 'claimed', 'edge']);
  await site.until('Link', 'to-hub', 'Ready');
  await site.stop();
});

test.run();
