/** Certificates as node:crypto, OpenSSL and a TLS handshake judge them, not as the library that made them does. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SkiffError } from '../../src/errors.ts';
import { Authority, type Credentials } from '../../src/pki/authority.ts';
import { newKey, readSigningRequest, requestFor } from '../../src/pki/request.ts';
import { makeCa } from '../support/certificates.ts';
import { hasOpenssl, verdict } from '../support/openssl.ts';

const test = suite('authority');

const dayMs = 24 * 60 * 60 * 1_000;
/** How far behind a clock may be that is to believe a new certificate. */
const skewMs = 60 * 60 * 1_000;
const hosts = ['hub.example', '127.0.0.1', '::1'];

const authority = await Authority.create('skupper-site-ca');
const hub = await authority.issue({ commonName: 'hub', hosts });
const store = await authority.issue({ commonName: 'store1' });

function parsed({ certificate }: { certificate: string }): X509Certificate {
  return new X509Certificate(certificate);
}

/** What OpenSSL prints of one extension. */
function extension(certificate: string, name: string): string {
  const text = execFileSync('openssl', ['x509', '-noout', '-ext', name], { input: certificate, encoding: 'utf8' });
  return text.replace(/\s+/g, ' ').trim();
}

test('a CA signs itself and says what it is', () => {
  const ca = parsed(authority);
  assert.is(ca.subject, 'CN=skupper-site-ca');
  assert.is(ca.issuer, ca.subject);
  assert.ok(ca.ca);
  assert.ok(ca.verify(ca.publicKey));
  assert.is(ca.publicKey.asymmetricKeyDetails?.modulusLength, 2048);
  assert.is(ca.validToDate.getTime() - ca.validFromDate.getTime(), 5 * 365 * dayMs + skewMs);
  assert.ok(Math.abs(ca.validFromDate.getTime() - Date.now()) < dayMs);
});

test('what it issues verifies, belongs to its key, and names its hosts', () => {
  const leaf = parsed(hub);
  const ca = parsed(authority);
  assert.is(hub.ca, authority.certificate);
  assert.ok(leaf.checkIssued(ca));
  assert.ok(leaf.verify(ca.publicKey));
  assert.ok(leaf.checkPrivateKey(createPrivateKey(hub.key)));
  assert.not(leaf.ca);
  assert.is(leaf.subject, 'CN=hub');
  assert.is(
    leaf.subjectAltName,
    'DNS:hub.example, DNS:127.0.0.1, DNS:::1, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
  );
  assert.equal(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'], 'server and client');
  assert.is(leaf.validToDate.getTime() - leaf.validFromDate.getTime(), 5 * 365 * dayMs + skewMs);
  assert.is(parsed(store).subjectAltName, undefined);
});

test('keys are PKCS#1 and each is another', () => {
  for (const { key } of [authority, hub, store]) assert.match(key, /^-----BEGIN RSA PRIVATE KEY-----\n/);
  assert.is(new Set([authority.key, hub.key, store.key]).size, 3);
});

test('serial numbers are positive, of 16 octets, and each is another', async () => {
  const serials = [authority, hub, store].map((each) => parsed(each).serialNumber);
  assert.is(new Set(serials).size, 3);
  for (const serial of serials) assert.match(serial, /^[4-7][0-9A-F]{31}$/);
});

test('OpenSSL agrees', () => {
  if (!hasOpenssl) return;
  for (const purpose of ['sslserver', 'sslclient'] as const) {
    assert.is(verdict(hub.certificate, authority.certificate, purpose), 'OK');
  }
  assert.match(extension(authority.certificate, 'basicConstraints'), /critical CA:TRUE$/);
  assert.match(
    extension(authority.certificate, 'keyUsage'),
    /critical Digital Signature, Key Encipherment, Certificate Sign$/,
  );
  assert.match(extension(hub.certificate, 'keyUsage'), /critical Digital Signature, Key Encipherment$/);
});

/** A handshake in which each side must show a certificate; resolves with whom the client found, or rejects. */
async function shakeHands(server: Credentials, client: Credentials, host: string): Promise<string> {
  const { ca, certificate: cert, key } = server;
  const listening = tls.createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: true }, (socket) => {
    socket.on('error', () => {});
    socket.end(socket.getPeerX509Certificate()?.subject ?? 'nobody');
  });
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  try {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: (listening.address() as AddressInfo).port,
      ca: client.ca,
      cert: client.certificate,
      key: client.key,
      checkServerIdentity: (_, certificate) => tls.checkServerIdentity(host, certificate),
    });
    let text = '';
    for await (const chunk of socket) text += chunk;
    return text;
  } finally {
    listening.close();
  }
}

test('two ends with certificates of one CA trust each other, others do not', async () => {
  assert.is(await shakeHands(hub, store, '127.0.0.1'), 'CN=store1');
  assert.is(await shakeHands(hub, store, 'hub.example'), 'CN=store1');
  const refusal = (promise: Promise<string>) => promise.then(String, (error) => error.code);
  assert.is(await refusal(shakeHands(hub, store, 'other.example')), 'ERR_TLS_CERT_ALTNAME_INVALID');
  const namesake = await Authority.create('skupper-site-ca');
  const stranger = await namesake.issue({ commonName: 'hub', hosts });
  assert.match(await refusal(shakeHands({ ...stranger, ca: hub.ca }, store, '127.0.0.1')), /^UNABLE_TO_/);
});

