/**
 * The routes of the local API: a method, a path, what is done. Reading and writing HTTP is the server's.
 */
import { SkiffError } from '../errors.ts';
import type { Agent } from '../fleet/agent.ts';
import type { Decision, Fleet } from '../fleet/fleet.ts';
import type { LogRecord } from '../log.ts';
import type { Change } from '../site/documents.ts';
import { kinds } from '../site/kinds.ts';
import type { LinkRequest } from '../site/links.ts';
import type { Kind } from '../site/resources.ts';
import type { Site, SiteEvent } from '../site/site.ts';
import type {
  ApiStatus,
  ApplyRequest,
  BackupAnswer,
  BackupRequest,
  ChangesAnswer,
  DeleteRequest,
  DeviceAnswer,
  GiveRequest,
  LogAnswer,
  ManageAnswer,
  ManageRequest,
  SelfCheck,
  TrafficAnswer,
} from './messages.ts';

/** What the routes serve from. */
export interface ApiContext {
  site: Site;
  fleet: Fleet;
  agent: Agent;
  /** Wipes everything, and ends the process. */
  reset(): void;
  status(): ApiStatus;
  selfCheck(): Promise<SelfCheck>;
  log(): LogRecord[];
  /** Reads again what the site was started with. */
  reload(): Promise<Change[]>;
  backup(passphrase: string): Promise<Buffer>;
}

export interface ApiRequest {
  /** What the path's parameters stand for. */
  path: string[];
  query: URLSearchParams;
  /** The body, parsed. */
  body(): Promise<unknown>;
}

/** An answer that goes on until the one who asked goes away: one JSON line an event. */
export interface EventStream {
  subscribe(listener: (event: SiteEvent) => void): () => void;
}

type Handler = (context: ApiContext, request: ApiRequest) => unknown;

export interface Route {
  method: string;
  path: RegExp;
  handle: Handler;
}

export const routes: Route[] = [
  { method: 'GET', path: /^\/openapi\.json$/, handle: async () => (await import('./openapi.ts')).openapi },
  { method: 'GET', path: /^\/v1\/status$/, handle: (context) => context.status() },
  {
    method: 'GET',
    path: /^\/v1\/events$/,
    handle: ({ site }): EventStream => ({ subscribe: (l) => site.subscribe(l) }),
  },
  { method: 'GET', path: /^\/v1\/self-check$/, handle: (context) => context.selfCheck() },
  { method: 'GET', path: /^\/v1\/log$/, handle: (context): LogAnswer => ({ records: context.log() }) },
  { method: 'GET', path: /^\/v1\/traffic$/, handle: traffic },
  { method: 'POST', path: /^\/v1\/router$/, handle: manage },
  { method: 'GET', path: /^\/v1\/export$/, handle: ({ site }, { query }) => site.export(rendering(query)) },
  { method: 'GET', path: /^\/v1\/documents\/(\w+)$/, handle: list },
  { method: 'GET', path: /^\/v1\/documents\/(\w+)\/([^/]+)$/, handle: get },
  { method: 'POST', path: /^\/v1\/documents$/, handle: apply },
  { method: 'POST', path: /^\/v1\/backup$/, handle: backup },
  { method: 'DELETE', path: /^\/v1\/documents$/, handle: remove },
  {
    method: 'POST',
    path: /^\/v1\/reload$/,
    handle: async (context): Promise<ChangesAnswer> => ({ changes: await context.reload() }),
  },
  { method: 'GET', path: /^\/v1\/certificates$/, handle: ({ site }) => site.issued() },
  { method: 'POST', path: /^\/v1\/certificates\/revoke$/, handle: revoke },
  { method: 'POST', path: /^\/v1\/authorities\/([^/]+)\/roll$/, handle: roll },
  { method: 'POST', path: /^\/v1\/links$/, handle: generateLink },
  { method: 'POST', path: /^\/v1\/tokens\/redeem$/, handle: redeem },
  { method: 'POST', path: /^\/v1\/claims\/([^/]+)\/revoke$/, handle: revokeClaim },
  { method: 'POST', path: /^\/v1\/fleet\/(approve|reject|revoke)$/, handle: decide },
  {
    method: 'GET',
    path: /^\/v1\/fleet\/devices\/([^/]+)$/,
    handle: ({ fleet }, { path }) => fleet.show(path[0]),
  },
  { method: 'POST', path: /^\/v1\/fleet\/devices\/([^/]+)\/orders$/, handle: order },
  { method: 'POST', path: /^\/v1\/fleet\/devices\/([^/]+)\/replacement$/, handle: replace },
  { method: 'POST', path: /^\/v1\/fleet\/documents$/, handle: give },
  {
    method: 'GET',
    path: /^\/v1\/device$/,
    handle: ({ agent, fleet }): DeviceAnswer => ({ ...agent.facts, controller: fleet.membership }),
  },
  { method: 'GET', path: /^\/v1\/device\/identity$/, handle: ({ agent }) => agent.identity() },
  {
    method: 'POST',
    path: /^\/v1\/device\/claim$/,
    handle: async ({ agent }, { body }) => agent.take(readClaim(await body())),
  },
  {
    method: 'POST',
    path: /^\/v1\/device\/relink$/,
    handle: async ({ agent }, { body }) => agent.relink(readClaim(await body())),
  },
  { method: 'POST', path: /^\/v1\/device\/reset$/, handle: reset },
  { method: 'GET', path: /^\/v1\/fleet\/audit$/, handle: ({ fleet }) => fleet.audit(mostAudited) },
];

