/** The local API over its socket, with a router that the test plays. */
import { lstatSync, mkdtempSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ApiClient } from '../../src/api/client.ts';
import { ApiServer } from '../../src/api/server.ts';
import { socketPath } from '../../src/api/socket.ts';
import { SkiffError } from '../../src/errors.ts';
import type { Agent } from '../../src/fleet/agent.ts';
import { Fleet } from '../../src/fleet/fleet.ts';
import { DocumentsError } from '../../src/site/problems.ts';
import { Site } from '../../src/site/site.ts';
import { FakeRouter } from '../site/fake-router.ts';
import { edgeSite, listener, newStore, secret } from '../site/setup.ts';

const test = suite('api');
const others = {
  reset: () => {},
  backup: async () => Buffer.from('x'),
  selfCheck: async () => ({ routerMs: 0, database: 'ok' }),
  log: () => [],
  reload: async () => [],
};
const hidden = { showSecrets: false };

/** For a server that nobody asks. */
const context = { site: {} as Site, fleet: {} as Fleet, agent: {} as Agent, status: () => ({}) as never, ...others };

async function served() {
  const directory = mkdtempSync(join(tmpdir(), 'api-'));
  const router = new FakeRouter();
  const onFailure = (error: Error) => {
    throw error;
  };
  const store = newStore(directory);
  const site = new Site({
    store,
    version: '1',
    startRouter: router.start,
    now: Date.now,
    onFailure,
  });
  const agent = {} as Agent;
  const fleet = new Fleet({ site, store, now: Date.now, agent });
  await site.start();
  const status = () => ({ site: site.facts, pid: 1, version: '1', startTime: '', http: null, warnings: [] });
  const server = await ApiServer.listen(socketPath(directory), { site, fleet, agent, status, ...others });
  return { directory, router, site, server, client: new ApiClient(directory) };
}

const source = (...documents: object[]) => [{ name: 'test.json', text: JSON.stringify(documents) }];

/** A request as no client of ours would make it. */
function raw(directory: string, method: string, path: string, body = ''): Promise<{ code?: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': Buffer.byteLength(body) };
    const asking = request({ socketPath: socketPath(directory), method, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ code: response.statusCode, text }));
    });
    asking.on('error', reject).end(body);
  });
}

async function errorOf(promise: Promise<unknown>): Promise<SkiffError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof SkiffError) return error;
    throw error;
  }
  throw new Error('no error');
}

test('documents go in, are shown and are taken away', async () => {
  const { client, server } = await served();
  assert.equal(await client.apply(source(edgeSite, listener('a'), secret())), [
    { kind: 'Site', name: 'store1', action: 'added' },
    { kind: 'Listener', name: 'a', action: 'added' },
    { kind: 'Secret', name: 'credentials', action: 'added' },
  ]);
  const [one] = await client.list('Listener', hidden);
  assert.equal(one, await client.get({ kind: 'Listener', name: 'a' }, hidden));
  assert.is(one.status?.status, 'Pending');
  assert.match(JSON.stringify(await client.list('Secret', hidden)), '<redacted>');
  assert.not.match(JSON.stringify(await client.list('Secret', { showSecrets: true })), '<redacted>');
  assert.is((await client.export(hidden)).length, 3);
  assert.is((await client.status()).site.site, 'store1');
  const names = Array.from({ length: 500 }, (_, index) => `listener-${index}`);
  await client.apply(source(...names.map((name, index) => listener(name, 10_000 + index))));
  const gone = await client.delete(names.map((name) => ({ kind: 'Listener', name })));
  assert.is(gone.length, 500);
  assert.is((await client.list('Listener', hidden)).length, 1);
  await server.close();
});

test('errors arrive as they were thrown', async () => {
  const { client, server } = await served();
  const invalid = await errorOf(client.apply([{ name: 'x.yaml', text: 'kind: X\napiVersion: y\n---\n- 1' }]));
  assert.instance(invalid, DocumentsError);
  assert.is((invalid as DocumentsError).problems.length, 2);
  assert.is((await errorOf(client.get({ kind: 'Link', name: 'x' }, hidden))).code, 'not-found');
  assert.is((await errorOf(client.delete([{ kind: 'Link', name: 'x' }]))).code, 'not-found');
  await server.close();
});

