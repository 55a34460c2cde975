/** What sites say is amiss in the mesh. */
import * as assert from 'uvu/assert';
import type { Shown, Skiff } from './skiff.ts';

interface Problem {
  code: string;
  message: string;
  hint: string;
  router: string | null;
  active: boolean;
  count: number;
}

/** Waits until a site shows that something is amiss in the mesh, in its status and by the command line, with one line in its log. */
export async function untilAmiss(site: Skiff, code: string, router: string | null): Promise<Problem> {
  const find = ({ status }: Shown): Problem | undefined =>
    ((status.problems ?? []) as Problem[]).find((each) => each.code === code && each.router === router);
  const shown = await site.until('Site', site.ready.site as string, find);
  const problem = find(shown) as Problem;
  assert.ok(problem.active);
  assert.is(shown.status.status, 'Ready', 'the site serves everybody else');
  const { stdout } = await site.cli('site', 'status');
  assert.match(stdout, /Ready +The network is amiss: /);
  const lines = site.log.filter(({ level, part, ...line }) => {
    return level === 'warn' && part === 'mesh' && line.code === code && line.router === router;
  });
  assert.is(lines.length, 1, 'it is logged once');
  return problem;
}
