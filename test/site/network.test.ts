/** The network as it is put together from flow records. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { FlowRecord } from '../../src/router/records/encoding.ts';
import { Network } from '../../src/site/network.ts';

const test = suite('network');

/** A site with one router, whose source is `source`. */
function site(name: string, source: string, ...parts: Omit<FlowRecord, 'identity'>[]): FlowRecord[] {
  return [
    { type: 'SITE', identity: `${name}-id`, name },
    { type: 'ROUTER', identity: `${source}:0`, parent: `${name}-id`, name: `0/${name}`, startTime: 1 },
    ...parts.map((part, index) => ({ ...part, identity: `${source}:${index + 1}`, parent: `${source}:0` })),
  ];
}

function networkOf(sources: Record<string, FlowRecord[]>): Network {
  const network = new Network();
  network.apply({ put: Object.entries(sources).map(([source, records]) => ({ source, records })), remove: [] });
  return network;
}

const hub = site('hub', 'hhhhh', { type: 'ROUTER_ACCESS', name: 'edges', role: 'edge' });
const link = (status: string): Omit<FlowRecord, 'identity'> => ({ type: 'LINK', name: 'up', peer: 'hhhhh:1', status });

test('sites come with their links and services, in order', () => {
  const store = site(
    'store',
    'sssss',
    link('up'),
    { type: 'CONNECTOR', name: 'connector/b@h', address: 'b', destHost: '10.0.0.2' },
    { type: 'CONNECTOR', name: 'connector/c@h', address: 'b', destHost: '10.0.0.1' },
    { type: 'LISTENER', name: 'listener/a', address: 'a' },
  );
  const { sites } = networkOf({ sssss: store, hhhhh: hub }).view;
  const links = [{ name: 'up', remoteSiteId: 'hub-id', remoteSiteName: 'hub', operational: true }];
  const services = [
    { routingKey: 'a', listeners: ['listener/a'] },
    { routingKey: 'b', connectors: ['10.0.0.1', '10.0.0.2'] },
  ];
  assert.equal(sites, [
    { id: 'hub-id', name: 'hub' },
    { id: 'store-id', name: 'store', links, services },
  ]);
});

test('a link that is down is not operational; one that ends nowhere known is not shown', () => {
  const down = networkOf({ sssss: site('store', 'sssss', link('down')), hhhhh: hub }).view.sites[1];
  assert.equal(down?.links, [{ name: 'up', remoteSiteId: 'hub-id', remoteSiteName: 'hub', operational: false }]);
  const alone = networkOf({ sssss: site('store', 'sssss', link('up')) }).view.sites[0];
  assert.not.ok('links' in (alone ?? {}));
});

test('a router without a site is none, and its services count all the same', () => {
  const bare: FlowRecord[] = [
    { type: 'ROUTER', identity: 'bbbbb:0', name: '0/bare' },
    { type: 'LISTENER', identity: 'bbbbb:1', parent: 'bbbbb:0', address: 'erp', name: 'erp' },
  ];
  const { view } = networkOf({ bbbbb: bare });
  assert.equal(view.sites, []);
  assert.ok(view.hasListener('erp'));
  assert.not.ok(view.hasListener('crm'));
  assert.is(view.siteOfRouter('bare'), undefined);
});

test('a router that was started again counts once, as the later one', () => {
  const before = site('store', 'sssss', { type: 'LISTENER', name: 'listener/a', address: 'a' });
  const after = site('store', 'ttttt', { type: 'LISTENER', name: 'listener/a', address: 'a' });
  for (const record of after) if (record.type === 'ROUTER') record.startTime = 2;
  for (const sources of [
    { sssss: before, ttttt: after },
    { ttttt: after, sssss: before },
  ]) {
    const { view } = networkOf(sources);
    assert.is(view.sites.length, 1);
    assert.equal(view.sites[0]?.services, [{ routingKey: 'a', listeners: ['listener/a'] }]);
  }
});

test('what changes is put together again', () => {
  const network = networkOf({ hhhhh: hub });
  const { view } = network;
  assert.is(network.view, view, 'once a change');
  network.apply({ put: [{ source: 'sssss', records: site('store', 'sssss') }], remove: [] });
  assert.equal(
    network.view.sites.map(({ name }) => name),
    ['hub', 'store'],
  );
  assert.equal(network.view.siteOfRouter('store'), { id: 'store-id', name: 'store' });
  assert.equal(network.view.siteOfAccess('hhhhh:1'), { id: 'hub-id', name: 'hub' });
  network.apply({ put: [], remove: ['hhhhh'] });
  assert.is(network.view.siteOfAccess('hhhhh:1'), undefined);
});

test.run();
