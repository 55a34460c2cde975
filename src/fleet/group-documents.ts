/**
 * Documents that are to be at the devices of a group, or at one device: they become a part of the DeviceGroup or the
 * Device, if every device that this concerns can be given what comes out.
 */
import { SkiffError } from '../errors.ts';
import { skiff } from '../site/kinds.ts';
import { parseDocuments } from '../site/parse.ts';
import { DocumentsError } from '../site/problems.ts';
import { type ReadDocument, readDocuments } from '../site/read.ts';
import type { Resource } from '../site/resources.ts';
import { isObject } from '../site/schema.ts';
import type { Source } from '../site/sources.ts';
import type { JsonObject } from '../store/documents.ts';

export interface GroupChange {
  sources: Source[];
  /** Which one they are for: exactly one of the two. */
  group?: string;
  device?: string;
  /** What is not among them goes. */
  prune: boolean;
}

/** The DeviceGroup or Device as it would be; `before`: as it is. */
export function withDocuments(
  { sources, group, device, prune }: GroupChange,
  before: Resource<'DeviceGroup' | 'Device'> | undefined,
): ReadDocument {
  if (device !== undefined && !before) {
    throw new SkiffError('not-found', `there is no device "${device}"`, { hint: 'skiff fleet devices shows them' });
  }
  const parsed = sources.map(parseDocuments);
  const problems = parsed.flatMap((each) => each.problems);
  if (problems.length > 0) throw new DocumentsError(problems);
  const given = parsed.flatMap(({ documents }) => documents.map(({ value }) => value));
  if (given.length === 0) throw new SkiffError('no-documents', 'there is no document in it');
  const kept = prune ? [] : (before?.spec.documents ?? []);
  const documents = new Map([...kept, ...given].map((document) => [nameOf(document), document]));
  const value = {
    apiVersion: skiff,
    kind: group === undefined ? 'Device' : 'DeviceGroup',
    metadata: { name: group ?? device ?? '', labels: before?.labels ?? {}, annotations: before?.annotations ?? {} },
    spec: { ...before?.spec, documents: [...documents.values()] },
  };
  const [read] = readDocuments([{ name: value.kind, text: JSON.stringify(value) }]);
  return read as ReadDocument;
}

function nameOf({ kind, metadata }: JsonObject): string {
  return `${kind}/${isObject(metadata) ? metadata.name : ''}`;
}
