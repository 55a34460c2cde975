/** Links that a site generates for others: documents that another site takes as they are. */
import { X509Certificate } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import type { RenderedDocument } from '../../src/site/render.ts';
import { document } from '../support/network.ts';
import { verdict } from '../support/openssl.ts';
import { Skiff, skiff } from '../support/skiff.ts';
import { freePort } from '../support/tcp.ts';

const test = suite('generated links');

test.after(() => Skiff.stopAll());

async function newHub(spec: object = { bindHost: '127.0.0.1' }): Promise<Skiff> {
  const roles = [
    { name: 'edge', port: 0 },
    { name: 'inter-router', port: await freePort() },
  ];
  const hub = await Skiff.run({
    documents: [document('Site', 'hub', {}), document('RouterAccess', 'uplinks', { roles, ...spec })],
  });
  await hub.until('RouterAccess', 'uplinks', 'Ready');
  return hub;
}

function documentsOf(text: string): RenderedDocument[] {
  return parseAllDocuments(text).map((each) => each.toJS());
}

function pemOf(secret: RenderedDocument, file: string): string {
  return atob((secret.data as Record<string, string>)[file]);
}

test('a site takes what another generates, and links', async () => {
  const hub = await newHub();
  const { code, stdout, stderr } = await hub.cli('link', 'generate');
  assert.is(code, 0, stderr);
  const [secret, link] = documentsOf(stdout);
  const { endpoints } = (await hub.get('RouterAccess', 'uplinks')).status as unknown as {
    endpoints: { name: string; port: string }[];
  };
  assert.equal(link, {
    apiVersion: 'skupper.io/v2alpha1',
    kind: 'Link',
    metadata: { name: 'link-uplinks' },
    spec: {
      cost: 1,
      endpoints: endpoints.map(({ name, port }) => ({ name, host: '127.0.0.1', port })),
      tlsCredentials: 'link-uplinks',
    },
  });
  assert.is(secret.type, 'kubernetes.io/tls');
  const certificate = pemOf(secret, 'tls.crt');
  assert.is(verdict(certificate, pemOf(secret, 'ca.crt')), 'OK');
  assert.is(new X509Certificate(certificate).subject, 'CN=link-uplinks');

  const store = await Skiff.run({ documents: [document('Site', 'store1', { edge: true }), secret, link] });
  const linked = await store.until('Link', 'link-uplinks', 'Ready');
  assert.is(linked.status.remoteSiteName, 'hub');
  assert.is((linked.status.certificate as { daysLeft: number }).daysLeft, 5 * 365 - 1);
  await hub.until('RouterAccess', 'uplinks', ({ status }) => JSON.stringify(status.peers).includes('store1'));
});

test('each link has a certificate of its own, under the name, host and cost one wants', async () => {
  const hub = await newHub({ bindHost: '127.0.0.1', subjectAlternativeNames: ['hub.example'] });
  const args = ['link', 'generate', '--name', 'store2', '--host', 'hub.example', '--cost', '3', '-o', 'json'];
  const [first, second] = [await hub.cli(...args), await hub.cli(...args)].map(
    ({ stdout }) => JSON.parse(stdout) as RenderedDocument[],
  );
  assert.is.not(pemOf(first[0], 'tls.crt'), pemOf(second[0], 'tls.crt'));
  assert.is.not(pemOf(first[0], 'tls.key'), pemOf(second[0], 'tls.key'));
  assert.is(pemOf(first[0], 'ca.crt'), pemOf(second[0], 'ca.crt'));
  const { metadata, spec } = first[1];
  assert.equal([metadata.name, spec?.cost, spec?.tlsCredentials], ['store2', 3, 'store2']);
  const endpoints = (spec?.endpoints ?? []) as { host: string }[];
  assert.equal(
    endpoints.map(({ host }) => host),
    ['hub.example', 'hub.example'],
  );
});

test('what cannot be generated is refused with the reason', async () => {
  const hub = await newHub();
  const refusals: [string[], number, RegExp][] = [
    [['--host', 'other.example'], 1, /certificate of RouterAccess "uplinks" is not for "other.example".*127\.0\.0\.1/],
    [['--cost', 'much'], 2, /link cost is not valid/],
    [['--name', 'No_Name'], 2, /link name is not valid/],
    [['more'], 2, /arguments are not allowed in this command/],
    [['-o', 'table'], 2, /output type is not valid/],
  ];
  for (const [args, expected, message] of refusals) {
    const { code, stdout, stderr } = await hub.cli('link', 'generate', ...args);
    assert.is(code, expected, stderr);
    assert.match(stderr, message);
    assert.is(stdout, '');
  }
  await hub.stop();
  assert.is((await hub.cli('link', 'generate')).code, 3);

  const closed = await Skiff.run({ documents: [document('Site', 'closed', {})] });
  const refused = await closed.cli('link', 'generate');
  assert.is(refused.code, 2);
  assert.match(refused.stderr, /not enabled for link access, there are no links created/);
  const empty = await (await Skiff.run()).cli('link', 'generate');
  assert.match(empty.stderr, /there is no active site/);
});

test('a link is changed and taken away, whether the site runs or not', async () => {
  const hub = await newHub();
  const [secret, link] = documentsOf((await hub.cli('link', 'generate', '--name', 'up')).stdout);
  const other = { ...secret, metadata: { name: 'other' } };
  const store = await Skiff.run({ documents: [document('Site', 'store1', { edge: true }), secret, other, link] });
  const updated = await store.cli('link', 'update', 'up', '--cost', '5', '--tls-credentials', 'other');
  assert.is(updated.stdout, 'Link "up" is updated\n', updated.stderr);
  const { spec } = await store.get('Link', 'up');
  assert.equal([spec?.cost, spec?.tlsCredentials], [5, 'other']);
  assert.equal(spec?.endpoints, link.spec?.endpoints);
  await store.until('Link', 'up', 'Ready');
  for (const [args, message] of [
    [['update', 'up'], /nothing to change/],
    [['update', 'up', '--tls-credentials', 'no'], /the TLS secret "no" is not available/],
    [['update', 'nobody', '--cost', '1'], /no link resource in the namespace with the name "nobody"/],
    [['delete', 'nobody'], /no link resource in the namespace with the name "nobody"/],
    [['delete'], /link name must be specified/],
  ] as [string[], RegExp][]) {
    const { code, stderr } = await store.cli('link', ...args);
    assert.not.equal(code, 0);
    assert.match(stderr, message);
  }
  await store.stop();
  assert.is((await skiff(['link', 'delete', 'up', '--data', store.data])).stdout, 'Link "up" is deleted\n');
  assert.match((await skiff(['get', 'link', '--data', store.data])).stdout, /There is no Link/);
});

test.run();
