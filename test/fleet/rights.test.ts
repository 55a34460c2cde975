/** What devices may do in the network, as it follows from what they are to be and what their group lets them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rightsOf } from '../../src/fleet/rights.ts';
import { connector, document, listener } from '../site/setup.ts';
import { eventually } from '../support/eventually.ts';
import { group, Hub } from './world.ts';

const test = suite('rights');
const hubs: Hub[] = [];

test.after.each(() => {
  for (const hub of hubs.splice(0)) hub.close();
});

const nothing = { offers: [], uses: [] };

test('connectors are offered, listeners are used, with all the keys of those that have many', () => {
  const many = (name: string, strategy: object) => document('MultiKeyListener', name, { host: 'h', port: 1, strategy });
  const documents = [
    connector('printer'),
    listener('erp'),
    many('first', { priority: { routingKeys: ['a', 'b'] } }),
    many('share', { weighted: { routingKeys: { c: 1, d: 2 } } }),
    document('Site', 'store', { edge: true }),
  ] as Parameters<typeof rightsOf>[1];
  assert.equal(rightsOf('store-1', documents, { offers: ['till.*'], uses: ['erp', 'mail'] }), {
    device: 'store-1',
    offers: ['printer', 'till.*'],
    uses: ['a', 'b', 'c', 'd', 'erp', 'mail'],
  });
  assert.equal(rightsOf('store-1', [], nothing), { device: 'store-1', ...nothing });
});

test('they follow the group, each device with its own variables, and end with the device', async () => {
  const hub = new Hub();
  hubs.push(hub);
  const { id } = await hub.enrol('store-1');
  const rights = () => hub.granted.get(id);
  const among = (more: object): object => {
    const changed = group([listener('erp')]) as { spec: object };
    return { ...changed, spec: { ...changed.spec, ...more } };
  };
  hub.apply(among({ offers: ['{{name}}.*'], uses: ['{{var.region}}-mail'], variables: { region: 'north' } }));
  await eventually('its rights', () => rights()?.uses.length === 2);
  assert.equal(rights(), { device: id, offers: ['store-1.*'], uses: ['erp', 'north-mail'] });
  // What cannot be filled in gives no right; what the documents are for stays.
  hub.apply(among({ uses: ['{{var.region}}-mail'] }));
  await eventually('the rights of its documents alone', () => rights()?.uses.join() === 'erp');

  const [device] = hub.store.devices.all();
  assert.ok(device);
  hub.store.transaction(() => hub.store.devices.put({ ...device, state: 'revoked' }));
  hub.controller.refresh();
  assert.is(rights(), undefined);
});

test.run();