test('what is no good request is refused, and the site goes on', async () => {
  const { directory, client, server } = await served();
  const attempts: [string, string, string, number][] = [
    ['GET', '/v1/nothing', '', 404],
    ['PUT', '/v1/documents', '', 404],
    ['GET', '/v1/documents/constructor', '', 404],
    ['GET', '/v1/documents/Link/%ff', '', 400],
    ['GET', '//', '', 404],
    ['POST', '/v1/documents', 'no json', 400],
    ['POST', '/v1/documents', 'null', 400],
    ['POST', '/v1/documents', '{"sources":[{"name":1}]}', 400],
    ['POST', '/v1/documents', '{"sources":[null]}', 400],
    ['DELETE', '/v1/documents', '{"documents":[null]}', 400],
    ['DELETE', '/v1/documents', '{"documents":[{"kind":"X","name":"x"}]}', 404],
  ];
  for (const [method, path, body, code] of attempts) {
    const answer = await raw(directory, method, path, body);
    assert.is(answer.code, code, `${method} ${path} ${body}: ${answer.text}`);
    assert.type(JSON.parse(answer.text).message, 'string');
  }
  assert.is((await client.status()).pid, 1);
  await server.close();
});

test('links, tokens and certificates: what is no good request is refused', async () => {
  const { directory, server, client } = await served();
  for (const [path, body, message] of [
    ['/v1/links', '{"host":5}', /the body must be/],
    ['/v1/links', '{"cost":-1}', /cost must be a whole number/],
    ['/v1/links', '{}', /there is no active site/],
    ['/v1/tokens/redeem', '{}', /the body must be/],
    ['/v1/certificates/revoke', '{"certificates":"all"}', /the body must be/],
    ['/v1/authorities/nobody/roll', '', /there is no CA nobody/],
  ] as const) {
    const { code, text } = await raw(directory, 'POST', path, body);
    assert.ok(code && code >= 400, path);
    assert.match(JSON.parse(text).message, message);
  }
  assert.equal(await client.issued(), []);
  const error = await errorOf(client.redeem(source(listener('a'))));
  assert.match(error.message, /Listener "a" is no AccessToken/);
  await server.close();
});

test('events are lines that go on until the one who asked goes away', async () => {
  const { directory, client, server } = await served();
  const events = await new Promise<object[]>((resolve) => {
    const asking = request({ socketPath: socketPath(directory), path: '/v1/events' }, (response) => {
      let text = '';
      void client.apply(source(edgeSite));
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
        const lines = text.trim().split('\n');
        if (lines.some((line) => line.includes('"event":"site"'))) {
          asking.destroy();
          resolve(lines.map((line) => JSON.parse(line)));
        }
      });
      response.on('error', () => {});
    });
    asking.on('error', () => {});
    asking.end();
  });
  assert.equal(events[0], { event: 'document', kind: 'Site', name: 'store1', action: 'added' });
  await server.close();
});

test('the socket is for its user alone, replaces a stale one and goes with the server', async () => {
  const { directory, server } = await served();
  const path = socketPath(directory);
  assert.is(lstatSync(path).mode & 0o777, 0o600);
  await server.close();
  assert.is(lstatSync(path, { throwIfNoEntry: false }), undefined);
  assert.is((await errorOf(new ApiClient(directory).status())).code, 'not-running');

  const stale = mkdtempSync(join(tmpdir(), 'api-'));
  const left = createServer().listen(socketPath(stale));
  await new Promise((resolve) => left.on('listening', resolve));
  const next = await ApiServer.listen(socketPath(stale), context);
  await new ApiClient(stale).status();
  await next.close();
  left.close();

  writeFileSync(socketPath(stale), 'a file');
  assert.match((await errorOf(ApiServer.listen(socketPath(stale), context))).message, /no socket/);
});

test('a path that no socket can have is said, and nobody is behind it', async () => {
  const directory = join(tmpdir(), 'x'.repeat(120));
  const error = await errorOf(ApiServer.listen(socketPath(directory), context));
  assert.match(error.message, /has \d+ octets, 107 are possible/);
  assert.is((await errorOf(new ApiClient(directory).status())).code, 'not-running');
});

test.run();
