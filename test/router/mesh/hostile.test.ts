/** A neighbour that is broken or means harm makes a router do and remember no more than it should, and is told of. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type LinkId, MeshEngine, type RemoteRouterFacts } from '../../../src/router/mesh/engine.ts';
import { MAX_ADDRESSES_EACH, MAX_LINES, MAX_PEERS, MAX_ROUTERS } from '../../../src/router/mesh/limits.ts';
import type { LinkStateUpdate, RoutingMessage } from '../../../src/router/mesh/messages.ts';
import type { MeshProblem } from '../../../src/router/mesh/problems.ts';

const test = suite('hostile neighbours');

/** A router `us` whose every neighbour is played by the test. */
class Stage {
  now = 1_000_000;
  readonly sent: { message: RoutingMessage; links: readonly LinkId[] }[] = [];
  readonly problems: MeshProblem[] = [];
  readonly twins: LinkId[] = [];
  readonly paths = new Map<string, RemoteRouterFacts>();
  readonly engine = new MeshEngine({
    id: 'us',
    instance: 100,
    now: () => this.now,
    hooks: {
      send: (message, _to, links) => this.sent.push({ message, links }),
      onPaths: (changed, gone) => {
        for (const facts of changed) this.paths.set(facts.id, facts);
        for (const id of gone) this.paths.delete(id);
      },
      onMobile: () => {},
      onProblem: (problem) => this.problems.push(problem),
      onTwin: (link) => {
        this.twins.push(link);
        this.engine.linkDown(link);
      },
    },
  });

  /** Neighbours x and y, on links 1 and 2. */
  constructor() {
    for (const [link, id] of [
      [1, 'x'],
      [2, 'y'],
    ] as const) {
      this.engine.linkUp(link, 1, { peer: id, skiff: true });
      this.hello(link, id);
      this.flood(link, update(id, 1, { us: 1 }));
    }
    this.run(1_000);
    this.sent.length = 0;
  }

  hello(link: LinkId, id: string, instance = 1): void {
    this.engine.receive(link, { opcode: 'HELLO', id, instance, seen: ['us'] }, [`0/${id}`]);
  }

  /** A message for all, from its origin by way of those in between; returns where it goes on. */
  flood(link: LinkId, message: RoutingMessage, ...between: string[]): LinkId[] {
    return this.engine.receiveFlooded(
      link,
      message,
      [message.id, ...between].map((id) => `0/${id}`),
    );
  }

  /** Lets time pass, in which the neighbours stay alive. */
  run(milliseconds: number): void {
    for (const end = this.now + milliseconds; this.now < end; this.now += 10) {
      if (this.now % 1_000 === 0) {
        this.hello(1, 'x');
        this.hello(2, 'y');
      }
      if (this.now >= this.engine.nextTickAt) this.engine.tick();
    }
  }

  /** Each cause once. */
  codes(): string[] {
    return [...new Set(this.problems.map(({ code, router }) => `${code} ${router}`))];
  }

  count(opcode: RoutingMessage['opcode']): number {
    return this.sent.filter(({ message }) => message.opcode === opcode).length;
  }
}

function update(id: string, linkSequence: number, peers: Record<string, number>, instance = 1): LinkStateUpdate {
  return { opcode: 'LSU', id, instance, linkSequence, peers: new Map(Object.entries(peers)) };
}

const advertisement = (id: string, instance: number, linkSequence = 1, mobileSequence = 0): RoutingMessage => ({
  opcode: 'RA',
  id,
  instance,
  linkSequence,
  mobileSequence,
});

test('the stage is set', () => {
  const stage = new Stage();
  assert.equal([...stage.paths.keys()].sort(), ['x', 'y']);
  assert.equal(stage.problems, []);
});

test('a neighbour of the same id is no neighbour', () => {
  const stage = new Stage();
  stage.engine.linkUp(3, 1);
  for (let second = 0; second < 3; second++) {
    stage.engine.receive(3, { opcode: 'HELLO', id: 'us', instance: 99, seen: ['us'] }, ['0/us']);
    stage.run(1_000);
  }
  assert.equal(stage.codes(), ['duplicate-router-id us']);
  assert.match(stage.problems[0]?.message as string, /two routers of this network have the id us/);
  assert.is(stage.paths.size, 2);
});

