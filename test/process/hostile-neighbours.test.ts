/** A neighbour with a good certificate that is broken or means harm: bounded, shown at the site, and nobody else notices. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MAX_ROUTERS } from '../../src/router/mesh/limits.ts';
import type { RoutingMessage } from '../../src/router/mesh/messages.ts';
import { eventually } from '../support/eventually.ts';
import { closeHostileRouters, HostileRouter, linkState } from '../support/hostile-router.ts';
import { untilAmiss } from '../support/mesh-problems.ts';
import { connector, edge, hub, listener, type Network, newNetwork } from '../support/network.ts';
import { Skiff } from '../support/skiff.ts';
import { SteadyStream } from '../support/steady.ts';
import { closeSockets, echo, freePort, untilAccepting } from '../support/tcp.ts';

const test = suite('hostile neighbours');

let network: Network;
let center: Skiff;
let steady: SteadyStream;

test.before(async () => {
  network = await newNetwork();
  center = await Skiff.run({ documents: [...hub(network, [], 'center'), connector('echo', (await echo()).port)] });
  const store = await Skiff.run({ documents: edge(network, 'store') });
  const port = await freePort();
  await store.apply(listener('echo', port));
  await untilAccepting(port);
  steady = await SteadyStream.begin(port);
});

test.after.each(() => steady.check());

test.after(async () => {
  await steady.end();
  closeHostileRouters();
  await closeSockets();
  await Skiff.stopAll();
});

test('a neighbour that floods is slowed down, shown, and harms nobody', async () => {
  const memory = center.memory();
  const evil = await HostileRouter.join(network, 'evil');
  await center.untilLogged('evil is reachable');
  const hello: RoutingMessage = { opcode: 'HELLO', id: 'evil', instance: 1, seen: [evil.neighbour] };
  assert.ok(await evil.flood(1_000_000, () => hello, 'neighbour'), 'it has to wait for credit');
  await untilAmiss(center, 'neighbour-floods', 'evil');
  const grown = (center.memory() - memory) / 1024 / 1024;
  assert.ok(grown < 200, `the center has grown by ${grown} MiB`);
  evil.close();
});

test('what a neighbour says too long, or in another version, is not heeded, and goes no further', async () => {
  const other = await HostileRouter.join(network, 'listening');
  const evil = await HostileRouter.join(network, 'wordy');
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
  const { message } = await untilAmiss(center, 'malformed-routing-message', 'wordy');
  assert.match(message, /wordy .* 10000 characters/);
  await untilAmiss(center, 'incompatible-version', 'wordy');
  await untilAmiss(center, 'neighbour-changes-id', 'wordy');
  evil.say({ ...addresses, change: { add: [{ key: 'Mvalid', treatment: 'balanced' }], del: [] } });
  await eventually('what can be used goes on', () => other.heard.some((text) => text.includes('Mvalid')));
  assert.not(other.heard.some((text) => text.includes('xxxx')));
  for (const router of [other, evil]) router.close();
});

test('a link state that goes in circles is taken once', async () => {
  const other = await HostileRouter.join(network, 'round');
  const evil = await HostileRouter.join(network, 'about');
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

test('a neighbour that tells of thousands of routers is believed up to a limit', async () => {
  const [memory, lines] = [center.memory(), center.log.length];
  const evil = await HostileRouter.join(network, 'inventive');
  await evil.flood(MAX_ROUTERS + 1_000, (count) =>
    linkState(`invented${count}`, 1, 'inventive', `invented${count + 1}`),
  );
  await untilAmiss(center, 'too-many-routers', null);
  const grown = (center.memory() - memory) / 1024 / 1024;
  assert.ok(grown < 200, `the center has grown by ${grown} MiB`);
  assert.ok(center.log.length - lines < 50, `the center has logged ${center.log.length - lines} lines`);
  evil.close();
});

test.run();
