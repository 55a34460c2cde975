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
  type Node,
  parseAllDocuments,
  type Scalar,
  visit,
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
    const repeated = repeatedKey(parsed);
    if (repeated) {
      complain(
        number,
        `malformed document: "${repeated.value}" is given twice, keys must be unique`,
        lines.linePos(repeated.range?.[0] ?? 0).line,
      );
      continue;
    }
    const place = (path: Path) => `${name}, document ${number}, line ${lineOf(parsed, path, lines)}`;
    const value = plainValue(parsed);
    if (value instanceof Error) complain(number, `malformed document: ${firstLine(value)}`);
    else if (value !== null)
      collect(value, { path: [], around: [], place, complain: (text) => complain(number, text), documents });
  }
  return { documents, problems };
}

type Parsed = Pick<YamlDocument, 'errors' | 'contents' | 'toJS'>;

/** Nesting deep enough to exhaust the stack is malformed like anything else. */
function parseTexts(text: string, lineCounter: LineCounter): Parsed[] {
  try {
    const parsed = parseAllDocuments(text, { lineCounter, stringKeys: true, uniqueKeys: false });
    return 'empty' in parsed ? [] : parsed;
  } catch (error) {
    const failure = Object.assign(error as Error, { linePos: undefined }) as unknown as YAMLError;
    return [{ errors: [failure as never], contents: null, toJS: () => null }];
  }
}

/** The parser finds these as well, but compares each key with each other, which takes hours for a list of many. */
function repeatedKey({ contents }: Parsed): Scalar | undefined {
  let repeated: Scalar | undefined;
  visit(contents as Node | null, {
    Map(_, { items }) {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          repeated = key;
          return visit.BREAK;
        }
        seen.add(key.value);
      }
      return undefined;
    },
  });
  return repeated;
}

function plainValue(document: Pick<YamlDocument, 'toJS'>): Json | Error {
  try {
    return document.toJS() as Json;
  } catch (error) {
    return error as Error;
  }
}

interface Collecting {
  path: Path;
  /** The lists that the value is in. */
  around: Json[];
  place: RawDocument['place'];
  complain(text: string): void;
  documents: RawDocument[];
}

function collect(value: Json, collecting: Collecting): void {
  const { path, around, place, complain, documents } = collecting;
  if (Array.isArray(value)) {
    if (around.includes(value)) complain('this is a list within itself');
    else {
      for (const [index, item] of value.entries()) {
        collect(item, { ...collecting, path: [...path, index], around: [...around, value] });
      }
    }
  } else if (!isObject(value)) {
    complain('this is not a document but a text');
  } else if (value.apiVersion === 'v1' && value.kind === 'List' && Array.isArray(value.items)) {
    collect(value.items, { ...collecting, path: [...path, 'items'] });
  } else {
    documents.push({ value, place: (inner) => place([...path, ...inner]) });
  }
}

/** The parser repeats the text below its message. */
function firstLine(error: Error): string {
  if (/call stack/.test(error.message)) return 'it is nested too deeply';
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
