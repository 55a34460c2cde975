/** What is reached over one line is reached over another when that fails: parallel links, and other paths. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually, sleep } from '../../support/eventually.ts';
import { Relay } from '../../support/relay.ts';
import { TestRouter } from '../../support/router.ts';
import {
  accepts,
  closeSockets,
  connect,
  echo,
  ending,
  exchange,
  freePort,
  read,
  say,
  untilAccepting,
} from '../../support/tcp.ts';

const test = suite('redundancy');

const routers: TestRouter[] = [];
const relays: Relay[] = [];

test.after.each(async () => {
  await Promise.all(routers.splice(0).map((router) => router.parts.stop(500)));
  await Promise.all(relays.splice(0).map((relay) => relay.close()));
});

test.after(() => closeSockets());

function router(id: string): TestRouter {
  const made = new TestRouter(id);
  routers.push(made);
  return made;
}

/** A line to the other's port for interior routers, and a link over it. */
async function link(from: TestRouter, port: number, name: string, cost = 1): Promise<Relay> {
  const relay = await Relay.open({ target: { port } });
  relays.push(relay);
  await from.link(name, relay.port, { cost, dataConnections: 2 });
  await eventually('the link is up', () => from.state('link', name)?.status === 'up');
  return relay;
}

/** Offers an echo at one router; returns the port of a listener for it at another. */
async function offer(at: TestRouter, from: TestRouter): Promise<number> {
  const port = await freePort();
  await at.connector('echo', (await echo()).port);
  await from.listener('echo', port);
  await untilAccepting(port);
  return port;
}

/** Hello is heard of each second, and missed after three; a second more is for all that follows. */
const CONVERGES_WITHIN = 4_000;

async function answers(port: number): Promise<void> {
  const attempt = async (): Promise<boolean> => {
    const socket = await connect(port).catch(() => null);
    if (!socket) return false;
    socket.on('error', () => {});
    socket.write('x');
    // One that goes by a line that is held up hears nothing.
    const answer = await Promise.race([
      read(socket, 1).catch(() => null),
      new Promise<null>((resolve) => setTimeout(() => resolve(null), 500)),
    ]);
    socket.destroy();
    return answer !== null;
  };
  // On a machine that has much else to do it may take longer; what is held here is that it comes.
  await eventually('an answer', attempt, { withinMs: 4 * CONVERGES_WITHIN });
}

test('of two links to one neighbour the cheaper is used, and the other when that is cut', async () => {
  const [near, far] = [router('near'), router('far')];
  const port = await far.access('inter-router');
  const cheap = await link(near, port, 'cheap', 1);
  await link(near, port, 'dear', 5);
  const entry = await offer(far, near);
  const socket = await connect(entry);
  socket.write(Buffer.alloc(500_000));
  await read(socket, 500_000);
  const carried = new Map(near.parts.measure().map(({ name, octetsOut }) => [name, octetsOut]));
  assert.ok((carried.get('cheap') ?? 0) > 500_000, `the cheap link has carried ${carried.get('cheap')}`);
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => {});
  cheap.cut();
  await ended;
  await answers(entry);
  assert.is(near.state('link', 'dear')?.status, 'up');
  cheap.restore();
  await eventually('the cheap link is up again', () => near.state('link', 'cheap')?.status === 'up');
  assert.is(await exchange(entry, 'again'), 'again');
});

test('when a line says nothing any more another path is taken, and its streams end', async () => {
  const [west, east, south] = [router('west'), router('east'), router('south')];
  const direct = await link(west, await east.access('inter-router'), 'direct');
  const port = await south.access('inter-router');
  await link(west, port, 'around');
  await link(east, port, 'around');
  const entry = await offer(east, west);
  assert.is(await exchange(entry, 'before'), 'before');
  const socket = await connect(entry);
  await say(socket, 'hello');
  direct.hold();
  socket.write('and nothing comes back');
  await answers(entry);
  await ending(socket);
  // Not as late as the idle timeout, which gives another reason.
  await eventually('the reason', () =>
    /another way/.test(west.state('link', 'direct')?.facts.lastError?.message ?? ''),
  );
  direct.restore();
  assert.is(await exchange(entry, 'after'), 'after');
});

test('a stream on a line that says nothing waits for it where there is no other way', async () => {
  const [west, east] = [router('west'), router('east')];
  const line = await link(west, await east.access('inter-router'), 'line');
  const entry = await offer(east, west);
  const socket = await connect(entry);
  await say(socket, 'hello');
  line.hold();
  await eventually('the other end is missed', async () => !(await accepts(entry)));
  // Longer than it takes to end streams that have another way.
  await sleep(2_000);
  line.restore();
  await say(socket, 'still here');
  socket.destroy();
});

test.run();
