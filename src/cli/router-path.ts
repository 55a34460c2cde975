/**
 * `skiff router path`: which way a connection to a routing key would take, from router to router, and why.
 */
import { ApiClient } from '../api/client.ts';
import { SkiffError } from '../errors.ts';
import { command, outputOption } from './command.ts';
import { dataDirectory } from './data-directory.ts';
import { type Column, printDocuments, printTable } from './output.ts';
import { type Asked, answerOf, askedOf, query, type Row, routerOptions } from './router-query.ts';

/** Somebody who could take it at one of the routers on the way. */
interface Candidate {
  kind: string;
  name: string;
  /** The neighbour on the way to another router. */
  way: string | null;
  cost: number | null;
  inHand: number | null;
  chosen: boolean;
  why: string;
}

interface Hop {
  router: string;
  address: string;
  treatment: string | null;
  candidates: Candidate[];
}

/** Networks are not that wide: more is going round in circles. */
const MOST_HOPS = 64;

const columns: Column<{ hop: Hop; candidate: Candidate | null; number: number }>[] = [
  { header: 'HOP', value: ({ number }) => String(number) },
  { header: 'ROUTER', value: ({ hop }) => hop.router },
  { header: 'TO', value: ({ candidate }) => (candidate ? `${candidate.kind} ${candidate.name}`.trim() : '-') },
  { header: 'WAY', value: ({ candidate }) => candidate?.way ?? '-' },
  { header: 'COST', value: ({ candidate }) => String(candidate?.cost ?? '-') },
  { header: 'IN-HAND', value: ({ candidate }) => String(candidate?.inHand ?? '-') },
  { header: 'CHOSEN', value: ({ candidate }) => (candidate?.chosen ? 'yes' : 'no') },
  { header: 'WHY', value: ({ candidate }) => candidate?.why ?? 'nobody takes it' },
];

export const routerPath = command({
  description: `Asks router after router, from this one on, to whom it would give a connection to a routing key at this moment: everybody
who could take it, what the way there costs, what each has in hand, and what decides. A skupper-router does not tell what it
would choose: there the nearest is taken for it.`,
  arguments: [{ name: 'ADDRESS', help: 'a routing key, or another address of the network' }],
  options: { ...routerOptions, output: outputOption },
  examples: [
    { for: 'where connections to the ERP system go', command: 'skiff router path erp' },
    { for: 'the same from another router', command: 'skiff router path erp --router hub-1b4e28ba' },
  ],
  async run({ output, data, router, edge }, [address]) {
    const client = new ApiClient(dataDirectory(data));
    const hops = await follow(client, askedOf({ router, edge }), address as string);
    const last = hops.at(-1) as Hop;
    if (output !== 'table') await printDocuments(hops, output);
    else printTable(columns, hops.flatMap(linesOf));
    if (last.candidates.length > 0) return;
    throw new SkiffError('no-destination', `nobody in reach of ${last.router} takes ${address}`, {
      hint: 'A connector with that routing key is missing, or the way to it; see skiff router stat --nodes',
    });
  },
});

function linesOf(hop: Hop, index: number) {
  const candidates = hop.candidates.length > 0 ? hop.candidates : [null];
  return candidates.map((candidate) => ({ hop, candidate, number: index + 1 }));
}

/** One router after another, as long as it goes on to another one. */
async function follow(client: ApiClient, from: Asked, address: string): Promise<Hop[]> {
  const hops: Hop[] = [];
  for (let asked: Asked | null = from; asked && hops.length < MOST_HOPS; ) {
    const hop = await hopAt(client, asked, address, hops);
    const again = hops.some(({ router }) => router === hop.router);
    hops.push(hop);
    asked = again ? null : nextOf(hop);
  }
  return hops;
}

function nextOf({ candidates }: Hop): Asked | null {
  const chosen = candidates.find((candidate) => candidate.chosen);
  if (!chosen) return null;
  if (chosen.kind === 'edge') return { edge: chosen.name };
  if (chosen.kind === 'uplink') return { router: chosen.name };
  return chosen.kind === 'router' ? { router: chosen.way ?? chosen.name } : null;
}

async function hopAt(client: ApiClient, asked: Asked, address: string, before: Hop[]): Promise<Hop> {
  const trace = before.map(({ router }) => router);
  const journey = { address, trace: trace.join('|'), ...(trace[0] === undefined ? {} : { ingress: trace[0] }) };
  const { status, body, description } = await answerOf(client, asked, 'GET-PATH', journey);
  if (status === 200) return body as unknown as Hop;
  if (status === NOT_IMPLEMENTED) return guess(client, asked, address, trace);
  throw new SkiffError('router-refused', `${asked.router ?? asked.edge ?? 'this router'}: ${description} (${status})`);
}

const NOT_IMPLEMENTED = 501;

/** What a skupper-router says of an address and of the routers that it knows. */
async function guess(client: ApiClient, asked: Asked, address: string, trace: string[]): Promise<Hop> {
  const [addresses, nodes] = await Promise.all([
    query(client, asked, 'router.address'),
    query(client, asked, 'router.node'),
  ]);
  const entry = addresses.find(({ key }) => key === `M${address}`);
  const local = Number(entry?.subscriberCount ?? 0) + Number(entry?.inProcess ?? 0);
  const remote = ((entry?.remoteHostRouters ?? []) as string[]).flatMap((id) => {
    const node = nodes.find((each) => each.id === id);
    const way = String(node?.nextHop ?? id);
    return node && !trace.includes(way) ? [candidateAt(id, way, node)] : [];
  });
  remote.sort((one, other) => Number(one.cost) - Number(other.cost));
  const here = { kind: 'consumer', name: `(${local} of its own)`, way: null, cost: 0, inHand: null };
  const candidates = [...(local > 0 ? [{ ...here, chosen: false, why: 'farther' }] : []), ...remote];
  const [first] = candidates;
  if (first) Object.assign(first, { chosen: true, why: candidates.length > 1 ? 'the nearest' : 'the only one' });
  const router = asked.router ?? asked.edge ?? '';
  return { router, address, treatment: (entry?.distribution as string | undefined) ?? null, candidates };
}

function candidateAt(name: string, way: string, { cost }: Row): Candidate {
  return { kind: 'router', name, way, cost: Number(cost), inHand: null, chosen: false, why: 'farther' };
}
