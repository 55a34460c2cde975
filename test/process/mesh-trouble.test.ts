/** What is amiss between interior sites is refused or bounded, shown at the site that sees it, and harms nobody else. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MAX_ROUTERS } from '../../src/router/mesh/limits.ts';
import type { LinkStateUpdate, RoutingMessage } from '../../src/router/mesh/messages.ts';
import { eventually } from '../support/eventually.ts';
import { closeHostileRouters, HostileRouter } from '../support/hostile-router.ts';
import { connector, edge, hub, listener, type Network, neighbour, newNetwork } from '../support/network.ts';
import { type Shown, Skiff } from '../support/skiff.ts';
import { SteadyStream } from '../support/steady.ts';
import { closeSockets, echo, exchange, freePort, untilAccepting } from '../support/tcp.ts';

const test = suite('mesh trouble');

let network: Network;
let center: Skiff;
let port: number;

test.before(async () => {
  network = await newNetwork();
  center = await Skiff.run({ documents: [...hub(network, [], 'center'), connector('echo', (await echo()).port)] });
  const store = await Skiff.run({ documents: edge(network, 'store') });
  port = await freePort();
  await store.apply(listener('echo', port));
  await untilAccepting(port);
});

test.after.each(async () => {
  assert.is(await exchange(port, 'still here'), 'still here');
});

test.after(async () => {
  closeHostileRouters();
  await closeSockets();
  await Skiff.stopAll();
});

interface Problem {
  code: string;
  message: string;
  hint: string;
  router: string | null;
  active: boolean;
  count: number;
}

/** What the center shows of it, in its status and by the command line; its log has it in one line. */
async function untilShown(code: string, router: string | null): Promise<Problem> {
  const find = ({ status }: Shown): Problem | undefined =>
    ((status.problems ?? []) as Problem[]).find((each) => each.code === code && each.router === router);
  const shown = await center.until('Site', 'center', find);
  const problem = find(shown) as Problem;
  assert.ok(problem.active);
  assert.is(shown.status.status, 'Ready', 'the site serves everybody else');
  const { stdout } = await center.cli('site', 'status');
  assert.match(stdout, /center +Ready +The network is amiss: /);
  const lines = center.log.filter(({ level, part, ...line }) => {
    return level === 'warn' && part === 'mesh' && line.code === code && line.router === router;
  });
  assert.is(lines.length, 1, 'it is logged once');
  return problem;
}

/** An interior site, linked to the center. */
async function site(name: string, uid?: string): Promise<Skiff> {
  const [own, ...rest] = hub(await newNetwork('127.0.0.1', network.ca), [], name);
  const document = uid ? { ...own, metadata: { name, uid } } : own;
  return Skiff.run({ documents: [document, ...rest, ...neighbour(network, 'center')].filter(Boolean) as object[] });
}

/** A router with a certificate that lets it in, and that the center takes for a neighbour. */
async function hostile(id: string, instance = 1): Promise<HostileRouter> {
  const router = await HostileRouter.connect(
    network.interRouterPort,
    network.ca.issue({ commonName: id }),
    id,
    instance,
  );
  router.say(linkState(id, 1, router.neighbour));
  return router;
}

function linkState(id: string, linkSequence: number, ...peers: string[]): LinkStateUpdate {
  return { opcode: 'LSU', id, instance: 1, linkSequence, peers: new Map(peers.map((peer) => [peer, 1])) };
}

test('a site with the id of the one it links to is told so', async () => {
  const copy = await site('center', center.ready.id as string);
  const link = await copy.until('Link', 'center', 'Error');
  assert.match(link.status.message, /the id of this one/);
  assert.match(link.status.message, /a data directory of its own/);
  await copy.stop();
});

test('of two neighbours with one id the second is refused', async () => {
  const uid = 'c0b1e000-0000-4000-8000-000000000002';
  const first = await site('copied', uid);
  await center.untilLogged('copied-c0b1e000 is reachable');
  const second = await site('copied', uid);
  const { status } = await second.until('Link', 'center', 'Error');
  assert.match(status.message, /another router with the id copied-c0b1e000 is linked.* a data directory of its own/);
  await untilShown('duplicate-router-id', 'copied-c0b1e000');
  const access = await center.get('RouterAccess', 'uplinks');
  const refused = access.status.conditions.find(({ type }) => type === 'PeersRefused');
  assert.match(refused?.message ?? '', /another router with the id copied-c0b1e000 is linked/);
  assert.is((access.status.peers as object[]).length, 2, 'the store, and the first');
  assert.is((await first.get('Link', 'center')).status.status, 'Ready', 'the first has noticed nothing');
  await Promise.all([first.stop(), second.stop()]);
});

