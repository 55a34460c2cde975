/**
 * Sites within the test's own process: all of a site but its thread, so that one process may hold hundreds of them.
 */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Clock } from '../../src/clock.ts';
import { Agent } from '../../src/fleet/agent.ts';
import { Fleet } from '../../src/fleet/fleet.ts';
import type { RouterEvent, RouterRequest } from '../../src/router/protocol.ts';
import type { RouterPort } from '../../src/site/router.ts';
import { Site } from '../../src/site/site.ts';
import { Store } from '../../src/store/store.ts';
import { Parts } from '../../src/tcp/parts.ts';

/** What the router thread does, without a thread. */
export function routerInProcess(): RouterPort {
  let parts: Parts | null = null;
  let send: (event: RouterEvent) => void = () => {};
  const handle = (request: RouterRequest): void => {
    switch (request.type) {
      case 'start':
        parts = new Parts(
          request.identity,
          (states) => send({ type: 'states', states }),
          (change) => send({ type: 'network', ...change }),
        );
        parts.mailbox.onEvent = (event) => send(event);
        return;
      case 'apply':
        void parts?.apply(request.put, request.remove).then(() => send({ type: 'applied', seq: request.seq }));
        return;
      case 'revoke':
        parts?.revoke(request.fingerprints);
        return;
      case 'privileges':
        parts?.grant(request.put, request.remove);
        return;
      case 'measure':
        send({ type: 'traffic', seq: request.seq, parts: parts?.measure() ?? [], router: null });
        return;
      case 'manage':
        void parts?.manage(request).then((reply) => send({ type: 'managed', seq: request.seq, reply }));
        return;
      case 'clock':
        return;
      case 'stop':
        void Promise.resolve(parts?.stop(request.withinMs)).then(() => send({ type: 'stopped' }));
        return;
      default:
        parts?.mailbox.handle(request);
    }
  };
  return {
    post: (request) => queueMicrotask(() => handle(structuredClone(request))),
    listen(onEvent) {
      send = (event) => queueMicrotask(() => onEvent(event));
    },
    terminate: async () => {},
  };
}

export interface InProcessOptions {
  data?: string;
  claim?: string;
  serial?: string;
}

export class InProcessSite {
  readonly store: Store;
  readonly site: Site;
  readonly agent: Agent;
  readonly fleet: Fleet;

  /** `claim`: the file with the claim that it is to enrol with; `serial`: what it says of its hardware. */
  constructor({ data = mkdtempSync(join(tmpdir(), 'd-')), claim, serial = 'none' }: InProcessOptions = {}) {
    this.store = Store.open(data, { command: 'test', waitMs: 0 });
    this.site = new Site({
      store: this.store,
      version: 'test',
      startRouter: routerInProcess,
      now: Date.now,
      onFailure: (error) => {
        throw error;
      },
    });
    const around = { site: this.site, store: this.store, now: Date.now, clock: new Clock() };
    const identity = { serial, uuid: null, macs: [], model: null, disks: [] };
    const places = { file: claim ?? null, data };
    this.agent = new Agent({ ...around, version: 'test', places, identity: async () => identity });
    this.fleet = new Fleet({ ...around, agent: this.agent });
  }

  async start(): Promise<void> {
    await this.site.start();
    this.fleet.start();
  }

  /** Looks for its claim, and asks to be let in. */
  enrol(): void {
    this.agent.start();
  }

  async stop(): Promise<void> {
    this.agent.close();
    this.fleet.close();
    await this.site.stop(200);
    this.store.close();
  }
}