test('a far router of the same id is told of, but not an echo of one that was here before', () => {
  const stage = new Stage();
  stage.flood(1, advertisement('us', 99), 'x');
  assert.equal(stage.codes(), []);
  stage.run(10_000);
  stage.flood(1, advertisement('us', 99), 'x');
  assert.equal(stage.codes(), ['duplicate-router-id us']);
});

test('two other routers of one id are told of, and do not take turns', () => {
  const stage = new Stage();
  stage.flood(1, update('z', 1, { x: 1 }, 7), 'x');
  stage.flood(1, update('x', 2, { us: 1, z: 1 }));
  stage.run(1_000);
  const instances = new Set<number | undefined>();
  for (let round = 0; round < 10; round++) {
    stage.flood(1, advertisement('z', 7), 'x');
    stage.flood(2, advertisement('z', 8), 'y');
    stage.run(1_000);
    instances.add(stage.paths.get('z')?.instance);
  }
  assert.equal(stage.codes(), ['duplicate-router-id z']);
  assert.equal([...instances], [8]);
});

test('two others of one id are told of for as long as they are there', () => {
  const stage = new Stage();
  stage.flood(1, update('z', 1, { x: 1 }, 7), 'x');
  stage.flood(1, update('x', 2, { us: 1, z: 1 }));
  for (let round = 0; round < 20; round++) {
    if (round === 10) stage.problems.length = 0;
    stage.flood(1, advertisement('z', 7), 'x');
    stage.flood(2, advertisement('z', 8), 'y');
    stage.run(30_000);
  }
  assert.ok(stage.problems.length >= 3, `${stage.problems.length} times in five minutes`);
});

test('a second neighbour of the id of one is refused, while the first is alive', () => {
  const stage = new Stage();
  stage.engine.linkUp(3, 1, { peer: 'x', skiff: true });
  stage.hello(3, 'x', 2);
  stage.flood(3, update('x', 9, { us: 1, false: 1 }, 2));
  assert.equal(stage.twins, [], 'the first may be dead');
  stage.run(2_000);
  assert.equal(stage.twins, []);
  stage.hello(3, 'x', 2);
  assert.equal(stage.twins, [3]);
  assert.equal(stage.codes(), ['duplicate-router-id x']);
  stage.run(1_000);
  assert.is(stage.paths.get('x')?.instance, 1);
  assert.not(stage.paths.has('false'));
});

test('a neighbour that was started again is let in as soon as its connection of before is silent', () => {
  const stage = new Stage();
  stage.engine.linkUp(3, 1, { peer: 'y', skiff: true });
  const heard = stage.now;
  for (; stage.paths.get('y')?.instance !== 2; stage.now += 500) {
    assert.ok(stage.now - heard < 6_000, 'it is let in');
    stage.hello(1, 'x');
    stage.hello(3, 'y', 2);
    stage.flood(3, update('y', 1, { us: 1 }, 2));
    stage.engine.tick();
  }
  assert.is(stage.paths.get('y')?.nextHop, 3);
  assert.equal([stage.codes(), stage.twins], [[], []]);
  stage.hello(2, 'y');
  stage.now += 500;
  stage.hello(3, 'y', 2);
  stage.hello(2, 'y');
  assert.equal(stage.twins, [2], 'and the one before is not, should it wake');
});

test('several links of one start of a router are no twins', () => {
  const stage = new Stage();
  stage.engine.linkUp(3, 1, { peer: 'x', skiff: true });
  for (let second = 0; second < 5; second++) {
    stage.hello(3, 'x');
    stage.run(1_000);
  }
  assert.equal([stage.codes(), stage.twins], [[], []]);
});

test('only the router itself may say that it was started again', () => {
  const stage = new Stage();
  const forged = { ...update('y', 5, {}, 66) };
  assert.equal(stage.engine.receiveFlooded(1, forged, ['0/x']), []);
  stage.run(1_000);
  assert.is(stage.paths.get('y')?.instance, 1);
});

test('a neighbour speaks for itself alone', () => {
  const stage = new Stage();
  stage.hello(1, 'z');
  stage.engine.linkUp(3, 1);
  stage.hello(3, 'v');
  stage.hello(3, 'w');
  stage.run(1_000);
  assert.equal(stage.codes(), ['neighbour-changes-id x', 'neighbour-changes-id v']);
  assert.equal([...stage.paths.keys()].sort(), ['v', 'x', 'y']);
});

