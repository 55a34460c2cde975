/** Blank devices that enrol at a hub: let in, kept waiting, turned away; and what neither end may lose or do twice. */
import { X509Certificate } from 'node:crypto';
import net from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Clock } from '../../src/clock.ts';
import { applyToHub } from '../../src/enrol/applicant.ts';
import type { IssuedAnswer, RefusedAnswer } from '../../src/enrol/protocol.ts';
import { newKey, requestFor } from '../../src/pki/request.ts';
import {
  type Claim,
  claimFile,
  fleetDocument,
  newClaim,
  newDevice,
  newHub,
  untilEnrolled,
} from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { listener } from '../support/network.ts';
import { type Shown, Skiff } from '../support/skiff.ts';
import { closeSockets, freePort } from '../support/tcp.ts';

const test = suite('enrolment');

test.after.each(async () => {
  await closeSockets();
  await Skiff.stopAll();
});

const devicesOf = async (hub: Skiff) => (await hub.api.list('Device', { showSecrets: false })) as Shown[];
const stateOf = async (device: Skiff) => (await device.api.device()).state;

/** A device that is no process: what it asks, and what it is answered. */
async function stranger(claim: Claim, serial: string | null, key?: string) {
  const own = key ?? (await newKey());
  const identity = { serial, uuid: null, macs: [], model: null, disks: [] };
  const ask = async (token = claim.spec) =>
    (await applyToHub({ token, request: await requestFor(own, ''), identity, version: '1', clock: new Clock() }))
      .answer;
  return { key: own, ask };
}

async function refusalOf(claim: Claim, serial: string | null = null): Promise<string> {
  const answer = (await (await stranger(claim, serial)).ask()) as RefusedAnswer;
  assert.is(answer.state, 'refused');
  return `${answer.code}${answer.permanent ? '' : ' for now'}`;
}

test('a blank device with a claim becomes a site of its group, and needs the claim no more', async () => {
  const erp = await freePort();
  const group = fleetDocument('DeviceGroup', 'stores', {
    nameTemplate: 'store-{serial}',
    documents: [listener('erp', erp)],
  });
  const hub = await newHub({ documents: [group] });
  const claim = await newClaim(hub, 'spring');
  const device = await newDevice(claim, 'A1');
  assert.is(device.ready.site, null);
  assert.is(await untilEnrolled(device), 'store-a1');
  const [, event] = device.events;
  assert.equal([event.event, event.site, event.mode], ['site', 'store-a1', 'edge']);
  assert.equal((await device.get('Listener', 'erp')).spec?.port, erp);
  assert.is((await device.get('EnrolmentToken', 'spring')).status.status, 'Ready');
  assert.is((await device.get('EnrolmentToken', 'spring')).spec?.secret, '<redacted>');

  const known = await hub.until('Device', 'store-a1', 'Ready');
  const { words } = await device.api.device();
  assert.equal([known.status.state, known.status.fingerprint, known.status.linked], ['enrolled', words, true]);
  assert.equal((known.status.identity as { serial: string }).serial, 'A1');
  assert.is((await hub.get('EnrolmentClaim', 'spring')).status.state, 'Spent');
  assert.equal(known.status.site, { name: 'store-a1', id: (event as { id: string }).id });

  await device.stop('SIGKILL');
  await hub.cli('claim', 'revoke', 'spring');
  const again = await newDevice(claim, 'A1', { data: device.data });
  assert.equal([again.ready.site, again.ready.id], ['store-a1', event.id]);
  await again.until('Link', 'hq', 'Ready');
  assert.is((await devicesOf(hub)).length, 1);
});

test('a device waits until somebody who has compared the words approves it', async () => {
  const hub = await newHub();
  const claim = await newClaim(hub, 'careful', '--approve', 'manual', '--uses', '5');
  const device = await newDevice(claim, 'B1');
  await eventually('it waits', async () => (await stateOf(device)) === 'pending');
  const { words, error } = await device.api.device();
  assert.is(error?.code, 'enrolment-pending');
  assert.match((await device.cli('device', 'status')).stdout, new RegExp(`waits for somebody.*${words}`, 's'));
  const listed = await hub.cli('fleet', 'devices', '--state', 'pending', '-o', 'json');
  assert.is(JSON.parse(listed.stdout)[0].status.fingerprint, words);
  assert.equal((await hub.get('EnrolmentClaim', 'careful')).status.pending, 1);
  assert.is((await hub.cli('fleet', 'approve', words ?? '')).stdout, 'Device stores-1 is enrolled\n');
  assert.is(await untilEnrolled(device), 'stores-1');

  const other = await newDevice(claim, 'B2');
  await eventually('it waits, too', async () => (await stateOf(other)) === 'pending');
  assert.is((await hub.cli('fleet', 'reject', 'stores-2')).stdout, 'Device stores-2 is rejected\n');
  await eventually('it hears that', async () => (await stateOf(other)) === 'refused');
  assert.is((await other.api.device()).error?.code, 'device-rejected');
  assert.is((await other.api.device()).nextAttemptTime, null);
  assert.is((await hub.cli('fleet', 'approve', 'stores-2')).code, 1);
});

