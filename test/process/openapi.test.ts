/** The description of the local API against its routes, and against what a site really answers. */
import { request } from 'node:http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openapi } from '../../src/api/openapi.ts';
import { routes } from '../../src/api/routes.ts';
import { socketPath } from '../../src/api/socket.ts';
import { violations } from '../support/json-schema.ts';
import { connector, document, listener } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';

const test = suite('openapi');
test.after(() => Skiff.stopAll());

type Content = Record<string, { schema: Record<string, unknown> }>;
interface Operation {
  requestBody?: { content: Content };
  responses: Record<string, { content: Content }>;
}

const operations = Object.entries(openapi.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ method, path, operation: operation as Operation })),
);

/** A path as somebody would ask for it. */
const sample = (path: string) => path.replace('{kind}', 'Listener').replace('{name}', 'erp');

test('each route is described, and each description has a route', () => {
  const routesOf = ({ method, path }: { method: string; path: string }) =>
    routes.filter((route) => route.method.toLowerCase() === method && route.path.test(sample(path)));
  for (const operation of operations) assert.is(routesOf(operation).length, 1, `${operation.method} ${operation.path}`);
  const described = new Set(operations.flatMap(routesOf));
  const missing = routes.filter((route) => !described.has(route)).map(({ method, path }) => `${method} ${path}`);
  assert.equal(missing, []);
});

interface Answer {
  status: number;
  type: string;
  body: unknown;
}

/** The whole answer, or the first line of one that has no end. */
function ask(site: Skiff, method: string, path: string, body?: unknown): Promise<Answer> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = { 'content-length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath: socketPath(site.data), method, path, headers, agent: false }, (response) => {
      const type = String(response.headers['content-type']);
      const answered = (text: string) => resolve({ status: response.statusCode ?? 0, type, body: JSON.parse(text) });
      let all = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        all += chunk;
        if (type !== 'application/x-ndjson' || !all.includes('\n')) return;
        answered(all.split('\n')[0]);
        asking.destroy();
      });
      response.on('error', () => {}).on('end', () => answered(all));
    });
    asking.on('error', reject).end(text);
  });
}

function described(method: string, path: string, status: number, type: string): Record<string, unknown> {
  const found = operations.find((each) => each.method === method.toLowerCase() && each.path === path);
  const responses = found?.operation.responses ?? {};
  const response = responses[status] ?? responses.default;
  assert.ok(response.content[type], `${method} ${path} answers ${status} ${type}`);
  return response.content[type].schema;
}

/** Bodies for what takes one, one good and one bad. */
const bodies: Record<string, [unknown, unknown]> = {
  'post /v1/backup': [{ passphrase: 'correct horse' }, { passphrase: '' }],
  'post /v1/documents': [
    {
      sources: [
        { name: 'x', text: JSON.stringify(document('Listener', 'later', { routingKey: 'a', host: 'a', port: 1 })) },
      ],
    },
    { sources: [{ name: 'x', text: 'kind: Nothing\napiVersion: none' }] },
  ],
  'post /v1/router': [
    { properties: { operation: 'GET-TYPES' } },
    { router: 'a', edge: 'b', properties: { operation: 'GET-TYPES' } },
  ],
  'delete /v1/documents': [
    { documents: [{ kind: 'Listener', name: 'later' }] },
    { documents: [{ kind: 'Listener', name: 'later' }] },
  ],
};

/** What ends the site that is asked. */
const ending = '/v1/device/reset';