test('a message that cannot be used is told of once, and goes nowhere', () => {
  const stage = new Stage();
  for (let count = 0; count < 5; count++) {
    const message = { opcode: 'unreadable', id: 'x', code: 'malformed-routing-message', message: 'it is not' } as const;
    assert.equal(stage.engine.receiveFlooded(1, message, ['0/x']), []);
  }
  assert.equal(stage.codes(), ['malformed-routing-message x']);
});

test('a neighbour that floods is not read, until it has calmed down', () => {
  const stage = new Stage();
  let read = 0;
  while (read < 1_000_000 && stage.engine.admits(1, 200)) read++;
  assert.ok(read > 10_000 && read < 50_000, `${read} messages were read`);
  assert.ok(stage.engine.admits(2, 200), 'others are read all the same');
  assert.not(stage.engine.admits(1, 200));
  assert.equal(stage.codes(), ['neighbour-floods x']);
  stage.now += 5_000;
  assert.ok(stage.engine.admits(1, 200));
  let large = 0;
  while (stage.engine.admits(1, 4_000_000)) large++;
  assert.ok(large < 50, `${large} messages of 4 MB were read`);
});

test('link states come into effect together, however many there are', () => {
  const stage = new Stage();
  const changes = new Set<number>();
  for (let sequence = 2; sequence < 1_000; sequence++) {
    stage.flood(1, update('x', sequence, { us: 1, [`r${sequence}`]: 1 }));
    stage.run(10);
    changes.add(stage.engine.lastTopologyChange);
  }
  assert.ok(changes.size < 25, `paths were computed ${changes.size} times in ten seconds`);
});

test('a link state that was seen goes no further, whichever way it comes again', () => {
  const stage = new Stage();
  const news = update('x', 2, { us: 1, z: 1 });
  assert.equal(stage.flood(1, news), [2]);
  assert.equal(stage.flood(2, news, 'y'), []);
  assert.equal(stage.flood(1, news), []);
  assert.equal(stage.flood(2, update('x', 1, {}), 'y'), []);
  assert.equal(stage.flood(1, update('z', 1, { x: 1 }), 'x', 'y'), [], 'nor to a router that had it');
});

test('an advertisement that is no news goes on once a second, whatever else its router has said', () => {
  const stage = new Stage();
  const change = { add: [{ key: 'Mecho', treatment: 'balanced' as const }], del: [] };
  assert.equal(stage.flood(1, { opcode: 'MAU', id: 'x', mobileSequence: 1, change }), [2]);
  const repeated = advertisement('x', 1, 1, 1);
  assert.equal(stage.flood(1, repeated), [2], 'who knows less than this router asks again for that');
  assert.equal(stage.flood(1, repeated), []);
  stage.run(1_000);
  assert.equal(stage.flood(1, repeated), [2]);
});

test('invented routers are remembered up to a limit, and asked nothing', () => {
  const stage = new Stage();
  for (let count = 0; count < MAX_ROUTERS + 5_000; count++) stage.flood(1, advertisement(`r${count}`, 1), 'x');
  stage.run(2_000);
  assert.equal(stage.codes(), ['too-many-routers null']);
  assert.is(stage.count('LSR'), 0);
  assert.is(stage.paths.size, 2);
  const nextTickAt = stage.engine.nextTickAt;
  stage.flood(1, advertisement('r1', 1, 7), 'x');
  assert.is(stage.engine.nextTickAt, nextTickAt, 'none of them is a reason to look at all of them');
  stage.engine.linkUp(3, 1, { peer: 'new' });
  stage.hello(3, 'new');
  stage.flood(3, update('new', 1, { us: 1 }));
  stage.run(1_000);
  assert.ok(stage.paths.has('new'), 'there is room for a neighbour');
  stage.run(130_000);
  stage.flood(1, update('x', 2, { us: 1, z: 1 }));
  stage.run(2_000);
  assert.ok(stage.paths.has('z'), 'there is room again when they were not heard of for long');
});

