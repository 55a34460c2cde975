/**
 * What the conditions of each kind of document are, given what the router says of its parts.
 */
import type { ErrorFact } from '../errors.ts';
import type {
  AccessState,
  ConnectorState,
  LinkFacts,
  LinkState,
  ListenerState,
  MeshState,
  MultiKeyListenerState,
  PartState,
  PeerState,
} from '../router/protocol.ts';
import type { Json, JsonObject } from '../store/documents.ts';
import type { StoredGrant } from '../store/grants.ts';
import { type Finding, failed, met, pending, timestamp } from './conditions.ts';
import { enrolmentHosts, grantServer, grantServerCa, hostsOf, siteCa } from './derived.ts';
import { daysLeft, expirationOf } from './lifetime.ts';
import type { NetworkView } from './network.ts';
import { beingIssued, type Issued, type PartKey, type Plan } from './plan.ts';
import { type Kind, keyOf, type Resource } from './resources.ts';
import { portOf } from './rules.ts';

/** What there is to judge by. */
export interface View {
  resources: Resource[];
  plan: Plan;
  states: ReadonlyMap<PartKey, PartState>;
  network: NetworkView;
  /** Whether the router has taken up the plan's identity. */
  running: boolean;
  /** What the site has issued to itself. */
  issued: Issued & { certificate(name: string): string | undefined };
  /** What became of AccessGrants, and where they are redeemed. */
  grants: {
    get(name: string): StoredGrant | undefined;
    port: number | null;
    error: ErrorFact | null;
  };
  tokens: {
    redeemed(token: Resource<'AccessToken'>): boolean;
    trouble(name: string): { error: ErrorFact | null; nextAt: number | null } | undefined;
  };
  /** What the fleet has to say of a document of its own. */
  fleet: FleetJudge;
  /** The names and addresses of this machine, the best first. */
  hosts: string[];
  /** Milliseconds since the epoch. */
  now: number;
}

export type FleetResource = Resource<'EnrolmentClaim' | 'EnrolmentToken' | 'Device' | 'DeviceGroup'>;

export type FleetJudge = (resource: FleetResource) => Pick<Findings, 'findings' | 'details'>;

export interface Findings {
  findings: Finding[];
  /** The conditions that must be met, in the order in which they speak. */
  required: string[];
  details: JsonObject;
}

/** Kinds whose status has no condition Ready, as in Skupper: what they come to stands in status and message alone. */
export const withoutReady: ReadonlySet<Kind> = new Set<Kind>(['AccessToken', 'MultiKeyListener']);

/** undefined: a kind that has no status. */
export function findingsOf(resource: Resource, view: View): Findings | undefined {
  if (resource.kind === 'Secret') return undefined;
  const required = requiredConditions[resource.kind];
  // A device that is nobody yet carries its claim all the same.
  if (resource.kind === 'EnrolmentToken') return { required, ...view.fleet(resource) };
  if (view.plan.identity === null)
    return { findings: [pending('Configured', 'No active site')], required, details: {} };
  const problem = view.plan.problems.get(keyOf(resource));
  if (problem?.code === beingIssued) {
    return { findings: [pending('Configured', problem.message)], required, details: {} };
  }
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
  Certificate: ['Issued'],
  AccessGrant: ['Processed', 'Resolved'],
  AccessToken: ['Redeemed'],
  EnrolmentService: ['Configured'],
  EnrolmentClaim: ['Active'],
  EnrolmentToken: ['Enrolled'],
  Device: ['Enrolled', 'Online'],
  DeviceGroup: ['Configured'],
};

/** `required` where it differs from that of the kind. */
type Judgement = Omit<Findings, 'required'> & Partial<Pick<Findings, 'required'>>;

function judge(resource: Exclude<Resource, { kind: 'Secret' }>, view: View): Judgement {
  switch (resource.kind) {
    case 'Site':
      return judgeSite(resource, view);
    case 'RouterAccess':
      return judgeAccess(resource, view);
    case 'Link':
      return judgeLink(resource, view);
    case 'Listener':
      return withCertificate(judgeListener(stateOf<ListenerState>(resource, view)), resource, view);
    case 'MultiKeyListener':
      return withCertificate(
        judgeMultiKeyListener(resource, stateOf<MultiKeyListenerState>(resource, view)),
        resource,
        view,
      );
    case 'Connector':
      return withCertificate(
        judgeConnector(resource, stateOf<ConnectorState>(resource, view), view.network),
        resource,
        view,
      );
    case 'Certificate':
      return judgeCertificate(resource, view);
    case 'AccessGrant':
      return judgeGrant(resource, view);
    case 'AccessToken':
      return judgeToken(resource, view);
    case 'EnrolmentService':
      return judgeEnrolment(view);
    case 'EnrolmentClaim':
    case 'EnrolmentToken':
    case 'Device':
    case 'DeviceGroup':
      return view.fleet(resource);
  }
}

