/**
 * The kinds of documents and their fields: Skupper's (skupper.io/v2alpha1), with its types, defaults and rules.
 * A field that does not act here is refused by name rather than kept in silence.
 */
import { isIP } from 'node:net';
import { MAX_ADDRESS } from '../router/protocol.ts';
import type { Json, JsonObject } from '../store/documents.ts';
import { parseDuration, parseSpan } from './duration.ts';
import type { Kind } from './resources.ts';
import { type Check, type Field, type Fields, isObject } from './schema.ts';
import { redacted } from './secret.ts';
import { connectorSettings, linkSettings, siteSettings } from './settings.ts';

export interface KindDefinition {
  kind: Kind;
  apiVersion: string;
  /** What it may be called on a command line, in lower case. */
  names: string[];
  /** Whether its fields are under `spec` or, as a Secret's, beside `metadata`. */
  body: 'spec' | 'document';
  fields: Fields;
}

export const skupper = 'skupper.io/v2alpha1';
export const skiff = 'skiff/v1alpha1';

/** Annotations under this prefix are ours: shown in what we print, not taken from what comes in. */
export const ownAnnotations = 'skiff/';

const notYet = 'is not supported yet';
const kubernetesOnly = 'cannot apply on a device: it needs Kubernetes';

const isHost: Check<string> = (value) =>
  isIP(value) || /^[a-z0-9]+([-.][a-z0-9]+)*$/.test(value)
    ? undefined
    : 'must be a valid IP address or host name in lower case';

const isName: Check<string> = (value) =>
  /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(value)
    ? undefined
    : 'must be lower-case letters, digits and "-", with a letter or digit at both ends';

const between =
  (lowest: number, highest: number): Check<number> =>
  (value) =>
    value >= lowest && value <= highest ? undefined : `must be a number from ${lowest} to ${highest}`;

const oneOf =
  (...values: string[]): Check<string> =>
  (value) =>
    values.includes(value) ? undefined : `must be one of ${values.join(', ')}`;

const isDuration: Check<string> = (value) =>
  parseDuration(value) ? undefined : 'must be a duration such as 15m or 1h30m';

const isSpan: Check<string> = (value) => (parseSpan(value) ? undefined : 'must be a duration such as 12h or 400d');

const isTime: Check<string> = (value) =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value) && !Number.isNaN(Date.parse(value))
    ? undefined
    : 'must be a time such as 2030-01-31T12:00:00Z';

const isKey =
  (octets: number): Check<string> =>
  (value) => {
    if (value === redacted) return notRedacted(value);
    const good = /^[A-Za-z0-9+/]+={0,2}$/.test(value) && Buffer.from(value, 'base64').length === octets;
    return good ? undefined : `must be ${octets} octets in base64`;
  };

const nameTemplate: Check<string> = (value) => {
  const rest = value.replaceAll(/\{(group|seq|serial|model|mac)\}/g, '0');
  if (rest === value) return 'must have {seq}, {serial} or {mac} in it, so that names differ';
  return /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(rest)
    ? undefined
    : 'must be lower-case letters, digits, "-" and {group}, {seq}, {serial}, {model}, {mac}';
};

/** What a document of a device must have before its variables are known. */
const isDeviceDocument: Check<JsonObject> = ({ kind, metadata }) => {
  if (typeof kind !== 'string' || !deviceKinds.includes(kind)) return `kind must be one of ${deviceKinds.join(', ')}`;
  const name = isObject(metadata) ? metadata.name : undefined;
  return typeof name === 'string' && name !== '' ? undefined : 'metadata.name is required';
};

const isHttps: Check<string> = (value) => (value.startsWith('https://') ? undefined : 'scheme must be https');

const notRedacted: Check<string> = (value) =>
  value === redacted ? 'is redacted; export it with --show-secrets' : undefined;

const noSetting: Check<object> = (settings) => {
  const names = Object.keys(settings);
  return names.length ? `not supported yet: ${names.join(', ')}` : undefined;
};

