/**
 * YAML and JSON texts into documents that are yet to be judged, each knowing the line of every field.
 */
import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  type YAMLError,
  type Document as YamlDocument,
} from 'yaml';
import type { ErrorFact } from '../errors.ts';
import type { Json, JsonObject } from '../store/documents.ts';
import { isObject, type Path } from './schema.ts';
import type { Source } from './sources.ts';

export interface RawDocument {
  value: JsonObject;
  /** `file, document 2, line 14`: where the field at `path` stands, or the nearest thing around it. */
  place(path: Path): string;
}

/** JSON is a part of YAML. A JSON array and a `v1` List give one document for each of their items. */
export function parseDocuments({ name, text }: Source): { documents: RawDocument[]; problems: ErrorFact[] } {
  const lines = new LineCounter();
  const documents: RawDocument[] = [];
  const problems: ErrorFact[] = [];
  const complain = (number: number, message: string, line?: number) =>
    problems.push({
      code: 'malformed-document',
      message: `${message} (${name}, document ${number}${line ? `, line ${line}` : ''})`,
    });

  for (const [index, parsed] of parseTexts(text, lines).entries()) {
    const number = index + 1;
    if (parsed.errors.length) {
      const [error] = parsed.errors;
      complain(number, `malformed document: ${firstLine(error)}`, error.linePos?.[0].line);
      continue;
    }
    const place = (path: Path) => `${name}, document ${number}, line ${lineOf(parsed, path, lines)}`;
    const value = plainValue(parsed);
    if (value instanceof Error) complain(number, `malformed document: ${value.message}`);
    else if (value !== null)
      collect(value, [], place, documents, () => complain(number, 'is not a document but a text'));
  }
  return { documents, problems };
}

/** Nesting deep enough to exhaust the stack is malformed like anything else. */
function parseTexts(text: string, lineCounter: LineCounter): Pick<YamlDocument, 'errors' | 'contents' | 'toJS'>[] {
  try {
    const parsed = parseAllDocuments(text, { lineCounter });
    return 'empty' in parsed ? [] : parsed;
  } catch (error) {
    const failure = Object.assign(error as Error, { linePos: undefined }) as unknown as YAMLError;
    return [{ errors: [failure as never], contents: null, toJS: () => null }];
  }
}

function plainValue(document: Pick<YamlDocument, 'toJS'>): Json | Error {
  try {
    return document.toJS() as Json;
  } catch (error) {
    return error as Error;
  }
}

function collect(value: Json, path: Path, place: RawDocument['place'], into: RawDocument[], refuse: () => void): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) collect(item, [...path, index], place, into, refuse);
  } else if (!isObject(value)) {
    refuse();
  } else if (value.apiVersion === 'v1' && value.kind === 'List' && Array.isArray(value.items)) {
    collect(value.items, [...path, 'items'], place, into, refuse);
  } else {
    into.push({ value, place: (inner) => place([...path, ...inner]) });
  }
}

/** The parser repeats the text below its message. */
function firstLine(error: Error): string {
  return error.message.split('\n')[0].replace(/ at line \d+, column \d+:?$/, '');
}

function lineOf(document: Pick<YamlDocument, 'contents'>, path: Path, lines: LineCounter): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const step of path) {
    if (isAlias(node)) break;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => (isScalar(key) ? String(key.value) : key) === String(step));
      if (!pair) break;
      offset = isNode(pair.key) ? (pair.key.range?.[0] ?? offset) : offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      offset = isNode(node) ? (node.range?.[0] ?? offset) : offset;
    } else break;
  }
  return lines.linePos(offset).line;
}
