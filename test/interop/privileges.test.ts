/** A skupper-router as a device of our fleet: it gets what its group may have, and takes the rest as it is. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { edgePortOf, enrolByHand, fleetDocument, newClaim, newHub } from '../support/enrolment.ts';
import { eventually } from '../support/eventually.ts';
import { connector, listener } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { accepts, closeSockets, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';
import { available, SkupperRouter } from './skupper-router.ts';

const test = suite('skupper-router as a device');

test.after.each(async () => {
  await closeSockets();
  await Skiff.stopAll();
  await SkupperRouter.stopAll();
});

const group = (uses: string[], offers: string[]): object =>
  fleetDocument('DeviceGroup', 'stores', { documents: [], uses, offers });

test('it uses and offers what its group may, is refused the rest, and gets more when the group does', async () => {
  const [printerPort, secretPort] = [await freePort(), await freePort()];
  const server = await echo();
  const hub = await newHub({
    documents: [
      ...[connector('erp', server.port), connector('orders', server.port)],
      ...[listener('printer', printerPort), listener('secret', secretPort)],
      group(['erp'], ['printer']),
    ],
  });
  const { credentials, id, name } = await enrolByHand(await newClaim(hub, 'batch'), 'A1');
  const edgePort = await edgePortOf(hub);
  const normalPort = await freePort();
  const router = new SkupperRouter({ id, mode: 'edge', credentials, normalPort, edgePort });
  await router.start();
  const [erp, orders] = [await freePort(), await freePort()];
  await router.create('tcpListener', 'erp', erp);
  await router.create('tcpListener', 'orders', orders);
  await router.create('tcpConnector', 'printer', server.port);
  await router.create('tcpConnector', 'secret', server.port);
  await untilAccepting(erp);
  assert.is(await exchange(erp, 'hello'), 'hello');
  await untilAccepting(printerPort);
  assert.is(await exchange(printerPort, 'hello'), 'hello', 'the other way, with its answer');

  const denied = await eventually('what it was refused', async () => {
    const { status } = await hub.get('Device', name);
    const refused = status.refused as string[];
    return refused.includes('send orders') && refused.includes('receive secret') && refused;
  });
  assert.equal(
    denied.filter((each) => !/orders|secret/.test(each)),
    [],
    'nothing that it needs as a router is refused',
  );
  assert.not.ok(await accepts(orders));
  assert.not.ok(await accepts(secretPort));

  await hub.apply(group(['erp', 'orders'], ['printer', 'secret']));
  await untilAccepting(orders);
  assert.is(await exchange(orders, 'more'), 'more');
  await untilAccepting(secretPort);
  assert.is(await exchange(secretPort, 'more'), 'more');
});

if (available()) test.run();