const linkAccess: Check<string> = (value) => {
  return value === 'none' || value === 'default' ? undefined : `"${value}" ${kubernetesOnly}`;
};

const mostRoutingKeys = 256;

const isRoutingKey: Check<string> = (key) =>
  key.length > MAX_ADDRESS ? `must have at most ${MAX_ADDRESS} characters, not ${key.length}` : undefined;

const countOfKeys = (count: number): string | undefined => {
  if (count === 0) return 'must not be empty';
  return count > mostRoutingKeys ? `must have at most ${mostRoutingKeys} routing keys, not ${count}` : undefined;
};

const routingKeyList: Check<Json[]> = (keys) => {
  if (keys.some((key) => key === '' || key === null)) return 'a routing key must not be empty';
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  return twice === undefined ? countOfKeys(keys.length) : `"${twice}" is given twice`;
};

const weights: Check<Record<string, number>> = (keys) => {
  if (Object.hasOwn(keys, '')) return 'a routing key must not be empty';
  const light = Object.entries(keys).find(([, weight]) => weight <= 0);
  if (light) return `the weight of "${light[0]}" must be positive`;
  return Object.keys(keys).map(isRoutingKey).find(Boolean) ?? countOfKeys(Object.keys(keys).length);
};

/** What a DeviceGroup or a Device may give to a device. */
export const deviceKinds = ['Listener', 'Connector', 'MultiKeyListener', 'Link', 'Secret'];

/** Octets of an Ed25519 seed, and of a public key in SPKI. */
const seedOctets = 32;
const publicKeyOctets = 44;

const text: Field = { type: 'string' };
const settings: Field = { type: 'map', check: noSetting };
const requiredText: Field = { type: 'string', required: true };
const routingKey: Field = { ...requiredText, check: isRoutingKey };
const requiredHost: Field = { type: 'string', required: true, check: isHost };
const port: Field = { type: 'integer', required: true, check: between(1, 65535) };
// Accepted: it only tells what flow records are to show.
const observer: Field = { type: 'string', check: oneOf('auto', 'none', 'http1', 'http2') };
const tcpOnly: Field = { type: 'string', check: oneOf('tcp') };
const podNames: Field = { type: 'boolean', refused: kubernetesOnly };

const deviceDocuments: Field = { type: 'list', items: { type: 'any map', check: isDeviceDocument } };

