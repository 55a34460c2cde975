/**
 * What a device is to be: the documents of its group, those of its own in place of the group's, and its variables
 * filled in. The result is judged as any document is, so that no device gets what it could not take.
 */
import { SkiffError } from '../errors.ts';
import { deviceKinds, kinds } from '../site/kinds.ts';
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

/** Most octets of what a device is to be: it travels as one message. */
const mostOctets = 768 * 1024;

/**
 * `base` is what every device has, its Site and the way to its hub. Each layer's documents take the place of those
 * before it with the same kind and name. Throws `SkiffError`.
 */
export function renderDevice(device: DeviceFacts, base: JsonObject[], layers: Layer[]): JsonObject[] {
  const values = valuesOf(device, layers);
  const documents = new Map(base.map((document) => [nameOf(document), document]));
  for (const document of layers.flatMap((layer) => layer.documents ?? [])) {
    const filled = typed(fill(document, values) as JsonObject);
    checkKind(filled);
    documents.set(nameOf(filled), filled);
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

function nameOf({ kind, metadata }: JsonObject): string {
  const name = isObject(metadata) ? metadata.name : undefined;
  if (typeof kind !== 'string' || typeof name !== 'string') {
    throw new SkiffError('invalid-document', 'a document of a group or device needs kind and metadata.name');
  }
  return keyOf({ kind, name });
}

/** A device may be given what serves, not who it is or who gets in. */
function checkKind(document: JsonObject): void {
  if (deviceKinds.includes(String(document.kind))) return;
  throw new SkiffError('not-supported', `${nameOf(document)} is no document for a device`, {
    hint: `Devices take ${deviceKinds.join(', ')}`,
  });
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
