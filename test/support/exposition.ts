/**
 * A strict reader of Prometheus' text format (0.0.4): it takes what the format's description allows, and of what is
 * allowed only what a server takes without a complaint. It shares nothing with the writer.
 */

export interface Series {
  name: string;
  labels: Record<string, string>;
  value: number;
}

interface Family {
  type: string;
  series: Series[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;
const SUFFIXES: Record<string, string[]> = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
};

export class Exposition {
  readonly families = new Map<string, Family>();

  /** The one value of a series with these labels, among others; undefined when there is none. */
  value(name: string, labels: Record<string, string> = {}): number | undefined {
    const found = this.all(name).filter((series) =>
      Object.entries(labels).every(([label, value]) => series.labels[label] === value),
    );
    if (found.length > 1) throw new Error(`${found.length} series of ${name} are ${JSON.stringify(labels)}`);
    return found[0]?.value;
  }

  all(name: string): Series[] {
    const family = this.families.get(name) ?? this.families.get(name.replace(/_(bucket|sum|count)$/, ''));
    return (family?.series ?? []).filter((series) => series.name === name);
  }
}

/** Throws with the line that is wrong. */
export function readExposition(text: string): Exposition {
  const exposition = new Exposition();
  const known = new Set<string>();
  let current: { name: string; helped: boolean; family: Family | null } | null = null;
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  for (const line of text.slice(0, -1).split('\n')) {
    const wrong = (why: string) => new Error(`${why}: ${line}`);
    const [, comment, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (comment && !NAME.test(name)) throw wrong('no name of a metric');
    if (comment === 'HELP') {
      if (exposition.families.has(name)) throw wrong('a family that was there already');
      if (/\\(?![\\n])/.test(rest)) throw wrong('an escape that there is not');
      current = { name, helped: true, family: null };
    } else if (comment === 'TYPE') {
      if (current?.name !== name || current.family) throw wrong('a type without its help');
      if (!Object.hasOwn(SUFFIXES, rest)) throw wrong('no type');
      current.family = { type: rest, series: [] };
      exposition.families.set(name, current.family);
    } else {
      const series = readSeries(line);
      const family = current?.family;
      const suffix = current && series.name.startsWith(current.name) ? series.name.slice(current.name.length) : null;
      if (!family || suffix === null || !SUFFIXES[family.type].includes(suffix)) throw wrong('of another family');
      if (family.type === 'counter' && !(series.value >= 0)) throw wrong('a counter below zero');
      const key = JSON.stringify([series.name, Object.entries(series.labels).sort()]);
      if (known.has(key)) throw wrong('told twice');
      known.add(key);
      family.series.push(series);
    }
  }
  for (const [name, { type, series }] of exposition.families) {
    if (type === 'counter' && !name.endsWith('_total')) throw new Error(`the counter ${name} does not end with _total`);
    if (series.length === 0) throw new Error(`${name} has no value`);
    if (type === 'histogram') checkHistogram(name, series);
  }
  return exposition;
}

function readSeries(line: string): Series {
  const [, name, inner = '', number] = SAMPLE.exec(line) ?? [];
  if (!name) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < inner.length) {
    const at = LABEL.lastIndex;
    const match = LABEL.exec(inner);
    if (!match) throw new Error(`no label at ${at}: ${line}`);
    const [, label, value] = match;
    if (Object.hasOwn(labels, label) || label.startsWith('__')) throw new Error(`the label ${label}: ${line}`);
    labels[label] = value.replace(/\\(.)/g, (_, escaped) => (escaped === 'n' ? '\n' : escaped));
  }
  const value = number === '+Inf' ? Number.POSITIVE_INFINITY : number === 'NaN' ? Number.NaN : Number(number);
  if (!/^(\+Inf|-Inf|NaN|-?\d+(\.\d+)?(e[-+]?\d+)?)$/.test(number)) throw new Error(`no number: ${line}`);
  return { name, labels, value };
}

/** For each set of labels: buckets that grow, the last one `+Inf`, and as many as the count says. */
function checkHistogram(name: string, series: Series[]): void {
  const groups = Map.groupBy(series, ({ labels: { le: _, ...labels } }) => JSON.stringify(labels));
  for (const [group, all] of groups) {
    const of = (suffix: string) => all.filter((each) => each.name === `${name}${suffix}`);
    const buckets = of('_bucket').map(({ labels, value }) => ({
      bound: labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le),
      value,
    }));
    const grows = buckets.every(
      ({ bound, value }, index) =>
        index === 0 || (bound > buckets[index - 1].bound && value >= buckets[index - 1].value),
    );
    const last = buckets.at(-1);
    if (!grows || last?.bound !== Number.POSITIVE_INFINITY) throw new Error(`the buckets of ${name}${group}`);
    if (of('_sum').length !== 1 || of('_count')[0]?.value !== last.value) throw new Error(`the sum of ${name}${group}`);
  }
}
