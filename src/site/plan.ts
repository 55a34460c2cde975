/**
 * Documents → what the router is to run: who it is, its parts, and the documents that cannot become parts and why.
 */
import type { ErrorFact } from '../errors.ts';
import type {
  ConnectorTls,
  LinkConfig,
  ListenerTls,
  PartConfig,
  PartKind,
  RouterIdentity,
  Strategy,
  TlsMaterial,
} from '../router/protocol.ts';
import { keyOf, type Resource, type ResourceKey } from './resources.ts';
import { hostOf, portOf } from './rules.ts';
import { proxyAddress, tlsMaterial } from './secret.ts';
import { healthCheckOf, idleTimeoutOf, proxySecretOf } from './settings.ts';

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

export function partKey(part: { kind: PartKind; name: string }): PartKey {
  return `${part.kind}/${part.name}`;
}

/** What stands in a document's way; becomes the message of its condition. */
class Obstacle extends Error {
  readonly fact: ErrorFact;

  constructor(code: string, message: string, hint?: string) {
    super(message);
    this.fact = { code, message, ...(hint ? { hint } : {}) };
  }
}

export function makePlan(resources: Resource[], siteId: string | undefined, version: string): Plan {
  const site = resources.find((resource) => resource.kind === 'Site');
  if (!site || siteId === undefined) return nothing;
  const identity: RouterIdentity = {
    id: `${site.name}-${siteId.slice(0, 8)}`,
    mode: site.spec.edge ? 'edge' : 'interior',
    siteId,
    siteName: site.name,
    version,
  };
  const plan = emptyPlan(identity);
  const secrets = new Map(resources.flatMap((r) => (r.kind === 'Secret' ? [[r.name, r] as const] : [])));
  for (const resource of resources) {
    try {
      const parts = partsFrom(resource, identity, secrets);
      plan.partsOf.set(keyOf(resource), parts.map(partKey));
      for (const part of parts) {
        plan.parts.set(partKey(part), part);
        plan.ownerOf.set(partKey(part), keyOf(resource));
      }
    } catch (error) {
      if (!(error instanceof Obstacle)) throw error;
      plan.problems.set(keyOf(resource), error.fact);
    }
  }
  return plan;
}

type Secrets = ReadonlyMap<string, Resource<'Secret'>>;

function partsFrom(resource: Resource, identity: RouterIdentity, secrets: Secrets): PartConfig[] {
  switch (resource.kind) {
    case 'RouterAccess':
      return accessParts(resource, secrets);
    case 'Link':
      return [linkPart(resource, identity, secrets)];
    case 'Listener':
      return [{ kind: 'listener', ...routed(resource), ...listenerTls(resource, secrets) }];
    case 'MultiKeyListener': {
      const { host, port, strategy } = resource.spec;
      const part = { name: resource.name, strategy: strategyOf(strategy), host, port };
      return [{ kind: 'multiKeyListener', ...part, ...listenerTls(resource, secrets) }];
    }
    case 'Connector': {
      const healthCheck = healthCheckOf(resource.spec.settings);
      const part = { ...routed(resource), ...connectorTls(resource, secrets) };
      return [{ kind: 'connector', ...part, ...(healthCheck ? { healthCheck } : {}) }];
    }
    case 'Site':
    case 'Secret':
      return [];
  }
}

function routed({ name, spec: { routingKey, host, port } }: Resource<'Listener' | 'Connector'>) {
  return { name, routingKey, host, port };
}

function listenerTls({ spec }: Resource<'Listener' | 'MultiKeyListener'>, secrets: Secrets): { tls?: ListenerTls } {
  if (spec.tlsCredentials === undefined) return {};
  const requireClientCert = 'requireClientCert' in spec && spec.requireClientCert === true;
  return { tls: { ...keyPairOf(secrets, spec.tlsCredentials), requireClientCert } };
}

function connectorTls({ spec }: Resource<'Connector'>, secrets: Secrets): { tls?: ConnectorTls } {
  const { tlsCredentials, useClientCert, verifyHostname = false } = spec;
  if (tlsCredentials === undefined) return {};
  const shown = useClientCert ? keyPairOf(secrets, tlsCredentials) : { ca: credentialsOf(secrets, tlsCredentials).ca };
  return { tls: { ...shown, verifyHostname } };
}

function strategyOf({ priority, weighted }: Resource<'MultiKeyListener'>['spec']['strategy']): Strategy {
  return priority ? { priority: priority.routingKeys } : { weighted: weighted?.routingKeys ?? {} };
}

function accessParts(access: Resource<'RouterAccess'>, secrets: Secrets): PartConfig[] {
  const { roles, tlsCredentials } = access.spec;
  return roles.map((role) => {
    // Without a name Skupper looks for credentials called like the RouterAccess; a local port may do without any.
    const credentials = tlsCredentials ?? (role.name === 'normal' ? undefined : access.name);
    const tls = credentials === undefined ? null : keyPairOf(secrets, credentials);
    const name = `${access.name}-${role.name}`;
    return { kind: 'access', name, role: role.name, host: hostOf(access, role), port: portOf(role), tls };
  });
}

function linkPart(link: Resource<'Link'>, { mode }: RouterIdentity, secrets: Secrets): PartConfig {
  if (mode === 'interior') {
    throw new Obstacle(
      'not-supported',
      'links between interior sites are not supported yet',
      'Set edge: true in the Site',
    );
  }
  const role = 'edge';
  const endpoints = link.spec.endpoints
    .filter((endpoint) => endpoint.name === role)
    .map(({ host, port }) => ({ host, port: Number(port) }));
  if (endpoints.length === 0) {
    const hint = `This is an ${mode} site: ask for an endpoint of a site that accepts ${role} links`;
    throw new Obstacle('no-endpoint', `no endpoint named "${role}"`, hint);
  }
  const tls = link.spec.tlsCredentials === undefined ? null : credentialsOf(secrets, link.spec.tlsCredentials);
  const { cost, settings } = link.spec;
  const [proxy, idleTimeout] = [proxyOf(secrets, proxySecretOf(settings)), idleTimeoutOf(settings)];
  const line = { ...(proxy ? { proxy } : {}), ...(idleTimeout ? { idleTimeout } : {}) };
  return { kind: 'link', name: link.name, role, endpoints, cost: cost || 1, tls, ...line };
}

function proxyOf(secrets: Secrets, name: string | undefined): LinkConfig['proxy'] {
  if (name === undefined) return undefined;
  const secret = secrets.get(name);
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
function keyPairOf(secrets: Secrets, name: string): TlsMaterial {
  const tls = credentialsOf(secrets, name);
  if (tls.certificate && tls.key) return tls;
  throw new Obstacle('incomplete-secret', `TLS credentials secret "${name}" has no tls.crt and tls.key`);
}

function credentialsOf(secrets: Secrets, name: string): TlsMaterial {
  const secret = secrets.get(name);
  if (!secret) {
    throw new Obstacle(
      'secret-not-found',
      `TLS credentials secret "${name}" not found`,
      `Apply a Secret named "${name}"`,
    );
  }
  const tls = tlsMaterial(secret.spec);
  if (!tls) throw new Obstacle('incomplete-secret', `TLS credentials secret "${name}" has no ca.crt`);
  return tls;
}
