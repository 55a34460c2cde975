/**
 * The documents of a site, as they were last accepted.
 */
import type { Sqlite } from './sqlite.ts';

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [name: string]: Json;
}

/** Who keeps a document: somebody at this site, the fleet controller, or the other end of a link. */
export type Origin = 'local' | 'fleet' | 'link';

export interface StoredDocument {
  kind: string;
  name: string;
  apiVersion: string;
  labels: JsonObject;
  annotations: JsonObject;
  spec: JsonObject;
  origin: Origin;
  /** Counts the changes of `spec`, from 1. */
  generation: number;
  /** Milliseconds since the epoch. */
  createdAt: number;
  updatedAt: number;
}

interface Row {
  kind: string;
  name: string;
  api_version: string;
  labels: string;
  annotations: string;
  spec: string;
  origin: Origin;
  generation: number;
  created_at: number;
  updated_at: number;
}

/** By name, because a later release may have added some. */
const columns = 'kind, name, api_version, labels, annotations, spec, origin, generation, created_at, updated_at';

export class DocumentRepository {
  readonly #all;
  readonly #count;
  readonly #put;
  readonly #remove;

  constructor(db: Sqlite) {
    this.#all = db.prepare<[], Row>(`SELECT ${columns} FROM documents ORDER BY kind, name`);
    this.#count = db.prepare<[], { count: number }>('SELECT count(*) AS count FROM documents');
    this.#put = db.prepare<[Row]>(
      `INSERT INTO documents (${columns}) VALUES
         (@kind, @name, @api_version, @labels, @annotations, @spec, @origin, @generation, @created_at, @updated_at)
       ON CONFLICT (kind, name) DO UPDATE SET
         api_version = excluded.api_version, labels = excluded.labels, annotations = excluded.annotations,
         spec = excluded.spec, origin = excluded.origin, generation = excluded.generation,
         updated_at = excluded.updated_at`,
    );
    this.#remove = db.prepare<[string, string]>('DELETE FROM documents WHERE kind = ? AND name = ?');
  }

  all(): StoredDocument[] {
    return this.#all.all().map(fromRow);
  }

  count(): number {
    return (this.#count.get() as { count: number }).count;
  }

  put(document: StoredDocument): void {
    this.#put.run({
      kind: document.kind,
      name: document.name,
      api_version: document.apiVersion,
      labels: JSON.stringify(document.labels),
      annotations: JSON.stringify(document.annotations),
      spec: JSON.stringify(document.spec),
      origin: document.origin,
      generation: document.generation,
      created_at: document.createdAt,
      updated_at: document.updatedAt,
    });
  }

  remove(kind: string, name: string): void {
    this.#remove.run(kind, name);
  }
}

function fromRow(row: Row): StoredDocument {
  return {
    kind: row.kind,
    name: row.name,
    apiVersion: row.api_version,
    labels: JSON.parse(row.labels) as JsonObject,
    annotations: JSON.parse(row.annotations) as JsonObject,
    spec: JSON.parse(row.spec) as JsonObject,
    origin: row.origin,
    generation: row.generation,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
