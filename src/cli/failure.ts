/**
 * How a command fails: the exit code and what is said on stderr.
 */
import { type ErrorFact, errorFact, SkiffError } from '../errors.ts';
import { DocumentsError } from '../site/problems.ts';
import { paint, printable } from './style.ts';

/** 1 for everything that is not listed. */
const exitCodes: Record<string, number> = {
  usage: 2,
  'not-supported': 2,
  'invalid-documents': 2,
  'no-documents': 2,
  unreadable: 2,
  'bad-request': 2,
  'unknown-kind': 2,
  'no-site': 2,
  'no-link-access': 2,
  'already-exists': 2,
  'not-running': 3,
  unreachable: 3,
  'timed-out': 4,
  'router-silent': 4,
};

export function fail(error: unknown, asJson: boolean): void {
  const fact = errorFact(error);
  process.exitCode = exitCodes[fact.code] ?? 1;
  process.stderr.write(asJson ? asObject(error, fact) : asLines(error, fact));
}

function asObject(error: unknown, fact: ErrorFact): string {
  return `${JSON.stringify(error instanceof DocumentsError ? { ...fact, problems: error.problems } : fact)}\n`;
}

function asLines(error: unknown, fact: ErrorFact): string {
  if (error instanceof DocumentsError) {
    return error.problems.map((problem) => line({ ...problem, hint: problem.hint ?? fact.hint })).join('');
  }
  // What is not ours is a mistake of the program, and its stack says where.
  const stack = error instanceof Error && !(error instanceof SkiffError) ? `${error.stack}\n` : '';
  return line(fact) + stack;
}

function line({ message, hint }: ErrorFact): string {
  return `${paint(process.stderr, 'red', 'error:')} ${printable(message)}.${hint ? ` ${hint}${/[.?]$/.test(hint) ? '' : '.'}` : ''}\n`;
}
