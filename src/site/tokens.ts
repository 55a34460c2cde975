/**
 * AccessTokens among the documents: each is redeemed once, and tried again with a back-off until it is. Nothing waits
 * for that.
 */
import { type ErrorFact, errorFact } from '../errors.ts';
import { log } from '../log.ts';
import type { Change } from './documents.ts';
import type { Redeemer } from './redeemer.ts';
import type { Resource } from './resources.ts';

/** Between two tries, in milliseconds: doubled each time, with full jitter. */
const backoffFirst = 1_000;
const backoffLast = 60_000;
/** A server that has said no will hardly say yes soon. */
const afterRefusal = 5 * 60_000;

interface Attempt {
  document: Resource<'AccessToken'>;
  failures: number;
  error: ErrorFact | null;
  /** Milliseconds since the epoch; null: under way. */
  nextAt: number | null;
  timer: NodeJS.Timeout | null;
}

export interface TokensOptions {
  redeemer: Redeemer;
  now: () => number;
  /** A token was redeemed, with these changes of documents. */
  onRedeemed: (changes: Change[]) => void;
  /** Something else is to be said of a token. */
  onChange: (document: Resource<'AccessToken'>) => void;
}

export class Tokens {
  readonly #options: TokensOptions;
  readonly #attempts = new Map<string, Attempt>();
  #closed = false;

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  redeemed(token: Resource<'AccessToken'>): boolean {
    return this.#options.redeemer.redeemed(token.spec);
  }

  /** The last failure, and when it is tried again. */
  trouble(name: string): Pick<Attempt, 'error' | 'nextAt'> | undefined {
    return this.#attempts.get(name);
  }

  update(documents: Resource[]): void {
    const tokens = documents.filter((document) => document.kind === 'AccessToken');
    const wanted = new Map(tokens.map((token) => [token.name, token]));
    for (const [name, attempt] of this.#attempts) if (wanted.get(name) !== attempt.document) this.#drop(name);
    for (const [name, document] of wanted) {
      if (this.#attempts.has(name) || this.redeemed(document)) continue;
      const attempt: Attempt = { document, failures: 0, error: null, nextAt: null, timer: null };
      this.#attempts.set(name, attempt);
      void this.#try(attempt);
    }
  }

  close(): void {
    this.#closed = true;
    for (const name of this.#attempts.keys()) this.#drop(name);
  }

  #drop(name: string): void {
    clearTimeout(this.#attempts.get(name)?.timer ?? undefined);
    this.#attempts.delete(name);
  }

  async #try(attempt: Attempt): Promise<void> {
    const { redeemer, onRedeemed } = this.#options;
    const { document } = attempt;
    attempt.nextAt = null;
    try {
      const changes = await redeemer.redeem(document);
      log.info('enrol', `AccessToken "${document.name}" has been redeemed`, { name: document.name });
      this.#attempts.delete(document.name);
      if (!this.#closed) onRedeemed(changes);
    } catch (error) {
      this.#failed(attempt, errorFact(error));
    }
  }

  #failed(attempt: Attempt, error: ErrorFact): void {
    const { document } = attempt;
    // Taken away or changed meanwhile.
    if (this.#attempts.get(document.name) !== attempt) return;
    attempt.failures++;
    const ceiling = Math.min(backoffLast, backoffFirst * 2 ** Math.min(attempt.failures - 1, 10));
    const refused = error.code === 'redemption-refused' || error.code === 'bad-token';
    const delay = refused ? afterRefusal * (1 + Math.random()) : ceiling * Math.random();
    if (attempt.error?.message !== error.message) {
      log.warn('enrol', `AccessToken "${document.name}": ${error.message}`, { name: document.name, code: error.code });
    }
    attempt.error = error;
    attempt.nextAt = this.#options.now() + delay;
    attempt.timer = setTimeout(() => void this.#try(attempt), delay);
    this.#options.onChange(document);
  }
}
