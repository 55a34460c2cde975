/**
 * What another site needs to link to this one, as documents: a Secret with a certificate of its own, recorded so that
 * it can be revoked, and Links to the ports that are open here.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { SkiffError } from '../errors.ts';
import { fingerprintOf, keyFingerprint } from '../pki/fingerprint.ts';
import type { Store } from '../store/store.ts';
import type { Authorities } from './authorities.ts';
import type { RenderedDocument } from './render.ts';
import type { Resource } from './resources.ts';
import type { Endpoint } from './status.ts';

/** What `skiff link generate` asks for. */
export interface LinkRequest {
  /** The host to dial; one that the RouterAccess is known by if not said. */
  host?: string;
  /** The name of the Link and its Secret; `link-<RouterAccess>` if not said. */
  name?: string;
  cost?: number;
}

/** A RouterAccess that is open to links. */
export interface Entrance {
  access: Resource<'RouterAccess'>;
  /** The CA from which it takes certificates. */
  issuer: string;
  /** PEM: whom it believes, and what it shows. */
  trust: string;
  certificate: string;
  endpoints: Endpoint[];
}

/** One who is to be let in. */
export interface Guest {
  /** The name of the Secret and the first Link. */
  name: string;
  /** The common name of the certificate. */
  subject: string;
  hosts?: string[];
  uris?: string[];
  /** Whose certificate it is to be; without it a key is made here and sent along. */
  publicKey?: KeyObject;
  validDays?: number;
  grantUid?: string;
  renews?: string;
}

/** A certificate for somebody else. */
export interface Admission {
  /** PEM: whom to believe. */
  ca: string;
  certificate: string;
  /** null when it is where it was made. */
  key: string | null;
}

export class LinkIssuer {
  readonly #store: Store;
  readonly #authorities: Authorities;
  readonly #now: () => number;

  constructor(store: Store, authorities: Authorities, now: () => number) {
    this.#store = store;
    this.#authorities = authorities;
    this.#now = now;
  }

  /** Documents for a link to this site, at one of its entrances. */
  async generate(entrances: Entrance[], request: LinkRequest, documents: Resource[]): Promise<RenderedDocument[]> {
    const entrance = chosen(entrances, request.name);
    const name = request.name ?? `link-${entrance.access.name}`;
    if (request.host !== undefined) mustName(entrance, request.host);
    const admission = await this.admit({ name, subject: name }, entrance, documents);
    const endpoints = entrance.endpoints.map(({ name: role, port, host }) => ({
      name: role,
      host: request.host ?? host,
      port,
    }));
    const spec = { cost: request.cost ?? 1, endpoints, tlsCredentials: name };
    return [secretDocument(name, admission), linkDocument(name, spec)];
  }

  /** Issues a certificate that this entrance takes, and records it. */
  async admit(guest: Guest, { access, issuer: ca, trust }: Entrance, documents: Resource[]): Promise<Admission> {
    const issuer = await this.#authorities.get(ca, documents);
    if (!trust.includes(issuer.authority.certificate.trim())) throw notTrusted(access.name, ca);
    const { subject: commonName, hosts = [], uris = [], validDays } = guest;
    const options = { commonName, hosts, uris, ...(validDays === undefined ? {} : { validDays }) };
    const { certificate, key } = guest.publicKey
      ? { certificate: await issuer.authority.certify(guest.publicKey, options), key: null }
      : await issuer.authority.issue(options);
    this.#record(guest, ca, certificate);
    return { ca: issuer.trust, certificate, key };
  }

  #record(guest: Guest, issuer: string, certificate: string): void {
    const parsed = new X509Certificate(certificate);
    this.#store.transaction(() =>
      this.#store.issued.put({
        fingerprint: fingerprintOf(certificate),
        name: guest.name,
        subject: guest.subject,
        certificate,
        issuer,
        publicKey: keyFingerprint(parsed.publicKey),
        grantUid: guest.grantUid ?? null,
        renews: guest.renews ?? null,
        notAfter: parsed.validToDate.getTime(),
        issuedAt: this.#now(),
      }),
    );
  }
}

export function secretDocument(name: string, { ca, certificate, key }: Admission): RenderedDocument {
  const texts = { 'ca.crt': ca, 'tls.crt': certificate, ...(key === null ? {} : { 'tls.key': key }) };
  const data = Object.fromEntries(Object.entries(texts).map(([file, text]) => [file, btoa(text)]));
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'kubernetes.io/tls', data };
}

export function linkDocument(name: string, spec: RenderedDocument['spec']): RenderedDocument {
  return { apiVersion: 'skupper.io/v2alpha1', kind: 'Link', metadata: { name }, spec: spec ?? {} };
}

/** The entrance that a link of this name is for, else the first. */
function chosen(entrances: Entrance[], name: string | undefined): Entrance {
  const open = entrances.filter(({ endpoints }) => endpoints.length > 0);
  const named = open.find(({ access }) => `link-${access.name}` === name || access.name === name);
  const entrance = named ?? open[0];
  if (entrance) return entrance;
  if (entrances.length > 0) {
    throw new SkiffError('no-link-access', 'no port of this site is open to links', {
      hint: 'skiff get routeraccess tells why',
    });
  }
  throw new SkiffError('no-link-access', 'this site is not enabled for link access, there are no links created', {
    hint: 'Set linkAccess: default in the Site, or apply a RouterAccess',
  });
}

/** A link to a host that the certificate does not name would be refused by whoever dials it. */
function mustName({ access, certificate }: Entrance, host: string): void {
  const names = (new X509Certificate(certificate).subjectAltName ?? '').split(', ');
  const hosts = names.flatMap((name) => (name.startsWith('DNS:') ? [name.slice('DNS:'.length)] : []));
  if (hosts.includes(host)) return;
  throw new SkiffError('hostname-mismatch', `the certificate of RouterAccess "${access.name}" is not for "${host}"`, {
    hint: `It is for ${hosts.join(', ')}; add others to subjectAlternativeNames`,
  });
}

function notTrusted(access: string, ca: string): SkiffError {
  return new SkiffError('ca-unusable', `RouterAccess "${access}" does not believe in what ${ca} issues`, {
    hint: `Its certificate was supplied: supply the CA too, as a Secret "${ca}" with its certificate and key`,
  });
}
