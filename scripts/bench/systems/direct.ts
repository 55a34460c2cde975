/** Clients connect to the servers themselves: what the machine and the load generators can do. */
import type { System } from './system.ts';

export const direct: System = {
  name: 'direct',
  async start(_layout, { servers }) {
    return {
      ports: { http: servers.http, bulk: servers.bulk, back: servers.http },
      processes: [],
      times: {},
      stop: () => Promise.resolve(),
    };
  },
};
