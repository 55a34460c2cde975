/** What becomes of a pair when the other router dies, whichever of the two is ours. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../support/eventually.ts';
import {
  accepts,
  closeSockets,
  connect,
  echo,
  ending,
  exchange,
  freePort,
  read,
  untilAccepting,
} from '../support/tcp.ts';
import { otherPlace, Pair, type Place } from './pair.ts';
import { SkupperRouter } from './skupper-router.ts';

const ROUNDS = 3;

export function testRecovery(ours: Place): void {
  const test = suite(`recovery, our ${ours}`);
  let pair: Pair;

  test.before(async () => {
    pair = await Pair.start(ours);
  });

  test.after(async () => {
    await closeSockets();
    await pair?.stop();
    await SkupperRouter.stopAll();
  });

  test('a peer that is killed and comes back is linked again, and listeners close and open', async () => {
    const theirs = otherPlace(ours);
    const server = await echo();
    const [here, there] = [await freePort(), await freePort()];
    await pair.connector(theirs, 'far', server.port);
    await pair.listener(ours, 'far', here);
    await pair.connector(ours, 'near', server.port);
    await pair.listener(theirs, 'near', there);
    for (let round = 0; round < ROUNDS; round++) {
      await untilAccepting(here);
      await untilAccepting(there);
      const client = await connect(here);
      client.write('before');
      assert.is((await read(client, 6)).toString(), 'before');
      const end = ending(client);
      client.resume();
      await pair.peer.kill();
      assert.is(await end, 'reset', 'a stream under way is reset');
      await eventually('our listener is closed', async () => !(await accepts(here)));
      await pair.untilLinked(false);
      await pair.peer.start();
      await pair.untilLinked();
      await untilAccepting(here);
      await untilAccepting(there);
      assert.is(await exchange(here, 'after'), 'after');
      assert.is(await exchange(there, 'after'), 'after');
    }
    await pair.untilNoStreams();
  });

  test.run();
}
