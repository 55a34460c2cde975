/**
 * The settings that act here, by kind: names and texts in a document's `spec.settings`, read into what the router is
 * told. `proxy-configuration` and `router-data-connection-count` are Skupper's; the others are Skiff's own.
 */
import type { HealthCheckConfig } from '../router/protocol.ts';
import type { JsonObject } from '../store/documents.ts';
import { parseDuration } from './duration.ts';
import type { Check } from './schema.ts';

export type Settings = Record<string, string>;

const duration =
  (lowest: string, highest: string): Check<string> =>
  (text) => {
    const value = parseDuration(text);
    return value !== undefined && value >= milliseconds(lowest) && value <= milliseconds(highest)
      ? undefined
      : `must be a duration from ${lowest} to ${highest}, such as ${lowest}`;
  };

function milliseconds(text: string): number {
  return parseDuration(text) ?? 0;
}

const number: Check<string> = (text) =>
  /^\d{1,3}$/.test(text) && Number(text) > 0 ? undefined : 'must be a number from 1 to 999';

const path: Check<string> = (text) =>
  /^\/[\x21-\x7e]*$/.test(text) ? undefined : 'must begin with / and have no spaces';

const checkTypes = ['tcp', 'http'];

const healthCheckSettings: Record<string, Check<string>> = {
  'health-check': (text) => (checkTypes.includes(text) ? undefined : `must be one of ${checkTypes.join(', ')}`),
  'health-check-path': path,
  'health-check-interval': duration('100ms', '1h'),
  'health-check-timeout': duration('100ms', '5m'),
  'health-check-failures': number,
  'health-check-successes': number,
};

export const connectorSettings: Check<JsonObject> = (settings) => {
  const complaint = complaintOf(settings as Settings, healthCheckSettings);
  if (complaint !== undefined) return complaint;
  const [given] = Object.keys(settings);
  if (given !== undefined && !('health-check' in settings)) return `${given}: needs health-check`;
  const pathOfTcp = settings['health-check'] === 'tcp' && 'health-check-path' in settings;
  return pathOfTcp ? 'health-check-path: is for health-check: http' : undefined;
};

const linkSettingChecks: Record<string, Check<string>> = {
  'proxy-configuration': () => undefined,
  'idle-timeout': duration('2s', '10m'),
};

export const linkSettings: Check<JsonObject> = (settings) => complaintOf(settings as Settings, linkSettingChecks);

const siteSettingChecks: Record<string, Check<string>> = {
  'router-data-connection-count': (text) =>
    text === 'auto' || /^\d{1,2}$/.test(text) ? undefined : 'must be auto, or a number from 0 to 99',
};

export const siteSettings: Check<JsonObject> = (settings) => complaintOf(settings as Settings, siteSettingChecks);

/** As many as a skupper-router has that runs with the workers it has by default. */
const USUAL_DATA_CONNECTIONS = 2;

/** Connections that carry streams to another interior site, beside the first. */
export function dataConnectionsOf(settings: Settings = {}): number {
  const text = settings['router-data-connection-count'] ?? 'auto';
  return text === 'auto' ? USUAL_DATA_CONNECTIONS : Number(text);
}

/** The name of the Secret that says where the proxy is. */
export function proxySecretOf(settings: Settings = {}): string | undefined {
  return settings['proxy-configuration'] || undefined;
}

export function idleTimeoutOf(settings: Settings = {}): number | undefined {
  const text = settings['idle-timeout'];
  return text === undefined ? undefined : milliseconds(text);
}

function complaintOf(settings: Settings, known: Record<string, Check<string>>): string | undefined {
  for (const [name, text] of Object.entries(settings)) {
    if (!Object.hasOwn(known, name)) return `not supported: ${name}`;
    const complaint = known[name]?.(text);
    if (complaint !== undefined) return `${name}: ${complaint}`;
  }
  return undefined;
}

export function healthCheckOf(settings: Settings = {}): HealthCheckConfig | undefined {
  const type = settings['health-check'];
  if (type !== 'tcp' && type !== 'http') return undefined;
  return {
    type,
    path: settings['health-check-path'] ?? '/',
    interval: milliseconds(settings['health-check-interval'] ?? '10s'),
    timeout: milliseconds(settings['health-check-timeout'] ?? '5s'),
    failures: Number(settings['health-check-failures'] ?? 3),
    successes: Number(settings['health-check-successes'] ?? 1),
  };
}
