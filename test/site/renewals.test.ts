/** Certificates between two sites in the course of time: renewed, kept in reserve, asked for again, revoked. */
import { X509Certificate } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fingerprintOf } from '../../src/pki/fingerprint.ts';
import type { AccessState, LinkConfig, LinkState, TlsMaterial } from '../../src/router/protocol.ts';
import { Site } from '../../src/site/site.ts';
import type { Store } from '../../src/store/store.ts';
import { eventually } from '../support/eventually.ts';
import { verdict } from '../support/openssl.ts';
import { FakeRouter } from './fake-router.ts';
import { access, document, edgeSite, hubSite, NO_FACTS, newStore, read } from './setup.ts';

const test = suite('renewals');
const dayMs = 24 * 60 * 60 * 1_000;
const open: Site[] = [];

test.after.each(async () => {
  for (const site of open.splice(0)) await site.stop(100);
});

async function running(documents: object[], clock: { now: number }, store: Store = newStore()) {
  const router = new FakeRouter();
  const site = new Site({
    store,
    version: '1',
    startRouter: router.start,
    now: () => clock.now,
    hosts: () => ['127.0.0.1'],
    onFailure: (error) => {
      throw error;
    },
  });
  open.push(site);
  if (documents.length) site.documents.apply(read(...documents), 'local');
  await site.start();
  return { site, router, store };
}

const listening: AccessState = {
  kind: 'access',
  name: 'ra-edge',
  status: 'listening',
  port: 45671,
  error: null,
  peers: [],
  refusals: [],
};

/** A hub, and a store that has redeemed a token of its. */
async function linked() {
  const clock = { now: Date.now() };
  const enrolment = {
    ...document('EnrolmentService', 'e', { bindHost: '127.0.0.1', port: 0 }),
    apiVersion: 'skiff/v1alpha1',
  };
  const hub = await running(
    [hubSite, access('ra', [{ name: 'edge' }]), enrolment, document('AccessGrant', 'g', {})],
    clock,
  );
  hub.router.say(listening);
  const grant = hub.site.get({ kind: 'AccessGrant', name: 'g' }, { showSecrets: true });
  const { url, code, ca } = (grant as unknown as { status: Record<string, string> }).status;
  const store = await running([edgeSite], clock);
  await store.site.redeem(read(document('AccessToken', 'up', { url, code, ca })));
  /** What the router was last given for the link. */
  const config = (): LinkConfig => {
    const links = store.router.applies.flatMap(({ put }) => put).filter((part) => part.kind === 'link');
    return links.at(-1) as LinkConfig;
  };
  const up = (material: TlsMaterial | null): void => {
    const certificate = fingerprintOf(material?.certificate ?? '');
    const rest = {
      since: 0,
      endpoint: null,
      peer: null,
      error: null,
      attempts: 0,
      nextAttemptAt: null,
      facts: NO_FACTS,
    };
    store.router.say({ kind: 'link', name: 'up', status: 'up', certificate, ...rest } satisfies LinkState);
  };
  return { clock, hub, store, config, up };
}

const certificateOf = ({ tls }: LinkConfig): X509Certificate => new X509Certificate(tls?.certificate ?? '');

test('a certificate is renewed at two thirds of its life, and the old one kept until the new one was used', async () => {
  const { clock, hub, store, config, up } = await linked();
  const first = config();
  assert.is(first.fallback, undefined);
  up(first.tls);
  const link = store.site.get({ kind: 'Link', name: 'up' }, { showSecrets: false });
  assert.is((link as unknown as { status: { certificate: { daysLeft: number } } }).status.certificate.daysLeft, 89);

  clock.now += 55 * dayMs;
  await store.site.upkeep();
  assert.equal(config(), first, 'before its time');
  clock.now += 9 * dayMs;
  await store.site.upkeep();
  await eventually('the new certificate', () => config().fallback);
  const second = config();
  assert.equal(second.fallback, first.tls);
  assert.is.not(certificateOf(second).serialNumber, certificateOf(first).serialNumber);
  assert.is.not(second.tls?.key, first.tls?.key, 'it has a key of its own');
  assert.is(certificateOf(second).subject, certificateOf(first).subject);
  assert.is(certificateOf(second).subjectAltName, certificateOf(first).subjectAltName);
  assert.is(Math.round((certificateOf(second).validToDate.getTime() - clock.now) / dayMs), 90);
  assert.is(second.tls?.ca, first.tls?.ca);
  assert.equal({ ...second, tls: null, fallback: null }, { ...first, tls: null, fallback: null });

  up(first.tls);
  assert.equal(config(), second, 'the old one is still in use');
  up(second.tls);
  await eventually('the old one is let go of', () => !config().fallback);
  assert.equal(config().tls, second.tls);
  assert.equal(
    hub.site.issued().map(({ name, status }) => `${name} ${status}`),
    ['up valid', 'up valid'],
  );
});