/** Rows that one answer has. */
const mostAudited = 1_000;

function rendering(query: URLSearchParams): { showSecrets: boolean } {
  return { showSecrets: query.get('show-secrets') === 'true' };
}

function kindOf(name: string): Kind {
  if (Object.hasOwn(kinds, name)) return name as Kind;
  throw new SkiffError('unknown-kind', `unknown kind "${name}"`, {
    hint: `Known are ${Object.keys(kinds).join(', ')}`,
  });
}

async function traffic({ site }: ApiContext): Promise<TrafficAnswer> {
  const { parts } = await site.measure();
  return { at: performance.now(), parts };
}

async function manage({ site }: ApiContext, { body }: ApiRequest): Promise<ManageAnswer> {
  const { router, edge, properties, body: value = {} } = ((await body()) ?? {}) as Partial<ManageRequest>;
  const named = [router, edge].filter((each) => each !== undefined);
  const wanted = named.length < 2 && named.every((each) => typeof each === 'string' && each !== '');
  if (!wanted || typeof properties !== 'object' || properties === null) {
    throw new SkiffError(
      'bad-request',
      'the body must be {"properties":{"operation":…,…}} and may name a router or an edge',
    );
  }
  const of = router !== undefined ? { router } : edge !== undefined ? { edge } : null;
  return site.manage({ of, properties, body: value });
}

function list({ site }: ApiContext, { path, query }: ApiRequest): unknown {
  return site.list(kindOf(path[0]), rendering(query));
}

function get({ site }: ApiContext, { path, query }: ApiRequest): unknown {
  const reference = { kind: kindOf(path[0]), name: path[1] };
  const document = site.get(reference, rendering(query));
  if (!document) throw new SkiffError('not-found', `there is no ${reference.kind} "${reference.name}"`);
  return document;
}

async function apply({ site }: ApiContext, { body }: ApiRequest): Promise<ChangesAnswer> {
  const { sources } = readApply(await body());
  // The YAML parser is loaded by those who apply, not at every start.
  const { readDocuments } = await import('../site/read.ts');
  return { changes: await site.apply(readDocuments(sources), 'local') };
}

function readApply(body: unknown): ApplyRequest {
  const sources = (body as Partial<ApplyRequest> | null)?.sources;
  if (!isListOfTexts(sources, 'name', 'text')) {
    throw new SkiffError('bad-request', 'the body must be {"sources":[{"name":…,"text":…},…]}');
  }
  return { sources };
}

async function remove({ site }: ApiContext, { body }: ApiRequest): Promise<ChangesAnswer> {
  const documents = ((await body()) as Partial<DeleteRequest> | null)?.documents;
  if (!isListOfTexts(documents, 'kind', 'name')) {
    throw new SkiffError('bad-request', 'the body must be {"documents":[{"kind":…,"name":…},…]}');
  }
  const references = documents.map(({ kind, name }) => ({ kind: kindOf(kind), name }));
  return { changes: await site.delete(references, 'local') };
}

async function revoke({ site }: ApiContext, { body }: ApiRequest): Promise<unknown> {
  const words = ((await body()) as { certificates?: unknown } | null)?.certificates;
  if (!Array.isArray(words) || !words.every((word) => typeof word === 'string')) {
    throw new SkiffError('bad-request', 'the body must be {"certificates":[NAME or FINGERPRINT,…]}');
  }
  return site.revoke(words);
}

