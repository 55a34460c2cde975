/** A hub whose database is copied back from last week: who was turned out since stays out. */

import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Clock } from '../../src/clock.ts';
import { applyToHub } from '../../src/enrol/applicant.ts';
import { newKey, requestFor } from '../../src/pki/request.ts';
import { edgePortOf, enrolByHand, fleetDocument, newClaim, newHub, type Stolen } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { closeHostileEdges, HostileEdge } from '../support/hostile-edge.ts';
import { Skiff } from '../support/skiff.ts';

const test = suite('revocations');

test.after.each(async () => {
  await closeHostileEdges();
  await Skiff.stopAll();
});

const group = fleetDocument('DeviceGroup', 'stores', {});

async function refusalOf(port: number, { credentials, id }: Stolen): Promise<string> {
  try {
    (await HostileEdge.connect(port, credentials, id)).close();
    return '';
  } catch (error) {
    return String(error);
  }
}

test('neither devices that it still thinks enrolled get in, nor those that it has never heard of', async () => {
  const hub = await newHub({ documents: [group] });
  const claim = await newClaim(hub, 'batch', '--uses', '0');
  const [kept, known] = [await enrolByHand(claim, 'A1'), await enrolByHand(claim, 'A2')];
  const port = await edgePortOf(hub);
  await hub.stop();
  const database = join(hub.data, 'skiff.db');
  copyFileSync(database, join(hub.data, 'last-week'));

  const since = await Skiff.run({ data: hub.data });
  const key = await newKey();
  const identity = { serial: 'A3', uuid: null, macs: [], model: null, disks: [] };
  const apply = async () =>
    (
      await applyToHub({
        token: claim.spec,
        request: await requestFor(key, ''),
        identity,
        version: '1',
        clock: new Clock(),
      })
    ).answer;
  await eventually('it enrols devices', async () => (await apply()).state === 'issued');
  const names = await since.api.list('Device', { showSecrets: false });
  const young = names.map(({ metadata }) => metadata.name).find((name) => ![kept.name, known.name].includes(name));
  assert.is((await since.cli('fleet', 'revoke', known.name, young as string)).code, 0);
  assert.is((await since.cli('certificate', 'list')).code, 0);
  await since.stop();

  copyFileSync(join(hub.data, 'last-week'), database);
  // As a crash leaves it in the middle of a line.
  const file = join(hub.data, 'revocations');
  writeFileSync(file, `${readFileSync(file, 'utf8')}certificate 0123`);
  const back = await Skiff.run({ data: hub.data });
  await back.untilLogged('the database is older than what was revoked');
  assert.is(await eventually('the device that was kept', async () => (await refusalOf(port, kept)) || 'none'), 'none');
  assert.match(await refusalOf(port, known), /did not accept this site's certificate/);
  assert.is((await back.get('Device', known.name)).status.state, 'revoked');
  const answer = await apply();
  assert.is(answer.state === 'refused' && answer.code, 'device-revoked');
  assert.is((await back.cli('fleet', 'revoke', kept.name)).code, 0);
  await back.stop();
  const again = await Skiff.run({ data: hub.data });
  assert.match(await refusalOf(port, kept), /did not accept/);
  await again.stop();
});

test('a device whose certificate the hub has forgotten is cut off by its name', async () => {
  const hub = await newHub({ documents: [group] });
  const claim = await newClaim(hub, 'batch');
  const key = await newKey();
  const stolen = await enrolByHand(claim, 'A1', key);
  const port = await edgePortOf(hub);
  await hub.stop();
  const database = join(hub.data, 'skiff.db');
  copyFileSync(database, join(hub.data, 'last-week'));
  const since = await Skiff.run({ data: hub.data });
  // One more certificate for the same device, of which the copy knows nothing.
  assert.is((await since.cli('certificate', 'revoke', stolen.name)).code, 0);
  const renewed = await enrolByHand(claim, 'A1', key);
  assert.is.not(renewed.credentials.certificate, stolen.credentials.certificate);
  await since.stop();
  copyFileSync(join(hub.data, 'last-week'), database);
  const back = await Skiff.run({ data: hub.data });
  const edge = await HostileEdge.connect(port, renewed.credentials, renewed.id);
  assert.is((await back.cli('fleet', 'revoke', stolen.name)).code, 0);
  await eventually('its link has ended', () => edge.events.closed);
  assert.match(await refusalOf(port, renewed), /did not accept/);
  await back.stop();
});

test.run();
