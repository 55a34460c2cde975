/**
 * The trunk of two interior routers that was recorded, with a router of ours in the place of either: what the other one
 * said is said again, and ours has to say on each link what the recorded one did, and the same routing messages.
 */
import net, { type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { saslInit, saslMechanisms, saslOutcome } from '../../src/amqp/performatives.ts';
import { AMQP_HEADER, SASL_HEADER } from '../../src/amqp/sasl.ts';
import { readRouting } from '../../src/router/mesh/encoding.ts';
import { rawFrame } from '../amqp/loopback.ts';
import { eventually } from '../support/eventually.ts';
import { TestRouter } from '../support/router.ts';
import { closeSockets, echo, serve } from '../support/tcp.ts';
import { type Frame, FrameReader, field, otherSide, readCapture, type Side, writeFrame } from './capture.ts';
import { type DeliverySeen, Dialogue, type LinkSeen, meaningOfOpen, sectionsOf } from './dialogue.ts';

const test = suite('recorded interior routers');

/** The conversation ends with what both know of each other; what comes then is time passing. */
function untilKnown(name: string): { side: Side; frame: Frame }[] {
  const { frames } = readCapture(name);
  const dialogue = new Dialogue();
  let end = 0;
  for (const [index, { side, frame }] of frames.entries()) {
    const { delivery } = dialogue.take(side, frame);
    if (delivery && ['LSR', 'LSU', 'MAR', 'MAU'].includes(opcodeOf(delivery))) end = index + 1;
  }
  return frames.slice(0, end);
}

const opcodeOf = (delivery: DeliverySeen): string =>
  delivery.head?.to?.includes('/qd') ? readRouting(sectionsOf(delivery)).opcode : '';

/** Plays one side of a connection to a router of ours. */
class Player {
  readonly recorded = new Dialogue();
  readonly live = new Dialogue();
  readonly #ours: Side;
  readonly #theirs: Side;
  readonly #heard = new FrameReader();
  readonly #said = new FrameReader();
  #socket: Socket | null = null;
  #failure: unknown = null;

  constructor(ours: Side) {
    this.#ours = ours;
    this.#theirs = otherSide(ours);
  }

  /** The played side has connected, or was connected to. */
  bind(socket: Socket): void {
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (octets) => {
      try {
        for (const frame of this.#heard.take(octets)) this.#hear(frame);
      } catch (error) {
        this.#failure ??= error;
      }
    });
    if (this.#ours === 'connector') return;
    this.#write(SASL_HEADER);
    this.#write(rawFrame(0, saslInit('ANONYMOUS', Buffer.from('anonymous'), null), undefined, 1));
  }

  async play(frames: { side: Side; frame: Frame }[]): Promise<void> {
    await eventually('the two are connected', () => this.#socket);
    for (const { side, frame } of frames) {
      const event = this.recorded.take(side, frame);
      if (side === this.#theirs) this.#say(frame, event.link);
      else if (event.link) {
        const { link, delivery } = event;
        await this.#until(`${link.key}: ${frame.type} ${delivery ? opcodeOf(delivery) : ''}`, () =>
          this.#isSaid(frame, link, delivery),
        );
      } else await this.#until(frame.type, () => frame.type !== 'open' || this.live.opens[side]);
    }
  }

  close(): void {
    this.#socket?.destroy();
  }

  async #until(what: string, look: () => unknown): Promise<void> {
    await eventually(`ours says: ${what}`, () => {
      if (this.#failure) throw this.#failure;
      return look();
    });
  }

  #isSaid(frame: Frame, link: LinkSeen, delivery: DeliverySeen | undefined): boolean {
    const live = this.live.links.get(link.key);
    if (frame.type === 'attach') return live?.attaches[this.#ours] !== undefined;
    if (frame.type === 'flow') return (live?.credit ?? 0) > 0 || live?.sender === this.#ours;
    if (frame.type !== 'transfer' || !delivery) return true;
    const { head } = delivery;
    return (
      live?.deliveries.some((each) => each.head?.to === head?.to && opcodeOf(each) === opcodeOf(delivery)) ?? false
    );
  }

  #hear(frame: Frame): void {
    this.live.take(this.#ours, frame);
    if (frame.type === 'close') throw new Error(`ours closed the connection: ${frame.fields[0]?.toString('latin1')}`);
    if (this.#ours === 'connector' && frame.type === 'header' && frame.octets.equals(SASL_HEADER)) {
      this.#write(SASL_HEADER);
      this.#write(rawFrame(0, saslMechanisms(['ANONYMOUS']), undefined, 1));
    } else if (frame.type === 'sasl' && frame.body.type === 'init') {
      this.#write(rawFrame(0, saslOutcome(0), undefined, 1));
    }
  }

  /** Channels and handles are counted alike by all; only the names of links are made up. */
  #say(frame: Frame, link: LinkSeen | undefined): void {
    if (frame.type === 'header' && frame.octets.equals(AMQP_HEADER)) this.#write(AMQP_HEADER);
    if (['header', 'sasl', 'empty', 'close'].includes(frame.type)) return;
    let { fields } = frame;
    if (frame.type === 'attach' && link?.initiator === this.#ours) {
      fields = [field(this.live.links.get(link.key)?.name as string), ...fields.slice(1)];
    }
    this.#write(writeFrame(frame.channel, frame.code, fields, frame.type === 'transfer' ? frame.payload : undefined));
  }

  #write(octets: Buffer): void {
    for (const frame of this.#said.take(octets)) this.live.take(this.#theirs, frame);
    this.#socket?.write(octets);
  }

  /** What our side said of each link, without the messages on it. */
  links(dialogue: Dialogue): Record<string, unknown> {
    const said = [...dialogue.links].map(([key, link]) => [key, link.said[this.#ours].filter((it) => !isDelivery(it))]);
    return Object.fromEntries(said);
  }

  /** Our side's routing messages, by kind: what they say, apart from the numbers of a run. */
  messages(dialogue: Dialogue): Map<string, string[]> {
    const control = [...dialogue.links.values()].find(({ sender }) => sender === this.#ours) as LinkSeen;
    const said = new Map<string, string[]>();
    for (const delivery of control.deliveries) {
      const { head, settled } = delivery;
      const message = readRouting(sectionsOf(delivery));
      const text = JSON.stringify({ settled, ...head?.annotations, ...message }, (key, value) => {
        if (/instance|sequence/i.test(key)) return '*';
        if (value instanceof Map) return [...value];
        return Array.isArray(value) ? value.filter((each) => !isVanflow(each?.key)) : value;
      });
      const kind = `${message.opcode} ${head?.to}`;
      said.set(kind, [...(said.get(kind) ?? []), text]);
    }
    return said;
  }

  /** The opens, and what was said of links. */
  compareLinks(): void {
    const ours = this.#ours;
    assert.equal(meaningOfOpen(this.live.opens[ours]), meaningOfOpen(this.recorded.opens[ours]));
    const [live, recorded] = [this.links(this.live), this.links(this.recorded)];
    assert.equal(Object.keys(live), Object.keys(recorded), 'the same links');
    for (const [key, said] of Object.entries(recorded)) assert.equal(live[key], said, key);
  }

  compareMessages(): void {
    const said = this.messages(this.live);
    for (const [kind, texts] of this.messages(this.recorded)) {
      for (const text of texts) assert.ok(said.get(kind)?.includes(text), `${kind}: ${text}, not ${said.get(kind)}`);
    }
  }
}

/** Addresses of flow records: which there are is a matter of who collects them. */
const isVanflow = (key: unknown): boolean => typeof key === 'string' && /^M(mc\/sfe|sfe|vfcr)\./.test(key);

const isDelivery = (said: unknown): boolean => typeof said === 'object' && said !== null && 'octets' in said;

let router: TestRouter | null = null;
const players: Player[] = [];

function player(ours: Side): Player {
  const it = new Player(ours);
  players.push(it);
  return it;
}

test.after.each(async () => {
  for (const it of players.splice(0)) it.close();
  await router?.parts.stop(200);
  await closeSockets();
});

test('ours is dialled: it speaks as the recorded one did', async () => {
  router = new TestRouter('hub');
  await router.connector('echo:7', (await echo()).port);
  const port = await router.access('inter-router');
  const control = player('listener');
  control.bind(net.connect({ host: '127.0.0.1', port, noDelay: true }));
  await control.play(untilKnown('interior.1'));
  control.compareLinks();
  control.compareMessages();

  // The first data connection carries a client to our server, and the answer.
  const data = player('listener');
  data.bind(net.connect({ host: '127.0.0.1', port, noDelay: true }));
  const { frames } = readCapture('interior.0');
  const answer = frames.findIndex(({ side, frame }) => side === 'listener' && frame.type === 'transfer');
  await data.play(frames.slice(0, answer + 1));
  data.compareLinks();
  const heads = [data.live, data.recorded].map(({ deliveries }) => deliveries.get('stream of the listener 1')?.head);
  assert.ok(heads[1]?.annotations);
  for (const field of ['to', 'annotations', 'correlationId', 'contentType'] as const) {
    assert.equal(heads[0]?.[field], heads[1]?.[field], field);
  }
});

test('ours dials: it speaks as the recorded one did', async () => {
  router = new TestRouter('site2');
  await router.connector('pos2:7', (await echo()).port);
  const control = player('connector');
  const { port } = await serve((socket) => control.bind(socket));
  await router.link('hub', port);
  await control.play(untilKnown('interior.1'));
  control.compareLinks();
  control.compareMessages();
});

test.run();