function statesOf<T extends PartState>(resource: Resource, view: View): (T | undefined)[] {
  return (view.plan.partsOf.get(keyOf(resource)) ?? []).map((key) => view.states.get(key) as T | undefined);
}

function stateOf<T extends PartState>(resource: Resource, view: View): T | undefined {
  return statesOf<T>(resource, view)[0];
}

function judgeSite(site: Resource<'Site'>, view: View): Judgement {
  const endpoints = view.resources.flatMap((resource) =>
    resource.kind === 'RouterAccess' ? endpointsOf(resource, view) : [],
  );
  const problems = problemsOf(view);
  const [latest] = problems;
  // The site works; whoever asks for it should see all the same that something is amiss.
  const words = latest?.active ? `The network is amiss: ${explain(latest)}` : 'OK';
  const running = view.running ? met('Running', words) : pending('Running', 'The router is not ready');
  const network = view.network.sites;
  const { defaultIssuer = siteCa, linkAccess = 'none' } = site.spec;
  const details = { endpoints, defaultIssuer, sitesInNetwork: network.length, network };
  const findings = [met('Configured'), running];
  if (latest?.active)
    findings.push({ type: 'NetworkAmiss', status: 'True', reason: 'Error', message: explain(latest) });
  if (latest) {
    const shown = problems.map((each) => ({ ...each, since: timestamp(each.since), at: timestamp(each.at) }));
    Object.assign(details, { problems: shown });
  }
  if (linkAccess === 'none') return { findings, details };
  const reachable = endpoints.some(({ name }) => name !== 'normal');
  findings.push(reachable ? met('Resolved', words) : pending('Resolved'));
  return { findings, required: [...requiredConditions.Site, 'Resolved'], details };
}

/** What is amiss among the interior routers of the network. */
function problemsOf({ states }: View): MeshState['problems'] {
  const mesh = states.get('mesh/mesh');
  return mesh?.kind === 'mesh' ? mesh.problems : [];
}

function judgeAccess(access: Resource<'RouterAccess'>, view: View): Judgement {
  const states = statesOf<AccessState>(access, view);
  const endpoints = endpointsOf(access, view);
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
      ...certificateOf(access, view),
      refusals: refusals.map((refusal) => ({ ...refusal, cause: plain(refusal.cause), at: timestamp(refusal.at) })),
      ...(error ? { error: plain(error) } : {}),
    },
  };
}

/** Who is linked here; of which site others than a Skiff are, flow records tell. */
function shown({ denials, twin, ...peer }: PeerState, network: NetworkView): JsonObject {
  const site = peer.siteName === null ? network.siteOfRouter(peer.id) : undefined;
  const denied = denials?.map((denial): JsonObject => ({ ...denial, at: timestamp(denial.at) }));
  const known = { ...peer, siteName: peer.siteName ?? site?.name ?? null, since: timestamp(peer.since) };
  return {
    ...known,
    ...(twin ? { twin: { ...twin, at: timestamp(twin.at) } } : {}),
    ...(denied ? { denials: denied } : {}),
  };
}

function isListening(state: AccessState | undefined): boolean {
  return state?.status === 'listening';
}

/** Where others reach an access: the ports that are open, at its own address or the best known name of this machine. */
export function endpointsOf(access: Resource<'RouterAccess'>, view: View): Endpoint[] {
  const states = statesOf<AccessState>(access, view);
  const [best] = hostsOf(access, view.hosts);
  return access.spec.roles.flatMap(({ name }, index) => {
    const state = states[index];
    if (state?.status !== 'listening' || state.port === null) return [];
    const host = name === 'normal' && best !== access.spec.bindHost ? '127.0.0.1' : best;
    return [{ name, host, port: String(state.port), group: access.name }];
  });
}

/** Where others are to reach an access: its ports as they are configured, open or not at this moment. */
export function lastingEndpointsOf(access: Resource<'RouterAccess'>, view: View): Endpoint[] {
  const open = endpointsOf(access, view);
  const [host] = hostsOf(access, view.hosts);
  return access.spec.roles.flatMap((role) => {
    if (role.name === 'normal') return [];
    const now = open.find(({ name }) => name === role.name);
    if (now || portOf(role) === 0) return now ?? [];
    return [{ name: role.name, host, port: String(portOf(role)), group: access.name }];
  });
}

/** As a Link has it. */
export interface Endpoint extends JsonObject {
  name: string;
  host: string;
  port: string;
  group: string;
}

function withCertificate(judgement: Judgement, resource: Resource, view: View): Judgement {
  return { ...judgement, details: { ...judgement.details, ...certificateOf(resource, view) } };
}

/** How long the certificate is good that a part shows to the other side. */
function certificateOf(resource: Resource, view: View): JsonObject {
  const shown = certificateShown(resource, view);
  return shown === undefined ? {} : { certificate: lifetimeOf(shown, view) };
}

