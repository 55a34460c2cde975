/** Metrics as Prometheus reads them: its text format, version 0.0.4. */

export interface Sample {
  labels: Record<string, string>;
  value: number;
  /** What a histogram adds to the name of its family. */
  suffix?: '_bucket' | '_sum' | '_count';
}

export interface Family {
  name: string;
  type: 'gauge' | 'counter' | 'histogram';
  help: string;
  samples: Sample[];
}

export const expositionType = 'text/plain; version=0.0.4; charset=utf-8';

/** A family of which there is nothing to say is left out. */
export function write(families: Family[]): string {
  return families
    .filter(({ samples }) => samples.length > 0)
    .map(({ name, type, help, samples }) => {
      const lines = samples.map((sample) => `${name}${sample.suffix ?? ''}${labels(sample)} ${number(sample.value)}\n`);
      return `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}\n${lines.join('')}`;
    })
    .join('');
}

function labels({ labels }: Sample): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value).replaceAll('"', '\\"')}"`);
  return pairs.length > 0 ? `{${pairs.join(',')}}` : '';
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function number(value: number): string {
  return value === Number.POSITIVE_INFINITY ? '+Inf' : String(value);
}
