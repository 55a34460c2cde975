/** A stream whose reply never comes: its client is told, in the end, which is a little more than a minute. SKIFF_LONG=1. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AmqpClient, closeClients } from '../support/amqp.ts';
import { eventually } from '../support/eventually.ts';
import { document, listener, normalAccess } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { closeSockets, connect, ending, freePort } from '../support/tcp.ts';

const test = suite('lost reply');

test.after(async () => {
  await closeSockets();
  await closeClients();
  await Skiff.stopAll();
});

if (!process.env.SKIFF_LONG) console.log('SKIP lost reply: it takes more than a minute (npm run test:long)');
else
  test('a client is reset when nobody replies', async () => {
    const [normal, port] = [await freePort(), await freePort()];
    const site = await Skiff.run({
      documents: [document('Site', 'hub', {}), normalAccess(normal), listener('void', port)],
    });
    // It takes what comes, as if it were a connector, and says nothing.
    await (await AmqpClient.connect(normal)).receiver('void', { autoaccept: true });
    await site.until('Listener', 'void', 'Ready');
    const client = await connect(port);
    // It says nothing: rhea takes a message for what AMQP makes of it, and octets of a stream are no section of one.
    client.resume();
    await eventually('the client is told', () => client.closed, { withinMs: 100_000 });
    assert.is(await ending(client), 'reset');
  });

test.run();
