/** Messages between a main thread and the network: how they arrive, who they are from, and what bounds them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MAX_MAIL } from '../../src/router/mailbox.ts';
import type {
  AccessState,
  LinkState,
  MailEvent,
  MailOutcome,
  PartState,
  RouterIdentity,
} from '../../src/router/protocol.ts';
import { Parts } from '../../src/tcp/parts.ts';
import { AmqpClient, closeClients } from '../support/amqp.ts';
import { makeCa } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';

const test = suite('mailbox');
const running: Parts[] = [];
const ca = makeCa('network');

type Arrived = Extract<MailEvent, { type: 'mail' }>;

test.after.each(async () => {
  await closeClients();
  for (const parts of running.splice(0)) await parts.stop(200);
});

/** A router, and the main thread above it, which takes its time with messages while it is `slow`. */
class End {
  readonly parts: Parts;
  readonly mail: Arrived[] = [];
  readonly outcomes = new Map<number, MailOutcome>();
  slow = false;
  readonly #states = new Map<string, PartState>();
  #seq = 0;

  constructor(siteName: string, mode: RouterIdentity['mode']) {
    const siteId = '5a17f1e1-0000-4000-8000-000000000001';
    this.parts = new Parts({ id: `${siteName}-5a17f1e1`, mode, siteId, siteName, version: '1' }, (changed) => {
      for (const state of changed) this.#states.set(state.name, state);
    });
    running.push(this.parts);
    this.parts.mailbox.onEvent = (event) => {
      if (event.type === 'mail.outcome') this.outcomes.set(event.seq, event.outcome);
      else {
        this.mail.push(event);
        if (!this.slow) this.take(event);
      }
    };
  }

  take({ id }: Arrived): void {
    this.parts.mailbox.handle({ type: 'mail.taken', id });
  }

  subscribe(...addresses: string[]): void {
    this.parts.mailbox.handle({ type: 'mail.subscribe', addresses });
  }

  send(to: string, body: string, subject = 'note'): Promise<MailOutcome> {
    const seq = ++this.#seq;
    this.parts.mailbox.handle({ type: 'mail.send', seq, to, subject, body });
    return eventually('an outcome', () => this.outcomes.get(seq));
  }

  link(): LinkState | undefined {
    return this.#states.get('up') as LinkState | undefined;
  }

  port(access: string): number {
    return (this.#states.get(access) as AccessState).port as number;
  }
}

async function network(uris: string[] = []): Promise<{ hub: End; store: End }> {
  const [hub, store] = [new End('hub', 'interior'), new End('store', 'edge')];
  const server = { ...ca.issue({ commonName: 'hub', hosts: ['127.0.0.1'] }), ca: ca.certificate };
  const access = { kind: 'access', host: '127.0.0.1', port: 0 } as const;
  const clients = { ...access, name: 'clients', role: 'normal', tls: null } as const;
  await hub.parts.apply([{ ...access, name: 'edges', role: 'edge', tls: server }, clients], []);
  const endpoints = [{ host: '127.0.0.1', port: hub.port('edges') }];
  const tls = { ...ca.issue({ commonName: 'store', uris }), ca: ca.certificate };
  await store.parts.apply([{ kind: 'link', name: 'up', role: 'edge', endpoints, cost: 1, tls }, clients], []);
  await eventually('the link', () => store.link()?.status === 'up');
  return { hub, store };
}

const marked = ['urn:skiff:device:store-5a17f1e1'];

test('an edge and its hub write to each other, and the hub knows by which certificate a message came', async () => {
  const { hub, store } = await network(marked);
  hub.subscribe('fleet');
  store.subscribe('store');
  assert.is(await store.send('fleet', '{"from":"another"}', 'heartbeat'), 'accepted');
  const { address, subject, body, from } = hub.mail[0] as Arrived;
  assert.equal([address, subject, body, from], ['fleet', 'heartbeat', '{"from":"another"}', 'store-5a17f1e1']);
  await eventually('the way down', async () => (await hub.send('store', 'hello')) === 'accepted');
  assert.equal(
    store.mail.map((mail) => [mail.body, mail.from]),
    [['hello', null]],
  );
});

test('nobody is named as the sender where no certificate says who it is', async () => {
  const { hub, store } = await network();
  hub.subscribe('fleet');
  assert.is(await store.send('fleet', 'x'), 'accepted');
  assert.is(hub.mail[0]?.from, null);
});

test('what nobody takes comes back, and what is no longer subscribed to is taken no more', async () => {
  const { hub, store } = await network();
  assert.is(await hub.send('nobody', 'x'), 'released');
  assert.is(await store.send('nobody', 'x'), 'released');
  hub.subscribe('one', 'two');
  hub.subscribe('two');
  assert.is(await hub.send('one', 'x'), 'released');
  assert.is(await hub.send('two', 'x'), 'accepted');
});

test('the largest message arrives whole either way, a larger one is rejected', async () => {
  const { hub, store } = await network();
  hub.subscribe('fleet');
  store.subscribe('store');
  const largest = 'ö'.repeat(MAX_MAIL / 2 - 512);
  assert.is(await store.send('fleet', largest), 'accepted');
  assert.ok(hub.mail[0]?.body === largest);
  await eventually('the way down', async () => (await hub.send('store', largest)) === 'accepted');
  assert.ok(store.mail.at(-1)?.body === largest);
  assert.is(await store.send('fleet', 'x'.repeat(MAX_MAIL + 1)), 'rejected');
  assert.is(hub.mail.length, 1);
});

test('a plain client writes and is written to; what is no text is rejected', async () => {
  const { hub, store } = await network();
  store.subscribe('store');
  const client = await AmqpClient.connect(hub.port('clients'));
  const sender = await client.sender('store');
  await sender.untilCredit();
  assert.is((await sender.send({ subject: 'note', body: 'hello' })).outcome, 'accepted');
  assert.equal([store.mail[0]?.subject, store.mail[0]?.body], ['note', 'hello']);
  assert.is((await sender.send({ body: 17 })).outcome, 'rejected');
  const receiver = await client.receiver('client', { autoaccept: true });
  assert.is(await eventually('the answer', () => store.send('client', 'good day')), 'accepted');
  assert.equal((await receiver.next()).message.body, 'good day');
});

test('a message is accepted when the main thread is done with it; when too many wait, further ones come back', async () => {
  const hub = new End('hub', 'interior');
  hub.subscribe('fleet');
  hub.slow = true;
  const body = 'x'.repeat(MAX_MAIL - 512);
  const first = hub.send('fleet', body);
  const sent = Array.from({ length: 15 }, () => hub.send('fleet', body));
  assert.is(hub.mail.length, 16);
  assert.is(hub.outcomes.size, 0);
  assert.is(await hub.send('fleet', body), 'released');
  hub.take(hub.mail[0] as Arrived);
  assert.is(await first, 'accepted');
  hub.send('fleet', body);
  assert.is(hub.mail.length, 17);
  for (const mail of hub.mail) hub.take(mail);
  assert.equal(new Set(await Promise.all(sent)), new Set(['accepted']));
});

test.run();
