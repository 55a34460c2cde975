/** A plain AMQP 1.0 client on a `normal` access: it sends to addresses, receives from them, and asks for reply addresses. */
import type { Attach, Open } from '../amqp/performatives.ts';
import type { Session } from '../amqp/session.ts';
import type { SkiffError } from '../errors.ts';
import { Peer } from './peer.ts';
import type { Router } from './router.ts';

export class ClientPeer extends Peer {
  override readonly role = 'normal';
  override readonly isRouter = false;
  readonly #onGone: (error: SkiffError | null) => void;

  constructor(router: Router, onGone: (error: SkiffError | null) => void) {
    super(router);
    this.#onGone = onGone;
  }

  override onClosed(error: SkiffError | null): void {
    this.#onGone(error);
  }

  protected override onOpened(_open: Open): void {
    this.connection.accept();
  }

  protected override onWantsToReceive(session: Session, attach: Attach): void {
    this.acceptSubscription(session, attach);
  }
}