async function roll({ site }: ApiContext, { path, query }: ApiRequest): Promise<unknown> {
  await site.rollAuthority(path[0], query.get('finish') === 'true');
  return {};
}

async function redeem({ site }: ApiContext, { body }: ApiRequest): Promise<ChangesAnswer> {
  const { sources } = readApply(await body());
  const { readDocuments } = await import('../site/read.ts');
  return { changes: await site.redeem(readDocuments(sources)) };
}

function revokeClaim({ fleet }: ApiContext, { path }: ApiRequest): unknown {
  fleet.revokeClaim(path[0]);
  return {};
}

function readClaim(body: unknown): string {
  const claim = (body as { claim?: unknown } | null)?.claim;
  if (typeof claim !== 'string')
    throw new SkiffError('bad-request', 'the body must be {"claim":…}, the text of an EnrolmentToken');
  return claim;
}

/** The answer goes out before everything ends. */
function reset(context: ApiContext): unknown {
  setImmediate(() => context.reset());
  return {};
}

async function decide({ fleet }: ApiContext, { path, body }: ApiRequest): Promise<unknown> {
  const devices = ((await body()) as { devices?: unknown } | null)?.devices;
  if (!Array.isArray(devices) || !devices.every((device) => typeof device === 'string')) {
    throw new SkiffError('bad-request', 'the body must be {"devices":[NAME or WORDS,…]}');
  }
  return fleet.decide(path[0] as Decision, devices);
}

async function order({ fleet }: ApiContext, { path, body }: ApiRequest): Promise<unknown> {
  const { verb, withinMs } = ((await body()) ?? {}) as { verb?: unknown; withinMs?: unknown };
  if (typeof verb !== 'string' || verb === '' || !Number.isSafeInteger(withinMs)) {
    throw new SkiffError('bad-request', 'the body must be {"verb":…,"withinMs":…}');
  }
  return fleet.order(path[0], verb, withinMs as number);
}

async function replace({ fleet }: ApiContext, { path, body }: ApiRequest): Promise<unknown> {
  const serial = ((await body()) as { serial?: unknown } | null)?.serial;
  if (typeof serial !== 'string' || serial === '') {
    throw new SkiffError('bad-request', 'the body must be {"serial":…}');
  }
  return fleet.replace(path[0], serial);
}

async function give({ fleet }: ApiContext, { body }: ApiRequest): Promise<ChangesAnswer> {
  const change = ((await body()) ?? {}) as Partial<GiveRequest>;
  const { sources } = readApply(change);
  const { group, device, prune = false } = change;
  if ([group, device].filter((each) => typeof each === 'string' && each !== '').length !== 1) {
    throw new SkiffError('bad-request', 'the body must name a "group" or a "device"');
  }
  const whom = group === undefined ? { device: String(device) } : { group: String(group) };
  return { changes: await fleet.give({ sources, ...whom, prune: prune === true }) };
}

async function generateLink({ site }: ApiContext, { body }: ApiRequest): Promise<unknown> {
  const { host, name, cost } = ((await body()) ?? {}) as Partial<LinkRequest>;
  if ([host, name].some((text) => text !== undefined && typeof text !== 'string')) {
    throw new SkiffError('bad-request', 'the body must be {"host":…,"name":…,"cost":…}, each as one wants');
  }
  if (cost !== undefined && !(Number.isInteger(cost) && cost >= 0)) {
    throw new SkiffError('bad-request', 'cost must be a whole number');
  }
  return site.generateLink({
    ...(host === undefined ? {} : { host }),
    ...(name === undefined ? {} : { name }),
    ...(cost === undefined ? {} : { cost }),
  });
}

async function backup(context: ApiContext, { body }: ApiRequest): Promise<BackupAnswer> {
  const passphrase = ((await body()) as Partial<BackupRequest> | null)?.passphrase;
  if (typeof passphrase !== 'string' || passphrase === '') {
    throw new SkiffError('bad-request', 'the body must be {"passphrase":…}');
  }
  return { backup: (await context.backup(passphrase)).toString('base64') };
}

/** Whether it is a list of objects in which these fields are texts. */
function isListOfTexts<F extends string>(list: unknown, ...fields: F[]): list is Record<F, string>[] {
  return Array.isArray(list) && list.every((item) => fields.every((field) => typeof item?.[field] === 'string'));
}
