/**
 * What is wrong with documents: all of it at once, each problem with the place it was found.
 */
import { type ErrorFact, SkiffError } from '../errors.ts';

export class DocumentsError extends SkiffError {
  readonly problems: ErrorFact[];

  constructor(problems: ErrorFact[]) {
    super('invalid-documents', problems.map((problem) => problem.message).join('; '), {
      hint: 'Nothing was changed',
    });
    this.problems = problems;
  }
}
