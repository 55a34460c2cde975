/** What every network has to stand: its lines are harmed at random, under traffic that is checked. */
import * as assert from 'uvu/assert';
import { harmAtRandom } from './chaos.ts';
import { CheckedMessages, CheckedStreams, type Complaint } from './checked-traffic.ts';
import { eventually } from './eventually.ts';
import { holdings } from './leaks.ts';
import type { Shown } from './skiff.ts';
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

const isUsed = ({ status }: Shown): boolean =>
  status.status === 'Ready' && !status.conditions.some(({ message }) => message.startsWith('Standby'));

/** Connections that a Skiff dials beside one to another hub, for streams alone. */
const DATA_CONNECTIONS = 2;

/**
 * Every line has the connections that it is to have, and edges of ours use the one that they prefer; a network may be whole
 * without.
 */
async function untilLinked({ hubs, edges, plan }: Topology): Promise<void> {
  for (const [index, { site }] of edges.entries())
    await site?.until('Link', `hub${plan.edges[index]?.[0]}`, isUsed, 90_000);
  for (const [index, hub] of hubs.entries()) {
    const links = plan.links.filter(({ from, to }) => from === index || to === index);
    const ours = links.filter(({ from }) => plan.hubs[from] === 'skiff');
    const wanted = {
      'inter-router': links.length,
      'inter-router-data': DATA_CONNECTIONS * ours.length,
      edge: plan.edges.filter((uplinks) => uplinks.includes(index)).length,
    };
    const up = async () => {
      const connections = await hub.query('io.skupper.router.connection');
      return Object.entries(wanted).every(
        ([role, count]) => connections.filter((each) => each.role === role).length >= count,
      );
    };
    await eventually(`${hub.name} has its links`, up, { withinMs: 90_000 });
  }
}

/** Every hub of ours knows of all edges and what they offer; not each is on the way between two of them. */
async function untilKnown({ hubs, edges }: Topology): Promise<void> {
  for (const hub of hubs.filter(({ kind }) => kind === 'skiff')) {
    const known = async () => {
      const keys = (await hub.query('io.skupper.router.router.address')).map(({ key }) => String(key));
      return edges.every(({ name }) => ['M', 'H'].every((kind) => keys.some((key) => key.startsWith(kind + name))));
    };
    await eventually(`${hub.name} knows of all edges`, known, { withinMs: 90_000 });
  }
}

/**
 * Whether skupper-router (3.5.1) gives cause for a complaint about a stream, without any router of ours, too: one that is
 * cut beyond it ends as if all were said, and its edges leave a client hanging whose answer had begun when their uplink was
 * lost.
 */
function isTheirs({ what, uplinkLost }: Complaint, { hubs, edgeKind }: Plan): boolean {
  const edges = edgeKind === 'skupper-router';
  if (what.startsWith('truncated')) return edges || hubs.includes('skupper-router');
  return edges && what.startsWith('stuck') && uplinkLost;
}

/** Builds a network of which each edge offers an echo. */
export const networkOf = (plan: Plan): Promise<Topology> => Topology.open(plan, (host) => echo({ host }));

/**
 * Harms the lines of a network for so many milliseconds, and looks what has become of the traffic. It is the last that is
 * done with it.
 */
export async function undergo(topology: Topology, milliseconds: number): Promise<void> {
  await untilWhole(topology);
  await untilLinked(topology);
  await untilKnown(topology);
  const { hubs, edgeKind } = topology.plan;
  const mixed = [...hubs, edgeKind].includes('skupper-router');
  const released = await holdings(topology.sites, { mixed });
  const streams = new CheckedStreams(topology);
  const [first, ...others] = topology.hubs;
  const messages = new CheckedMessages(first as (typeof others)[number], others.slice(-2));
  try {
    const harms = await harmAtRandom(topology.lines, milliseconds);
    await untilWhole(topology);
    const [streamCounts, messageCounts] = await Promise.all([streams.end(), messages.end()]);
    console.log(JSON.stringify({ harms, streams: streamCounts, messages: messageCounts }));
    assert.equal(
      streams.complaints.filter((complaint) => !isTheirs(complaint, topology.plan)),
      [],
    );
    assert.equal([messageCounts.lost, messageCounts.repeated], [0, 0]);
    assert.ok(streamCounts.whole > 0 && messageCounts.accepted > 0);
    console.log(JSON.stringify(await released()));
  } finally {
    // Nothing looks for machines that are gone.
    await Promise.all([streams.end(), messages.end(), closeSockets()]);
  }
}

/** The same, of a network that is built for it. */
export async function ordeal(plan: Plan, milliseconds: number): Promise<void> {
  const topology = await networkOf(plan);
  try {
    await undergo(topology, milliseconds);
  } finally {
    await closeSockets();
    await topology.close();
  }
}
