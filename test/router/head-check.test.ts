/** Who may say what in the head of a message. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { MessageHead, RouterAnnotations } from '../../src/amqp/message.ts';
import { checkAddress, checkHead, type Speaker } from '../../src/router/head-check.ts';
import { message } from './consumers.ts';

const client: Speaker = { isRouter: false, isInterior: false };
const edge: Speaker = { isRouter: true, isInterior: false };
const interior: Speaker = { isRouter: true, isInterior: true };
const everybody = { client, edge, interior };

/** Who is refused this, and with which condition. */
function refused(change: Partial<MessageHead>): Record<string, string> {
  const { head } = message('shop');
  const found: Record<string, string> = {};
  for (const [name, speaker] of Object.entries(everybody)) {
    try {
      checkHead({ ...head, ...change }, speaker);
    } catch (error) {
      found[name] = (error as { condition: string }).condition;
    }
  }
  return found;
}

const annotated = (change: Partial<RouterAnnotations>): { annotations: RouterAnnotations } => ({
  annotations: { flags: 0, toOverride: null, ingress: null, trace: [], mesh: null, ...change },
});

test('anybody sends to a routing key, and only routers say more than that', () => {
  assert.equal(refused({}), {});
  assert.equal(refused(annotated({ flags: 1, toOverride: 'shop' })), { client: 'amqp:not-allowed' });
});

test('an edge router says nothing of where a message has been', () => {
  const both = { client: 'amqp:not-allowed', edge: 'amqp:not-allowed' };
  assert.equal(refused(annotated({ ingress: '0/hub' })), both);
  assert.equal(refused(annotated({ trace: ['0/hub'] })), both);
});

test('no message has passed more routers than there can be', () => {
  const passed = (count: number) => annotated({ ingress: '0/a', trace: Array(count).fill('0/a') });
  assert.is(refused(passed(1_024)).interior, undefined);
  assert.is(refused(passed(10_000)).interior, 'amqp:not-allowed');
});

test('an address has an end, wherever it stands', () => {
  const long = 'x'.repeat(10_000);
  const all = { client: 'amqp:invalid-field', edge: 'amqp:invalid-field', interior: 'amqp:invalid-field' };
  assert.equal(refused({ to: long }), all);
  assert.equal(refused({ replyTo: long }), all);
  assert.is(refused(annotated({ toOverride: long })).interior, 'amqp:invalid-field');
  assert.equal(refused({ to: 'x'.repeat(2_048) }), {});
});

test('only interior routers speak the routing protocol', () => {
  for (const address of [
    ...['_local/qdhello', 'amqp:/_topo/0/hub/qdrouter', '_topo/0/all/qdrouter', '//_topo/0/hub/qdrouter.ma'],
  ]) {
    assert.throws(() => checkAddress(address, client), /only interior routers/, address);
    assert.throws(() => checkAddress(address, edge), /only interior routers/, address);
    checkAddress(address, interior);
  }
  for (const address of ['qdrouter', '_topo/0/hub/$management', '_topo/0/hub/temp.qdrouter', 'my/_local/qdhello']) {
    checkAddress(address, client);
  }
});

test.run();
