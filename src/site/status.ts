/**
 * What the conditions of each kind of document are, given what the router says of its parts.
 */
import { hostname } from 'node:os';
import type { ErrorFact } from '../errors.ts';
import type {
  AccessState,
  ConnectorState,
  LinkState,
  ListenerState,
  PartState,
  PeerState,
} from '../router/protocol.ts';
import type { Json, JsonObject } from '../store/documents.ts';
import { type Finding, failed, met, pending, timestamp } from './conditions.ts';
import type { NetworkView } from './network.ts';
import type { PartKey, Plan } from './plan.ts';
import { keyOf, type Resource } from './resources.ts';

/** What there is to judge by. */
export interface View {
  resources: Resource[];
  plan: Plan;
  states: ReadonlyMap<PartKey, PartState>;
  network: NetworkView;
  /** Whether the router has taken up the plan's identity. */
  running: boolean;
}

export interface Findings {
  findings: Finding[];
  /** The conditions that must be met, in the order in which they speak. */
  required: string[];
  details: JsonObject;
}

/** undefined: a kind that has no status. */
export function findingsOf(resource: Resource, view: View): Findings | undefined {
  if (resource.kind === 'Secret') return undefined;
  const required = requiredConditions[resource.kind];
  if (view.plan.identity === null)
    return { findings: [pending('Configured', 'No active site')], required, details: {} };
  const problem = view.plan.problems.get(keyOf(resource));
  if (problem) {
    return { findings: [failed('Configured', problem.message)], required, details: { error: plain(problem) } };
  }
  return { required, ...judge(resource, view) };
}

const requiredConditions: Record<Exclude<Resource['kind'], 'Secret'>, string[]> = {
  Site: ['Configured', 'Running'],
  RouterAccess: ['Configured', 'Resolved'],
  Link: ['Configured', 'Operational'],
  Listener: ['Configured', 'Matched'],
  Connector: ['Configured', 'Matched'],
};

type Judgement = Omit<Findings, 'required'>;

function judge(resource: Exclude<Resource, { kind: 'Secret' }>, view: View): Judgement {
  switch (resource.kind) {
    case 'Site':
      return judgeSite(view);
    case 'RouterAccess':
      return judgeAccess(resource, view);
    case 'Link':
      return judgeLink(stateOf<LinkState>(resource, view), view.network);
    case 'Listener':
      return judgeListener(stateOf<ListenerState>(resource, view));
    case 'Connector':
      return judgeConnector(resource, stateOf<ConnectorState>(resource, view), view.network);
  }
}

function statesOf<T extends PartState>(resource: Resource, view: View): (T | undefined)[] {
  return (view.plan.partsOf.get(keyOf(resource)) ?? []).map((key) => view.states.get(key) as T | undefined);
}

function stateOf<T extends PartState>(resource: Resource, view: View): T | undefined {
  return statesOf<T>(resource, view)[0];
}

function judgeSite(view: View): Judgement {
  const endpoints = view.resources.flatMap((resource) =>
    resource.kind === 'RouterAccess' ? endpointsOf(resource, statesOf(resource, view)) : [],
  );
  const running = view.running ? met('Running') : pending('Running', 'The router is not ready');
  const network = view.network.sites;
  const details = { endpoints, sitesInNetwork: network.length, network };
  return { findings: [met('Configured'), running], details };
}

function judgeAccess(access: Resource<'RouterAccess'>, view: View): Judgement {
  const states = statesOf<AccessState>(access, view);
  const endpoints = endpointsOf(access, states);
  const error = states.find((state) => state?.error)?.error ?? undefined;
  const refusals = states.flatMap((state) => state?.refusals ?? []).sort((a, b) => b.at - a.at);
  const findings = [
    error ? failed('Configured', error.message) : states.every(isListening) ? met('Configured') : pending('Configured'),
    endpoints.length ? met('Resolved') : pending('Resolved'),
  ];
  if (refusals.length) {
    const [{ cause, from }] = refusals;
    findings.push({ type: 'PeersRefused', status: 'True', reason: 'Error', message: `${explain(cause)} (${from})` });
  }
  return {
    findings,
    details: {
      endpoints,
      peers: access.spec.roles.flatMap(({ name }, index) =>
        (states[index]?.peers ?? []).map((peer) => ({ role: name, ...shown(peer, view.network) })),
      ),
      refusals: refusals.map((refusal) => ({ ...refusal, cause: plain(refusal.cause), at: timestamp(refusal.at) })),
      ...(error ? { error: plain(error) } : {}),
    },
  };
}

