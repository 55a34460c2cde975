/**
 * The kinds that have verbs of their own (`create`, `update`, `status`, `delete`, `generate`), as data: which options
 * they have and what each writes into the document. Names, defaults and messages are Skupper's where it has them.
 */
import { skiff } from '../site/kinds.ts';
import type { RenderedDocument } from '../site/render.ts';
import type { Kind } from '../site/resources.ts';
import type { JsonObject } from '../store/documents.ts';
import { type Option, usageError } from './command.ts';

export type VerbKind = Extract<Kind, 'Site' | 'Listener' | 'Connector' | 'MultiKeyListener'>;

export interface FieldOption {
  option: Option;
  /** What `create` takes when it is not given, for the help. */
  initial?: string;
  /** Writes what was given. An empty text takes the field away. */
  set(spec: JsonObject, value: unknown): void;
}

export interface ResourceDefinition {
  kind: VerbKind;
  noun: string;
  /** What it is, for a summary: `a listener`. */
  what: string;
  description: string;
  /** Whether `create` needs a port, too. */
  hasPort: boolean;
  /** What is said when there are none. */
  none: string;
  /** What `create` waits for if not told. */
  wait: 'configured' | 'ready';
  fields: Record<string, FieldOption>;
  /** Options of `create` that make another document besides. */
  besides?: Record<string, { option: Option; document: RenderedDocument }>;
  /** Options of which one is given at most. */
  exclusive?: readonly string[];
  /** The spec that `create` starts from. */
  initial(name: string): JsonObject;
  examples: { create: string; update: string };
}

function text(field: string, option: Omit<Option, 'type'>, initial?: string): FieldOption {
  return {
    option: { ...option, type: 'string' },
    ...(initial === undefined ? {} : { initial }),
    set: (spec, value) => {
      if (value === '') delete spec[field];
      else spec[field] = value as string;
    },
  };
}

/** A text that is a name, which Skupper holds to more on a command line than in a document. */
function nameText(field: string, option: Omit<Option, 'type'> & { label: string }): FieldOption {
  const any = text(field, option);
  return {
    ...any,
    set: (spec, value) => {
      if (value !== '' && !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value as string)) {
        const hint = 'Use lower-case letters and digits, with "-" and "." between them';
        throw usageError(`${option.label} is not valid: "${value}" is no name`, hint);
      }
      any.set(spec, value);
    },
  };
}

function flag(field: string, help: string): FieldOption {
  return {
    option: { type: 'boolean', help },
    set: (spec, value) => {
      spec[field] = value as boolean;
    },
  };
}

const tlsCredentials = nameText('tlsCredentials', {
  value: 'NAME',
  label: 'tlsCredentials value',
  completion: { kind: 'Secret' },
  help: 'the Secret with the TLS credentials',
});

const routingKey = nameText('routingKey', {
  value: 'KEY',
  label: 'routing key',
  help: 'the name by which listeners and connectors find each other (the name of the document if not said)',
});

const tcp = (noun: string) =>
  text('type', { value: 'TYPE', label: `${noun} type`, choices: ['tcp'], help: `the kind of ${noun}` }, 'tcp');

const port: FieldOption = {
  option: { type: 'integer', value: 'PORT', help: 'another port' },
  set: (spec, value) => {
    spec.port = value as number;
  },
};

const listenerHost = text('host', { value: 'HOST', help: 'the local address to listen on' }, '0.0.0.0');

/** Each may be given more than once, or with commas. */
function strategy(type: 'priority' | 'weighted', option: Omit<Option, 'type' | 'multiple'>): FieldOption {
  return {
    option: { ...option, type: 'string', multiple: true },
    set: (spec, value) => {
      const words = (value as string[]).flatMap((each) => each.split(',')).filter((each) => each !== '');
      if (words.length === 0) return;
      const routingKeys = type === 'priority' ? words : Object.fromEntries(words.map(weight));
      spec.strategy = { [type]: { routingKeys } };
    },
  };
}

function weight(word: string): [string, number] {
  const match = /^(.+)=(\d{1,9})$/.exec(word);
  if (!match) throw usageError(`weighted is not valid: "${word}" has no weight`, 'Use such as --weighted erp=3');
  return [match[1], Number(match[2])];
}

