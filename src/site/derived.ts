/**
 * The documents that follow from others, as Skupper's own start adds them: the RouterAccess of a Site with
 * `linkAccess: default`, and the Certificates of whatever names TLS credentials that nobody has supplied.
 */
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { ownAnnotations } from './kinds.ts';
import type { CertificateSpec, Kind, Resource, Specs } from './resources.ts';

export const siteCa = 'skupper-site-ca';
export const serviceCa = 'skupper-service-ca';
export const localCa = 'skupper-local-ca';
export const grantServer = 'skupper-grant-server';
export const grantServerCa = 'skupper-grant-server-ca';

type RouterAccess = Resource<'RouterAccess'>;

/** The documents and what follows from them; `hosts`: how others reach this machine. A document given is never changed. */
export function derive(documents: Resource[], hosts: string[]): Resource[] {
  const site = documents.find((document) => document.kind === 'Site');
  if (!site) return documents;
  const own = defaultAccess(site, documents, hosts);
  const all = own ? [...documents, own] : documents;
  return [...all, ...certificates(site, all, hosts)];
}

/** The names and addresses of this machine, those first by which others surely reach it. */
export function localHosts(): string[] {
  const addresses = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .map(({ address }) => address)
    .sort((a, b) => isIP(a) - isIP(b));
  return [...new Set([...addresses, hostname().toLowerCase()])];
}

/** The hosts under which a RouterAccess is dialled, the best first. */
export function hostsOf({ spec }: RouterAccess, local: string[]): string[] {
  const { bindHost, subjectAlternativeNames = [] } = spec;
  const named = [...(bindHost ? [bindHost] : []), ...subjectAlternativeNames].filter((host) => !isWildcard(host));
  return named.length > 0 ? [...new Set(named)] : local;
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** What a RouterAccess calls its credentials; undefined when it does without any. */
export function credentialsName(access: RouterAccess, role: string): string | undefined {
  // Without a name Skupper looks for credentials called like the RouterAccess; a local port may do without any.
  return access.spec.tlsCredentials ?? (role === 'normal' ? undefined : access.name);
}

/** Who issues what a RouterAccess needs. */
export function issuerOf(access: RouterAccess, site: Resource<'Site'>): string {
  if (access.spec.issuer) return access.spec.issuer;
  return takesLinks(access) ? (site.spec.defaultIssuer ?? siteCa) : localCa;
}

export function takesLinks({ spec }: RouterAccess): boolean {
  return spec.roles.some(({ name }) => name !== 'normal');
}

/** The hosts under which tokens are redeemed, the best first: those of the links, unless an EnrolmentService says. */
export function enrolmentHosts(documents: Resource[], local: string[]): string[] {
  const { hosts = [], bindHost = '' } = documents.find((document) => document.kind === 'EnrolmentService')?.spec ?? {};
  if (hosts.length > 0) return hosts;
  if (bindHost && !isWildcard(bindHost)) return [bindHost];
  const accesses = documents.filter((document) => document.kind === 'RouterAccess').filter(takesLinks);
  const named = accesses.flatMap((access) => hostsOf(access, local)).filter((host) => !isWildcard(host));
  return named.length > 0 ? [...new Set(named)] : local;
}

function defaultAccess(site: Resource<'Site'>, documents: Resource[], hosts: string[]): RouterAccess | undefined {
  const { linkAccess = 'none' } = site.spec;
  if (linkAccess === 'none') return undefined;
  if (documents.some(({ kind, name }) => kind === 'RouterAccess' && name === site.name)) return undefined;
  return derived('RouterAccess', site.name, site, {
    roles: [
      { name: 'inter-router', port: 55671 },
      { name: 'edge', port: 45671 },
    ],
    tlsCredentials: site.name,
    subjectAlternativeNames: [...hosts, '0.0.0.0', '::'],
  });
}

function certificates(site: Resource<'Site'>, documents: Resource[], hosts: string[]): Resource<'Certificate'>[] {
  const supplied = new Set(documents.filter(({ kind }) => kind === 'Secret').map(({ name }) => name));
  const known = new Set(documents.filter(({ kind }) => kind === 'Certificate').map(({ name }) => name));
  const found = new Map<string, Resource<'Certificate'>>();
  const add = (name: string, spec: CertificateSpec): void => {
    if (supplied.has(name) || known.has(name) || found.has(name)) return;
    found.set(name, derived('Certificate', name, site, spec));
  };
  for (const document of documents) {
    if (document.kind === 'RouterAccess') {
      for (const [name, spec] of needsOf(document, site, hosts)) if (!supplied.has(spec.subject)) add(name, spec);
    }
    const service = serviceCredentials(document);
    if (service) add(...service);
  }
  if (documents.some(({ kind }) => kind === 'AccessGrant' || kind === 'EnrolmentService')) {
    add(grantServer, {
      ca: grantServerCa,
      subject: grantServer,
      hosts: enrolmentHosts(documents, hosts),
      server: true,
    });
    if (!supplied.has(grantServer)) add(grantServerCa, { subject: 'SkupperGrantServerCA', signing: true });
  }
  const issuers = [...found.values(), ...documents.filter((document) => document.kind === 'Certificate')];
  for (const { spec } of issuers) if (spec.ca) add(spec.ca, { subject: spec.ca, signing: true });
  return [...found.values()];
}

/** The server's certificate of a RouterAccess, and one for a client of its. */
function needsOf(access: RouterAccess, site: Resource<'Site'>, local: string[]): [string, CertificateSpec][] {
  const name = access.spec.roles.map((role) => credentialsName(access, role.name)).find((each) => each !== undefined);
  if (name === undefined) return [];
  const ca = issuerOf(access, site);
  const { bindHost, subjectAlternativeNames = [] } = access.spec;
  const here = takesLinks(access) ? [] : ['127.0.0.1', 'localhost'];
  const hosts = [...hostsOf(access, local), ...here, ...subjectAlternativeNames, ...(bindHost ? [bindHost] : [])];
  const client = `client-${name}`;
  return [
    [name, { ca, subject: access.name, hosts: [...new Set(hosts)], server: true }],
    [client, { ca, subject: client, client: true }],
  ];
}

/** The credentials of a service's own port, or of its server. */
function serviceCredentials({ kind, spec }: Resource): [string, CertificateSpec] | undefined {
  if (kind !== 'Listener' && kind !== 'MultiKeyListener' && kind !== 'Connector') return undefined;
  const { host, tlsCredentials } = spec as { host: string; tlsCredentials?: string };
  return tlsCredentials ? [tlsCredentials, { ca: serviceCa, subject: host, hosts: [host], server: true }] : undefined;
}

function derived<K extends Kind>(kind: K, name: string, site: Resource<'Site'>, spec: Specs[K]): Resource<K> {
  const { apiVersion, origin, createdAt, updatedAt } = site;
  const annotations = { [`${ownAnnotations}generated`]: 'true' };
  const head = { kind, name, apiVersion, labels: {}, annotations, origin, generation: 1, createdAt, updatedAt };
  return { ...head, spec } as unknown as Resource<K>;
}