export const kinds: Record<Kind, KindDefinition> = {
  Site: {
    kind: 'Site',
    apiVersion: skupper,
    names: ['site', 'sites', 'st'],
    body: 'spec',
    fields: {
      edge: { type: 'boolean' },
      linkAccess: { type: 'string', check: linkAccess },
      ha: { type: 'boolean', refused: notYet },
      defaultIssuer: text,
      serviceAccount: { type: 'string', refused: kubernetesOnly },
      settings: { type: 'map', check: siteSettings },
    },
  },
  RouterAccess: {
    kind: 'RouterAccess',
    apiVersion: skupper,
    names: ['routeraccess', 'routeraccesses'],
    body: 'spec',
    fields: {
      roles: {
        type: 'list',
        required: true,
        notEmpty: true,
        items: {
          type: 'object',
          fields: {
            name: { type: 'string', required: true, check: oneOf('inter-router', 'edge', 'normal') },
            port: { type: 'integer', check: between(0, 65535) },
          },
        },
      },
      tlsCredentials: text,
      bindHost: { type: 'string', check: isHost },
      subjectAlternativeNames: { type: 'list', items: { type: 'string', check: isHost } },
      generateTlsCredentials: { type: 'boolean' },
      issuer: text,
      accessType: { type: 'string', refused: kubernetesOnly },
      settings,
    },
  },
  Link: {
    kind: 'Link',
    apiVersion: skupper,
    names: ['link', 'links', 'ln'],
    body: 'spec',
    fields: {
      endpoints: {
        type: 'list',
        required: true,
        items: {
          type: 'object',
          fields: {
            name: requiredText,
            host: requiredHost,
            port: { type: 'numeric string', required: true, check: between(1, 65535) },
            group: text,
          },
        },
      },
      tlsCredentials: text,
      cost: { type: 'integer', check: between(0, 2 ** 31 - 1) },
      settings: { type: 'map', check: linkSettings },
    },
  },
  Listener: {
    kind: 'Listener',
    apiVersion: skupper,
    names: ['listener', 'listeners', 'lnr'],
    body: 'spec',
    fields: {
      routingKey,
      host: requiredHost,
      port,
      type: tcpOnly,
      observer,
      tlsCredentials: text,
      exposePodsByName: podNames,
      settings,
    },
  },
  MultiKeyListener: {
    kind: 'MultiKeyListener',
    apiVersion: skupper,
    names: ['multikeylistener', 'multikeylisteners', 'mkl'],
    body: 'spec',
    fields: {
      host: requiredHost,
      port,
      strategy: {
        type: 'object',
        required: true,
        fields: {
          priority: {
            type: 'object',
            fields: {
              routingKeys: {
                type: 'list',
                required: true,
                items: { ...text, check: isRoutingKey },
                check: routingKeyList,
              },
            },
          },
          weighted: {
            type: 'object',
            fields: {
              routingKeys: { type: 'number map', required: true, check: weights },
            },
          },
        },
      },
      tlsCredentials: text,
      requireClientCert: { type: 'boolean' },
      observer,
      settings,
    },
  },
  Connector: {
    kind: 'Connector',
    apiVersion: skupper,
    names: ['connector', 'connectors', 'cnr'],
    body: 'spec',
    fields: {
      routingKey,
      host: { ...requiredHost, unless: 'selector' },
      port,
      type: tcpOnly,
      selector: { type: 'string', refused: kubernetesOnly },
      tlsCredentials: text,
      useClientCert: { type: 'boolean' },
      verifyHostname: { type: 'boolean' },
      includeNotReadyPods: podNames,
      exposePodsByName: podNames,
      settings: { type: 'map', check: connectorSettings },
    },
  },
  Certificate: {
    kind: 'Certificate',
    apiVersion: skupper,
    names: ['certificate', 'certificates'],
    body: 'spec',
    fields: {
      ca: { type: 'string', required: true, unless: 'signing' },
      subject: requiredText,
      hosts: { type: 'list', items: { type: 'string', check: isHost } },
      client: { type: 'boolean' },
      server: { type: 'boolean' },
      signing: { type: 'boolean' },
      settings,
    },
  },
  AccessGrant: {
    kind: 'AccessGrant',
    apiVersion: skupper,
    names: ['accessgrant', 'accessgrants', 'gr'],
    body: 'spec',
    fields: {
      redemptionsAllowed: { type: 'integer', check: between(0, 2 ** 31 - 1) },
      expirationWindow: { type: 'string', check: isDuration },
      code: { type: 'string', check: notRedacted },
      issuer: text,
      settings,
    },
  },
  AccessToken: {
    kind: 'AccessToken',
    apiVersion: skupper,
    names: ['accesstoken', 'accesstokens', 'to'],
    body: 'spec',
    fields: {
      url: { type: 'string', required: true, check: isHttps },
      code: { type: 'string', required: true, check: notRedacted },
      ca: requiredText,
      linkCost: { type: 'integer', check: between(0, 2 ** 31 - 1) },
      settings,
    },
  },
  EnrolmentService: {
    kind: 'EnrolmentService',
    apiVersion: skiff,
    names: ['enrolmentservice', 'enrolmentservices'],
    body: 'spec',
    fields: {
      bindHost: { type: 'string', check: isHost },
      port: { type: 'integer', check: between(0, 65535) },
      hosts: { type: 'list', items: { type: 'string', check: isHost } },
    },
  },
  EnrolmentClaim: {
    kind: 'EnrolmentClaim',
    apiVersion: skiff,
    names: ['enrolmentclaim', 'enrolmentclaims', 'claim', 'claims'],
    body: 'spec',
    fields: {
      group: { type: 'string', required: true, check: isName },
      uses: { type: 'integer', check: between(0, 2 ** 31 - 1) },
      expires: { type: 'string', check: isTime },
      approve: { type: 'string', check: oneOf('auto', 'manual', 'listed') },
      serials: { type: 'list', items: text },
      publicKey: { type: 'string', required: true, check: isKey(publicKeyOctets) },
      revoked: { type: 'boolean' },
    },
  },
  EnrolmentToken: {
    kind: 'EnrolmentToken',
    apiVersion: skiff,
    names: ['enrolmenttoken', 'enrolmenttokens'],
    body: 'spec',
    fields: {
      urls: {
        type: 'list',
        required: true,
        notEmpty: true,
        items: { type: 'string', check: isHttps },
      },
      ca: requiredText,
      id: { type: 'string', required: true, check: isName },
      secret: { type: 'string', required: true, check: isKey(seedOctets) },
      expires: { type: 'string', check: isTime },
    },
  },
  Device: {
    kind: 'Device',
    apiVersion: skiff,
    names: ['device', 'devices'],
    body: 'spec',
    fields: {
      group: { type: 'string', required: true, check: isName },
      variables: { type: 'map' },
      documents: deviceDocuments,
    },
  },
  DeviceGroup: {
    kind: 'DeviceGroup',
    apiVersion: skiff,
    names: ['devicegroup', 'devicegroups'],
    body: 'spec',
    fields: {
      documents: deviceDocuments,
      nameTemplate: { type: 'string', check: nameTemplate },
      variables: { type: 'map' },
      offers: { type: 'list', items: text },
      uses: { type: 'list', items: text },
      clones: { type: 'string', check: oneOf('report', 'revoke') },
      longestDark: { type: 'string', check: isSpan },
    },
  },
  Secret: {
    kind: 'Secret',
    apiVersion: 'v1',
    names: ['secret', 'secrets'],
    body: 'document',
    fields: {
      type: { type: 'string', check: oneOf('kubernetes.io/tls', 'Opaque') },
      data: { type: 'map' },
      stringData: { type: 'map' },
      immutable: { type: 'ignored' },
    },
  },
};

