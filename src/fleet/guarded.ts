/** Work that the disk may not let be done. */
import { errorFact } from '../errors.ts';
import { log } from '../log.ts';

/** Does it; says whether it was done. Whoever asks is sure that it comes again. */
export function guarded(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    const { code, message } = errorFact(error);
    log.error('fleet', message, { code });
    return false;
  }
}
