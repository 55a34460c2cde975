/**
 * What commands print: tables for people, JSON and YAML for programs.
 */
import type { RenderedDocument } from '../site/render.ts';
import { paint, printable, statusColour } from './style.ts';

export type Format = 'table' | 'json' | 'yaml';

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

export function warn(message: string, hint?: string): void {
  process.stderr.write(`${paint(process.stderr, 'yellow', 'warning:')} ${message}.${hint ? ` ${hint}.` : ''}\n`);
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

/** One column of a table, of documents unless said otherwise. */
export interface Column<T = RenderedDocument> {
  header: string;
  value(row: T): string;
}

export function printTable<T>(columns: Column<T>[], rows: T[]): void {
  print(formatTable(columns, rows));
}

export function formatTable<T>(columns: Column<T>[], rows: T[]): string {
  const cells = [
    columns.map(({ header }) => header),
    ...rows.map((row) => columns.map(({ value }) => printable(value(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((row) => row[index].length)));
  const line = (row: string[]) => row.map((cell, index) => coloured(cell, cell.padEnd(widths[index]))).join('  ');
  return cells.map((row) => `${line(row).trimEnd()}\n`).join('');
}

/** One document, a line a column: `Routing key : backend`. */
export function printFields(columns: Column[], document: RenderedDocument): void {
  const fields = columns.map(({ header, value }) => [sentence(header), printable(value(document))]);
  const width = Math.max(...fields.map(([name]) => name.length));
  print(fields.map(([name, value]) => `${name.padEnd(width)}\t: ${coloured(value, value)}\n`).join(''));
}

/** Colours come last, for they have no width. */
function coloured(cell: string, shown: string): string {
  const colour = statusColour(cell);
  return colour ? paint(process.stdout, colour, shown) : shown;
}

function sentence(header: string): string {
  const words = header.toLowerCase().replaceAll('-', ' ');
  return words[0].toUpperCase() + words.slice(1);
}
