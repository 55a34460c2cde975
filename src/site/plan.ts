/**
 * Documents → what the router is to run: who it is, its parts, and the documents that cannot become parts and why.
 */
import type { ErrorFact } from '../errors.ts';
import type {
  ConnectorTls,
  LinkConfig,
  ListenerTls,
  PartConfig,
  PartState,
  RouterIdentity,
  Strategy,
  TlsMaterial,
} from '../router/protocol.ts';
import { credentialsName } from './derived.ts';
import { keyOf, type Resource, type ResourceKey } from './resources.ts';
import { hostOf, portOf } from './rules.ts';
import { proxyAddress, tlsMaterial } from './secret.ts';
import { dataConnectionsOf, healthCheckOf, idleTimeoutOf, proxySecretOf } from './settings.ts';

/** `kind/name` of a part. */
export type PartKey = string;

export interface Plan {
  /** null: there is no Site, and nothing to run. */
  identity: RouterIdentity | null;
  parts: Map<PartKey, PartConfig>;
  /** The parts of each document that became any, by key. */
  partsOf: Map<ResourceKey, PartKey[]>;
  ownerOf: Map<PartKey, ResourceKey>;
  /** Why a document became no part. */
  problems: Map<ResourceKey, ErrorFact>;
}

export const nothing: Plan = emptyPlan(null);

function emptyPlan(identity: RouterIdentity | null): Plan {
  return { identity, parts: new Map(), partsOf: new Map(), ownerOf: new Map(), problems: new Map() };
}

export function partKey(part: { kind: PartState['kind']; name: string }): PartKey {
  return `${part.kind}/${part.name}`;
}

/** The code of the obstacle that goes away by itself. */
export const beingIssued = 'being-issued';

/** What stands in a document's way; becomes the message of its condition. */
class Obstacle extends Error {
  readonly fact: ErrorFact;

  constructor(code: string, message: string, hint?: string) {
    super(message);
    this.fact = { code, message, ...(hint ? { hint } : {}) };
  }
}

/** The AMQP container-id, the same for life. */
export function routerId(siteName: string, siteId: string): string {
  return `${siteName}-${siteId.slice(0, 8)}`;
}

/** What the site has issued to itself. */
export interface Issued {
  /** What the certificate of a Secret renews, until it has been used. */
  previous(secret: string): TlsMaterial | undefined;
  get(name: string): TlsMaterial | undefined;
  /** Why there is none. */
  problem(name: string): ErrorFact | undefined;
}

/**
 * `resources`: the documents and what follows from them. What is in the plan `before` stays as it is there while its next
 * certificate is being issued: it goes on with the one it has.
 */
export function makePlan(
  resources: Resource[],
  siteId: string | undefined,
  version: string,
  issued: Issued,
  before: Plan = nothing,
): Plan {
  const site = resources.find((resource) => resource.kind === 'Site');
  if (!site || siteId === undefined) return nothing;
  const identity: RouterIdentity = {
    id: routerId(site.name, siteId),
    mode: site.spec.edge ? 'edge' : 'interior',
    siteId,
    siteName: site.name,
    version,
  };
  const plan = emptyPlan(identity);
  const keys = new KeyRing(resources, issued);
  for (const resource of resources) {
    const take = (parts: PartConfig[]): void => {
      plan.partsOf.set(keyOf(resource), parts.map(partKey));
      for (const part of parts) {
        plan.parts.set(partKey(part), part);
        plan.ownerOf.set(partKey(part), keyOf(resource));
      }
    };
    try {
      take(partsFrom(resource, site, keys));
    } catch (error) {
      if (!(error instanceof Obstacle)) throw error;
      const running = error.fact.code === beingIssued ? partsIn(before, resource) : [];
      if (running.length > 0) take(running);
      else plan.problems.set(keyOf(resource), error.fact);
    }
  }
  return plan;
}

function partsIn({ partsOf, parts }: Plan, resource: Resource): PartConfig[] {
  return (partsOf.get(keyOf(resource)) ?? []).flatMap((key) => parts.get(key) ?? []);
}

function partsFrom(resource: Resource, site: Resource<'Site'>, keys: KeyRing): PartConfig[] {
  switch (resource.kind) {
    case 'RouterAccess':
      return accessParts(resource, keys);
    case 'Link':
      return [linkPart(resource, site, keys)];
    case 'Listener':
      return [{ kind: 'listener', ...routed(resource), ...listenerTls(resource, keys) }];
    case 'MultiKeyListener': {
      const { host, port, strategy } = resource.spec;
      const part = { name: resource.name, strategy: strategyOf(strategy), host, port };
      return [{ kind: 'multiKeyListener', ...part, ...listenerTls(resource, keys) }];
    }
    case 'Connector': {
      const healthCheck = healthCheckOf(resource.spec.settings);
      const part = { ...routed(resource), ...connectorTls(resource, keys) };
      return [{ kind: 'connector', ...part, ...(healthCheck ? { healthCheck } : {}) }];
    }
    case 'Site':
    case 'Certificate':
    case 'AccessGrant':
    case 'AccessToken':
    case 'EnrolmentService':
    case 'EnrolmentClaim':
    case 'EnrolmentToken':
    case 'Device':
    case 'DeviceGroup':
    case 'Secret':
      return [];
  }
}

function routed({ name, spec: { routingKey, host, port } }: Resource<'Listener' | 'Connector'>) {
  return { name, routingKey, host, port };
}

