/**
 * Brings the router to what the documents ask for, by difference: what did not change is not touched.
 * Only a new identity (the site's name or mode) needs a new router, because a container-id is for life.
 */

import { isDeepStrictEqual } from 'node:util';
import { SkiffError } from '../errors.ts';
import type {
  DeviceRights,
  Mail,
  MailOutcome,
  ManagementQuestion,
  ManagementReply,
  Measurement,
  PartState,
  PeerState,
} from '../router/protocol.ts';
import { Network } from './network.ts';
import { nothing, type PartKey, type Plan, partKey } from './plan.ts';
import { nothingMeasured, Router, type RouterHandlers, type RouterPort } from './router.ts';

/** How long the streams of a router get to end when another takes its place. */
const replaceMs = 1_000;

export class Reconciler {
  readonly #startRouter: () => RouterPort;
  readonly #handlers: Omit<RouterHandlers, 'onMail'>;
  readonly states = new Map<PartKey, PartState>();
  readonly network = new Network();
  #peersOf: ReadonlyMap<string, PeerState> | null = null;
  #router: Router | null = null;
  #wanted: Plan = nothing;
  #current: Plan = nothing;
  #run: Promise<void> | null = null;
  #closed = false;
  #revoked: string[] = [];
  #clock: { time: number; tick: number } | null = null;
  readonly #rights = new Map<string, DeviceRights>();
  readonly #expelled = new Set<string>();
  readonly #mail = new Map<string, (mail: Mail) => void>();

  constructor(startRouter: () => RouterPort, handlers: Omit<RouterHandlers, 'onMail'>) {
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

  /** What time it is, as the machine does not know. */
  setClock(time: number): void {
    this.#clock = { time, tick: performance.now() };
    this.#router?.setClock(time);
  }

  /** All certificates that are revoked, by their fingerprints. */
  revoke(fingerprints: string[]): void {
    this.#revoked = fingerprints;
    this.#router?.revoke(fingerprints);
  }

  /** Whether a router of this id is linked at one of the accesses. */
  hasPeer(id: string): boolean {
    return this.#peers().has(id);
  }

  /** What a device of the fleet is refused here: `send ADDRESS` and `receive ADDRESS`. */
  denialsOf(id: string): string[] {
    return (this.#peers().get(id)?.denials ?? []).map(({ action, address }) => `${action} ${address}`);
  }

  /** Who is linked here, by their ids. There may be thousands, so it is put together once for a state. */
  #peers(): ReadonlyMap<string, PeerState> {
    if (this.#peersOf !== null) return this.#peersOf;
    const accesses = [...this.states.values()].flatMap((state) => (state.kind === 'access' ? [state] : []));
    this.#peersOf = new Map(accesses.flatMap(({ peers }) => peers.map((peer) => [peer.id, peer] as const)));
    return this.#peersOf;
  }

  /** What devices of the fleet may do, and those that are let in no more. */
  grant(put: DeviceRights[], remove: string[]): void {
    for (const device of remove) {
      this.#rights.delete(device);
      this.#expelled.add(device);
    }
    for (const { device } of put) this.#expelled.delete(device);
    for (const rights of put) this.#rights.set(rights.device, rights);
    this.#router?.grant(put, remove);
  }

  /** Takes the messages of an address, until what is returned is called. */
  takeMail(address: string, take: (mail: Mail) => void): () => void {
    this.#mail.set(address, take);
    this.#router?.subscribe([...this.#mail.keys()]);
    return () => {
      if (this.#mail.get(address) !== take) return;
      this.#mail.delete(address);
      this.#router?.subscribe([...this.#mail.keys()]);
    };
  }

  /** Sends a message into the network, and hands back what becomes of it. */
  async sendMail(to: string, subject: string, body: string): Promise<MailOutcome> {
    return (await this.#router?.send(to, subject, body)) ?? 'released';
  }

  /** What the parts carry; nothing is carried where no router runs. */
  async measure(): Promise<Measurement> {
    return (await this.#router?.measure()) ?? nothingMeasured;
  }

  /** Asks the management of a router of the network; rejects when there is no answer. */
  async manage(question: ManagementQuestion): Promise<ManagementReply> {
    if (!this.#router) throw new SkiffError('no-site', 'there is no site here, so no router runs');
    return this.#router.manage(question);
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
      this.#peersOf = null;
      this.network.clear();
      before = nothing.parts;
      if (plan.identity && !this.#closed) {
        this.#router = this.#newRouter(plan.identity);
        // Before anybody can come.
        if (this.#revoked.length > 0) this.#router.revoke(this.#revoked);
        if (this.#clock) this.#router.setClock(this.#clock.time + performance.now() - this.#clock.tick);
        if (this.#rights.size + this.#expelled.size > 0)
          this.#router.grant([...this.#rights.values()], [...this.#expelled]);
        if (this.#mail.size > 0) this.#router.subscribe([...this.#mail.keys()]);
      }
    }
    const put = [...plan.parts].filter(([key, part]) => !isDeepStrictEqual(part, before.get(key)));
    const remove = [...before].filter(([key]) => !plan.parts.has(key));
    // What was said of a part that changes is true of it no longer.
    for (const [key] of [...put, ...remove]) this.states.delete(key);
    this.#peersOf = null;
    const gone = remove.map(([, { kind, name }]) => ({ kind, name }));
    const parts = put.map(([, part]) => part);
    await this.#router?.apply(parts, gone);
  }

  #newRouter(identity: NonNullable<Plan['identity']>): Router {
    return new Router(this.#startRouter(), identity, {
      onStates: (states) => {
        // A state may still be under way from a part that was just taken away.
        const known = states.filter((state) => state.kind === 'mesh' || this.#wanted.parts.has(partKey(state)));
        for (const state of known) this.states.set(partKey(state), state);
        this.#peersOf = null;
        this.#handlers.onStates(known);
      },
      onNetwork: (change) => {
        this.network.apply(change);
        this.#handlers.onNetwork(change);
      },
      onMail: (mail) => this.#mail.get(mail.address)?.(mail),
      onFailure: (error) => this.#handlers.onFailure(error),
    });
  }
}