test('who may not enrol is told why, and that it is for good', async () => {
  const hub = await newHub();
  const spent = await newClaim(hub, 'spent');
  await (await stranger(spent, null)).ask();
  assert.is(await refusalOf(spent), 'claim-spent');
  const brief = await newClaim(hub, 'brief', '--expires', '1s');
  await hub.until('EnrolmentClaim', 'brief', ({ status }) => status.state === 'Expired');
  assert.is(await refusalOf(brief), 'claim-expired');
  const revoked = await newClaim(hub, 'revoked', '--uses', '0');
  const waits = await stranger(revoked, null);
  assert.is((await waits.ask()).state, 'issued');
  assert.is((await hub.cli('claim', 'revoke', 'revoked')).stdout, 'Claim revoked revoked\n');
  assert.is(await refusalOf(revoked), 'claim-revoked');
  assert.is((await waits.ask()).state, 'issued', 'who was let in stays in');
  const bound = await newClaim(hub, 'bound', '--serial', 'C1,C2', '--uses', '0');
  assert.is(await refusalOf(bound, 'C3'), 'serial-not-listed');
  assert.is(await refusalOf(bound, 'To be filled by O.E.M.'), 'serial-not-listed');
  assert.is((await (await stranger(bound, 'C2')).ask()).state, 'issued');
  await hub.delete('EnrolmentClaim', 'bound');
  assert.is(await refusalOf(bound, 'C1'), 'claim-unknown');
  const audit = (await hub.api.audit()).map(({ event, claim }) => `${event} ${claim}`);
  assert.ok(audit.includes('claim-revoked revoked'));
  assert.is(audit.filter((line) => line === 'device-enrolled revoked').length, 1);

  const device = await newDevice(spent, 'C9');
  await eventually('it is refused', async () => (await stateOf(device)) === 'refused');
  const token = await device.get('EnrolmentToken', 'spent');
  assert.equal([token.status.status, (token.status.error as { code: string }).code], ['Error', 'claim-spent']);
  const fresh = await newClaim(hub, 'fresh');
  await device.apply(fresh.document);
  await device.until('Link', 'hq', 'Ready');
});

test('a claim whose devices wait lets in those who are listed', async () => {
  const hub = await newHub();
  const claim = await newClaim(hub, 'batch', '--approve', 'listed', '--serial', 'D1', '--uses', '0');
  assert.is((await (await stranger(claim, 'D1')).ask()).state, 'issued');
  const other = await (await stranger(claim, 'D2')).ask();
  assert.equal([other.state, other.state === 'pending' && other.reason], ['pending', 'serial-not-listed']);
});

test('asked again, the answer is the same; another key with a known serial has to wait', async () => {
  const hub = await newHub();
  const claim = await newClaim(hub, 'many', '--uses', '0');
  const first = await stranger(claim, 'E1');
  const answers = [(await first.ask()) as IssuedAnswer, (await first.ask()) as IssuedAnswer];
  assert.equal(answers[0].device, answers[1].device);
  assert.is(answers[0].certificate, answers[1].certificate);
  const names = new X509Certificate(answers[0].certificate).subjectAltName ?? '';
  const { name, siteId } = answers[0].device;
  assert.is(names, `URI:urn:skiff:device:${name}-${siteId.slice(0, 8)}, URI:urn:skiff:fleet`);
  const twin = await (await stranger(claim, 'E1')).ask();
  assert.equal([twin.state, twin.state === 'pending' && twin.reason], ['pending', 'serial-known']);
  for (const junk of [null, 'Default string', '0000000', 'To be filled by O.E.M.']) {
    assert.is((await (await stranger(claim, junk)).ask()).state, 'issued', String(junk));
  }
  // At the same time, for one place.
  const single = await newClaim(hub, 'single');
  const both = await Promise.all(['E2', 'E3'].map(async (serial) => (await stranger(single, serial)).ask()));
  assert.equal(both.map(({ state }) => state).sort(), ['issued', 'refused']);
});

test('whoever has not the secret of the claim gets nowhere, and soon no answer', async () => {
  const hub = await newHub();
  const claim = await newClaim(hub, 'right', '--uses', '0');
  const wrong = { ...claim, spec: { ...claim.spec, secret: (await newClaim(hub, 'other')).spec.secret } };
  for (let guess = 0; guess < 10; guess++) assert.is(await refusalOf(wrong), 'proof-failed for now');
  assert.is(await refusalOf(wrong), 'too-many-attempts for now');
  assert.equal(await devicesOf(hub), []);
});

test('an answer that was lost after the hub had written it costs nothing', async () => {
  const hub = await newHub();
  const claim = await newClaim(hub, 'lossy');
  const lossy = await relayThatLoses(Number(new URL(claim.spec.urls[0]).port));
  const device = await newDevice(claimFile({ spec: claim.spec, ...claim.document }, [lossy.url]), 'F1');
  await eventually('the hub has let it in', async () => (await devicesOf(hub)).length === 1);
  assert.is(await stateOf(device), 'asking');
  lossy.cut();
  assert.is(await untilEnrolled(device), 'stores-1');
  assert.is((await devicesOf(hub)).length, 1);
  assert.is((await hub.get('EnrolmentClaim', 'lossy')).status.used, 1);
});

