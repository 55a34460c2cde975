/** A router within the test's own process, as the router thread has it: its parts and what they say of themselves. */
import type { PartConfig, PartState, RouterIdentity } from '../../src/router/protocol.ts';
import { Parts } from '../../src/tcp/parts.ts';

const HOST = '127.0.0.1';

export class TestRouter {
  readonly id: string;
  readonly parts: Parts;
  readonly #states = new Map<string, PartState>();

  constructor(id: string, mode: RouterIdentity['mode'] = 'interior') {
    this.id = id;
    this.parts = new Parts({ id, mode, siteId: `site-of-${id}`, siteName: id, version: '0' }, (states) => {
      for (const state of states) this.#states.set(`${state.kind}/${state.name}`, state);
    });
  }

  put(...configs: PartConfig[]): Promise<void> {
    return this.parts.apply(configs, []);
  }

  remove(kind: PartConfig['kind'], name: string): Promise<void> {
    return this.parts.apply([], [{ kind, name }]);
  }

  state<Kind extends PartState['kind']>(kind: Kind, name: string): Extract<PartState, { kind: Kind }> | undefined {
    return this.#states.get(`${kind}/${name}`) as Extract<PartState, { kind: Kind }> | undefined;
  }

  /** Opens an access without TLS, under the name of its role; returns its port. */
  async access(role: 'inter-router' | 'edge' | 'normal'): Promise<number> {
    await this.put({ kind: 'access', name: role, role, host: HOST, port: 0, tls: null });
    const port = this.state('access', role)?.port;
    if (!port) throw new Error(`the ${role} access is not open`);
    return port;
  }

  connector(name: string, port: number): Promise<void> {
    return this.put({ kind: 'connector', name, routingKey: name, host: HOST, port });
  }

  listener(name: string, port: number): Promise<void> {
    return this.put({ kind: 'listener', name, routingKey: name, host: HOST, port });
  }

  /** Links to another interior router. */
  link(name: string, port: number, { cost = 1, dataConnections = 0 } = {}): Promise<void> {
    const endpoints = [{ host: HOST, port }];
    return this.put({ kind: 'link', name, role: 'inter-router', endpoints, cost, tls: null, dataConnections });
  }
}
