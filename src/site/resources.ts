/**
 * The documents a site understands, in types: Skupper's own fields, as far as they act here.
 */
import type { JsonObject, Origin, StoredDocument } from '../store/documents.ts';

export interface SiteSpec {
  edge?: boolean;
  linkAccess?: string;
  defaultIssuer?: string;
}

export type RoleName = 'inter-router' | 'edge' | 'normal';

export interface RouterAccessSpec {
  roles: { name: RoleName; port?: number }[];
  tlsCredentials?: string;
  issuer?: string;
  /** Says nothing: off Kubernetes credentials that are not supplied are always issued. */
  generateTlsCredentials?: boolean;
  bindHost?: string;
  subjectAlternativeNames?: string[];
}

export interface LinkSpec {
  /** `port` is a text, as Skupper has it. */
  endpoints: { name: string; host: string; port: string; group?: string }[];
  tlsCredentials?: string;
  cost?: number;
  settings?: Record<string, string>;
}

export interface ListenerSpec {
  routingKey: string;
  host: string;
  port: number;
  type?: string;
  observer?: string;
  tlsCredentials?: string;
}

export interface MultiKeyListenerSpec {
  host: string;
  port: number;
  /** Exactly one of the two. */
  strategy: {
    priority?: { routingKeys: string[] };
    weighted?: { routingKeys: Record<string, number> };
  };
  observer?: string;
  tlsCredentials?: string;
  requireClientCert?: boolean;
}

export interface ConnectorSpec {
  routingKey: string;
  host: string;
  port: number;
  type?: string;
  tlsCredentials?: string;
  /** Whether the server is shown the certificate of the credentials, or only judged by their CA. */
  useClientCert?: boolean;
  verifyHostname?: boolean;
  settings?: Record<string, string>;
}

export interface CertificateSpec {
  /** The name of the CA; none for a certificate that signs itself. */
  ca?: string;
  /** The common name. */
  subject: string;
  hosts?: string[];
  client?: boolean;
  server?: boolean;
  /** Whether it is a CA. */
  signing?: boolean;
}

export interface AccessGrantSpec {
  /** 0: 1 */
  redemptionsAllowed?: number;
  /** As Go writes durations; 10 minutes if not said. */
  expirationWindow?: string;
  code?: string;
  issuer?: string;
}

export interface AccessTokenSpec {
  url: string;
  code: string;
  /** PEM */
  ca: string;
  linkCost?: number;
}

/** Where tokens are redeemed, and what else is done over HTTPS with those who are no part of the network yet. */
export interface EnrolmentServiceSpec {
  bindHost?: string;
  port?: number;
  /** How others reach it, the best first. */
  hosts?: string[];
}

/** A Secret's own fields are not under `spec` in its document, but here they are. */
export interface SecretSpec {
  type?: string;
  /** base64 */
  data: Record<string, string>;
}

export interface Specs {
  Site: SiteSpec;
  RouterAccess: RouterAccessSpec;
  Link: LinkSpec;
  Listener: ListenerSpec;
  MultiKeyListener: MultiKeyListenerSpec;
  Connector: ConnectorSpec;
  Certificate: CertificateSpec;
  AccessGrant: AccessGrantSpec;
  AccessToken: AccessTokenSpec;
  EnrolmentService: EnrolmentServiceSpec;
  Secret: SecretSpec;
}

export type Kind = keyof Specs;

/** A document of a known kind whose spec has been validated. */
export type Resource<K extends Kind = Kind> = {
  [Each in K]: Omit<StoredDocument, 'kind' | 'spec'> & { kind: Each; spec: Specs[Each] };
}[K];

/** A document as it comes in, validated by itself; `uid` only matters for a Site. */
export interface IncomingDocument {
  kind: Kind;
  name: string;
  apiVersion: string;
  labels: JsonObject;
  annotations: JsonObject;
  spec: JsonObject;
  uid?: string;
}

export interface Reference {
  kind: Kind;
  name: string;
}

/** `Kind/name`, which names one document of a site. */
export type ResourceKey = string;

export function keyOf(reference: { kind: string; name: string }): ResourceKey {
  return `${reference.kind}/${reference.name}`;
}

export type { JsonObject, Origin };
