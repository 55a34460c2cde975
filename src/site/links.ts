/**
 * What another site needs to link to this one, as documents: a Secret with a certificate of its own, recorded so that
 * it can be revoked, and Links to the ports that are open here.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { SkiffError } from '../errors.ts';
import { fingerprintOf, keyFingerprint } from '../pki/fingerprint.ts';
import type { IssuedCertificate } from '../store/issued.ts';
import type { Store } from '../store/store.ts';
import type { Authorities } from './authorities.ts';
import { skupper } from './kinds.ts';
import type { RenderedDocument } from './render.ts';
import type { Resource } from './resources.ts';
import type { Endpoint } from './status.ts';

/** Marks a certificate as that of one router; `router/` refuses it to all others. */
const deviceUrn = 'urn:skiff:device:';

/** Marks it as that of a device of the fleet, which may do what it is told it may and nothing else. */
export const fleetUrn = 'urn:skiff:fleet';

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
  /** PEM: whom it believes, and what it shows to others. */
  trust: string;
  certificate: string;
  endpoints: Endpoint[];
}

/** One who is to be let in. */
export interface Guest {
  /** The name of the link. */
  name: string;
  /** The common name of the certificate. */
  subject: string;
  /** Whose certificate it is to be; null: a key is made here and sent along. */
  publicKey: KeyObject | null;
  /** The router id of a Skiff at the edge: the certificate will be good for no other. */
  device?: string;
  /** Whether it is of the fleet, whose registry has given it its router id. */
  fleet?: boolean;
  grantUid?: string;
  /** The CA, when it is to be another than the site's. */
  issuer?: string;
  renews?: string;
}

/** A certificate for somebody else. */
export interface Admission {
  /** PEM: whom to believe. */
  ca: string;
  certificate: string;
  /** null when it is where it was made. */
  key: string | null;
  /** Of the RouterAccesses that take it. */
  endpoints: Endpoint[];
}

/** Runs what it is given within a transaction. */
export type Step = (record: () => void) => void;

/** Whose key stays where it is can renew; Skupper's sites, which get one from here, cannot. */
const renewableDays = 90;

export interface LinksOptions {
  store: Store;
  authorities: Authorities;
  now: () => number;
  /** The RouterAccesses that take links. */
  entrances: () => Entrance[];
  /** The documents, and what follows from them. */
  documents: () => Resource[];
}

