/** Tokens: issued by one site, redeemed by another, and what the server says to whoever asks it by hand. */
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { Authority } from '../../src/pki/authority.ts';
import { document } from '../support/network.ts';
import { verdict } from '../support/openssl.ts';
import { newDirectory, Skiff, skiff } from '../support/skiff.ts';
import { freePort } from '../support/tcp.ts';

const test = suite('tokens');

test.after.each(() => Skiff.stopAll());

interface Token {
  metadata: { name: string; annotations: Record<string, string> };
  spec: { url: string; code: string; ca: string; linkCost: number };
}

async function newHub(more: object[] = []): Promise<Skiff> {
  const roles = [
    { name: 'edge', port: await freePort() },
    { name: 'inter-router', port: await freePort() },
  ];
  const hub = await Skiff.run({
    documents: [
      document('Site', 'hub', {}),
      document('RouterAccess', 'uplinks', { bindHost: '127.0.0.1', roles }),
      {
        ...document('EnrolmentService', 'enrolment', { bindHost: '127.0.0.1', port: 0 }),
        apiVersion: 'skiff/v1alpha1',
      },
      ...more,
    ],
  });
  await hub.until('EnrolmentService', 'enrolment', 'Ready');
  return hub;
}

const newStore = (name = 'store1'): Promise<Skiff> =>
  Skiff.run({ documents: [document('Site', name, { edge: true })] });

async function issue(hub: Skiff, ...args: string[]): Promise<{ file: string; token: Token }> {
  const file = join(newDirectory(), 'token.yaml');
  const { code, stdout, stderr } = await hub.cli('token', 'issue', file, ...args);
  assert.is(code, 0, stderr);
  assert.match(stdout, /\nGrant "hub-[0-9a-f-]{36}" is ready\nToken file .*token.yaml created\n/);
  assert.match(stdout, /The token expires after \d use\(s\) or after 15m0s, at 20/);
  return { file, token: parse(readFileSync(file, 'utf8')) };
}

/** What curl says when it speaks as Skupper does: the status, the answer, the headers. */
async function curl({ url, ca }: Token['spec'], ...args: string[]): Promise<[number, string, string]> {
  const file = join(newDirectory(), 'ca.crt');
  writeFileSync(file, ca);
  const all = [
    '--silent',
    '--show-error',
    '--include',
    '--http1.1',
    '--max-time',
    '10',
    '--cacert',
    file,
    ...args,
    url,
  ];
  const child = spawn('curl', all, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  child.stderr.on('data', () => {});
  const code = await new Promise<number>((resolve) => child.once('close', resolve));
  if (code !== 0) return [-code, '', ''];
  const [head, ...rest] = text.split('\r\n\r\n');
  return [Number(head.split(' ')[1]), rest.join('\r\n\r\n'), head];
}

const post = (spec: Token['spec'], code = spec.code, ...args: string[]) => curl(spec, '--data-binary', code, ...args);

test('an interior site redeems a token, and links as a neighbour', async () => {
  const hub = await newHub();
  const { file } = await issue(hub);
  const other = await Skiff.run({ documents: [document('Site', 'other', {})] });
  const { code, stderr } = await other.cli('token', 'redeem', file);
  assert.is(code, 0, stderr);
  const [{ metadata }] = await other.api.list('Link', { showSecrets: false });
  const linked = await other.until('Link', metadata.name, 'Ready');
  assert.is(linked.status.remoteSiteName, 'hub');
  await hub.until('Site', 'hub', ({ status }) => status.sitesInNetwork === 2);
});

test('a token is issued at one site and redeemed at another, which links with a key of its own', async () => {
  const hub = await newHub();
  const { file, token } = await issue(hub, '--cost', '7');
  assert.is(statSync(file).mode & 0o777, 0o600);
  const left = Date.parse(token.metadata.annotations['skiff/expiration-time']) - Date.now();
  assert.ok(left > 14 * 60_000 && left <= 15 * 60_000);

  const store = await newStore();
  const redeemed = await store.cli('token', 'redeem', file);
  assert.is(redeemed.stdout, `Token "${token.metadata.name}" has been redeemed.\n`, redeemed.stderr);
  const link = await store.until('Link', token.metadata.name, 'Ready');
  assert.is(link.spec?.cost, 7);
  assert.is(link.status.remoteSiteName, 'hub');
  assert.is((link.status.certificate as { daysLeft: number }).daysLeft, 89);
  const secret = await store.api.get({ kind: 'Secret', name: token.metadata.name }, { showSecrets: true });
  const [ca, certificate, key] = ['ca.crt', 'tls.crt', 'tls.key'].map((each) =>
    atob((secret.data as Record<string, string>)[each]),
  );
  assert.is(verdict(certificate, ca), 'OK');
  assert.match(key, /BEGIN PRIVATE KEY/);
  assert.is(new X509Certificate(certificate).subject, 'CN=store1');
  assert.match(new X509Certificate(certificate).subjectAltName ?? '', /URI:urn:skiff:device:store1-[0-9a-f]{8}$/);
  const grant = await hub.get('AccessGrant', token.metadata.name);
  assert.is(grant.status.redemptions, 1);
  assert.is(grant.status.code, '<redacted>');

  const other = await newStore('store2');
  const refused = await other.cli('token', 'redeem', file);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /Received HTTP Response 404: No such access granted/);
  assert.equal(await other.api.list('Link', { showSecrets: false }), []);
  // It is the same one that asks: had the answer been lost, it would come again.
  assert.is((await store.cli('token', 'redeem', file)).code, 0);
  assert.is((await hub.get('AccessGrant', token.metadata.name)).status.redemptions, 1);
});

