/** What a router that is not ours cannot bear, and so is not made to: seen of skupper-router 3.5.1. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AccessState, PartState } from '../../src/router/protocol.ts';
import { Parts } from '../../src/tcp/parts.ts';
import { makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { closeHostileEdges, HostileEdge } from '../support/hostile-edge.ts';

const test = suite('a router that is not ours');
const running: Parts[] = [];
const ca = makeCa('network');
const host = '127.0.0.1';

test.after.each(async () => {
  await closeHostileEdges();
  for (const parts of running.splice(0)) await parts.stop(200);
});

async function newHub() {
  const states = new Map<string, PartState>();
  const siteId = '5a17f1e1-0000-4000-8000-000000000001';
  const parts = new Parts({ id: 'hub', mode: 'interior', siteId, siteName: 'hub', version: '1' }, (changed) => {
    for (const state of changed) states.set(state.name, state);
  });
  running.push(parts);
  const tls = { ...ca.issue({ commonName: 'hub', hosts: [host] }), ca: ca.certificate };
  await parts.apply([{ kind: 'access', name: 'edges', role: 'edge', host, port: 0, tls }], []);
  const { port } = states.get('edges') as AccessState;
  const edge = (id: string, product?: string) =>
    HostileEdge.connect(port as number, { ...ca.issue({ commonName: id }), ca: ca.certificate }, id, product);
  return { edge };
}

test('a message that nobody takes is settled when it has come whole, and not before', async () => {
  const { edge } = await newHub();
  const foreign = await edge('foreign');
  const { delivery, outcomes } = foreign.stream({ to: 'nobody' }, 'octets');
  await eventually('it is released', () => outcomes.states.length > 0);
  assert.equal(outcomes.states, [{ state: { outcome: 'released' }, settled: false }]);
  delivery.end(false);
  await eventually('it is settled', () => outcomes.final);
  assert.is(outcomes.final, 'released');
});

test('a message that a consumer has settled early is settled when it has come whole', async () => {
  const { edge } = await newHub();
  const [foreign, consumer] = [await edge('foreign'), await edge('consumer')];
  const { inbox } = await consumer.receiver('quick');
  const { delivery, outcomes } = foreign.stream({ to: 'quick', by: await foreign.sender('quick') }, 'octets');
  const stream = await eventually('it has come', () => consumer.streams.received[0] ?? inbox.received[0]);
  stream.delivery.update({ outcome: 'accepted' }, true);
  await eventually('its outcome', () => outcomes.states.length > 0);
  assert.equal(outcomes.states, [{ state: { outcome: 'accepted' }, settled: false }]);
  delivery.end(false);
  await eventually('it is settled', () => outcomes.final);
});

test.run();
