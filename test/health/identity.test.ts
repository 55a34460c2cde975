/** What a machine says of itself, and what a file says in its place. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hardwareIdentity, readIdentity } from '../../src/health/identity.ts';

const test = suite('identity');

function fileOf(text: string): string {
  const file = join(mkdtempSync(join(tmpdir(), 'identity-')), 'identity.json');
  writeFileSync(file, text);
  return file;
}

test('a file may say as much as is known', () => {
  const nothing = { serial: null, uuid: null, macs: [], model: null, disks: [] };
  assert.equal(readIdentity(fileOf('{}')), nothing);
  assert.equal(readIdentity(fileOf('{"serial":" A1 ","macs":["x","x"],"model":"-"}')), {
    ...nothing,
    serial: 'A1',
    macs: ['x'],
  });
  for (const text of ['', '7', '{"macs":"x"}', '{"macs":[1]}', '{"serial":5}', 'null']) {
    assert.throws(() => readIdentity(fileOf(text)), /is no identity/, text);
  }
  assert.throws(() => readIdentity('/nonexistent/file'), /is no identity/);
});

test('a machine says what it can', async () => {
  const identity = await hardwareIdentity();
  assert.equal(Object.keys(identity), ['serial', 'uuid', 'macs', 'model', 'disks']);
  for (const text of [identity.serial, identity.uuid, identity.model]) assert.ok(text === null || text.length > 0);
});

test.run();