test('who speaks as Skupper does gets what Skupper answers', async () => {
  const hub = await newHub();
  const { token } = await issue(hub, '--redemptions-allowed', '2');
  const { spec } = token;
  const unknown = { ...spec, url: spec.url.replace(/[^/]+$/, 'nobody') };
  assert.equal((await curl(spec)).slice(0, 2), [405, 'Only POST is supported\n']);
  assert.equal((await post(unknown)).slice(0, 2), [404, 'No such claim\n']);
  assert.equal((await post(spec, 'wrong')).slice(0, 2), [403, 'Redemption of access token refused\n']);
  assert.equal((await post(spec, 'x'.repeat(20_000))).slice(0, 2), [400, 'Request body not valid\n']);
  assert.is((await post(spec, spec.code, '--tls-max', '1.2'))[0], -35, 'TLS 1.3 only');

  const [status, body, head] = await post(spec, spec.code, '-H', 'name: mine', '-H', 'subject: their-site');
  assert.is(status, 200);
  assert.match(head, /content-type: text\/plain; charset=utf-8/i);
  assert.match(body, /^---\n/);
  const [secret, link, ...rest] = parseAllDocuments(body).map((each) => each.toJS());
  assert.equal(rest, []);
  assert.equal([secret.kind, secret.apiVersion, secret.type], ['Secret', 'v1', 'kubernetes.io/tls']);
  assert.equal([secret.metadata.name, link.metadata.name, link.spec.tlsCredentials], ['mine', 'mine', 'mine']);
  assert.not.ok('cost' in link.spec);
  const [endpoint] = link.spec.endpoints;
  assert.equal([endpoint.name, endpoint.host, endpoint.group], ['edge', '127.0.0.1', 'uplinks']);
  const [ca, certificate, key] = ['ca.crt', 'tls.crt', 'tls.key'].map((each) => atob(secret.data[each]));
  assert.is(verdict(certificate, ca), 'OK');
  assert.match(key, /BEGIN RSA PRIVATE KEY/);
  const leaf = new X509Certificate(certificate);
  assert.is(leaf.subject, 'CN=their-site');
  assert.is(leaf.subjectAltName, 'DNS:127.0.0.1, IP Address:127.0.0.1');
  assert.ok(leaf.validToDate.getTime() - Date.now() > 5 * 364 * 86_400_000);

  assert.is((await post(spec))[0], 200, 'the name is the grant’s');
  assert.equal((await post(spec)).slice(0, 2), [404, 'No such access granted\n']);
  await hub.delete('AccessGrant', token.metadata.name);
  assert.equal((await post(spec)).slice(0, 2), [404, 'No such claim\n']);
});

test('guesses are limited, and a lucky one comes too late', async () => {
  const hub = await newHub([document('AccessGrant', 'short', { code: '1234', redemptionsAllowed: 100 })]);
  await hub.until('AccessGrant', 'short', 'Ready');
  const { status } = await hub.api.get({ kind: 'AccessGrant', name: 'short' }, { showSecrets: true });
  const { url, ca } = status as unknown as { url: string; ca: string };
  const spec = { url, ca, code: '1234', linkCost: 1 };
  assert.is((await post(spec))[0], 200);
  const statuses: number[] = [];
  for (let guess = 0; guess < 11; guess++) statuses.push((await post(spec, String(guess)))[0]);
  assert.equal(statuses, [...Array(10).fill(403), 429]);
  const [last, , head] = await post(spec);
  assert.is(last, 429);
  assert.match(head, /retry-after: \d+/i);
});

test('a grant expires, and keeps its code and count over a restart', async () => {
  const hub = await newHub([
    document('AccessGrant', 'brief', { expirationWindow: '1ms' }),
    document('AccessGrant', 'kept', { redemptionsAllowed: 2 }),
  ]);
  const look = async (site: Skiff, name: string) => {
    await site.until('AccessGrant', name, 'Ready');
    return (await site.api.get({ kind: 'AccessGrant', name }, { showSecrets: true }))
      .status as unknown as Token['spec'];
  };
  assert.equal((await post(await look(hub, 'brief'))).slice(0, 2), [404, 'No such claim\n']);
  const kept = await look(hub, 'kept');
  assert.is((await post(kept))[0], 200);
  await hub.stop();
  const again = await Skiff.run({ data: hub.data });
  const after = await look(again, 'kept');
  assert.is(after.code, kept.code);
  assert.is(after.ca, kept.ca);
  assert.is(new URL(after.url).pathname, new URL(kept.url).pathname);
  assert.is((await post(after))[0], 200);
  assert.is((await post(after))[0], 404);
});