/** What needs other sites, or to be open to them: it is refused, as described. */
const notAlone: Record<string, [unknown, unknown] | undefined> = {
  'post /v1/authorities/{name}/roll': undefined,
  'post /v1/certificates/revoke': [{ certificates: ['nobody'] }, { certificates: 'nobody' }],
  'post /v1/claims/{name}/revoke': undefined,
  'post /v1/device/claim': [{ claim: 'kind: Nothing' }, { claim: 1 }],
  'post /v1/device/relink': [{ claim: 'kind: Nothing' }, { claim: 1 }],
  'post /v1/fleet/approve': [{ devices: ['nobody'] }, { devices: 'nobody' }],
  'post /v1/fleet/reject': [{ devices: ['nobody'] }, { devices: 'nobody' }],
  'post /v1/fleet/revoke': [{ devices: ['nobody'] }, { devices: 'nobody' }],
  'get /v1/fleet/devices/{name}': undefined,
  'post /v1/fleet/devices/{name}/orders': [
    { verb: 'renew', withinMs: 1 },
    { verb: '', withinMs: 1 },
  ],
  'post /v1/fleet/devices/{name}/replacement': [{ serial: 'x' }, { serial: '' }],
  'post /v1/fleet/documents': [{ sources: [{ name: 'x', text: 'kind: Nothing' }], device: 'erp' }, { sources: [] }],
  'post /v1/links': [{ cost: 1 }, { cost: -1 }],
  'post /v1/tokens/redeem': [{ sources: [{ name: 'x', text: 'kind: Nothing\napiVersion: none' }] }, { sources: 1 }],
};

test('what a site answers is what the description says', async () => {
  const site = await Skiff.run({
    documents: [document('Site', 'described', { edge: true }), connector('erp', 1), listener('erp', 1)],
  });
  for (const { method, path, operation } of operations) {
    const name = `${method} ${path}`;
    if (path === ending) continue;
    const [good, bad] = bodies[name] ?? notAlone[name] ?? [];
    assert.is(good === undefined, operation.requestBody === undefined, `a body for ${name}`);
    if (good) {
      const { schema } = (operation.requestBody as { content: Content }).content['application/json'];
      assert.equal(violations(good, schema, openapi), []);
    }
    const streaming = '200' in operation.responses && 'application/x-ndjson' in operation.responses[200].content;
    const asking = ask(site, method.toUpperCase(), sample(path), good);
    // Something that there is an event of.
    if (streaming) await site.apply(connector('eventful', 2));
    const { status, type, body } = await asking;
    assert.is(status === 200, !(name in notAlone), `${name}: ${JSON.stringify(body)}`);
    assert.equal(violations(body, described(method, path, status, type), openapi), [], name);
    if (!bad) continue;
    const refused = await ask(site, method.toUpperCase(), sample(path), bad);
    assert.not.equal(refused.status, 200, name);
    assert.equal(violations(refused.body, described(method, path, refused.status, refused.type), openapi), [], name);
  }
  const { body } = await ask(site, 'GET', '/openapi.json');
  assert.equal(body, JSON.parse(JSON.stringify({ ...openapi, info: { ...openapi.info } })));
  for (const path of ['/v1/documents/Link/none', '/v1/documents/Nothing']) {
    const { status, body: error } = await ask(site, 'GET', path);
    assert.is(status, 404);
    assert.equal(violations(error, openapi.components.schemas.ErrorAnswer, openapi), []);
  }
  const { status, type, body: last } = await ask(site, 'POST', ending);
  assert.equal(violations(last, described('POST', ending, status, type), openapi), []);
  assert.is((await site.ended).code, 0);
});

test('a schema that is not met is noticed', () => {
  const { Status } = openapi.components.schemas;
  const status = {
    site: { site: null, mode: null, id: null },
    pid: 1,
    version: '1',
    startTime: '2026-01-01T00:00:00Z',
    http: null,
    warnings: [],
  };
  assert.equal(violations(status, Status, openapi), []);
  assert.equal(violations({ ...status, pid: -1 }, Status, openapi), ['$.pid is -1']);
  assert.equal(violations({ ...status, more: 1 }, Status, openapi), ['$.more is not described']);
  assert.equal(violations({ ...status, site: {} }, Status, openapi).length, 3);
});

test.run();
