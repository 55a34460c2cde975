/** A plain AMQP 1.0 client on a `normal` access: it sends to addresses, receives from them, and asks for reply addresses. */
import { AmqpError, Condition } from '../amqp/error.ts';
import type { Attach, Open } from '../amqp/performatives.ts';
import type { Session } from '../amqp/session.ts';
import type { SkiffError } from '../errors.ts';
import { addressKey } from './addresses.ts';
import { LinkConsumer } from './outbound.ts';
import { Peer } from './peer.ts';
import type { Router } from './router.ts';

export class ClientPeer extends Peer {
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
    const { addresses, id } = this.router;
    const reply = attach.source?.dynamic ? this.router.newReplyAddress() : null;
    const address = reply?.address ?? attach.source?.address ?? null;
    if (address === null || address === '') {
      session.refuse(attach, new AmqpError(Condition.invalidField, 'a receiver without a source address'));
      return;
    }
    const key = reply?.key ?? addressKey(address, id);
    if (!reply && !key.startsWith('M')) {
      session.refuse(
        attach,
        new AmqpError(Condition.unauthorizedAccess, `clients may not receive from ${address.slice(0, 256)}`),
      );
      return;
    }
    let consumer: LinkConsumer | null = null;
    const sender = this.acceptSender(
      session,
      attach,
      { onDetached: () => consumer && addresses.removeConsumer(key, consumer) },
      address,
    );
    consumer = new LinkConsumer(this, sender);
    addresses.addConsumer(key, consumer);
  }
}
