/** The trunks that others have dialled: whose connections belong together is said by the correlator they have in common. */
import { type InteriorPeer, readPurpose } from './interior-peer.ts';
import type { Mesh } from './mesh.ts';
import type { Trunk } from './trunk.ts';

export class AcceptedTrunks {
  readonly #mesh: Mesh;
  readonly #trunks = new Map<string, Trunk>();
  /** Data connections whose control connection is not there yet, or gone. */
  readonly #waiting = new Map<InteriorPeer, string>();

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /** A connection is open in both directions. */
  join(peer: InteriorPeer): void {
    const { remote } = peer.connection;
    if (!remote) return;
    const { correlator, cost } = readPurpose(remote);
    if (!peer.isData) {
      const trunk = this.#mesh.join(peer, remote.containerId, cost);
      if (correlator === null) return;
      this.#trunks.set(correlator, trunk);
      for (const [data, wanted] of this.#waiting) if (wanted === correlator) this.#add(trunk, data);
    } else if (correlator !== null) {
      this.#waiting.set(peer, correlator);
      const trunk = this.#trunks.get(correlator);
      if (trunk) this.#add(trunk, peer);
    }
  }

  /** A connection is gone. */
  leave(peer: InteriorPeer): void {
    this.#waiting.delete(peer);
    const { trunk } = peer;
    if (!trunk) return;
    if (peer.isData) {
      trunk.remove(peer);
      return;
    }
    for (const [correlator, each] of this.#trunks) {
      if (each !== trunk) continue;
      this.#trunks.delete(correlator);
      for (const data of trunk.release()) this.#waiting.set(data, correlator);
    }
  }

  /** A trunk does not lead to two routers, whatever stands between. */
  #add(trunk: Trunk, peer: InteriorPeer): void {
    if (peer.connection.remote?.containerId !== trunk.neighbour) return;
    this.#waiting.delete(peer);
    trunk.add(peer);
  }
}
