/** What every network has to stand: its lines are harmed at random, under traffic that is checked. */
import * as assert from 'uvu/assert';
import { harmAtRandom } from './chaos.ts';
import { CheckedMessages, CheckedStreams, type Complaint } from './checked-traffic.ts';
import { eventually } from './eventually.ts';
import { holdings } from './leaks.ts';
import { closeSockets, echo, exchange } from './tcp.ts';
import { type Plan, Topology } from './topology.ts';

/** Every edge reaches the service of every other. */
export async function untilWhole({ edges }: Topology): Promise<void> {
  for (const { name, ports, machine } of edges) {
    for (const [to, port] of ports.entries()) {
      if (name === `edge${to}`) continue;
      await eventually(
        `${name} reaches edge${to}`,
        async () => (await exchange(port, name, machine.address)) === name,
        {
          withinMs: 90_000,
        },
      );
    }
  }
}

/** Every link between hubs is up; a network may be whole without some of them. */
async function untilLinked({ hubs }: Topology, { links }: Plan): Promise<void> {
  for (const [index, hub] of hubs.entries()) {
    const wanted = links.filter(({ from, to }) => from === index || to === index).length;
    const up = async () =>
      (await hub.query('io.skupper.router.connection')).filter(({ role }) => role === 'inter-router').length >= wanted;
    await eventually(`${hub.name} has its links`, up, { withinMs: 90_000 });
  }
}

/** Builds a network, harms its lines for so many milliseconds, and looks what has become of the traffic. */
export async function ordeal(plan: Plan, milliseconds: number): Promise<void> {
  const topology = await Topology.open(plan, (host) => echo({ host }));
  let streams: CheckedStreams | undefined;
  let messages: CheckedMessages | undefined;
  try {
    await untilWhole(topology);
    await untilLinked(topology, plan);
    const released = await holdings(topology.hubs);
    streams = new CheckedStreams(topology);
    const [first, ...others] = topology.hubs;
    messages = new CheckedMessages(first as (typeof others)[number], others.slice(-2));
    const harms = await harmAtRandom(topology.lines, milliseconds);
    await untilWhole(topology);
    const [streamCounts, messageCounts] = await Promise.all([streams.end(), messages.end()]);
    console.log(JSON.stringify({ harms, streams: streamCounts, messages: messageCounts }));
    // Edges of skupper-router (3.5.1) leave a client hanging whose answer had begun when their uplink was lost.
    const isTheirs = ({ what, uplinkLost }: Complaint): boolean =>
      plan.edgeKind === 'skupper-router' && what.startsWith('stuck') && uplinkLost;
    assert.equal(
      streams.complaints.filter((complaint) => !isTheirs(complaint)),
      [],
    );
    assert.equal(messages.wrongs, []);
    assert.ok(streamCounts.whole > 0 && messageCounts.accepted > 0);
    await released();
  } finally {
    // Nothing looks for machines that are gone.
    const ended = Promise.all([streams?.end(), messages?.end()]);
    await closeSockets();
    await ended;
    await topology.close();
  }
}
