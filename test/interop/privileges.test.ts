/** A skupper-router as a device of our fleet: it gets what its group may have, and takes the rest as it is. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { enrolByHand, readToken } from '../support/enrol.ts';
import { eventually } from '../support/eventually.ts';
import { connector, document, listener } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { accepts, closeSockets, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';
import { available, SkupperRouter } from './skupper-router.ts';

const test = suite('skupper-router as a device');

test.after.each(async () => {
  await closeSockets();
  await Skiff.stopAll();
  await SkupperRouter.stopAll();
});

const group = (uses: string[], offers: string[]): object => ({
  apiVersion: 'skiff/v1alpha1',
  kind: 'DeviceGroup',
  metadata: { name: 'stores' },
  spec: { documents: [], uses, offers },
});

test('it uses and offers what its group may, is refused the rest, and gets more when the group does', async () => {
  const [edgePort, enrolment, printerPort, secretPort] = await Promise.all([1, 2, 3, 4].map(() => freePort()));
  const server = await echo();
  const hub = await Skiff.run({
    documents: [
      document('Site', 'hq', {}),
      document('RouterAccess', 'uplinks', { bindHost: '127.0.0.1', roles: [{ name: 'edge', port: edgePort }] }),
      {
        apiVersion: 'skiff/v1alpha1',
        kind: 'EnrolmentService',
        metadata: { name: 'enrolment' },
        spec: { bindHost: '127.0.0.1', port: enrolment, hosts: ['127.0.0.1'] },
      },
      connector('erp', server.port),
      connector('orders', server.port),
      listener('printer', printerPort as number),
      listener('secret', secretPort as number),
      group(['erp'], ['printer']),
    ],
  });
  const created = await hub.cli('claim', 'create', 'batch', '--group', 'stores');
  const { credentials, id } = await enrolByHand(readToken(created.stdout));
  const normalPort = await freePort();
  const router = new SkupperRouter({ id, mode: 'edge', credentials, normalPort, edgePort: edgePort as number });
  await router.start();
  const [erp, orders] = [await freePort(), await freePort()];
  await router.create('tcpListener', 'erp', erp);
  await router.create('tcpListener', 'orders', orders);
  await router.create('tcpConnector', 'printer', server.port);
  await router.create('tcpConnector', 'secret', server.port);
  await untilAccepting(erp);
  assert.is(await exchange(erp, 'hello'), 'hello');
  await untilAccepting(printerPort as number);
  assert.is(await exchange(printerPort as number, 'hello'), 'hello', 'the other way, with its answer');

  const denied = await eventually('what it was refused', async () => {
    const { status } = await hub.get('Device', id.slice(0, -9));
    const refused = status.refused as string[];
    return refused.includes('send orders') && refused.includes('receive secret') && refused;
  });
  assert.equal(
    denied.filter((each) => !/orders|secret/.test(each)),
    [],
    'nothing that it needs as a router is refused',
  );
  assert.not.ok(await accepts(orders));
  assert.not.ok(await accepts(secretPort as number));

  await hub.apply(group(['erp', 'orders'], ['printer', 'secret']));
  await untilAccepting(orders);
  assert.is(await exchange(orders, 'more'), 'more');
  await untilAccepting(secretPort as number);
  assert.is(await exchange(secretPort as number, 'more'), 'more');
});

if (available()) test.run();
