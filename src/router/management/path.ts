/** Where a message would go from here, and why: what each consumer of its address has for and against it. */
import { NULL_BODY, USUAL_PRIORITY } from '../../amqp/message.ts';
import { Chunk } from '../../net/chunk.ts';
import { addressKey } from '../addresses.ts';
import { type Criterion, difference, type Standing, standings } from '../anycast.ts';
import type { Arrival, Consumer } from '../forwarding.ts';
import { Peer } from '../peer.ts';
import type { Router } from '../router.ts';
import type { AttributeValue } from './values.ts';

/** A message on its way: where it entered the network, and by which routers it has come. */
export interface Journey {
  address: string;
  ingress: string | null;
  trace: string[];
}

type Candidate = { readonly [field: string]: AttributeValue };

export function pathOf(journey: Journey, router: Router): AttributeValue {
  const arrival = arrivalOf(journey);
  const known = router.addresses.get(addressKey(journey.address, router.id));
  const before = journey.trace.at(-1);
  const standing = known ? standings(known, arrival).filter(({ consumer }) => peerOf(consumer) !== before) : [];
  const candidates = standing.map((each, index) => candidateOf(each, standing, index, known?.treatment ?? 'closest'));
  const up = router.uplink && peerOf(router.uplink);
  if (up && up !== before && candidates.length === 0)
    candidates.push({ kind: 'uplink', name: up, way: null, cost: 0, inHand: 0, chosen: true, why: 'not known here' });
  return { router: router.id, address: journey.address, treatment: known?.treatment ?? null, candidates };
}

function candidateOf(standing: Standing, all: Standing[], index: number, treatment: string): Candidate {
  const { consumer, inHand } = standing;
  const best = all[0] as Standing;
  const chosen = treatment === 'multicast' || index === 0;
  const kind = kindOf(consumer);
  const way = consumer.routerId === undefined ? null : (consumer.via?.neighbour ?? null);
  return {
    ...{ kind, name: nameOf(consumer), way, cost: consumer.cost, inHand, chosen },
    why:
      treatment === 'multicast'
        ? 'a copy for each'
        : chosen
          ? whyFirst(all)
          : whyNot(difference(best, standing), treatment),
  };
}

function whyFirst([best, second]: Standing[]): string {
  if (!second) return 'the only one';
  const what = difference(best as Standing, second);
  return what === null ? 'in turn with its equals' : ADVANTAGE[what];
}

const ADVANTAGE: Record<Criterion, string> = {
  detour: 'the others lead back',
  busy: 'the others are busy',
  value: 'the least cost and load',
  rest: 'equal, and nearer or less busy',
  foreign: 'equal, and of this site',
};

function whyNot(what: Criterion | null, treatment: string): string {
  if (what === 'value') return treatment === 'balanced' ? 'more cost and load' : 'farther';
  return what === null ? 'in turn with its equals' : DRAWBACK[what];
}

const DRAWBACK: Record<Exclude<Criterion, 'value'>, string> = {
  detour: 'leads back',
  busy: 'busy',
  rest: 'equal, but farther or busier',
  foreign: 'equal, but not of this site',
};

function kindOf(consumer: Consumer): string {
  if (consumer.routerId !== undefined) return 'router';
  const { via } = consumer;
  if (!(via instanceof Peer)) return consumer.label === undefined ? 'site' : 'connector';
  if (via.role === 'normal') return 'client';
  return via.connection.options.hostname === null ? 'edge' : 'uplink';
}

function nameOf(consumer: Consumer): string {
  return consumer.routerId ?? peerOf(consumer) ?? consumer.label ?? '';
}

/** The container-id of whoever it goes to next. */
function peerOf({ via }: Consumer): string | null {
  return via instanceof Peer ? (via.connection.remote?.containerId ?? null) : null;
}

/** A connection that begins, as it would look at this router. */
function arrivalOf({ address, ingress, trace }: Journey): Arrival {
  const annotations = { flags: 0, toOverride: null, ingress: ingress && `0/${ingress}`, trace, mesh: null };
  const head = {
    ...{ annotations: { ...annotations, trace: trace.map((id) => `0/${id}`) }, bareStart: 0, bodyStart: 0 },
    ...{ priority: USUAL_PRIORITY, to: address, subject: null, correlationId: null },
    // A connector takes nothing else.
    ...{ replyTo: 'a client', contentType: 'application/octet-stream' },
  };
  const first = new Chunk(Buffer.from(NULL_BODY), 0, NULL_BODY.length);
  return { head, first, bodyOffset: 0, complete: false, settled: false, address, byLink: false, via: null };
}