test('a neighbour that was started again is let in while its connection of before is dead', async () => {
  const before = await hostile('restarted', 1);
  await center.untilLogged('restarted is reachable');
  before.fallSilent();
  const after = await hostile('restarted', 2);
  after.say({ ...linkState('restarted', 1, after.neighbour), instance: 2 });
  await eventually('it is a neighbour', () => after.isHeard);
  assert.is(after.end, undefined);
  before.close();
  after.close();
});

test('a neighbour that floods is slowed down, shown, and harms nobody', async () => {
  const steady = await SteadyStream.begin(port);
  const memory = center.memory();
  const evil = await hostile('evil');
  await center.untilLogged('evil is reachable');
  const hello: RoutingMessage = { opcode: 'HELLO', id: 'evil', instance: 1, seen: [evil.neighbour] };
  assert.ok(await evil.flood(1_000_000, () => hello, 'neighbour'), 'it has to wait for credit');
  await steady.check();
  await untilShown('neighbour-floods', 'evil');
  await steady.end();
  const grown = (center.memory() - memory) / 1024 / 1024;
  assert.ok(grown < 200, `the center has grown by ${grown} MiB`);
  evil.close();
});

test('a neighbour that tells of thousands of routers is believed up to a limit', async () => {
  const steady = await SteadyStream.begin(port);
  const [memory, lines] = [center.memory(), center.log.length];
  const evil = await hostile('inventive');
  await evil.flood(MAX_ROUTERS + 1_000, (count) =>
    linkState(`invented${count}`, 1, 'inventive', `invented${count + 1}`),
  );
  await untilShown('too-many-routers', null);
  await steady.check();
  await steady.end();
  const grown = (center.memory() - memory) / 1024 / 1024;
  assert.ok(grown < 200, `the center has grown by ${grown} MiB`);
  assert.ok(center.log.length - lines < 50, `the center has logged ${center.log.length - lines} lines`);
  evil.close();
});

test('what a neighbour says too long, or in another version, is not heeded, and goes no further', async () => {
  const other = await hostile('listening');
  const evil = await hostile('wordy');
  for (const { id } of [other, evil]) await center.untilLogged(`${id} is reachable`);
  const long = 'x'.repeat(10_000);
  const addresses = { opcode: 'MAU', id: 'wordy', mobileSequence: 1 } as const;
  for (let times = 0; times < 10; times++) {
    evil.say(linkState(long, 1, 'wordy'));
    evil.say(linkState('wordy', 2, evil.neighbour, long));
    evil.say({ ...addresses, change: { add: [{ key: `M${long}`, treatment: 'balanced' }], del: [] } });
    evil.say({ opcode: 'HELLO', id: 'somebody else', instance: 1, seen: [] }, 'neighbour');
    evil.sayInVersion(9, linkState('wordy', 3, evil.neighbour));
  }
  const { message } = await untilShown('malformed-routing-message', 'wordy');
  assert.match(message, /wordy .* 10000 characters/);
  await untilShown('incompatible-version', 'wordy');
  await untilShown('neighbour-changes-id', 'wordy');
  evil.say({ ...addresses, change: { add: [{ key: 'Mvalid', treatment: 'balanced' }], del: [] } });
  await eventually('what can be used goes on', () => other.heard.some((text) => text.includes('Mvalid')));
  assert.not(other.heard.some((text) => text.includes('xxxx')));
  for (const router of [other, evil]) router.close();
});

test('a link state that goes in circles is taken once', async () => {
  const other = await hostile('round');
  const evil = await hostile('about');
  for (const { id } of [other, evil]) await center.untilLogged(`${id} is reachable`);
  const news = linkState('about', 2, evil.neighbour, 'circled');
  const copies = (router: HostileRouter) => router.heard.filter((text) => text.includes('circled')).length;
  evil.say(news);
  await eventually('it goes on', () => copies(other));
  for (let times = 0; times < 100; times++) {
    evil.say(news);
    other.say(news, 'all', [evil.neighbour]);
    other.say(news, 'all', ['elsewhere']);
  }
  for (const router of [other, evil]) {
    router.say({ opcode: 'MAU', id: router.id, mobileSequence: 1, change: { add: [], del: [] } });
  }
  for (const [router, from] of [
    [other, 'about'],
    [evil, 'round'],
  ] as const) {
    await eventually('what was said last', () =>
      router.heard.some((text) => text.includes('MAU') && text.includes(from)),
    );
  }
  assert.equal([copies(other), copies(evil)], [1, 0]);
  for (const router of [other, evil]) router.close();
});

test('an interior site that dials the port for edges is told so', async () => {
  const wrong = { ...network, interRouterPort: network.edgePort };
  const [own, ...rest] = hub(await newNetwork('127.0.0.1', network.ca), [], 'astray');
  const astray = await Skiff.run({ documents: [own as object, ...rest, ...neighbour(wrong, 'center')] });
  const link = await astray.until('Link', 'center', 'Error');
  assert.match(link.status.message, /port for interior routers/);
  await astray.stop();
});

test.run();
