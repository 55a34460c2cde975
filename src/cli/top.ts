/**
 * `skiff top`: what the site carries, as it does.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from '../api/client.ts';
import type { TrafficAnswer } from '../api/messages.ts';
import type { RenderedDocument } from '../site/render.ts';
import { command, outputOption } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { octets } from './octets.ts';
import { type Column, formatTable, print, printDocuments } from './output.ts';
import { paint } from './style.ts';

/** One line of the picture. */
interface Row {
  kind: 'access' | 'link' | 'listener' | 'multiKeyListener' | 'connector';
  name: string;
  status: string;
  /** The peer of a link, the routing key of a service. */
  to: string;
  connections: number;
  /** Octets a second, from its sockets and to them. */
  inRate: number;
  outRate: number;
  octetsIn: number;
  octetsOut: number;
}

export const top = command({
  description: `Shows links and services as they are used: connections, rates, octets. On a terminal it goes on until q or
Ctrl-C; elsewhere, or with -o json, it shows one interval and ends.`,
  options: {
    interval: { type: 'duration', default: 1_000, help: 'how often to look' },
    output: outputOption,
  },
  examples: [
    { for: 'watch', command: 'skiff top' },
    { for: 'the rates of ten seconds, for a program', command: 'skiff top --interval 10s -o json' },
  ],
  async run({ interval, output, data }) {
    const client = new ApiClient(dataDirectory(data));
    const every = Math.max(interval, 100);
    const live = output === 'table' && process.stdout.isTTY === true;
    if (live) return watch(client, every);
    const before = await client.traffic();
    await sleep(every);
    const rows = await look(client, before, await client.traffic());
    if (output === 'table') print(pictureOf(rows));
    else await printDocuments(rows, output);
  },
});

async function watch(client: ApiClient, every: number): Promise<void> {
  const end = new AbortController();
  const onKey = (key: Buffer) => {
    if (key.includes('q') || key.includes(3)) end.abort();
  };
  const onSignal = () => end.abort();
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  if (process.stdin.isTTY) process.stdin.setRawMode(true).on('data', onKey);
  // Another screen, without a cursor; the one from before comes back at the end.
  process.stdout.write('\u001b[?1049h\u001b[?25l');
  try {
    const { site } = await client.status();
    let before = await client.traffic();
    while (!end.signal.aborted) {
      await sleep(every, undefined, { signal: end.signal }).catch(() => {});
      const now = await client.traffic();
      const picture = pictureOf(await look(client, before, now));
      const head = paint(
        process.stdout,
        'bold',
        `${site.site ?? 'no site'}  ${new Date().toLocaleTimeString()}  q ends`,
      );
      const lines = [head, '', ...picture.split('\n')].slice(0, process.stdout.rows || 24);
      process.stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\n')}\u001b[J`);
      before = now;
    }
  } finally {
    process.stdout.write('\u001b[?25h\u001b[?1049l');
    if (process.stdin.isTTY) process.stdin.setRawMode(false).off('data', onKey).pause();
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
  }
}

async function look(client: ApiClient, before: TrafficAnswer, now: TrafficAnswer): Promise<Row[]> {
  const kinds = ['RouterAccess', 'Link', 'Listener', 'MultiKeyListener', 'Connector'] as const;
  const lists = await Promise.all(kinds.map((kind) => client.list(kind, { showSecrets: false })));
  const documents = new Map(lists.flat().map((each) => [`${each.kind.toLowerCase()}/${each.metadata.name}`, each]));
  return rates(before, now).map((row) => {
    // An access is called <RouterAccess>-<role>.
    const key =
      row.kind === 'access'
        ? `routeraccess/${row.name.replace(/-(inter-router|edge|normal)$/, '')}`
        : `${row.kind.toLowerCase()}/${row.name}`;
    const document = documents.get(key);
    return { ...row, status: document?.status?.status ?? '', to: document ? target(document) : '' };
  });
}

function target({ kind, spec, status }: RenderedDocument): string {
  const facts = (status ?? {}) as { remoteSiteName?: string; peer?: { id?: string } };
  if (kind === 'Link') return facts.remoteSiteName ?? facts.peer?.id ?? '';
  return String(spec?.routingKey ?? '');
}

/** Counters of a connection start again with it: what is less than before counts from zero. */
export function rates(before: TrafficAnswer, now: TrafficAnswer): Omit<Row, 'status' | 'to'>[] {
  const seconds = Math.max((now.at - before.at) / 1_000, 0.001);
  const old = new Map(before.parts.map((part) => [`${part.kind}/${part.name}`, part]));
  return now.parts.map((part) => {
    const last = old.get(`${part.kind}/${part.name}`) ?? part;
    const rate = (from: number, to: number) => Math.round((to >= from ? to - from : to) / seconds);
    return { ...part, inRate: rate(last.octetsIn, part.octetsIn), outRate: rate(last.octetsOut, part.octetsOut) };
  });
}

const shared = {
  status: { header: 'STATUS', value: ({ status }) => status },
  connections: { header: 'CONNECTIONS', value: ({ connections }) => String(connections) },
  in: { header: 'IN/S', value: ({ inRate }) => octets(inRate) },
  out: { header: 'OUT/S', value: ({ outRate }) => octets(outRate) },
  allIn: { header: 'IN', value: ({ octetsIn }) => octets(octetsIn) },
  allOut: { header: 'OUT', value: ({ octetsOut }) => octets(octetsOut) },
} satisfies Record<string, Column<Row>>;

function columnsOf(name: string, to: string): Column<Row>[] {
  return [
    { header: name, value: (row) => `${row.kind} ${row.name}` },
    { header: to, value: (row) => row.to },
    ...Object.values(shared),
  ];
}

function pictureOf(rows: Row[]): string {
  const links = rows.filter(({ kind }) => kind === 'link' || kind === 'access');
  const services = rows
    .filter((row) => !links.includes(row))
    .sort((a, b) => b.inRate + b.outRate - a.inRate - a.outRate);
  return `${formatTable(columnsOf('LINK', 'PEER'), links)}\n${formatTable(columnsOf('SERVICE', 'ROUTING-KEY'), services)}`;
}
