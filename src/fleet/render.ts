/**
 * What a device is to be: the documents of its group, those of its own in place of the group's, and its variables
 * filled in. The result is judged as any document is, so that no device gets what it could not take.
 */
import { SkiffError } from '../errors.ts';
import { kinds } from '../site/kinds.ts';
import { readDocuments } from '../site/read.ts';
import { type Kind, keyOf } from '../site/resources.ts';
import { type Fields, isObject } from '../site/schema.ts';
import type { JsonObject } from '../store/documents.ts';
import { fill, type Values } from './template.ts';

/** Who a device is, as far as templates ask. */
export interface DeviceFacts {
  name: string;
  siteId: string;
  group: string;
  serial: string | null;
}

/** What a group or a device brings. */
export interface Layer {
  documents?: JsonObject[];
  variables?: Record<string, string>;
}

/** Kinds that a device takes from its controller. */
export const renderedKinds: ReadonlySet<string> = new Set<Kind>([
  'Site',
  'Link',
  'Secret',
  'Listener',
  'MultiKeyListener',
  'Connector',
]);

/** Most octets of what a device is to be: it travels as one message. */
const mostOctets = 768 * 1024;

/** Each layer's documents take the place of those before it with the same kind and name. Throws `SkiffError`. */
export function renderDevice(device: DeviceFacts, layers: Layer[]): JsonObject[] {
  const values = valuesOf(device, layers);
  const documents = new Map<string, JsonObject>();
  for (const document of layers.flatMap((layer) => layer.documents ?? [])) {
    const filled = typed(fill(document, values) as JsonObject);
    documents.set(keyOf(namedBy(filled)), filled);
  }
  const rendered = [...documents].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, document]) => document);
  judge(device.name, rendered);
  return rendered;
}

/** What templates of a device are filled in with; of the layers, the later say more. */
export function valuesOf({ name, siteId, group, serial }: DeviceFacts, layers: Layer[]): Values {
  const values = new Map([
    ['name', name],
    ['group', group],
    ['site.id', siteId],
  ]);
  // A device says itself what its serial is: it must not bring what means something in a name or a pattern.
  if (serial !== null) values.set('serial', serial.replace(/[^\w.-]/g, '-'));
  for (const { variables = {} } of layers)
    for (const [variable, value] of Object.entries(variables)) values.set(`var.${variable}`, value);
  return values;
}

function namedBy({ kind, metadata }: JsonObject): { kind: string; name: string } {
  const name = isObject(metadata) ? metadata.name : undefined;
  if (typeof kind !== 'string' || typeof name !== 'string') {
    throw new SkiffError('invalid-document', 'a document of a group or device needs kind and metadata.name');
  }
  if (!renderedKinds.has(kind)) {
    throw new SkiffError('not-supported', `${kind} "${name}" is no document for a device`, {
      hint: `Devices take ${[...renderedKinds].join(', ')}`,
    });
  }
  return { kind, name };
}

/** A variable is a text; what it fills may be a number, such as a port. */
function typed(document: JsonObject): JsonObject {
  const definition = kinds[document.kind as Kind];
  if (definition?.body !== 'spec' || !isObject(document.spec)) return document;
  return { ...document, spec: typedFields(document.spec, definition.fields) };
}

function typedFields(value: JsonObject, fields: Fields): JsonObject {
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const field = fields[name];
      if (field?.type === 'integer' && typeof item === 'string' && /^\d{1,15}$/.test(item)) return [name, Number(item)];
      if (field?.type === 'boolean' && (item === 'true' || item === 'false')) return [name, item === 'true'];
      if (field?.type === 'object' && isObject(item)) return [name, typedFields(item, field.fields)];
      return [name, item];
    }),
  );
}

function judge(name: string, documents: JsonObject[]): void {
  if (documents.length === 0) return;
  const text = JSON.stringify(documents);
  if (Buffer.byteLength(text) > mostOctets) {
    throw new SkiffError('too-large', `the documents of ${name} have more than ${mostOctets} octets`);
  }
  readDocuments([{ name, text }]);
}
