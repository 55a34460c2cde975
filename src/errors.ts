/**
 * The one error type that crosses an edge of the program: a command line, the local API, a status, a log line.
 * `code` is stable and for programs, `message` says what happened and where, `hint` how to mend it.
 */
export class SkiffError extends Error {
  override readonly name = 'SkiffError';
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }

  /** The plain form in which an error travels between threads and over the local API. */
  toFact(): ErrorFact {
    return { code: this.code, message: this.message, ...(this.hint === undefined ? {} : { hint: this.hint }) };
  }

  static fromFact(fact: ErrorFact): SkiffError {
    return new SkiffError(fact.code, fact.message, fact.hint === undefined ? {} : { hint: fact.hint });
  }
}

/** An error as data. */
export interface ErrorFact {
  code: string;
  message: string;
  hint?: string;
}

/** The fact of anything that was thrown; an error that is not ours keeps the system's own code. */
export function errorFact(error: unknown, fallbackCode = 'internal'): ErrorFact {
  if (error instanceof SkiffError) return error.toFact();
  if (error instanceof Error) {
    const code = (error as NodeJS.ErrnoException).code;
    return { code: typeof code === 'string' ? code : fallbackCode, message: error.message };
  }
  return { code: fallbackCode, message: String(error) };
}
