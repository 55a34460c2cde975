/** What the data plane is to reach, against skupper-router on the same machine in the same run. */
import { type CaseResult, ratio, series } from './statistics.ts';

export interface Target {
  cases: RegExp;
  metric: string;
  /** A ratio to skupper-router's, or a number as it is (memory only: times depend on the machine). */
  against: 'skupper-router' | 'itself';
  atLeast?: number;
  atMost?: number;
}

export const targets: Target[] = [
  { cases: /^bulk\/(up|down)-[14]$/, metric: 'rate', against: 'skupper-router', atLeast: 3 },
  { cases: /^bulk\/(up|down)-[14]$/, metric: 'cpu', against: 'skupper-router', atMost: 0.45 },
  // What an interior site does that only passes on.
  { cases: /^bulk\/mesh-/, metric: 'cpu hub', against: 'skupper-router', atMost: 0.5 },
  // The same with many connections beside that say nothing.
  { cases: /^idle\/500-bulk-/, metric: 'rate', against: 'skupper-router', atLeast: 3 },
  { cases: /^idle\/500-bulk-/, metric: 'cpu', against: 'skupper-router', atMost: 0.45 },
  { cases: /^idle\/500-http-64$/, metric: 'rate', against: 'skupper-router', atLeast: 2 },
  { cases: /^http\/1$/, metric: 'rate', against: 'skupper-router', atLeast: 1.5 },
  { cases: /^http\/(16|64)$/, metric: 'rate', against: 'skupper-router', atLeast: 2 },
  { cases: /^http\/(1|16|64)$/, metric: 'p99', against: 'skupper-router', atMost: 1 },
  { cases: /^connects\/16$/, metric: 'rate', against: 'skupper-router', atLeast: 1.5 },
  { cases: /^beside\//, metric: 'p99', against: 'skupper-router', atMost: 1 },
  { cases: /^fairness\//, metric: 'slowdown', against: 'itself', atMost: 3 },
  { cases: /^memory\/idle$/, metric: 'rss edge', against: 'itself', atMost: 90 },
  { cases: /^memory\/http-500$/, metric: 'stream edge', against: 'itself', atMost: 100 },
  { cases: /^memory\/http-500$/, metric: 'stream hub', against: 'itself', atMost: 100 },
  { cases: /^memory\/streams-5000$/, metric: 'stream edge', against: 'itself', atMost: 100 },
  { cases: /^memory\/streams-5000$/, metric: 'stream hub', against: 'itself', atMost: 100 },
  { cases: /^memory\/churn$/, metric: 'growth', against: 'itself', atMost: 10 },
  { cases: /^edges\/1000$/, metric: 'rss', against: 'itself', atMost: 400 },
];

export type Verdict = 'met' | 'missed' | 'unclear' | 'not measured';

export interface Check {
  case: string;
  metric: string;
  target: string;
  /** What was found in each round; null when nothing was. */
  rounds: number[] | null;
  verdict: Verdict;
}

export function check(results: CaseResult[]): Check[] {
  return targets.flatMap((target) =>
    results.filter(({ name }) => target.cases.test(name)).map((result) => checkOne(target, result)),
  );
}

function checkOne({ metric, against, atLeast, atMost }: Target, result: CaseResult): Check {
  const found =
    against === 'itself' ? series(result, 'skiff', metric) : ratio(result, 'skiff', 'skupper-router', metric);
  const limit = atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`;
  const target = against === 'itself' ? limit : `${limit}×`;
  if (!found) return { case: result.name, metric, target, rounds: null, verdict: 'not measured' };
  const good = (value: number) => value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity);
  const agreeing = found.rounds.filter(good).length;
  // A median that the rounds do not agree on may be chance, unless most of them do.
  const share = agreeing / found.rounds.length;
  const verdict = share >= 0.75 ? 'met' : share <= 0.25 ? 'missed' : 'unclear';
  return { case: result.name, metric, target, rounds: found.rounds, verdict };
}