test('a renewal whose answer was lost is answered again, and one under way survives a restart', async () => {
  const { clock, hub, store, config } = await linked();
  clock.now += 64 * dayMs;
  // As if the answer had come and the disk had not taken it.
  const kept = store.store.renewals.all()[0];
  const { newKey } = await import('../../src/pki/request.ts');
  const key = await newKey();
  store.store.renewals.put({ ...kept, key });
  const { requestFor } = await import('../../src/pki/request.ts');
  const { ask } = await import('../../src/enrol/client.ts');
  const { certificate = '', key: own = '' } = config().tls ?? {};
  const question = {
    url: kept.url,
    ca: kept.ca,
    body: '',
    certificate,
    key: own,
    signingRequest: await requestFor(key, ''),
    now: Date.now(),
  };
  const answers = [await ask(question), await ask(question)];
  assert.is(answers[0].text, answers[1].text);
  await store.site.stop(100);
  const again = await running([], clock, store.store);
  await again.site.upkeep();
  const link = () =>
    again.router.applies.flatMap(({ put }) => put).findLast((part) => part.kind === 'link') as LinkConfig;
  await eventually('the new certificate', () => link().fallback);
  assert.is(link().tls?.key, key);
  assert.is(hub.site.issued().length, 2, 'one to begin with, one renewed');
  assert.is(store.store.renewals.all()[0].key, null);
});

test('a hub that is away is asked again later; the certificate in use is not touched', async () => {
  const { clock, hub, store, config } = await linked();
  const first = config();
  clock.now += 64 * dayMs;
  await hub.site.stop(100);
  await store.site.upkeep();
  assert.equal(config(), first);
  const before = store.store.renewals.all()[0].key;
  clock.now += dayMs;
  await store.site.upkeep();
  assert.is(store.store.renewals.all()[0].key, before, 'the same is asked for');
});

test('a revoked certificate is not renewed, and the router is told of it, now and at the next start', async () => {
  const { clock, hub, store, config } = await linked();
  const first = config();
  const [{ fingerprint }] = hub.site.issued();
  assert.is(fingerprint, fingerprintOf(first.tls?.certificate ?? ''));
  assert.throws(() => hub.site.revoke(['up', 'nobody']), /called "nobody"/);
  assert.is(hub.site.issued()[0].status, 'valid', 'all or none');
  assert.is(hub.site.revoke([fingerprint.slice(0, 8)])[0].status, 'revoked');
  assert.equal(hub.router.requests.at(-1), { type: 'revoke', fingerprints: [fingerprint] });
  clock.now += 64 * dayMs;
  await store.site.upkeep();
  assert.equal(config(), first);
  const again = await running([], clock, hub.store);
  assert.equal(
    again.router.requests.slice(0, 2).map(({ type }) => type),
    ['start', 'revoke'],
  );
});

test('a CA that was rolled over is believed until all have renewed, and a little longer', async () => {
  const { clock, hub, store, config, up } = await linked();
  const first = config();
  const shown = () => {
    const accesses = hub.router.applies.flatMap(({ put }) => put).filter((part) => part.kind === 'access');
    return accesses.at(-1)?.tls as TlsMaterial;
  };
  const authorities = ({ ca }: TlsMaterial) => ca.split('BEGIN CERTIFICATE').length - 1;
  const before = shown();
  await hub.site.rollAuthority('skupper-site-ca', false);
  hub.router.say(listening);
  assert.is(authorities(shown()), 2);
  assert.is(verdict(shown().certificate ?? '', before.ca, 'sslserver'), 'OK', 'with the word of the old one');
  assert.is(verdict(shown().certificate ?? '', shown().ca, 'sslserver'), 'OK');
  const days = async (count: number) => {
    clock.now += count * dayMs;
    await hub.site.upkeep();
  };
  await days(64);
  assert.is(authorities(shown()), 2, 'one has not renewed yet');
  await store.site.upkeep();
  await eventually('the new certificate', () => config().fallback);
  assert.is(authorities(config().tls as TlsMaterial), 2);
  assert.is(authorities(first.tls as TlsMaterial), 1);
  up(config().tls);
  await days(6);
  assert.is(authorities(shown()), 2);
  await days(2);
  await eventually('the old one is believed no more', () => authorities(shown()) === 1);
  assert.ok(!before.ca.includes(shown().ca), 'and it is not the one from before');
});

test('who has no certificate of this site renews nothing', async () => {
  const { hub, store } = await linked();
  const { ask } = await import('../../src/enrol/client.ts');
  const { newKey, requestFor } = await import('../../src/pki/request.ts');
  const [{ url, ca }] = store.store.renewals.all();
  const signingRequest = await requestFor(await newKey(), '');
  const stranger = await running([hubSite, access('x', [{ name: 'edge' }])], { now: Date.now() });
  const shown = stranger.store.credentials.all()[0];
  for (const identity of [{}, { certificate: shown.certificate, key: shown.key }]) {
    const error = await ask({ url, ca, body: '', signingRequest, now: Date.now(), ...identity }).catch(
      (reason) => reason,
    );
    assert.match(error.message, /403: Renewal of certificate refused/);
  }
  assert.is(hub.site.issued().length, 1);
  const [issued] = hub.store.issued.all();
  assert.is(verdict(issued.certificate, hub.store.authorities.named('skupper-site-ca')[0].certificate), 'OK');
});

test.run();