/** To the hub's port; of the first request that is longer than a nonce's, no answer comes back. */
async function relayThatLoses(port: number): Promise<{ url: string; cut(): void }> {
  const held: net.Socket[] = [];
  let lost = false;
  const server = net.createServer((client) => {
    const hub = net.connect(port, '127.0.0.1');
    held.push(client, hub);
    let [answered, sent, losing] = [false, 0, false];
    client.on('data', (octets) => {
      if (answered) sent += octets.length;
      // After the handshake, a nonce is asked for in a few hundred octets.
      if (sent > 1_000 && !lost) lost = losing = true;
      hub.write(octets);
    });
    hub.on('data', (octets) => {
      answered = true;
      if (!losing) client.write(octets);
    });
    for (const [one, other] of [[client, hub] as const, [hub, client] as const]) {
      one.on('error', () => {}).on('close', () => other.destroy());
    }
  });
  const own = await freePort();
  await new Promise<void>((resolve) => server.listen(own, '127.0.0.1', resolve));
  server.unref();
  const cut = () => {
    for (const socket of held) socket.destroy();
  };
  return { url: `https://127.0.0.1:${own}`, cut };
}

test('a claim that is revoked while a device waits turns it away', async () => {
  const hub = await newHub();
  const claim = await newClaim(hub, 'leaked', '--approve', 'manual', '--uses', '0');
  const device = await newDevice(claim, 'G1');
  await eventually('it waits', async () => (await stateOf(device)) === 'pending');
  await hub.cli('claim', 'revoke', 'leaked');
  await eventually('it is turned away', async () => (await stateOf(device)) === 'refused');
  assert.is((await device.api.device()).error?.code, 'claim-revoked');
});

test('a revoked device is cut off at once and for good', async () => {
  const hub = await newHub();
  const claim = await newClaim(hub, 'stolen', '--uses', '0');
  const device = await newDevice(claim, 'H1');
  const name = await untilEnrolled(device);
  await hub.until('Device', name, ({ status }) => status.linked);
  assert.is((await hub.cli('fleet', 'revoke', name)).stdout, `Device ${name} is revoked\n`);
  await hub.until('Device', name, ({ status }) => !status.linked, 5_000);
  await device.until('Link', 'hq', ({ status }) => status.status === 'Error');
  assert.is((await hub.get('Device', name)).status.online, false);
  await eventually('it knows', async () => (await stateOf(device)) === 'revoked');
  assert.match((await device.cli('device', 'status')).stdout, /revoked it for good[\s\S]*\[device-revoked\]/);
  await hub.stop('SIGKILL');
  const back = await Skiff.run({ data: hub.data });
  await back.until('EnrolmentService', 'enrolment', 'Ready');
  await device.stop();
  const again = await Skiff.run({ data: device.data });
  assert.is(await stateOf(again), 'revoked');
  // It has tried.
  await back.until('RouterAccess', 'uplinks', ({ status }) => (status.refusals as unknown[]).length > 0);
  const shown = await back.get('Device', name);
  assert.equal([shown.status.state, shown.status.linked], ['revoked', false]);
  assert.is((await back.cli('fleet', 'approve', name)).code, 1);
});

test("a device goes to another hub with that one's claim, and back to nothing with a reset", async () => {
  const [first, second] = [await newHub(), await newHub({}, 'hq')];
  const device = await newDevice(await newClaim(first, 'one'), 'I1');
  await untilEnrolled(device);
  await first.stop('SIGKILL');
  const refused = await newClaim(second, 'gone');
  await second.cli('claim', 'revoke', 'gone');
  const no = await device.cli('device', 'relink', '--claim', refused.file);
  assert.equal([no.code, /claim-revoked|revoked/.test(no.stderr)], [1, true]);
  assert.is(await stateOf(device), 'enrolled');
  const next = await newClaim(second, 'two');
  const yes = await device.cli('device', 'relink', '--claim', next.file);
  assert.match(yes.stdout, /^This device is stores-1 of group stores now, at https:/, yes.stderr);
  await second.until('Device', 'stores-1', 'Ready');

  assert.is((await device.cli('device', 'reset', '--yes')).stdout, 'The device has been reset\n');
  assert.is((await device.ended).code, 0);
  const blank = await newDevice(null, 'I1', { data: device.data });
  assert.equal([blank.ready.site, (await blank.api.device()).words], [null, null]);
});

test('a claim in the data directory, or brought by hand, will do', async () => {
  const hub = await newHub();
  const claim = await newClaim(hub, 'several', '--uses', '0');
  const device = await newDevice(null, 'J1');
  await eventually('it has looked', async () => (await device.api.device()).tried.length > 0);
  assert.match((await device.cli('device', 'status')).stdout, /USB stick +: nothing there/);
  await device.apply(claim.document);
  await untilEnrolled(device);
});

test.run();
