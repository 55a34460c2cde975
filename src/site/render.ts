/**
 * Documents as they are shown: in Skupper's form, with secret values only for those who ask for them.
 */
import type { JsonObject } from '../store/documents.ts';
import { type Status, timestamp } from './conditions.ts';
import { ownAnnotations } from './kinds.ts';
import type { Resource } from './resources.ts';
import { isObject } from './schema.ts';
import { redacted } from './secret.ts';

export interface RenderOptions {
  showSecrets: boolean;
}

/** A document as Kubernetes writes one. */
export interface RenderedDocument {
  apiVersion: string;
  kind: string;
  metadata: JsonObject & { name: string };
  spec?: JsonObject;
  status?: Status | Pick<Status, 'status' | 'message'>;
  [field: string]: unknown;
}

/** What one applies to get the same site again: no status, nothing that the site counts by itself. */
export function renderForExport(
  resource: Resource,
  siteId: string | undefined,
  options: RenderOptions,
): RenderedDocument {
  const { apiVersion, kind, name, labels, annotations, origin } = resource;
  const shown = origin === 'local' ? annotations : { ...annotations, [`${ownAnnotations}origin`]: origin };
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      // With it a replacement of this machine becomes the same site.
      ...(kind === 'Site' && siteId !== undefined ? { uid: siteId } : {}),
      ...(Object.keys(labels).length ? { labels } : {}),
      ...(Object.keys(shown).length ? { annotations: shown } : {}),
    },
    ...renderBody(resource, options),
  };
}

export function render(
  resource: Resource,
  siteId: string | undefined,
  status: RenderedDocument['status'],
  options: RenderOptions,
): RenderedDocument {
  const document = renderForExport(resource, siteId, options);
  return {
    ...document,
    metadata: {
      ...document.metadata,
      generation: resource.generation,
      creationTimestamp: timestamp(resource.createdAt),
    },
    ...(status ? { status: withoutSecrets({ ...status }, options.showSecrets) as RenderedDocument['status'] } : {}),
  };
}

/** The code of a token and the secret of a claim are as good as a key. */
function withoutSecrets<T extends object>(fields: T, showSecrets: boolean): T {
  if (showSecrets) return fields;
  const hidden = ['code', 'secret'].filter((name) => name in fields).map((name) => [name, redacted]);
  return { ...fields, ...Object.fromEntries(hidden) };
}

/** A Secret that devices are given, without its values. */
function withoutData(document: JsonObject): JsonObject {
  if (document.kind !== 'Secret') return document;
  const fields = ['data', 'stringData'].filter((field) => isObject(document[field]));
  const hidden = fields.map((field) => {
    const names = Object.keys(document[field] as JsonObject);
    return [field, Object.fromEntries(names.map((name) => [name, redacted]))];
  });
  return { ...document, ...Object.fromEntries(hidden) };
}

function renderBody(resource: Resource, { showSecrets }: RenderOptions): JsonObject {
  if (resource.kind === 'DeviceGroup' || resource.kind === 'Device') {
    const spec = { ...resource.spec } as JsonObject;
    const documents = (spec.documents ?? []) as JsonObject[];
    if (!showSecrets && documents.length > 0) spec.documents = documents.map(withoutData);
    return { spec };
  }
  if (resource.kind !== 'Secret') return { spec: withoutSecrets({ ...resource.spec } as JsonObject, showSecrets) };
  const { type, data } = resource.spec;
  const hidden = Object.fromEntries(Object.keys(data).map((key) => [key, redacted]));
  return { ...(type === undefined ? {} : { type }), data: showSecrets ? data : hidden };
}
