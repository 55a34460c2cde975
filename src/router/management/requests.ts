/** What is done for a request: the operations of management, in the words of skupper-router's agent. */
import type { LogRecord } from '../../log.ts';
import type { Entity, EntityType, View } from './entity.ts';
import { ManagementError } from './error.ts';
import { type Journey, pathOf } from './path.ts';
import { attributes, isSelf, operations, operationsOf, schema, TYPES, typeNamed, typesOf } from './schema.ts';
import type { AttributeValue } from './values.ts';

export interface ManagementRequest {
  /** The application properties, which say what is asked for. */
  properties: Readonly<Record<string, AttributeValue>>;
  /** null: it is no map. */
  body: Readonly<Record<string, AttributeValue>> | null;
  /** Whether the one who asks may change anything. */
  mayChange: boolean;
}

/** A table: rows are made as they are read, for there may be very many. */
export interface Rows {
  names: string[];
  rows: Iterable<AttributeValue[]>;
}

export type Answer = { status: 200 | 204; body: AttributeValue } | { status: 200; table: Rows };

/** Does what is asked for. Throws `ManagementError`. */
export function perform(request: ManagementRequest, view: View): Answer {
  const operation = textOf(request, 'operation')?.toUpperCase() ?? null;
  if (operation === null) throw new ManagementError(400, "No 'operation' property");
  if (operation === 'CREATE') return refuseChange(typeNamed(textOf(request, 'type')), operation, request);
  if (operation === 'QUERY') return { status: 200, table: query(request, view) };
  const type = typeNamed(textOf(request, 'type'));
  const [name, identity] = [textOf(request, 'name'), textOf(request, 'identity')];
  if (name === null && identity === null && type && !isSelf(type))
    throw new ManagementError(400, `${type.name}: No name or identity provided`);
  const entity = find(type, { name, identity }, view);
  if (isSelf(entity.type)) return performSelf(operation, request, view);
  switch (operation) {
    case 'READ':
      return { status: 200, body: mapOf(entity) };
    case 'UPDATE':
      return update(entity, request);
    default:
      return refuseChange(entity.type, operation, request);
  }
}

function performSelf(operation: string, request: ManagementRequest, view: View): Answer {
  const only = typeNamed(textOf(request, 'entityType'));
  const done = (body: AttributeValue): Answer => ({ status: 200, body });
  switch (operation) {
    case 'READ':
      return done({ name: 'self', identity: 'self', type: 'org.amqp.management' });
    case 'GET-TYPES':
      return done(typesOf(only));
    case 'GET-ANNOTATIONS':
      return done({});
    case 'GET-OPERATIONS':
      return done(operations(only));
    case 'GET-ATTRIBUTES':
      return done(attributes(only));
    case 'GET-MGMT-NODES':
      return done(view.nodes().map(({ id }) => `amqp:/_topo/0/${id}/$management`));
    case 'GET-SCHEMA':
      return done(schema());
    case 'GET-JSON-SCHEMA':
      return done(JSON.stringify(schema(), null, numberOf(request, 'indent') ?? undefined));
    case 'GET-PATH':
      return done(pathOf(journeyOf(request), view.router));
    case 'GET-LOG':
      return done(
        view
          .log()
          .slice(-(numberOf(request, 'limit') || MOST_LOGGED))
          .map(logged),
      );
    default:
      throw notImplemented(operation, typeNamed('management') as EntityType);
  }
}

const MOST_LOGGED = 1_000;

/** Of which address, and how it has come so far: neither is known of a message that begins here. */
function journeyOf(request: ManagementRequest): Journey {
  const address = textOf(request, 'address');
  if (address === null || address === '') throw new ManagementError(400, "No 'address' property");
  const trace = (textOf(request, 'trace') ?? '').split('|').filter((id) => id !== '');
  return { address, ingress: textOf(request, 'ingress'), trace };
}

