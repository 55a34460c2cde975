/**
 * Fields of documents as data, and the one function that reads a value by them.
 */
import type { Json, JsonObject } from '../store/documents.ts';

/** A complaint about a value, or undefined when it is good. */
export type Check<T> = (value: T) => string | undefined;

interface Common {
  required?: true;
  /** A sibling in whose presence this field is not required. */
  unless?: string;
  /** The field is known but means nothing here yet, or ever: the reason. Its zero value is accepted. */
  refused?: string;
}

export type Field = Common &
  (
    | { type: 'string'; check?: Check<string> }
    | { type: 'integer'; check?: Check<number> }
    | { type: 'boolean' }
    | { type: 'map'; check?: Check<JsonObject> }
    /** Names and whole numbers. */
    | { type: 'number map'; check?: Check<Record<string, number>> }
    | { type: 'list'; items: Field; notEmpty?: true; check?: Check<Json[]> }
    | { type: 'object'; fields: Fields }
    /** Any map, kept as it is. */
    | { type: 'any map'; check?: Check<JsonObject> }
    /** A whole number or its text, kept as a text. */
    | { type: 'numeric string'; check?: Check<number> }
    /** Whatever it is, it is not kept. */
    | { type: 'ignored' }
  );

export interface Fields {
  [name: string]: Field;
}

export type Path = (string | number)[];
export type Report = (path: Path, complaint: string) => void;

const typeNames: Record<Field['type'], string> = {
  string: 'a text',
  integer: 'a whole number',
  boolean: 'true or false',
  map: 'a map of texts',
  'number map': 'a map of whole numbers',
  list: 'a list',
  object: 'a map',
  'any map': 'a map',
  'numeric string': 'a whole number in quotes',
  ignored: '',
};

/** A clean copy of `value` with the known fields only; everything wrong with it is reported, not thrown. */
export function readObject(value: Json, fields: Fields, path: Path, report: Report): JsonObject {
  const result: JsonObject = {};
  if (!isObject(value)) {
    report(path, `must be ${typeNames.object}`);
    return result;
  }
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(fields, name)) report([...path, name], 'unknown field');
  }
  for (const [name, field] of Object.entries(fields)) {
    const required = field.required && !(field.unless !== undefined && value[field.unless]);
    if (required && (value[name] ?? '') === '') report([...path, name], 'is required');
    const read = readField(value[name] ?? null, field, [...path, name], report);
    if (read !== undefined) result[name] = read;
  }
  return result;
}

function readField(value: Json, field: Field, path: Path, report: Report): Json | undefined {
  if (field.type === 'ignored') return undefined;
  // An empty text says as much as none: Go writes the one for the other.
  if (value === null || value === '') return undefined;
  if (field.refused !== undefined) {
    if (!isZero(value)) report(path, field.refused);
    return undefined;
  }
  const read = readValue(value, field, path, report);
  if (read === undefined) report(path, `must be ${typeNames[field.type]}`);
  return read;
}

/** undefined: the value has another type. */
function readValue(value: Json, field: Field, path: Path, report: Report): Json | undefined {
  const checked = <T extends Json>(good: T, check: Check<T> | undefined): T => {
    const complaint = check?.(good);
    if (complaint !== undefined) report(path, complaint);
    return good;
  };
  switch (field.type) {
    case 'string':
      return typeof value === 'string' ? checked(value, field.check) : undefined;
    case 'integer':
      return Number.isSafeInteger(value) ? checked(value as number, field.check) : undefined;
    case 'numeric string': {
      const text = typeof value === 'number' ? String(value) : value;
      return typeof text === 'string' && /^\d{1,15}$/.test(text)
        ? String(checked(Number(text), field.check))
        : undefined;
    }
    case 'boolean':
      return typeof value === 'boolean' ? value : undefined;
    case 'map':
      return isObject(value) && Object.values(value).every((item) => typeof item === 'string')
        ? checked(value, field.check)
        : undefined;
    case 'number map':
      return isObject(value) && Object.values(value).every(Number.isSafeInteger)
        ? checked(value as Record<string, number>, field.check)
        : undefined;
    case 'list':
      if (!Array.isArray(value)) return undefined;
      checked(value, field.check);
      if (field.notEmpty && value.length === 0) report(path, 'must not be empty');
      return value.flatMap((item, index) => readField(item, field.items, [...path, index], report) ?? []);
    case 'object':
      return readObject(value, field.fields, path, report);
    case 'any map':
      return isObject(value) ? checked(value, field.check) : undefined;
    case 'ignored':
      return undefined;
  }
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What Go leaves out of a document: a field that is there with such a value says nothing. */
function isZero(value: Json): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (isObject(value)) return Object.keys(value).length === 0;
  return value === false || value === 0;
}

/** `spec.roles[0].port` */
export function pathText(path: Path): string {
  return path.map((step, index) => (typeof step === 'number' ? `[${step}]` : index ? `.${step}` : step)).join('');
}
