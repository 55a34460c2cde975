/**
 * What can be asked for: types of things, the attributes that each has, and the things there are at the moment. Names and
 * attributes are those of skupper-router's management schema, so that its tools know what they see.
 */
import type { Socket } from 'node:net';
import type { LogRecord } from '../../log.ts';
import type { NodeFacts } from '../mesh/engine.ts';
import type { PartConfig, PartState, Traffic } from '../protocol.ts';
import type { Router } from '../router.ts';
import type { AttributeValue } from './values.ts';

/** A TCP connection: of a listener's client, or to a connector's server. */
export interface TcpConnection {
  readonly number: number;
  /** When it began, `performance.now()`. */
  readonly since: number;
  readonly socket: Socket;
  fail(): void;
}

/** A part of the router as it runs. */
export interface RunningPart {
  config: PartConfig;
  /** null before its first. */
  state: PartState | null;
  traffic: Omit<Traffic, 'kind' | 'name'>;
  /** Those of TCP that a listener or a connector carries. */
  connections: Iterable<TcpConnection>;
}

/** What there is to look at. Each is made when it is asked for. */
export interface View {
  readonly router: Router;
  parts(): RunningPart[];
  /** The routers of the network that can be reached, this one among them; none at an edge. */
  nodes(): NodeFacts[];
  /** When their paths last changed, in seconds since 1970; 0: never. */
  topologyChange(): number;
  /** What was logged last, oldest first. */
  log(): LogRecord[];
}

/** The words of the schema for what an attribute may be; a list has the only values there are. */
export type AttributeKind = 'string' | 'integer' | 'boolean' | 'list' | 'map' | 'entityId' | readonly string[];

export interface Attribute<T> {
  kind: AttributeKind;
  read(item: T): AttributeValue;
}

export interface EntityType {
  /** Whole: `io.skupper.router.connection`. */
  readonly name: string;
  readonly shortName: string;
  /** `configuration`: it is as the documents of the site say. */
  readonly base: 'configuration' | 'operational';
  readonly kinds: ReadonlyMap<string, AttributeKind>;
  /** Attributes that may be changed. */
  readonly mutable: readonly string[];
  entities(view: View): Iterable<Entity>;
}

export interface Entity {
  readonly type: EntityType;
  get(attribute: string): AttributeValue;
  /** Takes up changes of mutable attributes. Throws `ManagementError`. */
  update?(changes: ReadonlyMap<string, AttributeValue>): void;
}

export const PREFIX = 'io.skupper.router.';

interface Definition<T> {
  shortName: string;
  base: EntityType['base'];
  items(view: View): Iterable<T>;
  /** What tells those of one type apart. Their identity is `<short name>/<key>`, unless `identity` says otherwise. */
  key(item: T): string;
  identity?(item: T): string;
  name?(item: T): string;
  attributes: Record<string, Attribute<T>>;
  mutable?: readonly string[];
  update?(item: T, changes: ReadonlyMap<string, AttributeValue>): void;
}

export function entityType<T>(definition: Definition<T>): EntityType {
  const { shortName, base, key, mutable = [] } = definition;
  const fullName = `${PREFIX}${shortName}`;
  // Of what the configuration of an address is about, the identity says no more than that.
  const identity = definition.identity ?? ((item: T) => `${shortName.replace('router.config.', '')}/${key(item)}`);
  const attributes: Record<string, Attribute<T>> = {
    name: text(definition.name ?? identity),
    identity: text(identity),
    type: text(() => fullName),
    ...definition.attributes,
  };
  const entity = (item: T): Entity => {
    const { update } = definition;
    return {
      type,
      get: (name) => (Object.hasOwn(attributes, name) ? (attributes[name] as Attribute<T>).read(item) : null),
      ...(update ? { update: (changes) => update(item, changes) } : {}),
    };
  };
  const type: EntityType = {
    ...{ name: fullName, shortName, base, mutable },
    kinds: new Map(Object.entries(attributes).map(([name, { kind }]) => [name, kind])),
    *entities(view) {
      for (const item of definition.items(view)) yield entity(item);
    },
  };
  return type;
}

type Read<T, V> = (item: T) => V;

export const text = <T>(read: Read<T, string | null>): Attribute<T> => ({ kind: 'string', read });
export const number = <T>(read: Read<T, number | null>): Attribute<T> => ({ kind: 'integer', read });
export const flag = <T>(read: Read<T, boolean>): Attribute<T> => ({ kind: 'boolean', read });
export const list = <T>(read: Read<T, readonly AttributeValue[] | null>): Attribute<T> => ({ kind: 'list', read });
export const map = <T>(read: Read<T, AttributeValue>): Attribute<T> => ({ kind: 'map', read });

/** One of a few words. */
export function word<const W extends string>(words: readonly W[]) {
  return <T>(read: Read<T, W | null>): Attribute<T> => ({ kind: words, read });
}

/** Attributes that skupper-router has, and that say nothing of a router that is none: there is never anything in them. */
export function empty(kind: AttributeKind, ...names: string[]): Record<string, Attribute<unknown>> {
  return Object.fromEntries(names.map((name) => [name, { kind, read: () => null }]));
}

/** The same of counters: nothing is counted. */
export function zero(...names: string[]): Record<string, Attribute<unknown>> {
  return Object.fromEntries(names.map((name) => [name, { kind: 'integer' as const, read: () => 0 }]));
}