/** In PEM; of a Certificate what was issued for it. */
export function certificateShown(resource: Resource, { plan, issued }: View): string | undefined {
  if (resource.kind === 'Certificate') return issued.certificate(resource.name);
  const [part] = (plan.partsOf.get(keyOf(resource)) ?? []).map((key) => plan.parts.get(key));
  return part && 'tls' in part ? part.tls?.certificate : undefined;
}

function lifetimeOf(certificate: string, { now }: View): JsonObject {
  return { expiration: timestamp(expirationOf(certificate)), daysLeft: daysLeft(certificate, now) };
}

function judgeCertificate(document: Resource<'Certificate'>, view: View): Judgement {
  const problem = view.issued.problem(document.name);
  const certificate = certificateShown(document, view);
  if (problem) return { findings: [failed('Issued', problem.message)], details: { error: plain(problem) } };
  if (certificate === undefined) return { findings: [pending('Issued')], details: {} };
  return { findings: [met('Issued')], details: lifetimeOf(certificate, view) };
}

function judgeGrant({ name }: Resource<'AccessGrant'>, view: View): Judgement {
  if (view.plan.identity?.mode === 'edge') {
    const message = 'Edge sites cannot accept incoming links from remote sites';
    return { findings: [failed('Processed', message)], details: {} };
  }
  const grant = view.grants.get(name);
  if (!grant) return { findings: [pending('Processed')], details: {} };
  const { uid, code, redemptions, expiresAt } = grant;
  const url = enrolmentUrl(view);
  const ca = view.issued.certificate(grantServerCa) ?? view.issued.get(grantServer)?.ca;
  const error = view.grants.error ?? view.issued.problem(grantServer);
  const resolved = url && ca ? met('Resolved') : error ? failed('Resolved', error.message) : pending('Resolved');
  return {
    findings: [met('Processed'), resolved],
    details: {
      ...(url && ca ? { url: `${url}/${uid}`, ca } : {}),
      code,
      redemptions,
      expirationTime: timestamp(expiresAt),
      ...(error ? { error: plain(error) } : {}),
    },
  };
}

function enrolmentUrl(view: View): string | undefined {
  return enrolmentUrls(view)[0];
}

/** The best first. */
function enrolmentUrls({ grants, resources, hosts }: View): string[] {
  if (grants.port === null) return [];
  return enrolmentHosts(resources, hosts).map((host) => {
    return `https://${host.includes(':') ? `[${host}]` : host}:${grants.port}`;
  });
}

function judgeToken(token: Resource<'AccessToken'>, view: View): Judgement {
  if (view.tokens.redeemed(token)) return { findings: [met('Redeemed')], details: { redeemed: true } };
  const trouble = view.tokens.trouble(token.name);
  const error = trouble?.error;
  return {
    findings: [error ? failed('Redeemed', explain(error)) : pending('Redeemed')],
    details: {
      redeemed: false,
      ...(error ? { error: plain(error) } : {}),
      ...(trouble?.nextAt ? { nextAttemptTime: timestamp(trouble.nextAt) } : {}),
    },
  };
}

function judgeEnrolment(view: View): Judgement {
  const error = view.grants.error ?? view.issued.problem(grantServer);
  const url = enrolmentUrl(view);
  if (error) return { findings: [failed('Configured', error.message)], details: { error: plain(error) } };
  const ca = view.issued.certificate(grantServerCa) ?? view.issued.get(grantServer)?.ca;
  if (!url || !ca) return { findings: [pending('Configured')], details: {} };
  return { findings: [met('Configured')], details: { url, urls: enrolmentUrls(view), ca } };
}

function judgeLink(link: Resource<'Link'>, view: View): Judgement {
  const state = stateOf<LinkState>(link, view);
  const { network } = view;
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
      ...certificateOf(link, view),
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
  const unmatched = pending('Matched', 'No matching connectors');
  return {
    findings: [listening(state), refusalOf('Matched', state) ?? (matched ? met('Matched') : unmatched)],
    details: { hasMatchingConnector: matched, ...listenerDetails(state) },
  };
}

function judgeMultiKeyListener(
  { spec: { strategy } }: Resource<'MultiKeyListener'>,
  state: MultiKeyListenerState | undefined,
): Judgement {
  const reachable = state?.reachable ?? [];
  const none = refusalOf('Operational', state) ?? pending('Operational', 'No matching connectors');
  const operational = reachable.length ? met('Operational') : none;
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
  const unmatched = pending('Matched', 'No matching listeners');
  const matched = refusalOf('Matched', state) ?? (hasMatchingListener ? met('Matched', message) : unmatched);
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

/** What this site's fleet does not let it do is for somebody to mend. */
function refusalOf(condition: string, state: AnyListenerState | ConnectorState | undefined): Finding | undefined {
  return state?.error?.code === 'address-refused' ? failed(condition, explain(state.error)) : undefined;
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
