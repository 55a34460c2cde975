/**
 * The documents a site understands, in types: Skupper's own fields, as far as they act here.
 */
import type { JsonObject, Origin, StoredDocument } from '../store/documents.ts';

export interface SiteSpec {
  edge?: boolean;
  linkAccess?: string;
  defaultIssuer?: string;
  settings?: Record<string, string>;
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

/** What a hub keeps of a claim: with its secret, a device may ask to be let in. */
export interface EnrolmentClaimSpec {
  /** The DeviceGroup that devices become part of. */
  group: string;
  /** How many devices it lets in; 0 for any number, 1 if not said. */
  uses?: number;
  /** RFC 3339 */
  expires?: string;
  /** `listed`: those whose serial is listed, the others wait for approval. */
  approve?: 'auto' | 'manual' | 'listed';
  serials?: string[];
  /** base64, of the Ed25519 key whose seed is the secret. */
  publicKey: string;
  revoked?: boolean;
}

/** A claim as the device carries it. */
export interface EnrolmentTokenSpec {
  /** Where to ask, the best first. */
  urls: string[];
  /** PEM */
  ca: string;
  /** The name of the claim. */
  id: string;
  /** base64: the seed of an Ed25519 key. */
  secret: string;
  expires?: string;
}

/** A device of a hub's fleet; its name is that of its site. */
export interface DeviceSpec {
  group: string;
  variables?: Record<string, string>;
  /** They take the place of the group's of the same kind and name. */
  documents?: JsonObject[];
}

export interface DeviceGroupSpec {
  /** As they are to be at each device, with `{{variables}}` in their texts. */
  documents?: JsonObject[];
  /** What devices are called; `{group}-{seq}` if not said. */
  nameTemplate?: string;
  variables?: Record<string, string>;
  /** Routing keys that a device may offer and use beyond those of its documents. */
  offers?: string[];
  uses?: string[];
  /** What becomes of two boxes that come as one device: that is told (if not said), or the device is revoked. */
  clones?: 'report' | 'revoke';
  /** How long a device may be away and still get its next certificate by itself; 400 days if not said. */
  longestDark?: string;
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
  EnrolmentClaim: EnrolmentClaimSpec;
  EnrolmentToken: EnrolmentTokenSpec;
  Device: DeviceSpec;
  DeviceGroup: DeviceGroupSpec;
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
