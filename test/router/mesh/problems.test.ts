/** A problem is told of when it begins and when it is over, and shown with when it was seen. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type MeshProblem, Problems } from '../../../src/router/mesh/problems.ts';
import type { MeshProblemState } from '../../../src/router/protocol.ts';

const test = suite('problems of a mesh');

class Stage {
  now = 0;
  shown: MeshProblemState[] = [];
  readonly logged: string[] = [];
  told = 0;
  readonly #problems = new Problems({
    now: () => this.now,
    onChange: ({ code, router, active }) => this.logged.push(`${active ? 'begins' : 'over'} ${code} ${router}`),
    onState: (problems) => {
      this.shown = problems;
      this.told++;
    },
  });

  report(code: MeshProblem['code'], router: string): void {
    this.#problems.report({ code, router, message: `${router} does` });
  }

  run(milliseconds: number): void {
    for (const end = this.now + milliseconds; this.now < end; this.now += 1_000) this.#problems.look();
  }
}

test('it is logged once, counted while it goes on, and over two minutes after it was last seen', () => {
  const stage = new Stage();
  for (let second = 0; second < 300; second++) {
    for (let times = 0; times < 10; times++) stage.report('neighbour-floods', 'x');
    stage.run(1_000);
  }
  assert.equal(stage.logged, ['begins neighbour-floods x']);
  assert.ok(stage.told < 60, `the state was told ${stage.told} times in five minutes`);
  const [{ active, count, code, router, hint }] = stage.shown as [MeshProblemState];
  assert.equal({ active, code, router }, { active: true, code: 'neighbour-floods', router: 'x' });
  assert.ok(count > 2_800);
  assert.ok(hint);
  stage.run(119_000);
  assert.ok(stage.shown[0]?.active);
  stage.run(5_000);
  assert.is(stage.shown[0]?.active, false);
  assert.is(stage.shown[0]?.count, 3_000);
  stage.report('neighbour-floods', 'x');
  assert.is(stage.shown[0]?.active, true);
  assert.equal(stage.logged.slice(1), ['over neighbour-floods x', 'begins neighbour-floods x']);
});

test('what was is shown for a day, after what is', () => {
  const stage = new Stage();
  stage.report('forged-link-state', 'x');
  stage.run(60_000);
  stage.report('duplicate-router-id', 'y');
  stage.run(100_000);
  stage.report('duplicate-router-id', 'y');
  stage.run(60_000);
  assert.equal(
    stage.shown.map(({ router, active }) => [router, active]),
    [
      ['y', true],
      ['x', false],
    ],
  );
  stage.run(25 * 60 * 60 * 1_000);
  assert.equal(stage.shown, []);
});

test('who makes up causes gets a few lines, and hides no other cause', () => {
  const stage = new Stage();
  for (let count = 0; count < 1_000; count++) stage.report('malformed-routing-message', `r${count}`);
  stage.report('duplicate-router-id', 'y');
  assert.is(stage.logged.length, 11);
  assert.is(stage.shown.length, 11);
  stage.run(150_000);
  stage.report('malformed-routing-message', 'another');
  assert.equal(stage.shown[0]?.router, 'another');
  assert.is(stage.shown.length, 11);
});

test.run();
