/** Two routers of one id, dialled by a third: the second is refused, and all three say so. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../../support/eventually.ts';
import { TestRouter } from '../../support/router.ts';

const test = suite('twins');
const routers: TestRouter[] = [];

test.after(async () => {
  await Promise.all(routers.map(({ parts }) => parts.stop(200)));
});

function router(id: string): TestRouter {
  const it = new TestRouter(id);
  routers.push(it);
  return it;
}

test('a link to a second router of the id of a neighbour is refused, and the first stays', async () => {
  const near = router('near');
  const one = router('same');
  await near.link('one', await one.access('inter-router'));
  await eventually('the first is a neighbour', async () => {
    const reply = await near.parts.manage({ of: null, properties: { operation: 'GET-MGMT-NODES' }, body: {} });
    return JSON.stringify(reply).includes('same');
  });
  const other = router('same');
  await near.link('two', await other.access('inter-router'));
  const refused = await eventually('the second is refused', () => {
    const link = near.state('link', 'two');
    return link?.status === 'refused' ? link : null;
  });
  assert.is(refused.error?.code, 'duplicate-router-id');
  assert.match(refused.error?.message ?? '', /another router with the id same is linked, at 127\.0\.0\.1:\d+/);
  assert.is(near.state('link', 'one')?.status, 'up');
  const [problem] = near.state('mesh', 'mesh')?.problems ?? [];
  assert.equal([problem?.code, problem?.router, problem?.active], ['duplicate-router-id', 'same', true]);
  const cause = await eventually('so it says itself', () => other.state('access', 'inter-router')?.refusals[0]?.cause);
  assert.match(cause.message, /another router with the id same is linked/);
});

test.run();
