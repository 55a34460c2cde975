/**
 * The router thread as the main thread sees it: requests down, events up, and the end of the thread.
 */
import { startWorker } from '../assets.ts';
import { errorFact, SkiffError } from '../errors.ts';
import { forward, log } from '../log.ts';
import type {
  DeviceRights,
  Mail,
  MailOutcome,
  ManagementQuestion,
  ManagementReply,
  Measurement,
  NetworkChange,
  PartConfig,
  PartKind,
  PartState,
  RouterEvent,
  RouterIdentity,
  RouterRequest,
} from '../router/protocol.ts';

/**
 * How much garbage the router may make before it is collected, in MB. Left to itself it takes four times as much when
 * many connections come and go, and keeps it for good.
 */
const YOUNG_GENERATION_MB = 24;

/** A way to talk to a router, wherever it runs. */
export interface RouterPort {
  post(request: RouterRequest): void;
  /** Called once, before anything is posted. */
  listen(onEvent: (event: RouterEvent) => void, onExit: (reason: Error | null) => void): void;
  terminate(): Promise<void>;
}

export function startRouterThread(): RouterPort {
  const worker = startWorker('router', {
    name: 'router',
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
  let failure: Error | null = null;
  return {
    post: (request) => worker.postMessage(request),
    listen(onEvent, onExit) {
      worker.on('message', onEvent);
      worker.on('error', (error) => {
        failure = error instanceof Error ? error : new Error(String(error));
      });
      worker.on('exit', () => onExit(failure));
    },
    async terminate() {
      await worker.terminate();
    },
  };
}

export interface RouterHandlers {
  onStates(states: PartState[]): void;
  onNetwork(change: NetworkChange): void;
  /** A message for this site; it is accepted once this has returned. */
  onMail(mail: Mail): void;
  /** The thread ended although nobody asked it to. */
  onFailure(error: SkiffError): void;
}

/** Where no router runs. */
export const nothingMeasured: Measurement = { parts: [], router: null };

/** One router from its start to its end. */
export class Router {
  readonly #port: RouterPort;
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  readonly #measuring = new Map<number, PromiseWithResolvers<Measurement>>();
  readonly #sending = new Map<number, PromiseWithResolvers<MailOutcome>>();
  readonly #managing = new Map<number, PromiseWithResolvers<ManagementReply>>();
  readonly #stopped = Promise.withResolvers<void>();
  #seq = 0;
  #stopping = false;

  constructor(port: RouterPort, identity: RouterIdentity, handlers: RouterHandlers) {
    this.#port = port;
    port.listen(
      (event) => this.#receive(event, handlers),
      (reason) => this.#ended(reason, handlers),
    );
    port.post({ type: 'start', identity });
  }

  /** Done when every access and listener among the parts has been tried once. */
  apply(put: PartConfig[], remove: { kind: PartKind; name: string }[]): Promise<void> {
    const seq = ++this.#seq;
    const answer = Promise.withResolvers<void>();
    this.#waiting.set(seq, answer);
    this.#port.post({ type: 'apply', seq, put, remove });
    return answer.promise;
  }

  /** All that are revoked, whenever there is one more. */
  setClock(time: number): void {
    this.#port.post({ type: 'clock', time });
  }

  revoke(fingerprints: string[]): void {
    this.#port.post({ type: 'revoke', fingerprints });
  }

  /** What devices of the fleet may do, and those that are let in no more. */
  grant(put: DeviceRights[], remove: string[]): void {
    this.#port.post({ type: 'privileges', put, remove });
  }

  /** What each part carries, and how the thread is doing; never settles while it hangs. */
  measure(): Promise<Measurement> {
    const seq = ++this.#seq;
    const answer = Promise.withResolvers<Measurement>();
    this.#measuring.set(seq, answer);
    this.#port.post({ type: 'measure', seq });
    return answer.promise;
  }

  /** The addresses of which messages are taken, all of them. */
  subscribe(addresses: string[]): void {
    this.#port.post({ type: 'mail.subscribe', addresses });
  }

  /** Sends a message into the network, and hands back what becomes of it. */
  send(to: string, subject: string, body: string): Promise<MailOutcome> {
    const seq = ++this.#seq;
    const answer = Promise.withResolvers<MailOutcome>();
    this.#sending.set(seq, answer);
    this.#port.post({ type: 'mail.send', seq, to, subject, body });
    return answer.promise;
  }

  /** Asks the management of a router of the network; rejects when there is no answer. */
  manage(question: ManagementQuestion): Promise<ManagementReply> {
    const seq = ++this.#seq;
    const answer = Promise.withResolvers<ManagementReply>();
    this.#managing.set(seq, answer);
    this.#port.post({ type: 'manage', seq, ...question });
    return answer.promise;
  }

  async stop(withinMs: number): Promise<void> {
    this.#stopping = true;
    this.#port.post({ type: 'stop', withinMs });
    // A router that hangs must not hold up the end. The margin is for its answer to arrive.
    const overdue = setTimeout(() => this.#stopped.resolve(), withinMs + 200);
    await this.#stopped.promise;
    clearTimeout(overdue);
    await this.#port.terminate();
  }

  #receive(event: RouterEvent, handlers: RouterHandlers): void {
    switch (event.type) {
      case 'applied':
        this.#waiting.get(event.seq)?.resolve();
        this.#waiting.delete(event.seq);
        break;
      case 'states':
        if (!this.#stopping) handlers.onStates(event.states);
        break;
      case 'network':
        if (!this.#stopping) handlers.onNetwork(event);
        break;
      case 'traffic':
        this.#measuring.get(event.seq)?.resolve({ parts: event.parts, router: event.router });
        this.#measuring.delete(event.seq);
        break;
      case 'mail':
        try {
          if (!this.#stopping) handlers.onMail(event);
        } catch (error) {
          // The disk may be full: who wrote says it again.
          const { code, message } = errorFact(error);
          log.error('fleet', `a message to ${event.address} cannot be worked on: ${message}`, { code });
        } finally {
          this.#port.post({ type: 'mail.taken', id: event.id });
        }
        break;
      case 'mail.outcome':
        this.#sending.get(event.seq)?.resolve(event.outcome);
        this.#sending.delete(event.seq);
        break;
      case 'managed': {
        const answer = this.#managing.get(event.seq);
        this.#managing.delete(event.seq);
        if ('code' in event.reply) answer?.reject(SkiffError.fromFact(event.reply));
        else answer?.resolve(event.reply);
        break;
      }
      case 'log':
        forward(event.record);
        break;
      case 'stopped':
        this.#stopped.resolve();
        break;
    }
  }

  #ended(reason: Error | null, handlers: RouterHandlers): void {
    this.#stopped.resolve();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const answer of this.#measuring.values()) answer.resolve(nothingMeasured);
    this.#measuring.clear();
    for (const answer of this.#sending.values()) answer.resolve('modified');
    this.#sending.clear();
    const stopped = new SkiffError('router-ended', 'the router has ended');
    for (const answer of this.#managing.values()) answer.reject(stopped);
    this.#managing.clear();
    if (this.#stopping) {
      // What was still being applied is of no interest to anybody any more.
      for (const answer of waiting) answer.resolve();
      return;
    }
    const why = reason ? `: ${reason.message}` : '';
    const error = new SkiffError('router-ended', `the router thread ended by itself${why}`, { cause: reason });
    for (const answer of waiting) answer.reject(error);
    handlers.onFailure(error);
  }
}
