/** Questions to the management agents of routers, for commands: tables page by page, and single answers. */
import type { ApiClient } from '../api/client.ts';
import type { ManageRequest } from '../api/messages.ts';
import { SkiffError } from '../errors.ts';
import { usageError } from './command.ts';

/** Which router is asked: neither is this site's own. */
export type Asked = Pick<ManageRequest, 'router' | 'edge'>;

export type Row = Record<string, unknown>;

/** Rows asked for at a time, as many as skupper-router's own tools ask for. */
const PAGE = 500;

export const routerOptions = {
  router: { type: 'string', short: 'r', value: 'ID', help: 'ask this router of the network, Skiff or not' },
  edge: { type: 'string', short: 'd', value: 'ID', help: 'ask this edge router' },
} as const;

export function askedOf({ router, edge }: { router: string | undefined; edge: string | undefined }): Asked {
  if (router !== undefined && edge !== undefined)
    throw usageError('one router is asked at a time', 'Use --router for an interior one, --edge for an edge');
  return { ...(router === undefined ? {} : { router }), ...(edge === undefined ? {} : { edge }) };
}

/** What the agent answers; throws when it does not do what is asked. */
export async function ask(client: ApiClient, asked: Asked, operation: string, more: Row = {}): Promise<unknown> {
  const { status, description, body } = await answerOf(client, asked, operation, more);
  if (status < 300) return body;
  const who = asked.router ?? asked.edge ?? 'this router';
  throw new SkiffError('router-refused', `${who} does not do it: ${description} (${status})`);
}

/** The same, with the answer whatever it is. */
export function answerOf(client: ApiClient, asked: Asked, operation: string, more: Row = {}) {
  const properties = { operation, type: 'org.amqp.management', name: 'self', ...more } as ManageRequest['properties'];
  return client.manage({ ...asked, properties, body: { attributeNames: [] } });
}

/** All things of one type, or the first `limit` of them; the type without its prefix. */
export async function query(client: ApiClient, asked: Asked, type: string, limit = Infinity): Promise<Row[]> {
  const rows = new Map<unknown, Row>();
  for (let offset = 0; rows.size < limit; offset += PAGE) {
    const count = Math.min(PAGE, limit - rows.size);
    const more = { entityType: `io.skupper.router.${type}`, offset, count };
    const before = rows.size;
    const answer = (await ask(client, asked, 'QUERY', more)) as { attributeNames: string[]; results: unknown[][] };
    for (const result of answer.results) {
      const row = Object.fromEntries(answer.attributeNames.map((name, index) => [name, result[index] ?? null]));
      rows.set(row.identity, row);
    }
    // Some types of skupper-router's know no pages: they always answer with everything.
    if (answer.results.length < count || rows.size === before) break;
  }
  return [...rows.values()].slice(0, limit);
}