/** Kinds that Skupper or Skiff know and this site does not take, with the reason. */
export const refusedKinds: Record<string, { apiVersion: string; reason: string }> = {
  ...reasons(skupper, kubernetesOnly, 'SecuredAccess', 'AttachedConnector', 'AttachedConnectorBinding'),
  ...reasons(skiff, notYet, 'MqttBridge', 'Rollout'),
};

function reasons(apiVersion: string, reason: string, ...names: string[]) {
  return Object.fromEntries(names.map((name) => [name, { apiVersion, reason }]));
}

/** What every document may have in its metadata; what is not read is what Kubernetes and Skupper write there. */
export const metadataFields: Fields = {
  name: {
    type: 'string',
    required: true,
    check: isName,
  },
  labels: { type: 'map' },
  annotations: { type: 'map' },
  uid: text,
  namespace: text,
  creationTimestamp: { type: 'ignored' },
  deletionGracePeriodSeconds: { type: 'ignored' },
  deletionTimestamp: { type: 'ignored' },
  finalizers: { type: 'ignored' },
  generateName: { type: 'ignored' },
  generation: { type: 'ignored' },
  managedFields: { type: 'ignored' },
  ownerReferences: { type: 'ignored' },
  resourceVersion: { type: 'ignored' },
  selfLink: { type: 'ignored' },
};

/** The kind that a command line calls `word`, in singular, plural or short form. */
export function kindNamed(word: string): Kind | undefined {
  const lower = word.toLowerCase();
  return Object.values(kinds).find((definition) => definition.names.includes(lower))?.kind;
}
