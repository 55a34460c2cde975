/**
 * What is wrong with documents: all of it at once, each problem with the place it was found.
 */
import { type ErrorFact, SkiffError } from '../errors.ts';

/** Problems: more than these nobody reads. */
const mostTold = 100;
/** Characters of a message. A document may have any text where a name belongs, and the place comes last. */
const longestMessage = 600;

export class DocumentsError extends SkiffError {
  readonly problems: ErrorFact[];

  constructor(problems: ErrorFact[]) {
    const told = problems.map((problem) => ({ ...problem, message: shortened(problem.message) }));
    super('invalid-documents', told.map((problem) => problem.message).join('; '), {
      hint: 'Nothing was changed',
    });
    this.problems = told;
  }
}

/** Gathers what is wrong, of which there may be more than fits into memory. */
export class Problems {
  readonly #told: ErrorFact[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** `describe` is not asked when there are too many already. */
  add(describe: () => ErrorFact): void {
    this.#count++;
    if (this.#told.length < mostTold) this.#told.push(describe());
  }

  /** Throws if there are any. */
  raise(): void {
    if (this.#count === 0) return;
    const rest = this.#count - this.#told.length;
    if (rest === 0) throw new DocumentsError(this.#told);
    throw new DocumentsError([...this.#told, { code: 'more-problems', message: `there are ${rest} more problems` }]);
  }
}

function shortened(message: string): string {
  if (message.length <= longestMessage) return message;
  const half = longestMessage / 2;
  return `${message.slice(0, half)} … ${message.slice(-half)}`;
}
