/**
 * What commands print: tables for people, JSON and YAML for programs.
 */
import type { RenderedDocument } from '../site/render.ts';
import { usageError } from './command.ts';

export type Format = 'table' | 'json' | 'yaml';

export function formatOf(output: string | undefined, preset: Format = 'table'): Format {
  if (output === undefined) return preset;
  if (output === 'table' || output === 'json' || output === 'yaml') return output;
  throw usageError(`output type is not valid: value ${output} not allowed`, 'Use table, json or yaml');
}

/** A reader that has seen enough, such as `head`, is no error. */
export function print(text: string): void {
  if (process.stdout.listenerCount('error') === 0) {
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit();
    });
  }
  process.stdout.write(text);
}

/** A list is one JSON array, and in YAML one document after another, as every tool reads them. */
export async function printDocuments(documents: object[], format: 'json' | 'yaml'): Promise<void> {
  if (format === 'json') print(`${JSON.stringify(documents, null, 2)}\n`);
  else print(documents.length ? (await Promise.all(documents.map(yamlOf))).join('---\n') : '[]\n');
}

export async function printDocument(document: object, format: 'json' | 'yaml'): Promise<void> {
  print(format === 'json' ? `${JSON.stringify(document, null, 2)}\n` : await yamlOf(document));
}

async function yamlOf(value: object): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** One column of a table of documents. */
export interface Column {
  header: string;
  value(document: RenderedDocument): string;
}

export function printTable(columns: Column[], documents: RenderedDocument[]): void {
  printRows([
    columns.map(({ header }) => header),
    ...documents.map((document) => columns.map(({ value }) => value(document))),
  ]);
}

/** The first row has the headers. */
export function printRows(rows: string[][]): void {
  const widths = rows[0].map((_, index) => Math.max(...rows.map((row) => row[index].length)));
  print(
    rows
      .map(
        (row) =>
          `${row
            .map((cell, index) => cell.padEnd(widths[index]))
            .join('  ')
            .trimEnd()}\n`,
      )
      .join(''),
  );
}

/** One document, a line a column: `Routing key : backend`. */
export function printFields(columns: Column[], document: RenderedDocument): void {
  const fields = columns.map(({ header, value }) => [sentence(header), value(document)]);
  const width = Math.max(...fields.map(([name]) => name.length));
  print(fields.map(([name, value]) => `${name.padEnd(width)}\t: ${value}\n`).join(''));
}

function sentence(header: string): string {
  const words = header.toLowerCase().replaceAll('-', ' ');
  return words[0].toUpperCase() + words.slice(1);
}
