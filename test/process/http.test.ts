/** Metrics and the health page of the executable. */
import { spawnSync } from 'node:child_process';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { evaluateInRouter } from '../support/debugger.ts';
import { eventually } from '../support/eventually.ts';
import { type Exposition, readExposition } from '../support/exposition.ts';
import { connector, document, edge, hub, listener, newNetwork } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { bulk, closeSockets, connect, echo, freePort, untilAccepting } from '../support/tcp.ts';

const test = suite('http');

test.after(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

interface Answer {
  status: number;
  headers: Record<string, unknown>;
  text: string;
}

async function urlOf(site: Skiff): Promise<URL> {
  const { http } = await site.api.status();
  return new URL(http?.url ?? 'http://nowhere.invalid');
}

async function ask(site: Skiff, path: string, { method = 'GET', host }: { method?: string; host?: string } = {}) {
  const { hostname, port } = await urlOf(site);
  const headers = host === undefined ? {} : { host };
  return new Promise<Answer>((resolve, reject) => {
    const asking = request({ host: hostname, port, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    asking.on('error', reject).end();
  });
}

async function metricsOf(site: Skiff): Promise<Exposition> {
  return readExposition((await ask(site, '/metrics')).text);
}

test('metrics tell what links, listeners and connectors carry, and what ends when', async () => {
  const network = await newNetwork();
  const [backend, port] = [await echo(), await freePort()];
  const http = ['--http', '127.0.0.1:0'];
  const center = await Skiff.run({ documents: [...hub(network), connector('erp', backend.port)], args: http });
  const store = await Skiff.run({ documents: [...edge(network, 'store'), listener('erp', port)], args: http });
  await untilAccepting(port);
  const socket = await connect(port);
  const octets = 1024 * 1024;
  await bulk(socket, octets);

  const { status, headers, text } = await ask(store, '/metrics');
  assert.is(status, 200);
  assert.is(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  assert.not.match(text, /PRIVATE KEY|BEGIN CERTIFICATE/);
  const verdict = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  if (verdict.error) console.log('SKIP promtool: it is not here');
  else assert.is(verdict.status, 0, verdict.stderr);
  const at = readExposition(text);
  const site_id = store.ready.id ?? '';
  assert.is(at.value('skupper_site_info', { site_id, name: 'store' }), 1);
  assert.is(at.value('skupper_routers_total', { site_id, mode: 'edge' }), 1);
  assert.is(at.value('skupper_site_links_total', { site_id, role: 'edge', status: 'up' }), 1);
  assert.is(at.value('skupper_site_link_errors_total', { site_id, role: 'edge' }), 0);
  assert.is(at.value('skupper_site_listeners_total', { site_id }), 1);
  assert.is(at.value('skupper_site_connectors_total', { site_id }), 0);
  assert.is(at.value('skiff_link_up', { link: 'to-hub' }), 1);
  assert.ok((at.value('skiff_link_sent_bytes_total', { link: 'to-hub' }) ?? 0) > octets);
  assert.ok((at.value('skiff_link_received_bytes_total', { link: 'to-hub' }) ?? 0) > octets);
  assert.is(at.value('skiff_listener_received_bytes_total', { listener: 'erp' }), octets);
  assert.is(at.value('skiff_listener_sent_bytes_total', { listener: 'erp' }), octets);
  assert.is(at.value('skiff_listener_matched', { listener: 'erp' }), 1);
  assert.ok((at.value('skiff_database_bytes') ?? 0) > 4096);
  assert.ok((at.value('process_resident_memory_bytes') ?? 0) > 1024 * 1024);
  for (const thread of ['main', 'router']) {
    assert.ok((at.value('skiff_thread_heap_bytes', { thread }) ?? 0) > 1_000_000);
    const awaited = at.all('skiff_event_loop_awaited').filter(({ labels }) => labels.thread === thread);
    assert.ok(awaited.length > 0 && awaited.every(({ value }) => value > 0));
  }
  const [{ kind }] = at.all('skiff_certificate_expiration_timestamp_seconds').map(({ labels }) => labels);
  assert.is(kind, 'Link');
  await eventually('the round trip', async () => (await metricsOf(store)).value('skiff_link_round_trip_seconds'));

  const there = await metricsOf(center);
  assert.is(there.value('skiff_connector_received_bytes_total', { connector: 'erp' }), octets);
  assert.ok((there.value('skiff_connector_connections_opened_total', { connector: 'erp' }) ?? 0) >= 1);
  assert.is(there.value('skiff_router_sessions') !== undefined, true);
  const ends = there.value('skiff_certificate_expiration_timestamp_seconds', { kind: 'RouterAccess' });
  assert.ok((ends ?? 0) > Date.now() / 1_000);

  socket.destroy();
  await eventually('the connection is over', async () => {
    const after = await metricsOf(store);
    const [opened, closed] = ['opened', 'closed'].map((which) =>
      after.value(`skiff_listener_connections_${which}_total`, { listener: 'erp' }),
    );
    return opened === closed;
  });
  await center.stop('SIGKILL');
  await store.until('Link', 'to-hub', ({ status }) => status.error);
  const down = await metricsOf(store);
  assert.is(down.value('skiff_link_up', { link: 'to-hub' }), 0);
  assert.is(down.value('skupper_site_link_errors_total', { role: 'edge' }), 1);
  assert.is(down.value('skupper_site_links_total', { status: 'down' }), 1);
  assert.ok((down.value('skiff_link_sent_bytes_total', { link: 'to-hub' }) ?? 0) > octets, 'counters only grow');
  assert.ok(down.value('skiff_link_last_error_timestamp_seconds', { link: 'to-hub', class: 'transient' }));
  await store.stop();
});

test('the health page goes through the router thread, and says so when that hangs', async () => {
  const documents = [document('Site', 's', { edge: true })];
  const site = await Skiff.run({ documents, args: ['--http', '127.0.0.1:0'], fromSource: true });
  const well = await ask(site, '/healthz');
  assert.is(well.status, 200);
  assert.is(well.text, 'OK\n');
  assert.equal(await ask(site, '/healthz', { method: 'HEAD' }).then(({ status, text }) => [status, text]), [200, '']);
  await evaluateInRouter(site, 'setTimeout(() => { for (;;); })');
  const hung = await eventually('a page that says so', async () => {
    const answer = await ask(site, '/healthz');
    return answer.status === 503 && answer;
  });
  assert.match(hung.text, /^the router thread does not answer within 5 s \[router-hangs\]\n$/);
  assert.is((await ask(site, '/metrics')).status, 503);
  await site.stop('SIGKILL');
  const unclaimed = await Skiff.run({ args: ['--http', '127.0.0.1:0'] });
  assert.is((await ask(unclaimed, '/healthz')).status, 200);
  assert.is((await metricsOf(unclaimed)).value('skiff_build_info'), 1);
  await unclaimed.stop();
});

test('pages are read by whoever means this site, and by nobody else', async () => {
  const site = await Skiff.run({ args: ['--http', 'localhost:0'] });
  const { port } = await urlOf(site);
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST`, `[::1]:${port}`, '192.0.2.1']) {
    assert.is((await ask(site, '/healthz', { host })).status, 200, host);
  }
  for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example', 'localhost.evil.example']) {
    const { status, text } = await ask(site, '/healthz', { host });
    assert.is(status, 421, host);
    assert.match(text, /--http/);
  }
  const posted = await ask(site, '/metrics', { method: 'POST' });
  assert.is(posted.status, 405);
  assert.is(posted.headers.allow, 'GET, HEAD');
  for (const path of ['/nothing', '/claim', '/__proto__', '/constructor', '/../metrics']) {
    assert.is((await ask(site, path)).status, 404, path);
  }
  assert.is((await ask(site, '/metrics?x=1')).status, 200);
  await site.stop();
});

test('a port that is taken is a warning, and tried again', async () => {
  const port = await freePort();
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
  const site = await Skiff.run({
    documents: [document('Site', 's', { edge: true })],
    args: ['--http', `127.0.0.1:${port}`],
  });
  const { http, warnings } = await site.api.status();
  assert.is(http?.url, null);
  assert.is(http?.error?.code, 'port-taken');
  assert.is(warnings[0].code, 'port-taken');
  assert.match((await site.cli('site', 'status')).stderr, /^warning: .*another program holds that port/);
  assert.match(
    (await site.cli('debug', 'check')).stdout,
    /^warning +process: .*another program holds that port.*\n +→ /m,
  );
  await new Promise((resolve) => other.close(resolve));
  await eventually('the page, once the port is free', async () => (await site.api.status()).http?.url);
  assert.is((await ask(site, '/healthz')).status, 200);
  assert.match((await site.cli('debug', 'check')).stdout, /^ok +http: metrics at http:/m);
  assert.is((await site.stop()).code, 0);
});

test('with off there are no pages', async () => {
  const site = await Skiff.run({ args: ['--http', 'off'] });
  assert.is((await site.api.status()).http, null);
  await site.stop();
});

test.run();
