/** A router that does what it is told by a test, speaking the messages of the real one. */
import type { PartState, RouterEvent, RouterIdentity, RouterRequest } from '../../src/router/protocol.ts';
import type { RouterPort } from '../../src/site/router.ts';

export class FakeRouter {
  /** One for each thread that was started. */
  readonly identities: RouterIdentity[] = [];
  readonly requests: RouterRequest[] = [];
  /** Whether an apply is answered at once, and a stop too. */
  answers = true;
  #onEvent: (event: RouterEvent) => void = () => {};
  #onExit: (reason: Error | null) => void = () => {};

  readonly start = (): RouterPort => ({
    post: (request) => this.#receive(request),
    listen: (onEvent, onExit) => {
      this.#onEvent = onEvent;
      this.#onExit = onExit;
    },
    terminate: async () => {},
  });

  get applies(): Extract<RouterRequest, { type: 'apply' }>[] {
    return this.requests.filter((request) => request.type === 'apply');
  }

  say(...states: PartState[]): void {
    this.#onEvent({ type: 'states', states });
  }

  send(event: RouterEvent): void {
    this.#onEvent(event);
  }

  die(reason: Error | null): void {
    this.#onExit(reason);
  }

  #receive(request: RouterRequest): void {
    this.requests.push(structuredClone(request));
    if (request.type === 'start') this.identities.push(request.identity);
    if (!this.answers) return;
    const event = this.#onEvent;
    if (request.type === 'apply') queueMicrotask(() => event({ type: 'applied', seq: request.seq }));
    if (request.type === 'measure')
      queueMicrotask(() => event({ type: 'traffic', seq: request.seq, parts: [], router: null }));
    if (request.type === 'stop') queueMicrotask(() => event({ type: 'stopped' }));
  }
}
