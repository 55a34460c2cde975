/**
 * Brings the router to what the documents ask for, by difference: what did not change is not touched.
 * Only a new identity (the site's name or mode) needs a new router, because a container-id is for life.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Measurement, PartState } from '../router/protocol.ts';
import { Network } from './network.ts';
import { nothing, type PartKey, type Plan, partKey } from './plan.ts';
import { nothingMeasured, Router, type RouterHandlers, type RouterPort } from './router.ts';

/** How long the streams of a router get to end when another takes its place. */
const replaceMs = 1_000;

export class Reconciler {
  readonly #startRouter: () => RouterPort;
  readonly #handlers: RouterHandlers;
  readonly states = new Map<PartKey, PartState>();
  readonly network = new Network();
  #router: Router | null = null;
  #wanted: Plan = nothing;
  #current: Plan = nothing;
  #run: Promise<void> | null = null;
  #closed = false;
  #revoked: string[] = [];

  constructor(startRouter: () => RouterPort, handlers: RouterHandlers) {
    this.#startRouter = startRouter;
    this.#handlers = handlers;
  }

  /** What the router was last asked to run and has taken up. */
  get current(): Plan {
    return this.#current;
  }

  /** Done when the router has taken up this plan, or a later one. */
  update(plan: Plan): Promise<void> {
    this.#wanted = plan;
    this.#run ??= this.#catchUp().finally(() => {
      this.#run = null;
    });
    return this.#run;
  }

  /** All certificates that are revoked, by their fingerprints. */
  revoke(fingerprints: string[]): void {
    this.#revoked = fingerprints;
    this.#router?.revoke(fingerprints);
  }

  /** What the parts carry; nothing is carried where no router runs. */
  async measure(): Promise<Measurement> {
    return (await this.#router?.measure()) ?? nothingMeasured;
  }

  /** For good: nothing is started any more. */
  async stop(withinMs: number): Promise<void> {
    this.#closed = true;
    await this.#stopRouter(withinMs);
  }

  async #stopRouter(withinMs: number): Promise<void> {
    const router = this.#router;
    this.#router = null;
    await router?.stop(withinMs);
  }

  async #catchUp(): Promise<void> {
    while (this.#current !== this.#wanted && !this.#closed) {
      const plan = this.#wanted;
      await this.#carryOut(plan);
      this.#current = plan;
    }
  }

  async #carryOut(plan: Plan): Promise<void> {
    let before = this.#current.parts;
    if (!isDeepStrictEqual(plan.identity, this.#current.identity)) {
      await this.#stopRouter(replaceMs);
      this.states.clear();
      this.network.clear();
      before = nothing.parts;
      if (plan.identity && !this.#closed) {
        this.#router = this.#newRouter(plan.identity);
        // Before anybody can come.
        if (this.#revoked.length > 0) this.#router.revoke(this.#revoked);
      }
    }
    const put = [...plan.parts].filter(([key, part]) => !isDeepStrictEqual(part, before.get(key)));
    const remove = [...before].filter(([key]) => !plan.parts.has(key));
    // What was said of a part that changes is true of it no longer.
    for (const [key] of [...put, ...remove]) this.states.delete(key);
    const gone = remove.map(([, { kind, name }]) => ({ kind, name }));
    const parts = put.map(([, part]) => part);
    await this.#router?.apply(parts, gone);
  }

  #newRouter(identity: NonNullable<Plan['identity']>): Router {
    return new Router(this.#startRouter(), identity, {
      onStates: (states) => {
        // A state may still be under way from a part that was just taken away.
        const known = states.filter((state) => this.#wanted.parts.has(partKey(state)));
        for (const state of known) this.states.set(partKey(state), state);
        this.#handlers.onStates(known);
      },
      onNetwork: (change) => {
        this.network.apply(change);
        this.#handlers.onNetwork(change);
      },
      onFailure: (error) => this.#handlers.onFailure(error),
    });
  }
}
