/**
 * Who may use which container-id on our accesses. A certificate that is marked as a device's carries its id, and may
 * use no other. Any other certificate holds the id it opens with for as long as it is linked, and a little longer when
 * the link is lost; a second certificate with the same id is refused.
 */
import { AmqpError, Condition } from '../amqp/error.ts';
import type { PeerCertificate } from '../net/tls.ts';
import type { EdgePeer } from './edge-peer.ts';

/** How long an id stays with its certificate after the link is gone, in milliseconds: longer than a reconnect takes. */
const HOLD_AFTER_LOSS = 60_000;
/** A live peer is heard of at least this often: its keep-alives come each quarter of our idle timeout. */
const ALIVE_WITHIN = 6_000;
const LOOK_EVERY = 250;

interface Claim {
  fingerprint: string | null;
  /** The process at the other end, when it says which. */
  instance: string | null;
  peer: EdgePeer | null;
  lostAt: number;
}

export class ContainerIds {
  readonly #claims = new Map<string, Claim>();
  readonly #waiting = new Set<NodeJS.Timeout>();

  /**
   * Decides whether `peer` may be `id`, and calls back with null or the reason why not. The answer may take some
   * seconds, when a connection with this id and certificate exists that may be dead: a reconnect must not be refused
   * because of it, and a live one must not be thrown out by a twin. With the refusal of a twin comes the one that stays.
   */
  claim(
    id: string,
    peer: EdgePeer,
    { certificate, instance }: { certificate: PeerCertificate | null; instance: string | null },
    decide: (refusal: AmqpError | null, twin?: EdgePeer) => void,
  ): void {
    const device = certificate?.deviceId;
    if (device && device !== id) {
      decide(
        new AmqpError(Condition.unauthorizedAccess, `the certificate is for ${device}, and may not open as ${id}`),
      );
      return;
    }
    const fingerprint = certificate?.fingerprint ?? null;
    const held = this.#claims.get(id);
    // A second connection of one process takes over from its first, which drains: with a renewed certificate, say.
    if (held && instance !== null && held.instance === instance) {
      this.#claims.set(id, { fingerprint, instance, peer, lostAt: 0 });
      decide(null);
      return;
    }
    if (held && held.fingerprint !== fingerprint && !device && this.#holds(held)) {
      decide(new AmqpError(Condition.unauthorizedAccess, `the container-id ${id} is in use with another certificate`));
      return;
    }
    const other = held?.peer;
    if (!other || other.connection.closed) {
      this.#claims.set(id, { fingerprint, instance, peer, lostAt: 0 });
      decide(null);
      return;
    }
    this.#awaitSilence(other, (silent) => {
      if (peer.connection.closed) return;
      if (!silent) {
        decide(
          new AmqpError(
            Condition.notAllowed,
            `the container-id ${id} is in use by a live connection: two sites seem to have one name and id`,
          ),
          other,
        );
        return;
      }
      this.#claims.set(id, { fingerprint, instance, peer, lostAt: 0 });
      other.connection.close(new AmqpError(Condition.connectionForced, `replaced by a newer connection of ${id}`));
      decide(null);
    });
  }

  /**
   * A peer is gone. One that was lost is expected back: its id stays with its certificate for a while. One that left
   * `inOrder` has let go of it, and may come back with another certificate at once.
   */
  release(peer: EdgePeer, inOrder: boolean): void {
    const claim = this.#claims.get(peer.id);
    if (claim?.peer !== peer) return;
    if (inOrder) this.#claims.delete(peer.id);
    claim.peer = null;
    claim.lostAt = performance.now();
    this.#forgetOld();
  }

  close(): void {
    for (const timer of this.#waiting) clearInterval(timer);
    this.#waiting.clear();
  }

  #holds(claim: Claim): boolean {
    return claim.peer !== null || performance.now() - claim.lostAt < HOLD_AFTER_LOSS;
  }

  #forgetOld(): void {
    for (const [id, claim] of this.#claims) if (!this.#holds(claim)) this.#claims.delete(id);
  }

  /** Watches a connection until it is heard of, or has been silent for longer than a live one would be. */
  #awaitSilence(peer: EdgePeer, answer: (silent: boolean) => void): void {
    const begun = performance.now();
    const look = (): void => {
      const { connection } = peer;
      const heard = !connection.closed && connection.lastHeard > begun;
      const silent = connection.closed || performance.now() - connection.lastHeard > ALIVE_WITHIN;
      if (!heard && !silent) return;
      clearInterval(timer);
      this.#waiting.delete(timer);
      answer(!heard);
    };
    const timer = setInterval(look, LOOK_EVERY);
    this.#waiting.add(timer);
    look();
  }
}
