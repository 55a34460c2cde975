/**
 * Documents by themselves: is the kind known, are the fields known, of their types and within their bounds?
 * What they must be to one another is judged when they are applied.
 */
import { isIP } from 'node:net';
import type { JsonObject } from '../store/documents.ts';
import { type KindDefinition, kinds, metadataFields, ownAnnotations, refusedKinds } from './kinds.ts';
import { parseDocuments, type RawDocument } from './parse.ts';
import { Problems } from './problems.ts';
import {
  type IncomingDocument,
  type Kind,
  keyOf,
  type MultiKeyListenerSpec,
  type Reference,
  type RouterAccessSpec,
} from './resources.ts';
import { isObject, type Path, pathText, readObject } from './schema.ts';
import { readSecret } from './secret.ts';
import type { Source } from './sources.ts';

/** A document together with the way to say where a field of it stands. */
export interface ReadDocument extends IncomingDocument {
  place: RawDocument['place'];
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** All documents of the sources, or a DocumentsError that names everything wrong with them. */
export function readDocuments(sources: Source[]): ReadDocument[] {
  return readAll(sources, readDocument);
}

/** Only which documents are meant: for deleting, their content does not matter. */
export function readReferences(sources: Source[]): Reference[] {
  return readAll(sources, (raw, problems) => {
    const head = readHead(raw, problems);
    return head && { kind: head.definition.kind, name: head.name, place: raw.place };
  }).map(({ kind, name }) => ({ kind, name }));
}

function readAll<T extends Reference & Pick<RawDocument, 'place'>>(
  sources: Source[],
  read: (raw: RawDocument, problems: Problems) => T | undefined,
): T[] {
  const problems = new Problems();
  const raws = sources.flatMap((source) => {
    const parsed = parseDocuments(source);
    for (const problem of parsed.problems) problems.add(() => problem);
    return parsed.documents;
  });
  const documents = raws.flatMap((raw) => read(raw, problems) ?? []);
  const seen = new Map<string, T>();
  for (const document of documents) {
    const first = seen.get(keyOf(document));
    if (first) {
      problems.add(() => {
        const where = `${document.place([])} and ${first.place([])}`;
        return { code: 'duplicate', message: `${document.kind} "${document.name}" is given twice (${where})` };
      });
    }
    seen.set(keyOf(document), document);
  }
  if (problems.count === 0 && documents.length === 0) {
    const names = sources.map((source) => source.name).join(', ');
    problems.add(() => ({ code: 'no-documents', message: `there is no document in it (${names})` }));
  }
  problems.raise();
  return documents;
}

interface Head {
  definition: KindDefinition;
  name: string;
  metadata: JsonObject;
}

function readHead({ value, place }: RawDocument, problems: Problems): Head | undefined {
  const { apiVersion, kind, metadata = null } = value;
  const named = isObject(metadata) && typeof metadata.name === 'string' ? ` "${metadata.name}"` : '';
  const problem = (code: string, path: Path, message: string, hint?: string) =>
    problems.add(() => ({ code, message: `${message} (${place(path)})`, ...(hint ? { hint } : {}) }));

  if (typeof kind !== 'string' || typeof apiVersion !== 'string') {
    const missing = ['apiVersion', 'kind'].filter((field) => typeof value[field] !== 'string').join(' and ');
    problem('invalid-document', [], `a document needs ${missing}`);
    return undefined;
  }
  const refused = Object.hasOwn(refusedKinds, kind) ? refusedKinds[kind] : undefined;
  if (refused && refused.apiVersion === apiVersion) {
    problem('not-supported', ['kind'], `${kind}${named}: kind ${kind} ${refused.reason}`);
    return undefined;
  }
  const known = Object.hasOwn(kinds, kind) ? kinds[kind as Kind] : undefined;
  const expected = known ?? refused;
  if (!expected) {
    problem('unknown-kind', ['kind'], `unknown kind "${kind}"${named}`, `Known are ${Object.keys(kinds).join(', ')}`);
    return undefined;
  }
  if (!known || apiVersion !== expected.apiVersion) {
    const hint = `Known is ${expected.apiVersion}`;
    problem('unknown-version', ['apiVersion'], `${kind}${named}: unknown apiVersion "${apiVersion}"`, hint);
    return undefined;
  }
  const before = problems.count;
  const read = readObject(metadata, metadataFields, ['metadata'], (path, complaint) =>
    problem('invalid-document', path, `${kind}${named}: ${pathText(path)}: ${complaint}`),
  );
  if (problems.count > before) return undefined;
  return { definition: known, name: read.name as string, metadata: read };
}

function readDocument(raw: RawDocument, problems: Problems): ReadDocument | undefined {
  const head = readHead(raw, problems);
  if (!head) return undefined;
  const { definition, name, metadata } = head;
  const before = problems.count;
  const report = (path: Path, complaint: string) =>
    problems.add(() => ({
      code: 'invalid-document',
      message: `${definition.kind} "${name}": ${pathText(path)}: ${complaint} (${raw.place(path)})`,
    }));
  const spec = readBody(raw.value, definition, report);
  // A rule may rely on what the fields have been found to be.
  if (problems.count === before) judge(definition.kind, spec, metadata, report);
  if (problems.count > before) return undefined;
  return {
    kind: definition.kind,
    name,
    apiVersion: definition.apiVersion,
    labels: (metadata.labels ?? {}) as JsonObject,
    annotations: Object.fromEntries(
      Object.entries((metadata.annotations ?? {}) as JsonObject).filter(([key]) => !key.startsWith(ownAnnotations)),
    ),
    spec,
    ...(typeof metadata.uid === 'string' ? { uid: metadata.uid } : {}),
    place: raw.place,
  };
}

type Report = (path: Path, complaint: string) => void;

function readBody(value: JsonObject, definition: KindDefinition, report: Report): JsonObject {
  const around = { apiVersion: { type: 'ignored' }, kind: { type: 'ignored' }, metadata: { type: 'ignored' } } as const;
  const status = { type: 'ignored' } as const;
  if (definition.body === 'spec') {
    const whole = { ...around, status, spec: { type: 'object', fields: definition.fields } } as const;
    const read = readObject({ ...value, spec: value.spec ?? {} }, whole, [], report);
    return (read.spec ?? {}) as JsonObject;
  }
  const secret = readSecret(readObject(value, { ...around, status, ...definition.fields }, [], report), report);
  return { ...secret };
}

/** Rules that a table of fields cannot say. */
function judge(kind: Kind, spec: JsonObject, metadata: JsonObject, report: Report): void {
  if (kind === 'Site' && typeof metadata.uid === 'string' && !uuid.test(metadata.uid)) {
    report(['metadata', 'uid'], 'must be a UUID in lower case');
  }
  if (kind === 'RouterAccess') judgeAccess(spec as unknown as RouterAccessSpec, report);
  if (kind === 'MultiKeyListener') judgeMultiKeyListener(spec as unknown as MultiKeyListenerSpec, report);
}

function judgeMultiKeyListener(spec: MultiKeyListenerSpec, report: Report): void {
  const { strategy, requireClientCert, tlsCredentials } = spec;
  if (requireClientCert && !tlsCredentials) report(['spec', 'requireClientCert'], 'needs tlsCredentials');
  const given = [strategy.priority, strategy.weighted].filter(Boolean).length;
  const path = ['spec', 'strategy'];
  if (given === 0) report(path, 'either strategy.priority or strategy.weighted is required');
  if (given === 2) report(path, 'only one of strategy.priority or strategy.weighted must be defined');
}

function judgeAccess(spec: RouterAccessSpec, report: Report): void {
  const seen = new Set<string>();
  for (const [index, role] of spec.roles.entries()) {
    if (seen.has(role.name)) report(['spec', 'roles', index, 'name'], `role "${role.name}" is given twice`);
    seen.add(role.name);
  }
  if (seen.has('normal') && !spec.tlsCredentials && spec.bindHost && !isLoopback(spec.bindHost)) {
    report(['spec', 'bindHost'], 'role "normal" without tlsCredentials is for loopback addresses only');
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
