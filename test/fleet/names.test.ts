/** What devices are called, and which serial numbers tell them apart. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deviceName } from '../../src/fleet/names.ts';
import { meaningfulSerial } from '../../src/fleet/serials.ts';

const test = suite('names of devices');

const identity = { serial: 'PF3K-9Z21', uuid: null, macs: ['00:1b:21:3c:4d:5e'], model: 'ACME Box 3', disks: [] };
const nobody = () => false;

test('templates are filled in, in the letters of a name', () => {
  assert.is(deviceName(undefined, 'stores', identity, 16, nobody), 'stores-17');
  assert.is(deviceName('store-{serial}', 'stores', identity, 0, nobody), 'store-pf3k-9z21');
  assert.is(deviceName('{model}-{mac}', 'stores', identity, 0, nobody), 'acme-box-3-00-1b-21-3c-4d-5e');
  assert.is(deviceName('s-{serial}', 'stores', { ...identity, serial: null }, 0, nobody), 's-00-1b-21-3c-4d-5e');
});

test('no two have one name', () => {
  const taken = new Set<string>();
  for (const template of ['{group}-{seq}', 's-{serial}', 's-{serial}', 's-{serial}', '{group}-{seq}']) {
    taken.add(deviceName(template, 'stores', identity, 0, (name) => taken.has(name)));
  }
  assert.equal([...taken], ['stores-1', 's-pf3k-9z21', 's-pf3k-9z21-2', 's-pf3k-9z21-3', 'stores-2']);
});

test('whatever a device says of itself, its name is one', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.nat(5), (serial, others) => {
      let left = others;
      const name = deviceName('{serial}', 'stores', { ...identity, serial }, 0, () => left-- > 0);
      assert.match(name, /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
      assert.ok(name.length <= 52);
    }),
  );
});

test('serial numbers that makers leave everywhere count as none', () => {
  const junk = [
    '',
    ' ',
    '-',
    'None',
    'To be filled by O.E.M.',
    'Default string',
    '0000000000',
    'XXXXXXX',
    '0123456789',
  ];
  for (const serial of [null, ...junk]) assert.is(meaningfulSerial(serial), null, String(serial));
  for (const serial of ['PF3K9Z21', ' A1 ', '10000000']) assert.is(meaningfulSerial(serial), serial.trim());
});

test.run();
