/** Flow records of a skupper-router and of ours, as a collector at either place gets them, and as ours collects them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { FlowRecord } from '../../src/router/records/encoding.ts';
import { AmqpClient, closeClients, type Received } from '../support/amqp.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/tcp.ts';
import { otherPlace, Pair, PLACES, type Place } from './pair.ts';
import { SkupperRouter } from './skupper-router.ts';

/** What a rhea client gets of one source that it subscribes to, as Skupper's collectors do. */
interface Heard {
  beacon: Record<string, unknown>;
  heartbeats: Record<string, unknown>[];
  /** Merged, attributes by code. */
  records: Map<string, Map<number, unknown>>;
}

export function testRecords(ours: Place): void {
  const test = suite(`flow records, our ${ours}`);
  const theirs = otherPlace(ours);
  let pair: Pair;

  test.before(async () => {
    pair = await Pair.start(ours);
    await pair.connector(ours, 'at-ours', await freePort());
    await pair.listener(ours, 'at-theirs', await freePort());
    await pair.connector(theirs, 'at-theirs', await freePort());
    await pair.listener(theirs, 'at-ours', await freePort());
  });

  test.after(async () => {
    await closeClients();
    await pair?.stop();
    await SkupperRouter.stopAll();
  });

  /** Collects at a place until a source has told `enough` records; sources by the router they are. */
  async function collect(place: Place, enough: number): Promise<Map<string, Heard>> {
    const client = await AmqpClient.connect(pair.normalPorts[place]);
    const sources = new Map<string, Heard>();
    const beacons = await client.receiver('mc/sfe.all', { autoaccept: true });
    const sender = await client.sender(null);
    beacons.link.on('message', ({ message }) => {
      const beacon = message.application_properties as Record<string, unknown>;
      const id = beacon.id as string;
      if (sources.has(id)) return;
      const heard: Heard = { beacon, heartbeats: [], records: new Map() };
      sources.set(id, heard);
      void listen(id, heard);
    });
    const listen = async (id: string, heard: Heard): Promise<void> => {
      const receiver = await client.receiver(`mc/sfe.${id}`, { autoaccept: true });
      receiver.link.on('message', ({ message }) => {
        if (message.subject === 'HEARTBEAT' && heard.heartbeats.push(message.application_properties) === 1)
          sender.link.send({ to: `sfe.${id}`, subject: 'FLUSH', body: null });
        if (message.subject === 'RECORD') merge(heard, message as Received['message']);
      });
    };
    await eventually(
      `the collector at the ${place} hears both`,
      () =>
        [...sources.values()].filter(({ heartbeats, records }) => heartbeats.length > 0 && records.size >= enough)
          .length >= 2,
      { withinMs: 40_000, explain: () => [...sources].map(([id, { records }]) => [id, [...records.keys()]]) },
    );
    await client.close();
    const named = [...sources.values()].map((heard): [string, Heard] => {
      const router = [...heard.records.values()].find((each) => each.get(0) === 1);
      return [String(router?.get(30)), heard];
    });
    return new Map(named);
  }

  function merge(heard: Heard, { body }: Received['message']): void {
    for (const each of body as Record<string, unknown>[]) {
      const attributes = new Map(Object.entries(each).map(([code, value]) => [Number(code), value]));
      const id = attributes.get(1) as string;
      heard.records.set(id, new Map([...(heard.records.get(id) ?? []), ...attributes]));
    }
  }

  const byType = (heard: Heard | undefined, type: number): Map<number, unknown>[] =>
    [...(heard?.records.values() ?? [])].filter((each) => each.get(0) === type);

  for (const place of PLACES) {
    test(`a collector at the ${place} hears of ours what it hears of a skupper-router`, async () => {
      // Site, router, a listener and a connector, a link or an access.
      const routers = await collect(place, 5);
      const [mine, other] = [routers.get(`0/ours-${ours}`), routers.get(`0/theirs-${theirs}`)];
      assert.ok(mine && other, JSON.stringify([...routers.keys()]));
      for (const part of ['beacon', 'heartbeat'] as const) {
        const of = (heard: Heard) => (part === 'beacon' ? heard.beacon : (heard.heartbeats[0] as Heard['beacon']));
        assert.equal(Object.keys(of(mine)), Object.keys(of(other)));
        assert.equal(
          Object.values(of(mine)).map((value) => typeof value),
          Object.values(of(other)).map((value) => typeof value),
        );
      }
      for (const type of [0, 1, 4, 5]) {
        const [one] = byType(mine, type);
        const [model] = byType(other, type);
        assert.ok(one && model, `type ${type}`);
        for (const [code, value] of model) assert.is(typeof one.get(code), typeof value, `type ${type}, code ${code}`);
      }
      const [site] = byType(mine, 0);
      assert.equal([site?.get(1), site?.get(30)], ['00000000-0000-4000-8000-000000000001', ours]);
      const [router] = byType(mine, 1);
      assert.is(router?.get(2), site?.get(1));
      for (const each of [...byType(mine, 4), ...byType(mine, 5)]) assert.is(each.get(2), router?.get(1));

      // The link of the edge names the access of the hub.
      const [edge, hub] = ours === 'edge' ? [mine, other] : [other, mine];
      const [link] = byType(edge, 2);
      assert.equal([link?.get(30), link?.get(53), link?.get(54)], ['to-hub', 'up', 'edge']);
      assert.is(
        link?.get(6),
        byType(hub, 15)
          .find((each) => each.get(54) === 'edge')
          ?.get(1),
      );
    });
  }

  const collected = (type: FlowRecord['type'], name: string): FlowRecord | undefined =>
    [...pair.network.values()].flat().find((each) => each.type === type && each.name === name);

  test('ours collects what the skupper-router tells, its site and its services', async () => {
    const site = await eventually('its site', () => collected('SITE', `their-${theirs}`), {
      withinMs: 40_000,
      explain: () => [...pair.network],
    });
    const router = await eventually('its router', () => collected('ROUTER', `0/theirs-${theirs}`));
    assert.is(router.parent, site.identity);
    const connector = await eventually('its connector', () => collected('CONNECTOR', 'at-theirs'));
    assert.equal([connector.parent, connector.address], [router.identity, 'at-theirs']);
    const listener = await eventually('its listener', () => collected('LISTENER', 'at-ours'));
    assert.is(listener.parent, router.identity);
    const own = await eventually('our own', () => collected('LISTENER', 'listener/at-theirs'));
    assert.ok(own);
    const edgeRouter = ours === 'edge' ? `0/ours-${ours}` : `0/theirs-${theirs}`;
    const link = await eventually('the link', () => collected('LINK', 'to-hub'));
    assert.is(link.parent, collected('ROUTER', edgeRouter)?.identity);
    const access = [...pair.network.values()].flat().find(({ identity }) => identity === link.peer);
    assert.is(access?.type, 'ROUTER_ACCESS');
  });

  test('what comes and goes at the skupper-router comes and goes here', async () => {
    await pair.listener(theirs, 'passing', await freePort());
    await eventually('it has come', () => collected('LISTENER', 'passing'));
    await pair.withdraw(theirs, 'listener', 'passing');
    await eventually('it is gone', () => !collected('LISTENER', 'passing'));
  });

  test('a skupper-router that falls silent is forgotten', async () => {
    await pair.peer.kill();
    await eventually('its site is gone', () => !collected('SITE', `their-${theirs}`), { withinMs: 60_000 });
    assert.ok(collected('SITE', ours), 'ours is still there');
  });

  test.run();
}
