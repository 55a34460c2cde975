/** What becomes of a group's documents for one of its devices. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type DeviceFacts, type Layer, renderDevice, valuesOf } from '../../src/fleet/render.ts';
import type { JsonObject } from '../../src/store/documents.ts';
import { connector, document, listener } from '../support/network.ts';

const test = suite('render');

const store7: DeviceFacts = {
  name: 'store-7',
  siteId: '5a17f1e1-0000-4000-8000-000000000001',
  group: 'stores',
  serial: 'SN7',
};

const render = (...layers: { documents?: object[]; variables?: Record<string, string> }[]): JsonObject[] =>
  renderDevice(store7, [], layers as Layer[]);

const named = (documents: JsonObject[]): string[] =>
  documents.map(({ kind, metadata }) => `${kind}/${(metadata as JsonObject).name}`);

test('places are filled in, in every text', () => {
  const [printer] = render({
    documents: [connector('printer', 9100, '{{group}}.{{name}}.{{ serial }}', '{{var.printer}}')],
    variables: { printer: '10.0.0.9' },
  });
  assert.equal(printer?.spec, { routingKey: 'stores.store-7.SN7', host: '10.0.0.9', port: 9100 });
});

test('a variable that fills a number is one', () => {
  const [erp] = render({
    documents: [document('Listener', 'erp', { routingKey: '{{var.key}}', host: '0.0.0.0', port: '{{var.port}}' })],
    variables: { key: '0042', port: '8080' },
  });
  assert.equal(erp?.spec, { routingKey: '0042', host: '0.0.0.0', port: 8080 });
});

test('a device has its own variables, and its own documents in place of the group’s', () => {
  const group = { documents: [listener('erp', 1111), listener('mail', 2222)], variables: { host: 'a' } };
  const own = { documents: [listener('erp', 3333, '{{var.host}}')], variables: { host: 'b' } };
  const rendered = render(group, own);
  assert.equal(named(rendered), ['Listener/erp', 'Listener/mail']);
  assert.equal(rendered[0]?.spec, { routingKey: 'b', host: '127.0.0.1', port: 3333 });
});

test('what every device has stays, unless its group says otherwise', () => {
  const base = [
    document('Site', 'store-7', { edge: true }),
    document('Link', 'hub', { endpoints: [] }),
  ] as JsonObject[];
  assert.equal(named(renderDevice(store7, base, [{ documents: [listener('erp', 1)] as JsonObject[] }])), [
    'Link/hub',
    'Listener/erp',
    'Site/store-7',
  ]);
  const other = document('Link', 'hub', { endpoints: [{ name: 'edge', host: 'other', port: '1' }] }) as JsonObject;
  assert.equal(renderDevice(store7, base, [{ documents: [other] }])[0], other);
});

test('the same comes out whatever the order of the documents', () => {
  const documents = [listener('a', 1), listener('b', 2), connector('a', 3), connector('c', 4)];
  const expected = render({ documents });
  fc.assert(
    fc.property(fc.shuffledSubarray(documents, { minLength: documents.length }), (shuffled) => {
      assert.equal(render({ documents: shuffled }), expected);
    }),
  );
});

test('what a device could not take is refused, with what is wrong', () => {
  const refused: [object[], RegExp][] = [
    [[listener('erp', 1, '{{var.missing}}')], /nothing is known for \{\{var\.missing\}\}/],
    [[listener('erp', 70_000)], /port: must be a number from 1 to 65535/],
    [[document('Listener', 'erp', { host: 'x', port: 1 })], /routingKey: is required/],
    [
      [document('RouterAccess', 'open', { roles: [{ name: 'normal' }] })],
      /RouterAccess\/open is no document for a device/,
    ],
    [[document('Listener', '{{var.missing}}', {})], /nothing is known/],
    [[{ kind: 'Listener' }], /needs kind and metadata.name/],
    [[listener('erp', 1, 'x'.repeat(1024 * 1024))], /more than \d+ octets/],
  ];
  for (const [documents, reason] of refused) assert.throws(() => render({ documents }), reason);
});

test('what a device says of itself fills in a name, and nothing else', () => {
  fc.assert(
    fc.property(fc.string(), (serial) => {
      assert.match(valuesOf({ ...store7, serial }, []).get('serial') ?? '', /^[\w.-]*$/);
    }),
  );
});

test.run();
