/**
 * What the conditions of each kind of document are, given what the router says of its parts.
 */
import { hostname } from 'node:os';
import type { ErrorFact } from '../errors.ts';
import type {
  AccessState,
  ConnectorState,
  LinkFacts,
  LinkState,
  ListenerState,
  MultiKeyListenerState,
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
  MultiKeyListener: ['Configured', 'Operational'],
  Connector: ['Configured', 'Matched'],
};

/** `required` where it differs from that of the kind. */
type Judgement = Omit<Findings, 'required'> & Partial<Pick<Findings, 'required'>>;

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
    case 'MultiKeyListener':
      return judgeMultiKeyListener(resource, stateOf<MultiKeyListenerState>(resource, view));
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
      facts: factsOf(state.facts),
    },
  };
}

/** Only what is known, and what applies. */
function factsOf({
  lastError,
  certificateExpires,
  certificateDaysLeft,
  roundTripMs,
  ...counts
}: LinkFacts): JsonObject {
  const { at = 0, ...error } = lastError ?? {};
  return {
    ...(roundTripMs === null ? {} : { roundTripMs }),
    ...counts,
    ...(lastError ? { lastError: { ...error, time: timestamp(at) } } : {}),
    ...(certificateExpires === null
      ? {}
      : { certificateExpirationTime: timestamp(certificateExpires), certificateDaysLeft }),
  };
}

function operational({ status, error }: LinkState): Finding {
  if (status === 'up') return met('Operational');
  if (status === 'standby') return met('Operational', 'Standby: another link carries the traffic');
  const message = error ? `Not operational: ${explain(error)}` : 'Not operational';
  return status === 'refused' ? failed('Operational', message) : pending('Operational', message);
}

type AnyListenerState = ListenerState | MultiKeyListenerState;

function judgeListener(state: ListenerState | undefined): Judgement {
  const matched = state?.matched ?? false;
  return {
    findings: [listening(state), matched ? met('Matched') : pending('Matched', 'No matching connectors')],
    details: { hasMatchingConnector: matched, ...listenerDetails(state) },
  };
}

function judgeMultiKeyListener(
  { spec: { strategy } }: Resource<'MultiKeyListener'>,
  state: MultiKeyListenerState | undefined,
): Judgement {
  const reachable = state?.reachable ?? [];
  const operational = reachable.length ? met('Operational') : pending('Operational', 'No matching connectors');
  const weights = strategy.weighted?.routingKeys ?? {};
  const shown: JsonObject = strategy.priority
    ? { priority: { routingKeysReachable: reachable } }
    : { weighted: { routingKeysReachable: Object.fromEntries(reachable.map((key) => [key, weights[key]])) } };
  return {
    findings: [listening(state), operational],
    details: { hasDestination: reachable.length > 0, strategy: shown, ...listenerDetails(state) },
  };
}

function listening(state: AnyListenerState | undefined): Finding {
  if (!state) return pending('Configured');
  if (state.status !== 'failed') return met('Configured');
  return failed('Configured', state.error?.message ?? 'the port cannot be opened');
}

function listenerDetails(state: AnyListenerState | undefined): JsonObject {
  if (!state) return {};
  return { ...connections(state), ...(state.error ? { error: plain(state.error) } : {}) };
}

function judgeConnector(
  { spec }: Resource<'Connector'>,
  state: ConnectorState | undefined,
  network: NetworkView,
): Judgement {
  const hasMatchingListener = network.hasListener(spec.routingKey);
  // It is ready all the same; but "OK" beside a server that does not answer would mislead.
  const message = state?.error ? explain(state.error) : 'OK';
  const configured = state ? met('Configured', message) : pending('Configured');
  const matched = hasMatchingListener ? met('Matched', message) : pending('Matched', 'No matching listeners');
  const details = {
    hasMatchingListener,
    ...(state ? connections(state) : {}),
    ...(state?.error ? { error: plain(state.error) } : {}),
  };
  if (!state?.health) return { findings: [configured, matched], details };
  const { healthy, since, error } = state.health;
  return {
    findings: [configured, healthOf(state.health), matched],
    // A server that is down speaks before everything that comes of it.
    required: ['Healthy', ...requiredConditions.Connector],
    details: { ...details, health: { healthy, since: timestamp(since), ...(error ? { error: plain(error) } : {}) } },
  };
}

function healthOf({ healthy, error }: NonNullable<ConnectorState['health']>): Finding {
  if (healthy) return met('Healthy');
  if (healthy === null) return pending('Healthy', 'The server has not been checked yet');
  return pending('Healthy', `The server fails its health check: ${error ? explain(error) : 'no reason known'}`);
}

function connections({ connectionsOpen, connectionsTotal }: AnyListenerState | ConnectorState): JsonObject {
  return { connectionsOpen, connectionsTotal };
}

/** One line: what happened, how to mend it, and the code to look it up by. */
function explain({ code, message, hint }: ErrorFact): string {
  return `${message}${hint ? `. ${hint}` : ''} [${code}]`;
}

function plain(fact: ErrorFact): Json {
  return { ...fact };
}