export class Links {
  readonly #options: LinksOptions;

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  /** Documents for a link to this site, at one of its entrances. */
  async generate(request: LinkRequest): Promise<RenderedDocument[]> {
    const entrance = chosen(this.#options.entrances(), request.name);
    const name = request.name ?? `link-${entrance.access.name}`;
    if (request.host !== undefined) mustName(entrance, request.host);
    const guest = { name, subject: name, publicKey: null, issuer: entrance.issuer };
    const admission = await this.#issue(guest, entrance.issuer, [entrance]);
    const endpoints = entrance.endpoints.map(({ name: role, port, host }) => ({
      name: role,
      host: request.host ?? host,
      port,
    }));
    return [secretDocument(name, admission), linkDocument(name, name, { cost: request.cost ?? 1, endpoints })];
  }

  /** Issues a certificate for any entrance of this site; `step` writes its record, together with what belongs to it. */
  admit(guest: Guest, step?: Step): Promise<Admission> {
    const open = this.#options.entrances().filter(({ endpoints }) => endpoints.length > 0);
    if (open.length === 0) throw new SkiffError('no-link-access', 'No valid endpoints found for site');
    return this.#issue(guest, guest.issuer ?? open[0].issuer, open, step);
  }

  /** What somebody with this key was given before; null when there is nothing, or it is good no more. */
  async admitted(publicKey: KeyObject, accept: (issued: IssuedCertificate) => boolean): Promise<Admission | null> {
    const { store, now } = this.#options;
    const known = store.issued
      .forKey(keyFingerprint(publicKey))
      .find((issued) => issued.revokedAt === null && issued.notAfter > now() && accept(issued));
    if (!known) return null;
    const { trust, authority } = await this.#options.authorities.get(known.issuer, this.#options.documents());
    const endpoints = this.#options
      .entrances()
      .filter(takes(authority.certificate))
      .flatMap((each) => each.endpoints);
    return { ca: trust, certificate: known.certificate, key: null, endpoints };
  }

  async #issue(
    guest: Guest,
    ca: string,
    entrances: Entrance[],
    step: Step = (record) => this.#options.store.transaction(record),
  ): Promise<Admission> {
    const { trust, authority, fingerprint } = await this.#options.authorities.get(ca, this.#options.documents());
    const open = entrances.filter(takes(authority.certificate));
    if (open.length === 0) throw notTrusted(entrances[0].access.name, ca);
    const endpoints = open.flatMap((each) => each.endpoints);
    const device = this.#deviceOf(guest);
    const options = {
      commonName: guest.subject,
      // Nobody dials a redeemer; but Skupper names in its certificates what it may dial.
      hosts: guest.grantUid === undefined ? [] : [...new Set(endpoints.map(({ host }) => host))],
      uris: [...(device === null ? [] : [`${deviceUrn}${device}`]), ...(guest.fleet ? [fleetUrn] : [])],
    };
    const { certificate, key } = guest.publicKey
      ? { certificate: await authority.certify(guest.publicKey, { ...options, validDays: renewableDays }), key: null }
      : await authority.issue(options);
    step(() => this.#record(guest, { issuer: ca, authority: fingerprint }, certificate, device));
    return { ca: trust, certificate, key, endpoints };
  }

  /** A router id goes to one certificate and those that renew it, until that is revoked: nobody takes another's. */
  #deviceOf({ device, renews, fleet }: Guest): string | null {
    if (device && fleet) return device;
    if (!device || !/^[a-z0-9-]+-[0-9a-f]{8}$/.test(device)) return null;
    const { store, now } = this.#options;
    const holders = store.issued.forDevice(device).filter((held) => held.revokedAt === null && held.notAfter > now());
    return renews !== undefined || holders.length === 0 ? device : null;
  }

  #record(
    guest: Guest,
    by: Pick<IssuedCertificate, 'issuer' | 'authority'>,
    certificate: string,
    device: string | null,
  ): void {
    const { store, now } = this.#options;
    const parsed = new X509Certificate(certificate);
    store.issued.put({
      fingerprint: fingerprintOf(certificate),
      name: guest.name,
      subject: guest.subject,
      certificate,
      ...by,
      publicKey: keyFingerprint(parsed.publicKey),
      grantUid: guest.grantUid ?? null,
      device,
      renews: guest.renews ?? null,
      notAfter: parsed.validToDate.getTime(),
      issuedAt: now(),
    });
  }
}

function takes(ca: string): (entrance: Entrance) => boolean {
  return ({ trust }) => trust.includes(ca.trim());
}

/** The documents as Skupper answers a redemption with them: the Secret, then a Link for each RouterAccess. */
export function invitation(name: string, admission: Admission): RenderedDocument[] {
  return [secretDocument(name, admission), ...linksTo(name, admission.endpoints)];
}

/** A Link for each RouterAccess, with the Secret of that name as its credentials. */
export function linksTo(name: string, all: Endpoint[]): RenderedDocument[] {
  const groups = [...new Set(all.map(({ group }) => group))];
  return groups.map((group, index) => {
    const endpoints = all.filter((endpoint) => endpoint.group === group);
    return linkDocument(groups.length > 1 ? `${name}-${index + 1}` : name, name, { endpoints });
  });
}

function secretDocument(name: string, { ca, certificate, key }: Admission): RenderedDocument {
  const texts = { 'ca.crt': ca, 'tls.crt': certificate, ...(key === null ? {} : { 'tls.key': key }) };
  const data = Object.fromEntries(Object.entries(texts).map(([file, text]) => [file, btoa(text)]));
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'kubernetes.io/tls', data };
}

function linkDocument(name: string, tlsCredentials: string, spec: object): RenderedDocument {
  return { apiVersion: skupper, kind: 'Link', metadata: { name }, spec: { ...spec, tlsCredentials } };
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
