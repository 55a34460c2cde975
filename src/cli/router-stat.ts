/**
 * `skiff router stat`: what a router knows and does, as skupper-router's skstat shows it.
 */
import { ApiClient } from '../api/client.ts';
import { command, outputOption, usageError } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { print, printDocuments, printTable } from './output.ts';
import { type Asked, askedOf, query, type Row, routerOptions } from './router-query.ts';
import { general, generalColumns, type View, views } from './router-views.ts';

const view = (short: string, help: string) => ({ type: 'boolean', short, help, default: false }) as const;

export const routerStat = command({
  description: `Shows what a router knows and does: its own figures, connections, links, the routers of the network, edges, addresses,
memory. It is that of this site, or any other in the network, be it a Skiff or a skupper-router.`,
  options: {
    general: view('g', 'the router itself (this is shown unless something else is asked for)'),
    connections: view('c', 'the AMQP connections'),
    links: view('l', 'the links of those'),
    nodes: view('n', 'the routers of the network, and the way to each'),
    edges: view('e', 'the connections of edges'),
    address: view('a', 'the addresses'),
    memory: view('m', 'the memory that is used'),
    ...routerOptions,
    limit: { type: 'integer', value: 'N', help: 'no more rows than this' },
    verbose: { type: 'boolean', short: 'v', default: false, help: 'more columns' },
    output: outputOption,
  },
  examples: [
    { for: 'the routers of the network', command: 'skiff router stat --nodes' },
    { for: 'who is connected to another router', command: 'skiff router stat --connections --router hub-1b4e28ba' },
    { for: 'every address, for a program', command: 'skiff router stat --address -o json' },
  ],
  async run({ output, data, verbose, limit, router, edge, ...flags }) {
    const client = new ApiClient(dataDirectory(data));
    const asked = askedOf({ router, edge });
    const chosen = Object.keys(views).filter((name) => flags[name as keyof typeof views]) as (keyof typeof views)[];
    if (chosen.length + Number(flags.general) > 1)
      throw usageError('one view is shown at a time', 'Choose one of them');
    const [name] = chosen;
    if (name === undefined) return showGeneral(client, asked, output);
    const { type, columns, more = [], none, shows = () => true }: View = views[name];
    const rows = (await query(client, asked, type, limit)).filter(shows);
    if (output !== 'table') return printDocuments(rows, output);
    if (rows.length === 0) return print(`${none}\n`);
    printTable(verbose ? [...columns, ...more] : columns, rows);
  },
});

async function showGeneral(client: ApiClient, asked: Asked, output: 'table' | 'json' | 'yaml'): Promise<void> {
  const [[router = {}], [metrics = {}]] = await Promise.all([
    query(client, asked, 'router', 1),
    query(client, asked, 'routerMetrics', 1),
  ]);
  const all: Row = { ...metrics, ...router };
  if (output !== 'table') return printDocuments([all], output);
  const lines = general.map(([name, read]): [string, unknown] => [name, read(router, metrics)]);
  printTable(
    generalColumns,
    lines.filter(([, value]) => value !== null && value !== undefined),
  );
}
