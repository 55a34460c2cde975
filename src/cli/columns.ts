/**
 * The columns of each kind's table, as Skupper's command line has them.
 */

import type { RenderedDocument } from '../site/render.ts';
import type { Kind } from '../site/resources.ts';
import type { Column } from './output.ts';

const name: Column = { header: 'NAME', value: ({ metadata }) => metadata.name };
const status: Column = { header: 'STATUS', value: (document) => document.status?.status ?? '' };
const message: Column = { header: 'MESSAGE', value: (document) => document.status?.message ?? '' };
const routingKey = spec('ROUTING-KEY', 'routingKey');
const host = spec('HOST', 'host');
const port = spec('PORT', 'port');

function spec(header: string, field: string, preset = ''): Column {
  return { header, value: (document) => String(document.spec?.[field] || preset) };
}

/** A fact of the status that may not be known. */
function known(header: string, field: string): Column {
  const value = ({ status: facts }: RenderedDocument) =>
    String((facts as Record<string, unknown> | undefined)?.[field] ?? 'unknown');
  return { header, value };
}

/** What a running site knows of a link's line; `-o yaml` has all of it. */
function linkFact(header: string, field: string, unit = ''): Column {
  const value = ({ status: shown }: RenderedDocument) => {
    const facts = (shown as { facts?: Record<string, unknown> } | undefined)?.facts;
    return facts?.[field] === undefined ? '-' : `${facts[field]}${unit}`;
  };
  return { header, value };
}

/** The last failure of a link's line, kept when it is up again. */
const lastError: Column = {
  header: 'LAST-ERROR',
  value: ({ status: shown }) => {
    const { lastError: error } = (shown as { facts?: { lastError?: Record<string, string> } } | undefined)?.facts ?? {};
    return error ? `${error.message} [${error.code}, ${error.class}], ${error.time}` : '-';
  },
};

const roles: Column = {
  header: 'ROLES',
  value: (document) => ((document.spec?.roles ?? []) as { name: string }[]).map((role) => role.name).join(','),
};

const strategy = ({ spec: fields }: RenderedDocument): [string, { routingKeys: object }][] =>
  Object.entries((fields?.strategy ?? {}) as Record<string, { routingKeys: object }>);

const strategyType: Column = {
  header: 'STRATEGY',
  value: (document) =>
    strategy(document)
      .map(([type]) => type)
      .join(','),
};

const strategyKeys: Column = {
  header: 'ROUTING-KEYS',
  value: (document) =>
    strategy(document)
      .flatMap(([, { routingKeys }]) =>
        Array.isArray(routingKeys)
          ? routingKeys
          : Object.entries(routingKeys).map(([key, weight]) => `${key}=${weight}`),
      )
      .join(','),
};

/** What is shown besides of a single one. */
export const details: Partial<Record<Kind, Column[]>> = {
  Link: [linkFact('OCTETS-IN', 'octetsIn'), linkFact('OCTETS-OUT', 'octetsOut'), lastError],
};

export const columns: Record<Kind, Column[]> = {
  Site: [name, status, message],
  RouterAccess: [name, status, roles, spec('BIND-HOST', 'bindHost'), message],
  Link: [
    name,
    status,
    spec('COST', 'cost', '1'),
    linkFact('ROUND-TRIP', 'roundTripMs', ' ms'),
    linkFact('RECONNECTS', 'reconnects'),
    linkFact('CERTIFICATE', 'certificateDaysLeft', ' days'),
    message,
  ],
  Listener: [name, status, routingKey, host, port, known('MATCHING-CONNECTOR', 'hasMatchingConnector'), message],
  MultiKeyListener: [
    name,
    status,
    host,
    port,
    strategyType,
    strategyKeys,
    known('HAS-DESTINATION', 'hasDestination'),
    message,
  ],
  Connector: [
    name,
    status,
    routingKey,
    spec('SELECTOR', 'selector'),
    host,
    port,
    known('HAS MATCHING LISTENER', 'hasMatchingListener'),
    message,
  ],
  Certificate: [name, status, spec('CA', 'ca'), spec('SUBJECT', 'subject'), known('EXPIRATION', 'expiration'), message],
  AccessGrant: [name, status, known('REDEMPTIONS', 'redemptions'), known('EXPIRATION', 'expirationTime'), message],
  AccessToken: [name, status, spec('URL', 'url'), known('REDEEMED', 'redeemed'), message],
  EnrolmentService: [name, status, spec('BIND-HOST', 'bindHost'), spec('PORT', 'port', '9090'), message],
  EnrolmentClaim: [
    name,
    status,
    spec('GROUP', 'group'),
    known('USED', 'used'),
    spec('USES', 'uses', '1'),
    spec('EXPIRES', 'expires', 'never'),
    message,
  ],
  EnrolmentToken: [name, status, spec('CLAIM', 'id'), message],
  Device: [
    name,
    status,
    spec('GROUP', 'group'),
    known('STATE', 'state'),
    known('DESIRED', 'desired'),
    known('APPLIED', 'applied'),
    known('ONLINE', 'online'),
    known('LAST-SEEN', 'lastSeen'),
    message,
  ],
  DeviceGroup: [name, status, known('DEVICES', 'devices'), message],
  Secret: [
    name,
    { header: 'TYPE', value: ({ type }) => String(type ?? '') },
    { header: 'KEYS', value: ({ data }) => Object.keys((data ?? {}) as object).join(',') },
  ],
};