/** Who is linked here; of which site others than a Skiff are, flow records tell. */
function shown(peer: PeerState, network: NetworkView): JsonObject {
  const site = peer.siteName === null ? network.siteOfRouter(peer.id) : undefined;
  return { ...peer, siteName: peer.siteName ?? site?.name ?? null, since: timestamp(peer.since) };
}

function isListening(state: AccessState | undefined): boolean {
  return state?.status === 'listening';
}

/** Where others reach an access: the ports that are open, at its own address or the best known name of this machine. */
function endpointsOf(access: Resource<'RouterAccess'>, states: (AccessState | undefined)[]): JsonObject[] {
  const { roles, bindHost, subjectAlternativeNames = [] } = access.spec;
  return roles.flatMap(({ name }, index) => {
    const state = states[index];
    if (state?.status !== 'listening' || state.port === null) return [];
    const anyAddress = !bindHost || bindHost === '0.0.0.0' || bindHost === '::';
    const host = !anyAddress ? bindHost : name === 'normal' ? '127.0.0.1' : (subjectAlternativeNames[0] ?? hostname());
    return [{ name, host, port: String(state.port), group: access.name }];
  });
}

function judgeLink(state: LinkState | undefined, network: NetworkView): Judgement {
  if (!state) return { findings: [pending('Configured'), pending('Operational', 'Not operational')], details: {} };
  const { error, peer, endpoint } = state;
  // A Skiff says by itself of which site it is; of others, flow records tell.
  const known = peer?.accessId ? network.siteOfAccess(peer.accessId) : undefined;
  const remoteSiteId = peer?.siteId ?? known?.id;
  const remoteSiteName = peer?.siteName ?? known?.name;
  return {
    findings: [met('Configured'), operational(state)],
    details: {
      ...(endpoint ? { endpoint: { host: endpoint.host, port: String(endpoint.port) } } : {}),
      ...(remoteSiteId ? { remoteSiteId } : {}),
      ...(remoteSiteName ? { remoteSiteName } : {}),
      ...(peer ? { peer: { ...peer } } : {}),
      ...(error ? { error: plain(error), attempts: state.attempts } : {}),
      ...(state.nextAttemptAt !== null ? { nextAttemptTime: timestamp(state.nextAttemptAt) } : {}),
    },
  };
}

function operational({ status, error }: LinkState): Finding {
  if (status === 'up') return met('Operational');
  if (status === 'standby') return met('Operational', 'Standby: another link carries the traffic');
  const message = error ? `Not operational: ${explain(error)}` : 'Not operational';
  return status === 'refused' ? failed('Operational', message) : pending('Operational', message);
}

function judgeListener(state: ListenerState | undefined): Judgement {
  const matched = state?.matched ?? false;
  const configured = !state
    ? pending('Configured')
    : state.status === 'failed'
      ? failed('Configured', state.error?.message ?? 'the port cannot be opened')
      : met('Configured');
  return {
    findings: [configured, matched ? met('Matched') : pending('Matched', 'No matching connectors')],
    details: {
      hasMatchingConnector: matched,
      ...(state ? connections(state) : {}),
      ...(state?.error ? { error: plain(state.error) } : {}),
    },
  };
}

function judgeConnector(
  { spec }: Resource<'Connector'>,
  state: ConnectorState | undefined,
  network: NetworkView,
): Judgement {
  const hasMatchingListener = network.hasListener(spec.routingKey);
  // It is ready all the same; but "OK" beside a server that does not answer would mislead.
  const message = state?.error ? explain(state.error) : 'OK';
  return {
    findings: [
      state ? met('Configured', message) : pending('Configured'),
      hasMatchingListener ? met('Matched', message) : pending('Matched', 'No matching listeners'),
    ],
    details: {
      hasMatchingListener,
      ...(state ? connections(state) : {}),
      ...(state?.error ? { error: plain(state.error) } : {}),
    },
  };
}

function connections({ connectionsOpen, connectionsTotal }: ListenerState | ConnectorState): JsonObject {
  return { connectionsOpen, connectionsTotal };
}

/** One line: what happened, how to mend it, and the code to look it up by. */
function explain({ code, message, hint }: ErrorFact): string {
  return `${message}${hint ? `. ${hint}` : ''} [${code}]`;
}

function plain(fact: ErrorFact): Json {
  return { ...fact };
}
