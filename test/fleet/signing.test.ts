/** What is signed between controller and devices: one form for one meaning, and no signature for another's. */
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { canonical } from '../../src/enrol/canonical.ts';
import { type Desired, desiredText, isSigned, orderText, reportText, signed } from '../../src/fleet/signing.ts';
import type { JsonObject } from '../../src/store/documents.ts';

const test = suite('signing');

/** The same value, its names in another order at every level. */
function reordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reordered);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, item]) => [name, reordered(item)]),
  );
}

test('canonical JSON means the same, and does not depend on the order of names', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false } as object), (value) => {
      const text = canonical(value);
      assert.equal(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      assert.is(canonical(reordered(value)), text);
    }),
  );
});

test('canonical JSON as RFC 8785 writes it', () => {
  const value = { literals: [null, true, false], numbers: [1e21, 4.5, 2e-3], string: '€$\u000f\nA\'B"\\', é: 1, Z: {} };
  assert.is(
    canonical(value),
    '{"Z":{},"literals":[null,true,false],"numbers":[1e+21,4.5,0.002],"string":"€$\\u000f\\nA\'B\\"\\\\","é":1}',
  );
});

const keys = {
  controller: generateKeyPairSync('ed25519'),
  device: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
};

test('what was signed for one device and generation is good for no other', () => {
  const desired = fc.record({
    device: fc.string(),
    generation: fc.nat(),
    documents: fc.array(fc.dictionary(fc.string(), fc.string())) as fc.Arbitrary<JsonObject[]>,
  });
  fc.assert(
    fc.property(desired, desired, (one: Desired, other: Desired) => {
      const signature = signed(desiredText(one), keys.controller.privateKey);
      assert.ok(isSigned(desiredText(one), signature, keys.controller.publicKey));
      const same = canonical(one) === canonical(other);
      assert.is(isSigned(desiredText(other), signature, keys.controller.publicKey), same);
    }),
  );
});

test('a device signs with the key of its certificate', () => {
  const text = reportText('store1-5a17f1e1', { applied: 3 });
  const signature = signed(text, keys.device.privateKey);
  assert.ok(isSigned(text, signature, keys.device.publicKey));
  assert.not(isSigned(reportText('store1-5a17f1e1', { applied: 4 }), signature, keys.device.publicKey));
  assert.not(isSigned(reportText('store2-5a17f1e1', { applied: 3 }), signature, keys.device.publicKey));
});

test('what is no signature is none', () => {
  const text = orderText({ device: 'd', id: 'i', verb: 'renew', expires: 1 });
  for (const nonsense of [undefined, null, 17, '', 'AAAA', '\u0000', 'x'.repeat(10_000)]) {
    assert.not(isSigned(text, nonsense, keys.controller.publicKey));
    assert.not(isSigned(text, nonsense, keys.device.publicKey));
  }
});

test.run();