test('links between routers are remembered up to a limit', () => {
  const stage = new Stage();
  const most = MAX_PEERS - 100;
  const peers = Object.fromEntries(Array.from({ length: most }, (_, index) => [`r${index}`, 1]));
  const last = Math.floor(MAX_LINES / most);
  for (let count = 0; count <= last; count++) stage.flood(1, update(`z${count}`, 1, peers), 'x');
  assert.equal(stage.codes(), ['too-many-routers null']);
  assert.match(stage.problems[0]?.message ?? '', new RegExp(`more than ${MAX_LINES} links .* by z${last}$`));
  stage.flood(1, update('z1', 2, {}), 'x');
  assert.equal(stage.flood(1, update(`z${last}`, 1, peers), 'x'), [2], 'there is room again');
});

test('more addresses than a router may have are not taken', () => {
  const stage = new Stage();
  const exist = Array.from({ length: MAX_ADDRESSES_EACH + 1 }, (_, index) => ({
    key: `M${index}`,
    treatment: 'balanced' as const,
  }));
  stage.engine.receive(1, { opcode: 'MAU', id: 'x', mobileSequence: 1, change: { exist } }, ['0/x']);
  assert.equal(stage.codes(), ['too-many-addresses x']);
});

test('who asks for addresses without end gets them once a second', () => {
  const stage = new Stage();
  stage.engine.serve('Merp', 'balanced');
  stage.run(1_000);
  stage.sent.length = 0;
  for (let count = 0; count < 300; count++) {
    stage.engine.receive(1, { opcode: 'MAR', id: 'x', haveSequence: 0 }, ['0/x']);
    stage.run(10);
  }
  assert.ok(stage.count('MAU') <= 4, `${stage.count('MAU')} answers in three seconds`);
  assert.ok(stage.count('MAU') >= 3, 'it gets them all the same');
});

test('a lie about this router is answered with the truth', () => {
  const stage = new Stage();
  stage.flood(1, update('us', 5_000, { nobody: 1 }, 100), 'x');
  stage.run(1_000);
  assert.equal(stage.codes(), ['forged-link-state us']);
  const last = stage.sent.findLast(({ message }) => message.opcode === 'LSU' && message.id === 'us')?.message;
  assert.ok(last?.opcode === 'LSU' && last.linkSequence > 5_000);
  assert.equal(last?.opcode === 'LSU' && [...last.peers.keys()].sort(), ['x', 'y']);
  stage.flood(1, update('us', Number.MAX_SAFE_INTEGER, {}, 100), 'x');
  stage.run(10_000);
  const sequences = stage.sent.flatMap(({ message }) => (message.opcode === 'LSU' ? message.linkSequence : []));
  assert.ok(Math.max(...sequences) < 6_000, 'no sequence that nothing can follow');
});

test('a lie about another router lasts until that router has contradicted it for a while', () => {
  const stage = new Stage();
  stage.flood(1, update('y', 5_000, { nobody: 1 }), 'x');
  stage.run(1_000);
  assert.not(stage.paths.has('y'));
  for (let round = 0; round < 2; round++) {
    stage.flood(2, advertisement('y', 1, 1));
    stage.run(4_000);
  }
  stage.flood(2, update('y', 1, { us: 1 }));
  stage.run(1_000);
  assert.ok(stage.paths.has('y'));
});

test('a lie about how far another router has got makes nobody ask for ever', () => {
  const stage = new Stage();
  stage.flood(1, advertisement('y', 1, 700, 700), 'x');
  stage.run(1_000);
  assert.ok(stage.count('LSR') + stage.count('MAR') > 0);
  for (let round = 0; round < 2; round++) {
    stage.flood(2, advertisement('y', 1, 1));
    stage.run(4_000);
  }
  stage.flood(2, update('y', 1, { us: 1 }));
  stage.sent.length = 0;
  stage.run(40_000);
  assert.is(stage.count('LSR') + stage.count('MAR'), 0);
});

test('a link that nobody confirms leads nowhere', () => {
  const stage = new Stage();
  stage.flood(2, update('z', 1, { y: 1 }), 'y');
  stage.flood(2, update('y', 2, { us: 1, z: 1 }));
  stage.flood(1, update('x', 2, { us: 1, z: 1 }));
  stage.run(1_000);
  assert.is(stage.paths.get('z')?.neighbour, 'y');
});

test.run();