test('CAs of one name are told apart in a bundle', async () => {
  const namesake = await Authority.create('skupper-site-ca');
  const ca = namesake.certificate + authority.certificate;
  assert.is(await shakeHands({ ...hub, ca }, { ...store, ca }, '127.0.0.1'), 'CN=store1');
});

test('a CA that was kept issues as before, whatever its name and the form of its key', async () => {
  for (const commonName of ['site-ca', 'Zürich GmbH & Co. *']) {
    const before = await Authority.create(commonName);
    const pkcs8 = createPrivateKey(before.key).export({ type: 'pkcs8', format: 'pem' }).toString();
    const after = await Authority.from(before.certificate, pkcs8);
    assert.is(after.key, before.key);
    const leaf = parsed(await after.issue({ commonName }));
    assert.ok(leaf.checkIssued(parsed(before)), commonName);
    assert.ok(leaf.verify(parsed(before).publicKey));
    assert.is(leaf.subject, `CN=${commonName}`);
    assert.is(leaf.issuer, parsed(before).subject);
  }
});

test('the clock is whoever asks', async () => {
  const then = Date.UTC(2048, 0, 1);
  const late = await Authority.create('late', () => then);
  const leaf = parsed(await late.issue({ commonName: 'leaf' }));
  assert.is(leaf.validFromDate.getTime(), then - skewMs);
  assert.is(leaf.validToDate.getTime(), then + 5 * 365 * dayMs, 'past 2050, where X.509 writes dates otherwise');
});

test('a key made elsewhere is certified on a request that is signed with it, and no other', async () => {
  const key = await newKey();
  const request = await requestFor(key, 'store1');
  const certificate = await authority.certify((await readSigningRequest(request)).publicKey, {
    commonName: 'store1',
    uris: ['urn:skiff:device:store1-0a1b2c3d'],
    validDays: 90,
  });
  assert.is((await readSigningRequest(request)).commonName, 'store1');
  const leaf = parsed({ certificate });
  assert.ok(leaf.checkPrivateKey(createPrivateKey(key)));
  assert.is(leaf.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  assert.is(leaf.subjectAltName, 'URI:urn:skiff:device:store1-0a1b2c3d');
  assert.is(leaf.validToDate.getTime() - leaf.validFromDate.getTime(), 90 * dayMs + skewMs);
  const device = { ca: authority.certificate, certificate, key };
  assert.is(await shakeHands(hub, device, '127.0.0.1'), 'CN=store1');
  if (hasOpenssl) {
    const checked = spawnSync('openssl', ['req', '-verify', '-noout'], { input: request, encoding: 'utf8' });
    assert.match(checked.stdout + checked.stderr, /OK/);
    assert.is(verdict(certificate, authority.certificate), 'OK');
    assert.match(extension(certificate, 'keyUsage'), /critical Digital Signature$/);
  }

  const other = await requestFor(await newKey(), 'store1');
  const [mine, theirs] = [request, other].map((pem) => Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64'));
  const forged = Buffer.concat([mine.subarray(0, mine.length - 64), theirs.subarray(theirs.length - 64)]);
  const asPem = (der: Buffer) =>
    `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  for (const bad of ['', 'no PEM', certificate, asPem(forged), asPem(Buffer.from('3003020100', 'hex'))]) {
    const error = await readSigningRequest(bad).catch((reason) => reason);
    assert.is(error.code, 'bad-request', String(error));
  }
});

test('a CA vouches for the next: who trusts the old one alone trusts what the new one issued', async () => {
  const next = await Authority.create('skupper-site-ca');
  const renewed = await next.issue({ commonName: 'hub', hosts });
  const server = {
    ...renewed,
    ca: authority.certificate,
    certificate: renewed.certificate + (await authority.vouchFor(next)),
  };
  assert.is(await shakeHands(server, store, '127.0.0.1'), 'CN=store1');
  assert.is(await shakeHands(server, { ...store, ca: next.certificate }, '127.0.0.1'), 'CN=store1');
});

test('a CA with an EC key issues, too', async () => {
  if (!hasOpenssl) return;
  const directory = mkdtempSync(join(tmpdir(), 'authority-'));
  const args =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=theirs -keyout k -out c -days 9 -addext keyUsage=critical,keyCertSign';
  assert.is(spawnSync('openssl', args.split(' '), { cwd: directory }).status, 0);
  const [certificate, key] = ['c', 'k'].map((name) => readFileSync(join(directory, name), 'utf8'));
  const leaf = await (await Authority.from(certificate, key)).issue({ commonName: 'leaf', hosts });
  assert.is(verdict(leaf.certificate, certificate), 'OK');
});

test('what is no CA is refused with the reason', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ecKey = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const inTenYears = () => Date.now() + 3650 * dayMs;
  const cases: [string, string, RegExp, (() => number)?][] = [
    ['no PEM', authority.key, /its certificate cannot be read/],
    [authority.certificate, 'no PEM', /its key cannot be read/],
    [hub.certificate, hub.key, /is not that of a CA/],
    [authority.certificate, ecKey, /does not belong to its certificate/],
    [authority.certificate, hub.key, /does not belong to its certificate/],
    [makeCa('other').certificate, authority.key, /does not belong to its certificate/],
    [authority.certificate, authority.key, /expired/, inTenYears],
  ];
  for (const [certificate, key, message, now] of cases) {
    const error = await Authority.from(certificate, key, now).catch((reason) => reason);
    assert.instance(error, SkiffError, String(message));
    assert.is(error.code, 'ca-unusable');
    assert.match(error.message, message);
    assert.ok(error.hint);
  }
});

test.run();