test('an AccessToken among the documents is redeemed once, in its own time, and holds nothing up', async () => {
  const hub = await newHub();
  const { token } = await issue(hub);
  await hub.stop();
  const accessToken = { apiVersion: 'skupper.io/v2alpha1', kind: 'AccessToken', ...token };
  const store = await Skiff.run({ documents: [document('Site', 'store1', { edge: true }), accessToken] });
  const { name } = token.metadata;
  const waiting = await store.until('AccessToken', name, ({ status }) => status.error);
  assert.match(waiting.status.message, /\[connection-refused\]/);
  assert.ok(waiting.status.nextAttemptTime);
  assert.is(waiting.spec?.code, '<redacted>');
  const port = Number(new URL(token.spec.url).port);
  const enrolment = document('EnrolmentService', 'enrolment', { bindHost: '127.0.0.1', port });
  await Skiff.run({ data: hub.data, documents: [{ ...enrolment, apiVersion: 'skiff/v1alpha1' }] });
  const redeemed = await store.until('AccessToken', name, 'Ready', 30_000);
  assert.is(redeemed.status.redeemed, true);
  await store.until('Link', name, 'Ready');
  await store.stop();
  const again = await Skiff.run({ data: store.data, documents: [accessToken] });
  assert.is((await again.get('AccessToken', name)).status.redeemed, true);
  await again.until('Link', name, 'Ready');
});

test('a site of Skupper is redeemed from: its documents are taken as they come, key and all', async () => {
  const authority = await Authority.create('SkupperGrantServerCA');
  const { certificate: cert, key } = await authority.issue({ commonName: 'grants', hosts: ['127.0.0.1'] });
  const theirs = await authority.issue({ commonName: 'store1' });
  const data = { 'ca.crt': btoa(theirs.ca), 'tls.crt': btoa(theirs.certificate), 'tls.key': btoa(theirs.key) };
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'tok' }, type: 'kubernetes.io/tls', data };
  const endpoints = [{ name: 'edge', host: '127.0.0.1', port: '1', group: 'g' }];
  const link = { ...document('Link', 'tok', { endpoints, tlsCredentials: 'tok' }), status: {} };
  const asked: unknown[] = [];
  const server = createServer({ cert, key, minVersion: 'TLSv1.3' }, (request, response) => {
    request.setEncoding('utf8').on('data', (body) => {
      asked.push([request.method, request.url, request.headers.name, request.headers.subject, body]);
      response.end(`---\n${stringify(secret)}---\n${stringify(link)}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/uid`;
    const file = join(newDirectory(), 'token.yaml');
    writeFileSync(file, stringify(document('AccessToken', 'tok', { url, code: 'abc', ca: authority.certificate })));
    const store = await newStore();
    await store.stop();
    const { code, stderr } = await skiff(['token', 'redeem', file, '--data', store.data]);
    assert.is(code, 0, stderr);
    assert.equal(asked, [['POST', '/uid', 'tok', 'store1', 'abc']]);
    const exported = await skiff(['export', '--show-secrets', '-o', 'json', '--data', store.data]);
    const documents = JSON.parse(exported.stdout) as { kind: string; data?: object; spec?: object }[];
    assert.equal(documents.find(({ kind }) => kind === 'Secret')?.data, data);
    assert.equal(documents.find(({ kind }) => kind === 'Link')?.spec, { endpoints, tlsCredentials: 'tok' });
  } finally {
    server.close();
  }
});

test('what cannot be is said, and nothing is left behind', async () => {
  const hub = await newHub();
  const file = join(newDirectory(), 'token.yaml');
  const cases: [Skiff, string[], number, RegExp][] = [
    [hub, ['issue'], 2, /file name must be configured/],
    [hub, ['issue', newDirectory()], 2, /token file name is a directory/],
    [hub, ['issue', file, '--redemptions-allowed', '0'], 2, /number of redemptions is not valid/],
    [hub, ['issue', file, '--expiration-window', '30s'], 2, /expiration time is not valid/],
    [hub, ['issue', file, '--timeout', '1s'], 2, /timeout is not valid/],
    [hub, ['issue', file, '--cost', '-1'], 2, /link cost is not valid/],
    [await Skiff.run(), ['issue', file], 2, /A site must exist/],
    [await newStore(), ['issue', file], 2, /You must enable link access/],
    [hub, ['redeem', '/nonexistent'], 2, /no such file/],
    [hub, ['redeem'], 2, /token file name must be configured/],
  ];
  for (const [site, args, expected, message] of cases) {
    const { code, stderr } = await site.cli('token', ...args);
    assert.is(code, expected, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, message);
  }
  assert.equal(await hub.api.list('AccessGrant', { showSecrets: false }), []);
});

test.run();
