/** What the executable's Node runs first: the program, from the file it carries (`archive.ts`). */
import { compileFunction } from 'node:vm';
import { carried } from './archive.ts';
import { errorFact } from './errors.ts';

/** Node's for the code inside an executable: it gives Node's own modules and nothing else. */
declare const require: NodeJS.Require;

function programText(): string | null {
  try {
    // It has no other characters than ASCII's: esbuild sees to that.
    return carried('skiff.cjs').toString('latin1');
  } catch (error) {
    process.exitCode = 1;
    const { message, hint = '' } = errorFact(error);
    process.stderr.write(`error: ${message}. ${hint}\n`);
    return null;
  }
}

const text = programText();
if (text !== null) compileFunction(text, ['require'], { filename: 'skiff.cjs' })(require);
