/**
 * The documents of a site, as they were last accepted.
 */
import type { Sqlite } from './sqlite.ts';
import { secretKinds, type Vault } from './vault.ts';

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

const place = (kind: string, name: string) => `documents.spec/${kind}/${name}`;

export class DocumentRepository {
  readonly #vault: Vault;
  readonly #all;
  readonly #count;
  readonly #put;
  readonly #remove;

  constructor(db: Sqlite, vault: Vault) {
    this.#vault = vault;
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
    return this.#all.all().map((row) => fromRow(this.#opened(row)));
  }

  count(): number {
    return (this.#count.get() as { count: number }).count;
  }

  put(document: StoredDocument): void {
    const { kind, name } = document;
    const spec = JSON.stringify(document.spec);
    this.#put.run({
      kind,
      name,
      api_version: document.apiVersion,
      labels: JSON.stringify(document.labels),
      annotations: JSON.stringify(document.annotations),
      spec: secretKinds.includes(kind) ? this.#vault.seal(spec, place(kind, name)) : spec,
      origin: document.origin,
      generation: document.generation,
      created_at: document.createdAt,
      updated_at: document.updatedAt,
    });
  }

  remove(kind: string, name: string): void {
    this.#remove.run(kind, name);
  }

  #opened(row: Row): Row {
    const { kind, name, spec } = row;
    return secretKinds.includes(kind) ? { ...row, spec: this.#vault.open(spec, place(kind, name)) } : row;
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