function listenerTls({ spec }: Resource<'Listener' | 'MultiKeyListener'>, keys: KeyRing): { tls?: ListenerTls } {
  if (spec.tlsCredentials === undefined) return {};
  const requireClientCert = 'requireClientCert' in spec && spec.requireClientCert === true;
  return { tls: { ...keyPairOf(keys, spec.tlsCredentials), requireClientCert } };
}

function connectorTls({ spec }: Resource<'Connector'>, keys: KeyRing): { tls?: ConnectorTls } {
  const { tlsCredentials, useClientCert, verifyHostname = false } = spec;
  if (tlsCredentials === undefined) return {};
  const shown = useClientCert ? keyPairOf(keys, tlsCredentials) : { ca: keys.find(tlsCredentials).ca };
  return { tls: { ...shown, verifyHostname } };
}

function strategyOf({ priority, weighted }: Resource<'MultiKeyListener'>['spec']['strategy']): Strategy {
  return priority ? { priority: priority.routingKeys } : { weighted: weighted?.routingKeys ?? {} };
}

function accessParts(access: Resource<'RouterAccess'>, keys: KeyRing): PartConfig[] {
  return access.spec.roles.map((role) => {
    const credentials = credentialsName(access, role.name);
    const tls = credentials === undefined ? null : keyPairOf(keys, credentials);
    const name = `${access.name}-${role.name}`;
    return { kind: 'access', name, role: role.name, host: hostOf(access, role), port: portOf(role), tls };
  });
}

function linkPart(
  link: Resource<'Link'>,
  { spec: { edge, settings: ofSite } }: Resource<'Site'>,
  keys: KeyRing,
): PartConfig {
  const [role, mode] = edge ? (['edge', 'edge'] as const) : (['inter-router', 'interior'] as const);
  const endpoints = link.spec.endpoints
    .filter((endpoint) => endpoint.name === role)
    .map(({ host, port }) => ({ host, port: Number(port) }));
  if (endpoints.length === 0) {
    const hint = `This is an ${mode} site: ask for an endpoint of a site that accepts ${role} links`;
    throw new Obstacle('no-endpoint', `no endpoint named "${role}"`, hint);
  }
  const { cost, settings, tlsCredentials } = link.spec;
  const tls = tlsCredentials === undefined ? null : keys.find(tlsCredentials);
  const fallback = keys.previous(tlsCredentials);
  const [proxy, idleTimeout] = [proxyOf(keys, proxySecretOf(settings)), idleTimeoutOf(settings)];
  const trunk = edge ? {} : { dataConnections: dataConnectionsOf(ofSite) };
  const line = { ...(proxy ? { proxy } : {}), ...(idleTimeout ? { idleTimeout } : {}), ...trunk };
  const part = { kind: 'link', name: link.name, role, endpoints, cost: cost || 1, tls, ...line } as const;
  return fallback ? { ...part, fallback } : part;
}

function proxyOf(keys: KeyRing, name: string | undefined): LinkConfig['proxy'] {
  if (name === undefined) return undefined;
  const secret = keys.secret(name);
  if (!secret) {
    throw new Obstacle(
      'secret-not-found',
      'Secret not found for proxy configuration',
      `Apply a Secret named "${name}"`,
    );
  }
  const proxy = proxyAddress(secret.spec);
  if (proxy) return proxy;
  const hint = 'It has host and port, and username and password where the proxy asks for them';
  throw new Obstacle('incomplete-secret', `the Secret "${name}" is no proxy configuration`, hint);
}

/** Credentials with a certificate of one's own. */
function keyPairOf(keys: KeyRing, name: string): TlsMaterial {
  const tls = keys.find(name);
  if (tls.certificate && tls.key) return tls;
  throw new Obstacle('incomplete-secret', `TLS credentials secret "${name}" has no tls.crt and tls.key`);
}

/** TLS credentials by name: what is supplied goes before what the site issues itself. */
class KeyRing {
  readonly #supplied: ReadonlyMap<string, Resource<'Secret'>>;
  readonly #wanted: ReadonlySet<string>;
  readonly #issued: Issued;

  constructor(resources: Resource[], issued: Issued) {
    this.#supplied = new Map(resources.flatMap((r) => (r.kind === 'Secret' ? [[r.name, r] as const] : [])));
    this.#wanted = new Set(resources.filter(({ kind }) => kind === 'Certificate').map(({ name }) => name));
    this.#issued = issued;
  }

  /** What is supplied, whatever it is for. */
  secret(name: string): Resource<'Secret'> | undefined {
    return this.#supplied.get(name);
  }

  previous(name: string | undefined): TlsMaterial | undefined {
    return name === undefined ? undefined : this.#issued.previous(name);
  }

  find(name: string): TlsMaterial {
    const secret = this.#supplied.get(name);
    if (secret) {
      const tls = tlsMaterial(secret.spec);
      if (tls) return tls;
      throw new Obstacle('incomplete-secret', `TLS credentials secret "${name}" has no ca.crt`);
    }
    const own = this.#issued.get(name);
    if (own) return own;
    const problem = this.#issued.problem(name);
    if (problem) throw new Obstacle(problem.code, problem.message, problem.hint);
    if (this.#wanted.has(name)) throw new Obstacle(beingIssued, `TLS credentials "${name}" are being issued`);
    const hint = `Apply a Secret named "${name}"`;
    throw new Obstacle('secret-not-found', `TLS credentials secret "${name}" not found`, hint);
  }
}
