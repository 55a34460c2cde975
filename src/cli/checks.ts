/**
 * What `skiff debug check` looks at, layer by layer, from the clock and the disk to the peers and their certificates.
 */
import { X509Certificate } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { accessSync, constants, statfsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { ApiClient } from '../api/client.ts';
import { errorFact } from '../errors.ts';
import { kinds } from '../site/kinds.ts';
import type { RenderedDocument } from '../site/render.ts';
import type { Kind } from '../site/resources.ts';
import { buildTime, version } from '../version.ts';

export type Verdict = 'ok' | 'warning' | 'failed';

export interface Check {
  /** Such as `clock` or `link hub`. */
  check: string;
  verdict: Verdict;
  /** What was found. */
  message: string;
  /** How to mend it. */
  hint?: string;
}

/** How long one server or name is waited for, in milliseconds. */
const patienceMs = 3_000;
const dayMs = 86_400_000;

export async function checkAll(directory: string): Promise<Check[]> {
  return [checkClock(), ...checkDirectory(directory), ...(await checkSite(new ApiClient(directory)))];
}

const ok = (check: string, message: string): Check => ({ check, verdict: 'ok', message });
const failed = (check: string, message: string, hint: string): Check => ({ check, verdict: 'failed', message, hint });
const warning = (check: string, message: string, hint: string): Check => ({
  ...failed(check, message, hint),
  verdict: 'warning',
});

function checkClock(): Check {
  const now = new Date().toISOString();
  if (Date.now() >= buildTime) return ok('clock', now);
  const built = new Date(buildTime).toISOString();
  return failed('clock', `${now} is before this program was built (${built})`, 'Set the clock, or let NTP set it');
}

function checkDirectory(directory: string): Check[] {
  const name = 'data directory';
  try {
    const { mode } = statSync(directory);
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    const open = mode & 0o077 ? [warning(name, `others may look into ${directory}`, `chmod 700 ${directory}`)] : [];
    return [...(open.length ? open : [ok(name, directory)]), checkDisk(directory)];
  } catch (error) {
    const hint = 'Say where it is with --data, use the user that the site runs as, or make one with skiff site create';
    return [failed(name, errorFact(error).message, hint)];
  }
}

function checkDisk(directory: string): Check {
  const { bavail, bsize, blocks, ffree, files } = statfsSync(directory);
  const free = bavail * bsize;
  const message = `${Math.round(free / 1_048_576)} MB free of ${Math.round((blocks * bsize) / 1_048_576)} MB`;
  const hint = 'Make room; a site whose disk is full goes on but takes no change';
  if (free < 16 * 1_048_576 || (files > 0 && ffree < 16)) return failed('disk', `${message}, ${ffree} inodes`, hint);
  return bavail / blocks < 0.05 && free < 1_073_741_824 ? warning('disk', message, hint) : ok('disk', message);
}

async function checkSite(client: ApiClient): Promise<Check[]> {
  let status: Awaited<ReturnType<ApiClient['status']>>;
  try {
    status = await client.status();
  } catch (error) {
    const { message, hint } = errorFact(error);
    return [failed('process', message, hint ?? 'Start it with skiff run')];
  }
  const running = `version ${status.version}, process ${status.pid}, since ${status.startTime}`;
  const process =
    status.version === version
      ? ok('process', running)
      : warning('process', `${running}; this command is version ${version}`, 'Start the site again to update it');
  const warnings = status.warnings.map(({ message, hint }) =>
    warning('process', message, hint ?? 'See docs/errors.md'),
  );
  const { http } = status;
  const pages = http?.url ? [ok('http', `metrics at ${http.url}/metrics`)] : [];
  return [process, ...pages, ...warnings, ...(await checkInside(client)), ...(await checkDocuments(client))];
}

async function checkInside(client: ApiClient): Promise<Check[]> {
  try {
    const { routerMs, database } = await client.selfCheck();
    return [
      database === 'ok'
        ? ok('database', 'SQLite finds it whole')
        : failed('database', database, 'Stop the site and start it again: the file is then moved aside'),
      routerMs < 1_000
        ? ok('router thread', `answered in ${routerMs.toFixed(1)} ms`)
        : warning(
            'router thread',
            `answered only after ${Math.round(routerMs)} ms`,
            'Look at the load of this machine',
          ),
    ];
  } catch (error) {
    const { message, hint } = errorFact(error);
    return [failed('router thread', message, hint ?? 'Start the site again')];
  }
}

async function checkDocuments(client: ApiClient): Promise<Check[]> {
  const list = (kind: Kind) => client.list(kind, { showSecrets: kind === 'Secret' });
  const rest = (Object.keys(kinds) as Kind[]).filter((kind) => kind !== 'Site' && kind !== 'Secret');
  const [sites, secrets, ...others] = await Promise.all((['Site', 'Secret', ...rest] as const).map(list));
  if (sites.length === 0) {
    return [failed('site', 'there is none', 'Create one with skiff site create, or apply documents')];
  }
  const perDocument = others
    .flat()
    .map(async (document) => [checkStatus(document), ...(await checkReachable(document))]);
  return [...sites.map(checkStatus), ...secrets.flatMap(checkCertificate), ...(await Promise.all(perDocument)).flat()];
}

const hints: Record<string, string> = {
  Link: 'skiff link status -o yaml has the whole story, docs/errors.md the code in brackets',
  Listener: 'It opens when a connector with its routing key can be reached; skiff connector status at the other sites',
  Connector: 'See that the server runs and listens there',
  RouterAccess: 'skiff get routeraccess -o yaml has the whole story',
  Site: 'skiff site status -o yaml has the whole story',
};

function titleOf({ kind, metadata }: RenderedDocument): string {
  return `${kind.toLowerCase()} ${metadata.name}`;
}

function checkStatus(document: RenderedDocument): Check {
  const { status, message } = document.status ?? { status: 'Pending', message: 'it has no status yet' };
  const { daysLeft } = (document.status ?? {}) as { daysLeft?: unknown };
  if (document.kind === 'Certificate' && typeof daysLeft === 'number' && daysLeft < 14) {
    return warning(titleOf(document), `${daysLeft} days left`, 'skiff get certificate -o yaml has the whole story');
  }
  if (status === 'Ready' && !/\[[a-z:-]+\]$/.test(message)) return ok(titleOf(document), message);
  const verdict = status === 'Error' || document.kind === 'Link' ? failed : warning;
  return verdict(titleOf(document), message, hints[document.kind]);
}

/** The certificate of a Secret, by its dates. */
function checkCertificate(secret: RenderedDocument): Check[] {
  const pem = (secret.data as Record<string, string>)['tls.crt'];
  if (!pem) return [];
  const check = `certificate ${secret.metadata.name}`;
  const { validFromDate, validToDate, subject } = new X509Certificate(Buffer.from(pem, 'base64'));
  const days = Math.floor((validToDate.getTime() - Date.now()) / dayMs);
  const message = `${subject.replaceAll('\n', ', ')}, until ${validToDate.toISOString()}, ${days} days`;
  if (validFromDate.getTime() > Date.now()) {
    return [failed(check, `valid only from ${validFromDate.toISOString()}`, 'Check the clocks of both ends')];
  }
  if (days < 0) return [failed(check, `expired: ${message}`, 'Make a new one; check the clock')];
  return [days < 14 ? warning(check, message, 'Renew it') : ok(check, message)];
}

/** The network on the way to what a document dials: its name, then its port. */
async function checkReachable({ kind, metadata, spec = {} }: RenderedDocument): Promise<Check[]> {
  const endpoints = (kind === 'Link' ? spec.endpoints : kind === 'Connector' ? [spec] : []) as {
    host: string;
    port: string | number;
  }[];
  const targets = new Map(endpoints.map(({ host, port }) => [`${host}:${port}`, { host, port: Number(port) }]));
  const checks = [...targets].map(([address, target]) =>
    checkAddress(`${kind.toLowerCase()} ${metadata.name} at ${address}`, target),
  );
  return (await Promise.all(checks)).flat();
}

async function checkAddress(check: string, { host, port }: { host: string; port: number }): Promise<Check> {
  try {
    const { address } = await lookup(host);
    const started = performance.now();
    await connects(address, port);
    const via = address === host ? '' : ` (${address})`;
    return ok(check, `connects in ${(performance.now() - started).toFixed(1)} ms${via}`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
      return failed(check, `the name has no address (${code})`, 'Check the host name and the DNS');
    }
    return failed(check, message, 'Check that it listens there, and firewalls in between');
  }
}

async function connects(host: string, port: number): Promise<void> {
  const socket = connect({ host, port, timeout: patienceMs });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('connect', resolve).once('error', reject);
  socket.once('timeout', () => reject(new Error(`no answer within ${patienceMs / 1_000} s`)));
  try {
    await promise;
  } finally {
    socket.destroy();
  }
}
