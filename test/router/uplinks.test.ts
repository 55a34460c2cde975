/** Which of an edge's links carries the traffic, where that changes quickly. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { Relay } from '../support/relay.ts';
import { TestRouter } from '../support/router.ts';
import { closeSockets } from '../support/tcp.ts';

const test = suite('uplinks');
const running: TestRouter[] = [];
const ca = makeCa('network');

test.after.each(async () => {
  for (const router of running.splice(0)) await router.parts.stop(200);
  await closeSockets();
});

function start(id: string, mode?: 'edge'): TestRouter {
  const router = new TestRouter(id, mode);
  running.push(router);
  return router;
}

async function newHub(id: string): Promise<number> {
  const hub = start(id);
  const tls = ca.issue({ commonName: id, hosts: ['127.0.0.1'] });
  await hub.put({ kind: 'access', name: 'edge', role: 'edge', host: '127.0.0.1', port: 0, tls });
  return hub.state('access', 'edge')?.port as number;
}

/** A store with two links, one to each of two hubs, over lines of its own. */
async function open() {
  const lines = {
    west: await Relay.open({ target: { port: await newHub('west') } }),
    east: await Relay.open({ target: { port: await newHub('east') } }),
  };
  const store = start('store', 'edge');
  const tls = ca.issue({ commonName: 'store' });
  const cost = (name: 'west' | 'east', cost: number): Promise<void> => {
    const endpoints = [{ host: '127.0.0.1', port: lines[name].port }];
    return store.put({ kind: 'link', name, role: 'edge', endpoints, cost, tls });
  };
  const link = (name: 'west' | 'east') => store.state('link', name);
  await Promise.all([cost('west', 1), cost('east', 2)]);
  await eventually('west carries it', () => link('west')?.status === 'up' && link('east')?.status === 'standby');
  return { lines, cost, link };
}

test('a hub that was lost and is back soon is no way before it has had time to hear of the network', async () => {
  const { lines, link } = await open();
  lines.west.cut();
  await eventually('east carries it', () => link('east')?.status === 'up');
  lines.west.restore();
  await eventually('west is back', () => !['waiting', 'connecting'].includes(link('west')?.status ?? ''));
  assert.is(link('west')?.status, 'standby');
  assert.is(link('east')?.status, 'up');
});

test('a link that stepped back and carries the traffic again stays connected when what was before has drained', async () => {
  const { cost, link } = await open();
  await cost('west', 3);
  await eventually('west has stepped back', () => link('west')?.status === 'standby', { withinMs: 30_000 });
  await cost('west', 1);
  // That takes longer than what is left of the time before.
  await eventually('east has stepped back', () => link('east')?.status === 'standby', { withinMs: 30_000 });
  assert.is(link('west')?.status, 'up');
  assert.equal([link('west')?.facts.downCount, link('east')?.facts.downCount], [0, 0]);
});

test.run();