const site: ResourceDefinition = {
  kind: 'Site',
  noun: 'site',
  what: 'a site',
  description: 'A site is a place where parts of an application run. Sites are linked to form a network.',
  hasPort: false,
  none: 'There is no existing Skupper site resource',
  wait: 'ready',
  fields: {
    'enable-link-access': {
      option: { type: 'boolean', help: 'allow access for incoming links from remote sites' },
      set: (spec, value) => {
        spec.linkAccess = value ? 'default' : 'none';
      },
    },
    edge: flag('edge', 'only links to others, and is linked to by nobody'),
  },
  besides: {
    'enable-enrolment': {
      option: { type: 'boolean', help: 'let devices enrol here, on port 9090' },
      document: { apiVersion: skiff, kind: 'EnrolmentService', metadata: { name: 'enrolment' }, spec: {} },
    },
  },
  initial: () => ({}),
  examples: { create: 'store1 --edge', update: 'hub --enable-link-access' },
};

const listener: ResourceDefinition = {
  kind: 'Listener',
  noun: 'listener',
  what: 'a listener',
  description: 'A listener is a local port. Clients at this site use it to reach a service at another one.',
  hasPort: true,
  none: 'No listeners found',
  wait: 'configured',
  fields: { 'routing-key': routingKey, host: listenerHost, 'tls-credentials': tlsCredentials, type: tcp('listener') },
  initial: (name) => ({ routingKey: name, host: '0.0.0.0', type: 'tcp' }),
  examples: { create: 'database 5432 --host 127.0.0.1', update: 'database --routing-key db-2' },
};

const connector: ResourceDefinition = {
  kind: 'Connector',
  noun: 'connector',
  what: 'a connector',
  description: 'A connector offers a server at this site to the listeners of others.',
  hasPort: true,
  none: 'No connectors found',
  wait: 'configured',
  fields: {
    'routing-key': { ...routingKey, option: { ...routingKey.option, short: 'r' } },
    host: text('host', { value: 'HOST', help: 'the name or address of the server' }, 'localhost'),
    'tls-credentials': tlsCredentials,
    type: tcp('connector'),
  },
  initial: (name) => ({ routingKey: name, host: 'localhost', type: 'tcp' }),
  examples: { create: 'database 5432', update: 'database --host mysql --port 3306' },
};

const multiKeyListener: ResourceDefinition = {
  kind: 'MultiKeyListener',
  noun: 'mkl',
  what: 'a MultiKeyListener',
  description: 'A MultiKeyListener is a local port for several services: by priority, or shared out by weight.',
  hasPort: true,
  none: 'No multikeylisteners found',
  wait: 'configured',
  fields: {
    priority: strategy('priority', { value: 'KEY,…', help: 'routing keys, the first that is reachable is used' }),
    weighted: strategy('weighted', { value: 'KEY=WEIGHT,…', help: 'routing keys and their shares' }),
    host: listenerHost,
    'tls-credentials': tlsCredentials,
    'require-client-cert': flag('requireClientCert', 'take only clients with a certificate'),
    observer: text('observer', {
      value: 'PROTOCOL',
      choices: ['auto', 'none', 'http1', 'http2'],
      help: 'what flow records look for',
    }),
  },
  exclusive: ['priority', 'weighted'],
  initial: () => ({ host: '0.0.0.0' }),
  examples: { create: 'erp 8080 --priority erp-local,erp', update: 'erp --priority erp,erp-backup' },
};

export const definitions = { site, listener, connector, mkl: multiKeyListener };

/** A spec with what the options say written over it. */
export function withFields(
  { fields, exclusive = [] }: ResourceDefinition,
  spec: JsonObject,
  values: Record<string, unknown>,
): JsonObject {
  const given = exclusive.filter((name) => (values[name] as unknown[]).length > 0);
  if (given.length > 1) {
    throw usageError(`only one is possible of ${given.map((name) => `--${name}`).join(' and ')}`, 'Choose one');
  }
  const result = { ...spec };
  for (const [name, { set }] of Object.entries({ ...fields, port })) {
    if (values[name] !== undefined) set(result, values[name]);
  }
  return result;
}

export { port as portField };

/** `Listener "erp"` */
export function titled({ kind }: ResourceDefinition, name: string): string {
  return `${kind} "${name}"`;
}

/** The document as one applies it. */
export function documentOf({ kind }: ResourceDefinition, name: string, spec: JsonObject): RenderedDocument {
  return { apiVersion: 'skupper.io/v2alpha1', kind, metadata: { name }, spec };
}