/** The columns and rows that are asked for. A type's own order of things is kept, so that pages fit together. */
function query(request: ManagementRequest, view: View): Rows {
  const type = typeNamed(textOf(request, 'entityType'));
  const types = type ? [type] : TYPES;
  const known = [...new Set(types.flatMap(({ kinds }) => [...kinds.keys()]))];
  const asked = request.body?.attributeNames;
  const names = Array.isArray(asked) && asked.length > 0 ? asked.map(String) : known;
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    const listed = unknown
      .map((name) => `'${name}'`)
      .join(', ')
      .slice(0, 256);
    throw new ManagementError(404, `Unknown attributes [${listed}]${type ? ` for type ${type.name}` : ''}.`);
  }
  const offset = Math.max(0, numberOf(request, 'offset') ?? 0);
  // None at all is asked for by leaving it out, or, of old, with a number that is none.
  const count = numberOf(request, 'count') || -1;
  return { names, rows: page(types, view, names, offset, count < 0 ? Number.POSITIVE_INFINITY : count) };
}

function* page(
  types: readonly EntityType[],
  view: View,
  names: string[],
  offset: number,
  count: number,
): Generator<AttributeValue[]> {
  let index = 0;
  for (const type of types) {
    for (const entity of type.entities(view)) {
      if (index >= offset + count) return;
      if (index++ >= offset) yield names.map((name) => entity.get(name));
    }
  }
}

/** The one entity that is named. */
function find(type: EntityType | null, ids: { name: string | null; identity: string | null }, view: View): Entity {
  const wanted = Object.entries(ids).filter(([, value]) => value !== null) as [string, string][];
  const described = wanted.map(([attribute, value]) => `${attribute}=${value.slice(0, 128)}`).join(' ');
  const of = type ? [type] : TYPES.filter((each) => wanted.length > 0 || isSelf(each));
  for (const each of of) {
    for (const entity of each.entities(view)) {
      if (wanted.every(([attribute, value]) => entity.get(attribute) === value)) return entity;
    }
  }
  throw new ManagementError(404, `No entity with ${described}`);
}

function update(entity: Entity, request: ManagementRequest): Answer {
  const { type } = entity;
  if (!entity.update) return refuseChange(type, 'UPDATE', request);
  const { body } = request;
  if (body === null) throw new ManagementError(400, 'Body of request must be a map');
  for (const name of Object.keys(body)) {
    if (!type.kinds.has(name))
      throw new ManagementError(400, `Unknown attribute '${name.slice(0, 128)}' for '${type.name}'`);
  }
  if (!request.mayChange) throw forbidden();
  entity.update(new Map(Object.entries(body).filter(([name]) => type.mutable.includes(name))));
  return { status: 200, body: mapOf(entity) };
}

/** What documents say is changed by documents; what is only counted, not at all. */
function refuseChange(type: EntityType | null, operation: string, request: ManagementRequest): never {
  if (!type) throw new ManagementError(400, "No 'type' attribute");
  if (!['CREATE', 'UPDATE', 'DELETE'].includes(operation)) throw notImplemented(operation, type);
  if (type.base === 'configuration' && request.mayChange)
    throw new ManagementError(
      403,
      `Forbidden: the ${type.shortName} is as the documents of the site say, see skiff apply`,
    );
  throw forbidden();
}

const forbidden = (): ManagementError => new ManagementError(403, 'Forbidden');

function notImplemented(operation: string, type: EntityType): ManagementError {
  const able = operationsOf(type)
    .map((each) => `'${each}'`)
    .join(', ');
  return new ManagementError(501, `Operation '${operation.slice(0, 64)}' not implemented for '${type.name}' [${able}]`);
}

function mapOf(entity: Entity): AttributeValue {
  const entries = [...entity.type.kinds.keys()].map((name) => [name, entity.get(name)] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== null));
}

/** A record as skupper-router has it: part, level, text, file and line, seconds since 1970. */
function logged({ part, level, message, time }: LogRecord): AttributeValue {
  return [part.toUpperCase(), level, message, null, null, Math.floor(time / 1_000)];
}

function textOf({ properties }: ManagementRequest, name: string): string | null {
  const value = properties[name];
  return value === undefined || value === null ? null : String(value);
}

function numberOf({ properties }: ManagementRequest, name: string): number | null {
  const value = Number(properties[name] ?? Number.NaN);
  return Number.isInteger(value) ? value : null;
}
